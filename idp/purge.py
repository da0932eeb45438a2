"""Removing what is over, of every feature: by `idp purge`, and by the workers every hour.

Audit events are not among it: that table is only ever added to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from idp import leftovers, outbox
from idp.account import leftovers as account_leftovers
from idp.bankid import leftovers as bankid_leftovers
from idp.login import leftovers as login_leftovers
from idp.oidc import leftovers as oidc_leftovers
from idp.password import leftovers as password_leftovers

# In this order: a grant may go when its tokens have.
LEFTOVERS = (
    *account_leftovers.LEFTOVERS,
    *oidc_leftovers.LEFTOVERS,
    *login_leftovers.LEFTOVERS,
    *bankid_leftovers.LEFTOVERS,
    *password_leftovers.LEFTOVERS,
    *outbox.LEFTOVERS,
)


@dataclass(frozen=True)
class Removed:
    """So many rows of one table."""

    table: str
    rows: int


def look(*, now: datetime) -> list[Removed]:
    """What `batches` would remove, of every table."""
    return [Removed(one.table, leftovers.count(one, now=now)) for one in LEFTOVERS]


def batches(*, now: datetime) -> Iterator[Removed]:
    """Remove what is over, a batch at a time; what each batch was. Commits each.

    May be left off after any batch, and several may run at once.
    """
    for one in LEFTOVERS:
        for rows in leftovers.remove(one, now=now):
            yield Removed(one.table, rows)


def run(*, now: datetime) -> list[Removed]:
    """Remove everything that is over; how much of every table."""
    rows = dict.fromkeys((one.table for one in LEFTOVERS), 0)
    for removed in batches(now=now):
        rows[removed.table] += removed.rows
    return [Removed(table, number) for table, number in rows.items()]
