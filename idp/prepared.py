"""Statements compiled once and run on psycopg directly: for PostgreSQL, in the steps of every login."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.rows import namedtuple_row
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError


class AloneEngine:
    """Connections of their own that commit every statement by themselves.

    Running a statement here costs a quarter of what SQLAlchemy's connection takes for it: compiled once,
    no transaction begun or reset, rows as psycopg makes them (UUIDs, JSON and, the session's zone being
    UTC, times come out as they should). Closed together with `engine`.
    """

    def __init__(self, engine: Engine, options: Mapping[str, Any]) -> None:
        self._engine = sa.create_engine(
            engine.url, **options, isolation_level="AUTOCOMMIT", pool_reset_on_return=None
        )
        self._prepared: dict[sa.Executable, _Prepared] = {}
        sa.event.listen(engine, "engine_disposed", lambda _engine: self._engine.dispose())

    def execute(self, statement: sa.Executable, parameters: Mapping[str, Any]) -> Sequence[Any]:
        """The statement's rows, with columns as attributes. Raises SQLAlchemy's errors."""
        prepared = self._prepared.get(statement)
        if prepared is None:
            prepared = self._prepared[statement] = _Prepared(statement, self._engine, parameters)
        try:
            pooled = self._engine.raw_connection()
        except psycopg.Error as error:
            raise self._as_sqlalchemys(error) from error
        try:
            connection: psycopg.Connection[Any] = pooled.driver_connection  # type: ignore[assignment]
            with connection.cursor(row_factory=namedtuple_row) as cursor:
                cursor.execute(prepared.sql, prepared.bind(parameters))
                result = cursor.pgresult  # asked itself: the cursor's description is made anew each time
                return cursor.fetchall() if result and result.nfields else ()
        except psycopg.Error as error:
            if pooled.driver_connection is not None and pooled.driver_connection.closed:
                pooled.invalidate(error)
            raise self._as_sqlalchemys(error) from error
        finally:
            pooled.close()

    def _as_sqlalchemys(self, error: psycopg.Error) -> BaseException:
        dialect = self._engine.dialect
        return DBAPIError.instance(None, None, error, psycopg.Error, hide_parameters=True, dialect=dialect)


class _Prepared:
    """A statement's SQL and how its parameters are turned into what the driver takes."""

    def __init__(self, statement: sa.Executable, engine: Engine, parameters: Mapping[str, Any]) -> None:
        compiled: Any = statement.compile(engine, column_keys=list(parameters))  # type: ignore[attr-defined]
        if compiled.insert_prefetch or compiled.update_prefetch:
            raise ValueError("a statement that is prepared names every value: defaults are not filled in")
        self.sql: str = compiled.string
        self._given: dict[str, Any] = compiled.params
        self._processors = {
            name: processor
            for bind, name in compiled.bind_names.items()
            if (processor := bind.type.dialect_impl(engine.dialect).bind_processor(engine.dialect))
        }

    def bind(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        values = {**self._given, **parameters}
        for name, processor in self._processors.items():
            values[name] = processor(values[name])
        return values
