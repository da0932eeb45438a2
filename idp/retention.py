"""Retention: each feature lists its expired rows, `idp.purge` removes them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from idp.db import Base, db

BATCH = 500  # rows removed in one transaction
STRETCH = 2000  # rows read by one query where every row of a table has to be read


@dataclass(frozen=True)
class ExpiredRows:
    """The rows of one table that nobody needs any more: those for which `are_expired` is true at a moment.

    Where no index finds them, because it depends on other tables too, `walk` is an indexed column by which
    every row is read once, some thousands at a time.
    """

    model: type[Base]
    key: InstrumentedAttribute[Any]
    are_expired: Callable[[datetime], sa.ColumnElement[bool]]
    walk: InstrumentedAttribute[Any] | None = None

    @property
    def table(self) -> str:
        return str(self.model.__tablename__)


def count(expired: ExpiredRows, *, now: datetime) -> int:
    """The number of rows that `remove` would remove."""
    query = sa.select(sa.func.count()).select_from(expired.model).where(expired.are_expired(now))
    return db.session.scalars(query).one()


def remove(expired: ExpiredRows, *, now: datetime) -> Iterator[int]:
    """Remove the rows a few hundred at a time, so that nobody waits for long; yields each batch's number.

    Commits each. Rows that another worker is removing are left to it.
    """
    for stretch in _stretches(expired):
        some = (
            sa.select(expired.key)
            .where(expired.are_expired(now), *stretch)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
            .cte("some")  # read once: as a plain subquery, PostgreSQL may run it again for each row
        )
        statement = (
            sa.delete(expired.model)
            .where(expired.key.in_(sa.select(some)))
            .returning(expired.key)
            .execution_options(synchronize_session=False)
        )
        removed = BATCH
        while removed == BATCH:
            removed = len(db.session.scalars(statement).all())
            db.session.commit()
            if removed:
                yield removed


def _stretches(expired: ExpiredRows) -> Iterator[list[sa.ColumnElement[bool]]]:
    """The conditions that limit a query to one part of the table after the other; none without a `walk`.

    Without them each batch would begin at the oldest row, and read again all that stay.
    """
    walk = expired.walk
    if walk is None:
        yield []
        return
    done: list[sa.ColumnElement[bool]] = []
    while True:
        query = sa.select(walk).where(*done).order_by(walk).offset(STRETCH).limit(1)
        last = db.session.scalars(query).one_or_none()
        if last is None:
            yield done
            return
        yield [*done, walk <= last]
        done = [walk > last]
