"""The database: engine, base class, and times that are always aware."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVarTuple
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
import sqlalchemy as sa
from flask import current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, registry
from sqlalchemy.pool import Pool
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.visitors import iterate

from idp.prepared import AloneEngine, Row, row_maker

Columns = TypeVarTuple("Columns")
CONSTRAINT_NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UTCDateTime(sa.types.TypeDecorator[datetime]):
    """A moment. Goes in aware (a naive value raises `ValueError`), comes out in UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    metadata = sa.MetaData(naming_convention=CONSTRAINT_NAMES)
    registry = registry(
        metadata=metadata,
        type_annotation_map={
            datetime: UTCDateTime,
            UUID: sa.Uuid,
            dict[str, Any]: sa.JSON,
            list[str]: sa.JSON,
        },
    )


db = SQLAlchemy(model_class=Base)


def execute_alone(statement: sa.Executable, parameters: Mapping[str, Any], row: type[Row]) -> Sequence[Row]:
    """The rows of one statement that is a transaction by itself: committed when this returns.

    `row` is a NamedTuple or dataclass of the statement's columns, in their order; else `TypeError` is raised.

    Without BEGIN and COMMIT around it, it takes one round trip instead of three: for the statements of
    every login flow. Never call it while the session has uncommitted changes: it does not see them,
    and on SQLite it would wait for them. The tests fail where that happens.

    No parameter of an UPDATE has the name of a column of the table that is updated: SQLAlchemy would set the
    column to it, without a word where the UPDATE is part of another statement. It has a `b_` before it then.
    """
    rows: Sequence[Row] = _alone().execute(statement, parameters, row)
    return rows


def write_alone(statement: sa.Executable, parameters: Mapping[str, Any]) -> int:
    """As `execute_alone`, for a statement that answers nothing: how many rows it wrote."""
    written: int = _alone().execute(statement, parameters)
    return written


@dataclass(frozen=True)
class Insertion:
    """A new row beside one that is found: for each column a parameter, or a column of what is found."""

    into: sa.Table
    values: Mapping[str, sa.ColumnElement[Any]]


class InsertAndSelect:
    """A query, or an UPDATE that returns what it claims, and what is inserted for each row found.

    Raises `ValueError` for a parameter that SQLAlchemy would set a column of the UPDATE to (`execute_alone`).
    """

    def __init__(self, find: sa.Select[Any] | ReturningUpdate[Any], *insertions: Insertion) -> None:
        self.find, self.insertions = find, insertions
        found = find.cte("found")
        self.at_once = sa.select(found)
        for place, insertion in enumerate(insertions):
            values = [
                sa.bindparam(value.key, type_=insertion.into.c[name].type)
                if isinstance(value, sa.BindParameter)
                else found.c[str(value.key)]
                for name, value in insertion.values.items()
            ]
            insert = sa.insert(insertion.into).from_select(list(insertion.values), sa.select(*values))
            self.at_once = self.at_once.add_cte(insert.cte(f"inserted_{place}"))
        if isinstance(find, sa.Update):
            names = {one.key for one in iterate(self.at_once) if isinstance(one, sa.BindParameter)}
            if clashes := names.intersection(find.table.columns.keys()):
                raise ValueError(f"parameters have names of columns of {find.table}: {sorted(clashes)}")


def insert_and_select(
    statement: InsertAndSelect, parameters: Mapping[str, Any], row: type[Row]
) -> Sequence[Row]:
    """The rows found, stored with all that is inserted for them: both or neither, when this returns.

    In PostgreSQL, where a query may write, this is one statement. The rules of `execute_alone` hold.
    """
    if db.engine.dialect.name == "postgresql":
        return execute_alone(statement.at_once, parameters, row)
    with db.engine.begin() as connection:
        result = connection.execute(statement.find, parameters)
        make_row = row_maker(row, list(result.keys()))
        found = result.mappings().all()
        for insertion in statement.insertions:
            for one in found:
                values = {
                    name: parameters[value.key]
                    if isinstance(value, sa.BindParameter)
                    else one[str(value.key)]
                    for name, value in insertion.values.items()
                }
                connection.execute(sa.insert(insertion.into), values)
    return [make_row(tuple(one.values())) for one in found]


