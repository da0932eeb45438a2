"""What may be removed: each feature says which of its rows are over, `idp.purge` removes them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from idp.db import Base, db

BATCH = 500


@dataclass(frozen=True)
class Leftovers:
    """The rows of one table that nobody needs any more: those that `are_over` is true of at a moment."""

    model: type[Base]
    key: InstrumentedAttribute[Any]
    are_over: Callable[[datetime], sa.ColumnElement[bool]]

    @property
    def table(self) -> str:
        return str(self.model.__tablename__)


def count(leftovers: Leftovers, *, now: datetime) -> int:
    """How many rows would go."""
    query = sa.select(sa.func.count()).select_from(leftovers.model).where(leftovers.are_over(now))
    return db.session.scalars(query).one()


def remove(leftovers: Leftovers, *, now: datetime) -> Iterator[int]:
    """Remove the rows a few hundred at a time, so that nobody waits for long; the number of each batch.

    Commits each. Rows that another worker is removing are left to it.
    """
    some = (
        sa.select(leftovers.key)
        .where(leftovers.are_over(now))
        .limit(BATCH)
        .with_for_update(skip_locked=True)
        .cte("some")  # read once: as a plain subquery, PostgreSQL may run it again for each row
    )
    statement = (
        sa.delete(leftovers.model)
        .where(leftovers.key.in_(sa.select(some)))
        .returning(leftovers.key)
        .execution_options(synchronize_session=False)
    )
    removed = BATCH
    while removed == BATCH:
        removed = len(db.session.scalars(statement).all())
        db.session.commit()
        if removed:
            yield removed
