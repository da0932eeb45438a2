"""What may be removed: each feature says which of its rows are over, `idp.purge` removes them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from idp.db import Base, db

BATCH = 500  # rows removed in one transaction
LOOK = 2000  # rows looked at in one go where they are looked at one by one


@dataclass(frozen=True)
class Leftovers:
    """The rows of one table that nobody needs any more: those that `are_over` is true of at a moment.

    Where no index finds them, because what is over depends on other tables too, `walk` is an indexed column
    by which every row is looked at once, some thousands at a time.
    """

    model: type[Base]
    key: InstrumentedAttribute[Any]
    are_over: Callable[[datetime], sa.ColumnElement[bool]]
    walk: InstrumentedAttribute[Any] | None = None

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
    for stretch in _stretches(leftovers):
        some = (
            sa.select(leftovers.key)
            .where(leftovers.are_over(now), *stretch)
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


def _stretches(leftovers: Leftovers) -> Iterator[list[sa.ColumnElement[bool]]]:
    """What limits a look to one part of the table after the other; nothing where there is no need to walk.

    Without it each batch would begin at the oldest row, and look again at all that stay.
    """
    walk = leftovers.walk
    if walk is None:
        yield []
        return
    done: list[sa.ColumnElement[bool]] = []
    while True:
        query = sa.select(walk).where(*done).order_by(walk).offset(LOOK).limit(1)
        last = db.session.scalars(query).one_or_none()
        if last is None:
            yield done
            return
        yield [*done, walk <= last]
        done = [walk > last]