def insert_ignoring(table: sa.Table) -> sa.Insert:
    """An INSERT that does nothing where its row is there already; the same one for each table every time."""
    return _insert_ignoring(table, db.engine.dialect.name)


@cache
def _insert_ignoring(table: sa.Table, dialect: str) -> sa.Insert:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing()


def in_batches(
    query: sa.Select[*Columns], key: InstrumentedAttribute[Any], size: int
) -> Iterator[Sequence[sa.Row[*Columns]]]:
    """The rows of a query in the order of `key`, one of its columns, `size` at a time.

    Each batch is queried when the one before it has been used, and committed if the caller wants.
    """
    query = query.order_by(key).limit(size)
    rows = db.session.execute(query).all()
    while rows:
        yield rows
        rows = db.session.execute(query.where(key > rows[-1]._mapping[key])).all()


def rewrite_column(
    column: InstrumentedAttribute[Any],
    key: InstrumentedAttribute[Any],
    rewrite: Callable[[Any, Any], Mapping[Any, Any] | None],
    *,
    batch: int,
) -> int:
    """Give rows the values that `rewrite` makes of their key and what the column holds, None to leave one.

    Returns how many got theirs: a row that has changed or gone meanwhile does not. Commits batch by batch.
    """
    changed = 0
    for rows in in_batches(sa.select(key, column).where(column.is_not(None)), key, batch):
        for row_key, before in rows:
            values = rewrite(row_key, before)
            if values is not None:
                statement = sa.update(key.class_).where(key == row_key, column == before).values(values)
                statement = statement.execution_options(synchronize_session=False)
                changed += len(db.session.scalars(statement.returning(key)).all())
        db.session.commit()
    return changed


def server_time() -> datetime | None:
    """The time on the database server's clock; None where there is no server."""
    if db.engine.dialect.name != "postgresql":
        return None
    shown: datetime | None = db.session.scalar(sa.text("SELECT now()"))
    return shown


class _Autocommitting:
    """The counterpart of `AloneEngine` for SQLite: SQLAlchemy's own way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT", preserve_rowcount=True)

    def execute(
        self, statement: sa.Executable, parameters: Mapping[str, Any], row: type[Any] | None = None
    ) -> Any:
        with self._engine.connect() as connection:
            result = connection.execute(statement, parameters)
            if row is None:
                return result.rowcount
            make_row = row_maker(row, list(result.keys()))
            return [make_row(values) for values in result]


_known: WeakKeyDictionary[Engine, AloneEngine | _Autocommitting] = WeakKeyDictionary()


def _alone() -> AloneEngine | _Autocommitting:
    """The engine that executes statements alone, in the running application."""
    engine = db.engine
    known = _known.get(engine)
    if known is None:
        if engine.dialect.name == "postgresql":
            known = AloneEngine(engine, current_app.config["SQLALCHEMY_ENGINE_OPTIONS"])
        else:
            known = _Autocommitting(engine)
        _known[engine] = known
    return known


@sa.event.listens_for(Engine, "connect")
def _set_up_sqlite(connection: object, _record: object) -> None:
    """Readers never block the writer (WAL), a busy database is waited for, foreign keys hold."""
    if isinstance(connection, sqlite3.Connection):
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


@sa.event.listens_for(Pool, "checkout")
def _leave_the_dead(connection: object, _record: object, _fairy: object) -> None:
    """Connect anew where PostgreSQL hung up while a connection lay unused, so that no request fails of it.

    Reads the bytes that have come instead of making a round trip. The end is seen after any bytes before
    it, by the second read; neither lets go of the interpreter, which every other thread would wake up for.
    Raises `InvalidatePoolError`, at which the pool opens another.
    """
    if isinstance(connection, psycopg.Connection):
        try:
            connection.pgconn.consume_input()
            connection.pgconn.consume_input()
        except psycopg.OperationalError:
            raise InvalidatePoolError from None


@sa.event.listens_for(Pool, "checkin")
def _leave_nothing_open(connection: object, _record: object) -> None:
    """End a transaction that a failed COMMIT (a full disk) left open on SQLite; SQLAlchemy would not."""
    if isinstance(connection, sqlite3.Connection) and connection.in_transaction:
        connection.rollback()
