"""Removing expired rows of every feature: by `idp purge`, and by the workers every hour.

Audit events are not among them: rows are only added to that table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from idp import outbox, retention
from idp.account import retention as account_retention
from idp.bankid import retention as bankid_retention
from idp.login import retention as login_retention
from idp.oidc import retention as oidc_retention
from idp.password import retention as password_retention

# In this order: a grant may go when its tokens have.
EXPIRED_ROWS = (
    *account_retention.EXPIRED_ROWS,
    *oidc_retention.EXPIRED_ROWS,
    *login_retention.EXPIRED_ROWS,
    *bankid_retention.EXPIRED_ROWS,
    *password_retention.EXPIRED_ROWS,
    *outbox.EXPIRED_ROWS,
)


@dataclass(frozen=True)
class Removed:
    """A number of rows of one table."""

    table: str
    rows: int


def count_expired(*, now: datetime) -> list[Removed]:
    """The number of rows that `batches` would remove, table by table."""
    return [Removed(one.table, retention.count(one, now=now)) for one in EXPIRED_ROWS]


def batches(*, now: datetime) -> Iterator[Removed]:
    """Remove expired rows, a batch at a time; yields the size of each batch. Commits each.

    May be left off after any batch, and several may run at once.
    """
    for one in EXPIRED_ROWS:
        for rows in retention.remove(one, now=now):
            yield Removed(one.table, rows)


def run(*, now: datetime) -> list[Removed]:
    """Remove every expired row; returns the number of each table."""
    rows = dict.fromkeys((one.table for one in EXPIRED_ROWS), 0)
    for removed in batches(now=now):
        rows[removed.table] += removed.rows
    return [Removed(table, number) for table, number in rows.items()]
