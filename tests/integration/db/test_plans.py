"""PostgreSQL answers the statements of the login flows by their keys before it has statistics."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from idp.prepared import AloneEngine
from tests.factories import make_client
from tests.fakes.postgres import PrivatePostgres
from tests.fakes.relying_party import RelyingParty


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(
            scope="openid profile email offline_access", grant_types=["authorization_code", "refresh_token"]
        )
    }


@pytest.fixture
def database_url(postgres: PrivatePostgres) -> str:
    """Of a new one: in the other tests' the server has gathered statistics."""
    return postgres.create_database("without_statistics")


class Line(str):
    """A row of a plan."""

    __slots__ = ()
    __match_args__ = ("QUERY PLAN",)


class Explain(sa.Executable, sa.ClauseElement):
    """The plan of a statement."""

    inherit_cache = False

    def __init__(self, statement: sa.ClauseElement) -> None:
        self.statement = statement


@compiles(Explain)
def explain(element: Explain, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN {compiler.process(element.statement, **options)}"


@pytest.mark.usefixtures("anna")
def test_a_query_without_statistics_begins_with_its_key(
    rp: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with all active people: until there are some, a busy provider would get slower by the second."""
    tokens = rp.tokens(scope="openid offline_access")
    code = rp.code()
    execute, found = AloneEngine.execute, []

    def explained(alone: AloneEngine, statement: Any, values: Mapping[str, Any], row: Any) -> Any:
        if not statement.is_insert:  # those that begin with a table's key
            plan = "\n".join(execute(alone, Explain(statement), values, Line))
            found.append(re.findall(r"(?<!CTE )Scan .*?on (\w+)", plan))
        return execute(alone, statement, values, row)

    monkeypatch.setattr(AloneEngine, "execute", explained)
    rp.authorize()
    rp.exchange(code)
    rp.userinfo(tokens.access_token)
    rp.refresh(tokens.refresh_token)
    rp.introspect(tokens.access_token)
    assert found == [
        ["browser_sessions", "users", "companies"],
        ["grants", "users"],
        ["access_tokens", "grants", "users", "companies"],
        ["refresh_tokens", "grants", "users", "companies", "refresh_tokens"],
        ["access_tokens", "grants", "users", "refresh_tokens", "grants", "users"],
    ]
