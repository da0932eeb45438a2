"""`idp sessions` lists the people who are logged in and ends their sessions."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from time_machine import Traveller

from idp import audit
from idp.login import overview
from tests.conftest import DATABASES
from tests.factories import make_client, make_user
from tests.fakes.relying_party import RelyingParty

Run = Callable[..., Any]


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/idp.sqlite3"
    url: str = request.getfixturevalue("postgres_url")
    return url


def said(result: Any) -> str:
    assert result.exit_code == 0, result.output
    return str(result.stdout).strip()


def refused(result: Any) -> str:
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return str(line).removeprefix("error: ")


def listed(run: Run, *options: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(said(run("sessions", "list", "--json", *options)))
    return rows


@pytest.fixture
def bo(app: Flask) -> RelyingParty:
    """bo@example.se, logged in."""
    with app.app_context():
        make_user(email="bo@example.se", name="Bo")
    party = RelyingParty(app, app.test_client())
    assert "code" in party.answer(party.log_in(email="bo@example.se"))
    return party


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(
            scope="openid profile email offline_access", grant_types=["authorization_code", "refresh_token"]
        )
    }


def is_logged_in(party: RelyingParty) -> bool:
    return "code" in party.answer(party.authorize(prompt="none"))


def test_a_list_without_sessions(app: Flask, run: Run, anna: str) -> None:
    assert said(run("sessions", "list")) == "nobody is logged in"
    assert said(run("sessions", "list", "--user", "Anna@Example.se")) == "Anna@Example.se is not logged in"
    assert listed(run) == []
    assert said(run("sessions", "end", "--all", "--yes")) == "ended 0 sessions"


def test_the_list_shows_the_sessions_in_force(
    run: Run, rp: RelyingParty, anna: str, bo: RelyingParty
) -> None:
    rp.log_in()
    rows = listed(run)
    assert [row["user"] for row in rows] == ["anna@example.se", "bo@example.se"]
    assert rows[0]["method"] == "password"
    assert rows[0]["address"] == "127.0.0.1"
    assert "bo@example.se" in said(run("sessions", "list"))
    assert [row["user"] for row in listed(run, "--user", "BO@example.se")] == ["bo@example.se"]
    assert len(listed(run, "--limit", "1")) == 1
    said(run("users", "disable", "bo@example.se"))
    assert [row["user"] for row in listed(run)] == ["anna@example.se"]


def test_idle_and_old_sessions_are_not_in_force(
    run: Run, rp: RelyingParty, anna: str, clock: Traveller
) -> None:
    rp.log_in()
    clock.shift(60 * 60 + 60)
    assert listed(run) == []
    assert said(run("sessions", "end", "--user", "anna@example.se")) == "ended 1 session", "for its tokens"
    assert said(run("sessions", "end", "--user", "anna@example.se")) == "ended 0 sessions"


def test_ending_one_session(app: Flask, run: Run, rp: RelyingParty, anna: str, bo: RelyingParty) -> None:
    tokens = rp.tokens()
    (row,) = listed(run, "--user", "anna@example.se")
    assert said(run("sessions", "end", "--id", row["id"])) == "ended 1 session"
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert not is_logged_in(rp)
    assert is_logged_in(bo)
    with app.app_context():
        event = audit.newest(1, event="session.ended")[0]
    assert (event.actor, str(event.user_id), str(event.session_id)) == ("operator", anna, row["id"])
    assert event.detail == {"reason": "ended by the operator"}
    assert refused(run("sessions", "end", "--id", row["id"])) == (
        f"session {row['id']} does not exist or has already ended"
    )


def test_ending_one_persons_sessions(run: Run, rp: RelyingParty, anna: str, bo: RelyingParty) -> None:
    tokens = rp.tokens()
    assert said(run("sessions", "end", "--user", "Anna@example.se")) == "ended 1 session"
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert is_logged_in(bo)


@pytest.mark.parametrize("which", ["--id", "--user", "--all"])
def test_tokens_for_offline_use_end_too(
    run: Run, rp: RelyingParty, anna: str, bo: RelyingParty, which: str
) -> None:
    scope = "openid offline_access"
    mine, others = rp.tokens(scope=scope), bo.tokens(scope=scope)
    (row,) = listed(run, "--user", "anna@example.se")
    options = {"--id": [row["id"]], "--user": ["anna@example.se"], "--all": ["--yes"]}[which]
    assert "ended" in said(run("sessions", "end", which, *options))
    assert rp.refresh(mine.refresh_token).error == "invalid_grant"
    assert bo.refresh(others.refresh_token).status == (400 if which == "--all" else 200)


def test_ending_all_sessions(
    run: Run, rp: RelyingParty, anna: str, bo: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "BATCH", 1)
    tokens = rp.tokens()
    asked = run("sessions", "end", "--all", stdin="n\n")
    assert asked.exit_code == 1
    assert is_logged_in(bo)
    assert said(run("sessions", "end", "--all", "--yes")) == "ended 2 sessions"
    assert not is_logged_in(bo)
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert "code" in rp.answer(rp.log_in()), "and they may log in again"


def test_a_command_of_its_own_process_ends_tokens_too(
    run: Run, rp: RelyingParty, anna: str, environ: dict[str, str]
) -> None:
    tokens = rp.tokens()
    command = [sys.executable, "-m", "idp", "users", "disable", "anna@example.se"]
    subprocess.run(command, env={**os.environ, **environ}, check=True, capture_output=True)
    said(run("users", "enable", "anna@example.se"))
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert not is_logged_in(rp)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "give exactly one of --user EMAIL, --id ID, --all"),
        (["--all", "--user", "anna@example.se"], "give exactly one of --user EMAIL, --id ID, --all"),
        (["--user", "x@example.se"], "there is no user with the address x@example.se"),
        (["--id", str(uuid4())], "does not exist or has already ended"),
    ],
)
def test_wrong_usage(run: Run, anna: str, options: list[str], problem: str) -> None:
    assert problem in refused(run("sessions", "end", *options))


def test_a_malformed_session_id(run: Run, anna: str) -> None:
    result = run("sessions", "end", "--id", "x")
    assert result.exit_code == 2
    assert "'x' is not a valid UUID" in result.stderr
