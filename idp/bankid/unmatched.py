"""A proven person whose BankID opens no account: kept a while, for the account they log in to next."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from idp.bankid.models import Order
from idp.bankid.order_result import LINK_WITHIN
from idp.db import db
from idp.tokens import sha256_hex


def mark(order: Order) -> bool:
    """Keep a completed order's result, in the caller's transaction. False: it has been used already."""
    statement = (
        sa.update(Order)
        .where(Order.id == order.id, Order.state == "complete")
        .values(state="unmatched")
        .returning(Order.id)
    )
    return db.session.scalar(statement) is not None


def offer_to(order: Order, user_id: UUID) -> bool:
    """Let this account, and from then on no other, link the person. False: it is another's already."""
    statement = (
        sa.update(Order)
        .where(Order.id == order.id, Order.state == "unmatched", Order.user_id.is_(None))
        .values(user_id=user_id)
        .returning(Order.id)
    )
    offered = db.session.scalar(statement) is not None
    db.session.commit()
    return offered


def find(interaction_uid: str, *, browser: str, now: datetime) -> Order | None:
    """The kept order of an interaction of this browser, while it may be linked."""
    return db.session.scalar(
        sa.select(Order).where(
            Order.interaction_uid == interaction_uid,
            Order.browser_hash == sha256_hex(browser),
            Order.state == "unmatched",
            Order.finished_at > now - LINK_WITHIN,
        )
    )
