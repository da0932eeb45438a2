"""Statements run on libpq: what goes in comes out, each is prepared once, and failures are SQLAlchemy's."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import sqlalchemy as sa

from idp.app import POSTGRESQL_OPTIONS
from idp.db import UTCDateTime
from idp.prepared import AloneEngine

CONNECT = {"connect_args": {"options": POSTGRESQL_OPTIONS}}
ID = UUID("0b1c0000-0000-4000-8000-00000000000a")
AT = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
TABLE = sa.Table(
    "prepared_things",
    sa.MetaData(),
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("id", sa.Uuid),
    sa.Column("at", UTCDateTime),
    sa.Column("listed", sa.JSON),
    sa.Column("number", sa.Integer),
    sa.Column("is_so", sa.Boolean),
    sa.Column("raw", sa.LargeBinary),
)


class Thing(NamedTuple):
    name: str
    id: UUID | None
    at: datetime | None
    listed: list[Any] | None
    number: int | None
    is_so: bool | None
    raw: bytes | None


class Pid(NamedTuple):
    pid: int


class Name(NamedTuple):
    name: str


class Sql(NamedTuple):
    statement: str


INSERT = sa.insert(TABLE).values({column.name: sa.bindparam(f"b_{column.name}") for column in TABLE.columns})
SELECT = sa.select(TABLE).where(TABLE.c.name == sa.bindparam("wanted"))
ME = sa.select(sa.func.pg_backend_pid().label("pid"))
HANG_UP = sa.text("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(10)")
THING: dict[str, Any] = {
    "b_name": "Åsa % $1 'x'",
    "b_id": ID,
    "b_at": AT,
    "b_listed": ["å", {"b": None}],
    "b_number": 2_000_000_000,
    "b_is_so": False,
    "b_raw": b"\x00\xff",
}


@pytest.fixture
def engine(postgres_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(postgres_url)
    TABLE.metadata.create_all(engine)
    yield engine
    TABLE.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def alone(engine: sa.Engine) -> AloneEngine:
    """With room for one connection: whoever leaks it waits in vain."""
    return AloneEngine(engine, {**CONNECT, "pool_size": 1, "max_overflow": 0, "pool_timeout": 5})


def test_values_are_committed_and_read_back(alone: AloneEngine, engine: sa.Engine) -> None:
    assert alone.execute(INSERT, THING) == 1
    with engine.connect() as other:
        assert tuple(other.execute(sa.select(TABLE)).one()) == tuple(THING.values())
    row = alone.execute(SELECT, {"wanted": THING["b_name"]}, Thing)[0]
    assert row == tuple(THING.values())
    assert (row.id, row.at, row.at.tzinfo) == (ID, AT, UTC)


def test_none_is_null_and_no_row_is_an_empty_list(alone: AloneEngine) -> None:
    alone.execute(INSERT, dict.fromkeys(THING) | {"b_name": "empty"})
    (row,) = alone.execute(SELECT, {"wanted": "empty"}, Thing)
    assert (row.id, row.at, row.number, row.is_so, row.raw) == (None,) * 5
    assert alone.execute(SELECT, {"wanted": "nobody"}, Thing) == []


def test_times_come_in_any_zone_but_never_without(alone: AloneEngine) -> None:
    stockholm = AT.astimezone(timezone(timedelta(hours=2)))
    alone.execute(INSERT, THING | {"b_at": stockholm})
    assert alone.execute(SELECT, {"wanted": THING["b_name"]}, Thing)[0].at == AT
    with pytest.raises(ValueError, match="zone"):
        alone.execute(INSERT, THING | {"b_name": "naive", "b_at": AT.replace(tzinfo=None)})
    assert alone.execute(SELECT, {"wanted": "naive"}, Thing) == []


def test_a_statement_is_prepared_once_on_a_connection(alone: AloneEngine) -> None:
    listed = sa.text("SELECT statement FROM pg_prepared_statements")
    for number in range(3):
        alone.execute(INSERT, THING | {"b_name": f"thing {number}"})
    statements = [row.statement for row in alone.execute(listed, {}, Sql)]
    assert sum(statement.startswith("INSERT INTO prepared_things") for statement in statements) == 1


def test_failures_are_sqlalchemys_and_the_connection_goes_on(alone: AloneEngine) -> None:
    alone.execute(INSERT, THING)
    before = alone.execute(ME, {}, Pid)
    with pytest.raises(sa.exc.IntegrityError) as twice:
        alone.execute(INSERT, THING)
    assert "0b1c0000" not in str(twice.value)
    with pytest.raises(sa.exc.DataError):
        alone.execute(INSERT, THING | {"b_name": "x" * 41})
    with pytest.raises(sa.exc.DataError):
        alone.execute(INSERT, THING | {"b_name": "a\0b"})
    with pytest.raises(sa.exc.ProgrammingError):
        alone.execute(sa.text("SELECT nothing FROM nowhere"), {}, Name)
    assert alone.execute(ME, {}, Pid) == before
    assert len(alone.execute(sa.select(TABLE.c.name), {}, Name)) == 1


def test_a_connection_that_ends_in_a_statement_is_an_error_and_the_next_is_another(
    alone: AloneEngine,
) -> None:
    alone.execute(INSERT, THING)
    before = alone.execute(ME, {}, Pid)
    with pytest.raises(sa.exc.OperationalError):
        alone.execute(HANG_UP, {}, Pid)
    assert alone.execute(ME, {}, Pid) != before
    assert len(alone.execute(SELECT, {"wanted": THING["b_name"]}, Thing)) == 1  # prepared anew


def test_a_connection_that_ends_between_two_statements_is_replaced_unseen(
    alone: AloneEngine, engine: sa.Engine
) -> None:
    ((pid,),) = alone.execute(ME, {}, Pid)
    with engine.connect() as other:
        assert other.scalar(sa.select(sa.func.pg_terminate_backend(pid, 10_000)))
    assert alone.execute(ME, {}, Pid) != [(pid,)]


def test_threads_have_their_own_rows(engine: sa.Engine) -> None:
    alone = AloneEngine(engine, {**CONNECT, "pool_size": 4, "max_overflow": 0})
    for number in range(8):
        alone.execute(INSERT, THING | {"b_name": str(number), "b_number": number})

    def look(number: int) -> bool:
        rows = [alone.execute(SELECT, {"wanted": str(number % 8)}, Thing)[0].number for _ in range(30)]
        return rows == [number % 8] * 30

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(look, range(16)))


def test_a_statement_with_values_left_to_defaults_is_refused(alone: AloneEngine) -> None:
    table = sa.Table(
        "filled_in", sa.MetaData(), sa.Column("at", sa.DateTime, default=lambda: AT), sa.Column("n", sa.Text)
    )
    with pytest.raises(ValueError, match="names every value"):
        alone.execute(sa.insert(table), {"n": "x"})


def test_rows_are_of_the_statements_columns(alone: AloneEngine) -> None:
    alone.execute(INSERT, THING)
    with pytest.raises(TypeError, match="has the fields"):
        alone.execute(SELECT, {"wanted": THING["b_name"]}, Name)
    assert alone.execute(SELECT, {"wanted": THING["b_name"]}, Thing) == [tuple(THING.values())]
