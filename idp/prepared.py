"""Statements compiled once and run on libpq directly: for PostgreSQL, in the steps of every login."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

_DONE = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
Row = TypeVar("Row")


def row_maker(row: type[Row], columns: Sequence[str]) -> Callable[[Sequence[Any]], Row]:
    """A function that makes a `row`, a NamedTuple or dataclass, of a result row's values.

    Raises `TypeError` when its fields are not named as the result's columns are, in their order.
    """
    fields = getattr(row, "__match_args__", ())
    if tuple(columns) != fields:
        raise TypeError(f"{row.__name__} has the fields {fields}, and the statement the columns {columns}")
    make: Callable[[Sequence[Any]], Row] = getattr(row, "_make", lambda values: row(*values))
    return make


class AloneEngine:
    """Connections of their own that commit every statement by themselves.

    A statement is compiled once, prepared once on each connection, and then one call of libpq: nothing is
    begun or reset around it, and other threads are let in once, while the server works, not at every step of
    the exchange. Rows are as psycopg makes them (UUIDs, JSON and, the session's zone being UTC, times come
    out as they should). Tables are joined in the order in which the statement names them: a server
    without statistics cannot tell a good order from a bad one. Closed together with `engine`.
    """

    def __init__(self, engine: Engine, options: Mapping[str, Any]) -> None:
        to_connect = dict(options["connect_args"])
        to_connect["options"] += " -c join_collapse_limit=1"
        self._engine = sa.create_engine(
            engine.url,
            **{**options, "connect_args": to_connect},
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            paramstyle="numeric_dollar",
        )
        self._prepared: dict[sa.Executable, _Prepared] = {}
        self._numbers = itertools.count(1)
        sa.event.listen(engine, "engine_disposed", lambda _engine: self._engine.dispose())

    def execute(
        self, statement: sa.Executable, parameters: Mapping[str, Any], row: type[Any] | None = None
    ) -> Any:
        """The statement's rows, each a `row`; without one, how many rows it wrote.

        Raises SQLAlchemy's errors, and `TypeError` as `row_maker` does.
        """
        prepared = self._prepared.get(statement)
        if prepared is None:
            name = b"alone_%d" % next(self._numbers)
            prepared = self._prepared[statement] = _Prepared(name, statement, self._engine, parameters)
        try:
            pooled = self._engine.raw_connection()
        except psycopg.Error as error:
            raise self._as_sqlalchemys(error) from error
        try:
            session = pooled.info.get(_Session)
            if session is None:
                connection: Any = pooled.driver_connection
                session = pooled.info[_Session] = _Session(connection)
            return session.run(prepared, parameters, row)
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
    """A statement's SQL and the conversion of its parameters for the driver."""

    def __init__(
        self, name: bytes, statement: sa.Executable, engine: Engine, parameters: Mapping[str, Any]
    ) -> None:
        compiled: Any = statement.compile(engine, column_keys=list(parameters))  # type: ignore[attr-defined]
        if compiled.insert_prefetch or compiled.update_prefetch:
            raise ValueError("a statement that is prepared names every value: defaults are not filled in")
        self.name = name
        self.sql: bytes = compiled.string.encode()
        self.row: type[Any] | None = None  # of `make_row`, once the columns are known
        self.make_row: Callable[[Sequence[Any]], Any] = tuple
        self.formats = [PyFormat.TEXT] * len(compiled.positiontup)
        self._names: list[str] = compiled.positiontup
        self._given: dict[str, Any] = compiled.params
        self._processors = {
            name: processor
            for bind, name in compiled.bind_names.items()
            if (processor := bind.type.dialect_impl(engine.dialect).bind_processor(engine.dialect))
        }

    def bind(self, parameters: Mapping[str, Any]) -> list[Any]:
        values = {**self._given, **parameters}
        for name, processor in self._processors.items():
            values[name] = processor(values[name])
        return [values[name] for name in self._names]


class _Session:
    """The state of one connection: the statements prepared on it, and the conversion of values."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._pgconn = connection.pgconn
        self._transformer = Transformer(connection)
        self._known: set[bytes] = set()

    def run(self, prepared: _Prepared, parameters: Mapping[str, Any], row: type[Any] | None = None) -> Any:
        """The answer's rows as `row`; without one the number of rows written."""
        if prepared.name not in self._known:
            # The server infers the parameters' types, from the casts that SQLAlchemy writes.
            self._done(self._pgconn.prepare, prepared.name, prepared.sql)
            self._known.add(prepared.name)
        values = self._transformer.dump_sequence(prepared.bind(parameters), prepared.formats)
        result = self._done(self._pgconn.exec_prepared, prepared.name, values)
        if row is None:
            return result.command_tuples or 0
        if prepared.row is not row:
            columns = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
            prepared.row, prepared.make_row = row, row_maker(row, columns)
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, prepared.make_row)

    def _done(self, call: Callable[..., pq.abc.PGresult], *arguments: Any) -> pq.abc.PGresult:
        """The answer of libpq, once it is done. Raises psycopg's errors."""
        try:
            result = call(*arguments)
        except MemoryError:  # libpq had nothing to answer with; most often it could not send
            raise self._lost() from None
        if result.status in _DONE:
            return result
        if self._pgconn.status == pq.ConnStatus.BAD:
            raise self._lost()
        raise error_from_result(result)

    def _lost(self) -> psycopg.OperationalError:
        return psycopg.OperationalError(self._pgconn.get_error_message())
