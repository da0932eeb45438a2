"""Orders of proven persons whose BankID opens no account: the next login may link it to one."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from idp.bankid.models import Order
from idp.bankid.order_result import LINK_WITHIN
from idp.db import db
from idp.tokens import sha256_hex


def mark(order: Order) -> bool:
    """Keep a completed order for the next login, in the caller's transaction. False: it has been used."""
    statement = (
        sa.update(Order)
        .where(Order.id == order.id, Order.state == "complete")
        .values(state="unmatched")
        .returning(Order.id)
    )
    return db.session.scalar(statement) is not None


def offer_to(order: Order, user_id: UUID) -> bool:
    """Let this account link the person, and no other from then on. False: the order is another account's."""
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
    """The unmatched order of this browser's interaction, for `LINK_WITHIN`; None without one."""
    return db.session.scalar(
        sa.select(Order).where(
            Order.interaction_uid == interaction_uid,
            Order.browser_hash == sha256_hex(browser),
            Order.state == "unmatched",
            Order.finished_at > now - LINK_WITHIN,
        )
    )
