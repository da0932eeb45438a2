"""What the provider asks its database."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from idp.prepared import AloneEngine

Result = TypeVar("Result")
FIRST_CONNECTION = ("select pg_catalog", "show ")  # what SQLAlchemy asks a server once


class Statements:
    """What was sent to the database, request by request."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def of(self, step: Callable[[], Result]) -> tuple[Result, list[tuple[str, str]]]:
        """A step's result and its statements with their values."""
        self.sent.clear()
        result = step()
        return result, list(self.sent)

    def note(self, _connection: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        self.sent.append((statement, repr(values)))


@contextmanager
def noted(engine: Engine) -> Iterator[Statements]:
    """Every statement to this engine's database, with its values, in a list."""
    found = Statements()
    if engine.dialect.name != "postgresql":
        sa.event.listen(engine, "before_cursor_execute", found.note)
        yield found
        sa.event.remove(engine, "before_cursor_execute", found.note)
        return
    send, send_alone = psycopg.Cursor.execute, AloneEngine.execute

    def execute(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        if not str(query).startswith(FIRST_CONNECTION):
            found.note(None, cursor, str(query), params)
        return send(cursor, query, params, **options)

    def execute_alone(alone: Any, statement: Any, values: Mapping[str, Any], row: Any) -> Any:
        compiled = statement.compile(engine, column_keys=list(values))
        found.note(None, None, compiled.string, {**compiled.params, **values})
        return send_alone(alone, statement, values, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", execute)
        patch.setattr(AloneEngine, "execute", execute_alone)
        yield found
