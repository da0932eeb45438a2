"""Commands name a database that cannot serve them."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import Engine

from idp.users.models import Company, User
from tests.integration.commands.outcomes import ANNA, Run, count, refused, said


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/idp.sqlite3"


def test_a_database_without_tables_is_told_what_to_run(run: Run) -> None:
    (told,) = refused(run("users", "list"))
    assert "no such table" in told
    assert "idp db upgrade" in told


def test_a_postgresql_without_tables_is_told_what_to_run(
    run: Run, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDP_DATABASE_URL", postgres.create_database("without_tables"))
    (told,) = refused(run("users", "list"))
    assert 'relation "users" does not exist' in told
    assert "idp db upgrade" in told


def test_a_database_that_does_not_answer_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDP_DATABASE_URL", f"postgresql://idp:hemligt-0815@/idp?host={tmp_path}")
    (told,) = refused(run("users", "list"))
    assert told.startswith("the database: ")
    assert "hemligt-0815" not in told


def test_a_database_file_that_cannot_be_made_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IDP_DATABASE_URL", f"sqlite:///{tmp_path}/file/idp.sqlite3")
    (told,) = refused(run("users", "list"))
    assert told.startswith("IDP_DATABASE_URL: cannot create")


def test_a_file_that_is_no_database_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text").write_text("no database at all, but text of some length\n" * 50)
    monkeypatch.setenv("IDP_DATABASE_URL", f"sqlite:///{tmp_path}/text")
    (told,) = refused(run("users", "list"))
    assert "file is not a database" in told
    assert (tmp_path / "text").read_text().startswith("no database at all")


@pytest.fixture
def impatient() -> Iterator[None]:
    """A locked SQLite database is waited for a moment only."""

    def hurry(connection: Any, _record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA busy_timeout=20").close()

    sa.event.listen(Engine, "connect", hurry)
    yield
    sa.event.remove(Engine, "connect", hurry)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "arguments", [ANNA, ("companies", "add", "Nytt AB"), ("users", "disable", "bo@example.se")]
)
def test_a_locked_database_is_named_and_nothing_is_half_written(
    app: Flask, run: Run, tmp_path: Path, company: str, arguments: tuple[str, ...]
) -> None:
    said(run("users", "add", "bo@example.se", "--name", "Bo", "--company", company))
    before = len(json.loads(said(run("audit", "list", "--json"))))
    locker = sqlite3.connect(tmp_path / "idp.sqlite3", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    (told,) = refused(run(*arguments))
    assert told == "the database: database is locked"
    locker.execute("ROLLBACK")
    locker.close()
    assert (count(app, User), count(app, Company)) == (1, 1)
    assert len(json.loads(said(run("audit", "list", "--json")))) == before
