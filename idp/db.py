"""The database: engine, base class, and times that are always aware."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
import sqlalchemy as sa
from flask import current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import DeclarativeBase, registry
from sqlalchemy.pool import Pool

from idp.prepared import AloneEngine

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
_autocommitting: WeakKeyDictionary[Engine, Engine] = WeakKeyDictionary()
_alone: WeakKeyDictionary[Engine, AloneEngine] = WeakKeyDictionary()


def execute_alone(statement: sa.Executable, parameters: Mapping[str, Any]) -> Sequence[Any]:
    """The rows of one statement that is a transaction by itself: committed when this returns.

    Without BEGIN and COMMIT around it, it takes one round trip instead of three: for the statements of
    every login flow. Never call it while the session holds uncommitted changes: it does not see them,
    and on SQLite it would wait for them.
    """
    engine = db.engine
    if engine.dialect.name == "postgresql":
        alone = _alone.get(engine)
        if alone is None:
            options = current_app.config["SQLALCHEMY_ENGINE_OPTIONS"]
            alone = _alone[engine] = AloneEngine(engine, options)
        return alone.execute(statement, parameters)
    autocommitting = _autocommitting.get(engine)
    if autocommitting is None:
        autocommitting = engine.execution_options(isolation_level="AUTOCOMMIT")
        _autocommitting[engine] = autocommitting
    with autocommitting.connect() as connection:
        result = connection.execute(statement, parameters)
        return result.all() if result.returns_rows else ()


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
    """Connect anew where PostgreSQL hung up while a connection lay unused: nobody has to be told of it.

    A look at what has come instead of a round trip. The end is seen after what was said before it, by the
    second look; neither lets go of the interpreter, which every other thread would wake up for. Raises
    `InvalidatePoolError`, at which the pool opens another.
    """
    if isinstance(connection, psycopg.Connection):
        try:
            connection.pgconn.consume_input()
            connection.pgconn.consume_input()
        except psycopg.OperationalError:
            raise InvalidatePoolError from None


@sa.event.listens_for(Pool, "checkin")
def _leave_nothing_open(connection: object, _record: object) -> None:
    """End what a COMMIT that failed (a full disk) left open on SQLite: SQLAlchemy takes it for ended."""
    if isinstance(connection, sqlite3.Connection) and connection.in_transaction:
        connection.rollback()
