"""When BankID orders and evidence are deleted."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from idp.bankid.models import Evidence, Order
from idp.bankid.order_result import LINK_WITHIN
from idp.retention import ExpiredRows

KEEP_ORDERS = timedelta(days=1)
"""Longer than any interaction lives: its order can be used as long as it is open."""


def _orders(now: datetime) -> sa.ColumnElement[bool]:
    old = now - KEEP_ORDERS
    # Its page was closed, and polls no more.
    unfinished = sa.and_(Order.finished_at.is_(None), Order.started_at < old)
    unlinkable = sa.and_(Order.state == "unmatched", Order.finished_at < now - LINK_WITHIN)
    return sa.or_(Order.finished_at < old, unfinished, unlinkable)


def _evidence(now: datetime) -> sa.ColumnElement[bool]:
    return Evidence.delete_after <= now


EXPIRED_ROWS = (
    ExpiredRows(Order, Order.id, _orders),
    ExpiredRows(Evidence, Evidence.order_id, _evidence),
)
