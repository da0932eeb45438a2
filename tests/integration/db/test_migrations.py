"""Migrations make what the models say on both databases, whole or not at all."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from idp import app as application
from idp.app import create_tool_app
from idp.config import Settings
from idp.db import db
from idp.login.models import BrowserSession
from idp.users.models import NEVER, User
from tests.conftest import DATABASES
from tests.factories import NOON

Run = Callable[..., Any]
made = 0


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/idp.sqlite3"
    global made  # noqa: PLW0603 - databases cannot share a name
    made += 1
    url: str = request.getfixturevalue("postgres").create_database(f"migrations_{made}")
    return url


@pytest.fixture
def engine(environ: dict[str, str]) -> Iterator[sa.Engine]:
    """A way into that database of the test's own."""
    with create_tool_app(Settings.from_environ(environ)).app_context():
        engine = db.engine
    yield engine
    engine.dispose()


def tables(engine: sa.Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names())


def said(result: Any) -> str:
    assert result.exit_code == 0, result.output
    return str(result.stdout).strip()


def test_upgrading_makes_what_the_models_say(run: Run, engine: sa.Engine) -> None:
    assert said(run("db", "upgrade")) == "the database is up to date"
    assert tables(engine) == {*db.metadata.tables, "alembic_version"}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, db.metadata) == []
        names = constraint_names(connection)
    fresh = sa.create_engine("sqlite://")
    with fresh.begin() as connection:
        db.metadata.create_all(connection)
        if engine.dialect.name == "sqlite":
            assert names == constraint_names(connection)
    fresh.dispose()


def constraint_names(connection: sa.Connection) -> set[tuple[str, str | None]]:
    """Every named constraint and index, and every trigger."""
    inspector = sa.inspect(connection)
    found = {("trigger", row.name) for row in connection.execute(TRIGGERS[connection.dialect.name])}
    for table in db.metadata.tables:
        found |= {(table, item["name"]) for item in inspector.get_indexes(table)}
        found |= {(table, item["name"]) for item in inspector.get_unique_constraints(table)}
        found |= {(table, item["name"]) for item in inspector.get_foreign_keys(table)}
        found.add((table, inspector.get_pk_constraint(table)["name"]))
    return found


TRIGGERS = {
    "sqlite": sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'"),
    "postgresql": sa.text("SELECT tgname AS name FROM pg_trigger WHERE NOT tgisinternal"),
}


def test_migrations_go_down_and_up_again(run: Run, engine: sa.Engine) -> None:
    said(run("db", "upgrade"))
    assert said(run("db", "downgrade", "base", "--yes")) == "the database is at base"
    assert tables(engine) <= {"alembic_version"}
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            left = connection.scalar(
                sa.text("SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
            )
            assert left == 0, "functions go too"
    said(run("db", "upgrade"))
    assert tables(engine) == {*db.metadata.tables, "alembic_version"}


def test_upgrading_twice_changes_nothing(run: Run, engine: sa.Engine) -> None:
    said(run("db", "upgrade"))
    said(run("companies", "add", "Exempel AB"))
    said(run("db", "upgrade"))
    assert "Exempel AB" in said(run("companies", "list"))


def test_current_says_whether_the_database_is_behind(run: Run) -> None:
    behind = run("db", "current")
    assert behind.exit_code == 1
    assert "error: the database is at migration None, this version needs" in behind.stderr
    assert "idp db upgrade" in behind.stderr
    said(run("db", "upgrade"))
    assert said(run("db", "current")) == "the database is up to date"
    said(run("db", "downgrade", "-1", "--yes"))
    assert run("db", "current").exit_code == 1


def test_a_downgrade_asks_first(run: Run, engine: sa.Engine) -> None:
    said(run("db", "upgrade"))
    assert run("db", "downgrade", "base", stdin="n\n").exit_code == 1
    assert "users" in tables(engine)
    assert run("db", "downgrade", "base", stdin="y\n").exit_code == 0
    assert "users" not in tables(engine)


@pytest.mark.parametrize("revision", ["nonsense", "-99", "+1"])
def test_an_unknown_revision_is_refused(run: Run, engine: sa.Engine, revision: str) -> None:
    said(run("db", "upgrade"))
    result = run("db", "downgrade", revision, "--yes")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr
    assert "Traceback" not in result.stderr
    assert "users" in tables(engine)


def test_an_upgrade_that_fails_leaves_nothing_half_done(run: Run, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE consents (x INTEGER)"))  # in the way, late
    failed = run("db", "upgrade")
    assert failed.exit_code == 1
    assert "consents" in failed.stderr
    assert "already exists" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert tables(engine) == {"consents"}
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE consents"))
    said(run("db", "upgrade"))
    assert said(run("db", "current")) == "the database is up to date"


def test_last_logins_come_from_the_sessions_there_are(run: Run, engine: sa.Engine) -> None:
    said(run("db", "upgrade"))
    said(run("companies", "add", "Exempel AB"))
    for name in ("anna", "bo"):
        said(run("users", "add", f"{name}@example.se", "--name", name, "--company", "Exempel AB"))
    users, sessions = User.__table__, cast(sa.Table, BrowserSession.__table__)
    with engine.begin() as connection:
        user_id = connection.scalar(sa.select(users.c.id).where(users.c.name == "anna"))
        facts = {"user_id": user_id, "method": "password", "acr": "x", "amr": ["pwd"], "created_at": NOON}
        rows = [
            {"id": uuid4(), "handle_hash": str(day), "auth_time": NOON + timedelta(days=day), **facts}
            for day in (1, 3, 2)
        ]
        connection.execute(
            sa.insert(sessions), [{**row, "seen_at": NOON, "expires_at": NOON} for row in rows]
        )
    said(run("db", "downgrade", "0014", "--yes"))
    with engine.begin() as connection:
        assert connection.scalar(sa.select(users.c.last_login_at).where(users.c.name == "bo")) is None
    said(run("db", "downgrade", "0013", "--yes"))
    assert "last_login_at" not in {column["name"] for column in sa.inspect(engine).get_columns("users")}
    said(run("db", "upgrade"))
    with engine.connect() as connection:
        logins = dict(connection.execute(sa.select(users.c.name, users.c.last_login_at)).all())
    assert logins == {"anna": NOON + timedelta(days=3), "bo": NEVER}


def test_migrations_have_one_head() -> None:
    assert len(ScriptDirectory(str(application.MIGRATIONS)).get_heads()) == 1
