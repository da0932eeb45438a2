"""BankID orders that are over, and evidence that has been kept as long as it should be."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from idp.bankid.models import Evidence, Order
from idp.bankid.order_result import LINK_WITHIN
from idp.retention import ExpiredRows

KEEP_ORDERS = timedelta(days=1)
"""Longer than any interaction lives: an order can be used as long as the one it belongs to is open."""


def _orders(now: datetime) -> sa.ColumnElement[bool]:
    old = now - KEEP_ORDERS
    unfinished = sa.and_(Order.finished_at.is_(None), Order.started_at < old)  # its page was closed
    unlinkable = sa.and_(Order.state == "unmatched", Order.finished_at < now - LINK_WITHIN)
    return sa.or_(Order.finished_at < old, unfinished, unlinkable)


def _evidence(now: datetime) -> sa.ColumnElement[bool]:
    return Evidence.delete_after <= now


EXPIRED_ROWS = (
    ExpiredRows(Order, Order.id, _orders),
    ExpiredRows(Evidence, Evidence.order_id, _evidence),
)
