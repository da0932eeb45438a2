"""`idp audit export` writes all chosen rows in order."""

import json
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from idp import audit
from idp.audit import Event
from idp.db import db
from tests.conftest import DATABASES
from tests.factories import NOON, make_user

Run = Callable[..., Any]
DAY = timedelta(days=1)
DAYS = 5


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/idp.sqlite3"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def trail(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """At noon of five days Anna fails to log in; the batches are smaller than that."""
    monkeypatch.setattr(audit, "EXPORT_BATCH", 2)
    with app.app_context():
        user = make_user()
        for day in range(DAYS):
            audit.record(Event.LOGIN_FAILED, now=NOON + day * DAY, user_id=user.id, method="lösenord")
        db.session.commit()


def exported(run: Run, *options: str) -> list[dict[str, Any]]:
    result = run("audit", "export", *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("trail")
def test_an_export_holds_all_rows_oldest_first(run: Run) -> None:
    rows = exported(run, "--event", "login.failed")
    assert [row["at"] for row in rows] == [f"2026-11-{22 + day}T12:00:00+00:00" for day in range(DAYS)]
    assert rows[0]["detail"] == {"method": "lösenord"}
    assert set(rows[0]) == {
        *("at", "event", "actor", "user_id", "client_id", "session_id", "address", "reference", "detail")
    }
    assert len(exported(run)) == DAYS + 2, "the company and the user too"


@pytest.mark.usefixtures("trail")
@pytest.mark.parametrize(
    ("options", "days"),
    [
        (["--since", "2026-11-24"], [24, 25, 26]),
        (["--until", "2026-11-23"], [22, 23]),
        (["--since", "2026-11-23", "--until", "2026-11-23"], [23]),
        (["--since", "2026-11-23T12:00"], [23, 24, 25, 26]),
        (["--since", "2026-11-23T12:00:01"], [24, 25, 26]),
        (["--until", "2026-11-23T12:00"], [22]),
        (["--until", "2026-11-23T13:00+01:00"], [22]),
        (["--until", "2026-11-23T13:00:01+01:00"], [22, 23]),
        (["--since", "2027-01-01"], []),
    ],
)
def test_an_export_by_time(run: Run, options: list[str], days: list[int]) -> None:
    rows = exported(run, "--event", "login.failed", "--user", "Anna@example.se", *options)
    assert [int(row["at"][8:10]) for row in rows] == days
    listed = json.loads(run("audit", "list", "--json", "--event", "login.failed", *options).stdout)
    assert [int(row["at"][8:10]) for row in listed] == days[::-1]


@pytest.mark.usefixtures("trail")
def test_an_export_into_a_new_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    result = run("audit", "export", "--event", "login.failed", "--output", str(file))
    assert result.stdout.strip() == f"{DAYS} events in {file}"
    assert len(file.read_text(encoding="utf-8").splitlines()) == DAYS
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = run("audit", "export", "--output", str(file))
    assert again.exit_code == 1
    assert again.stderr.strip() == f"error: {file}: File exists"
    assert len(file.read_text(encoding="utf-8").splitlines()) == DAYS


@pytest.mark.usefixtures("trail")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--since", "igår"], "'igår' is not a date or time such as 2026-11-22"),
        (["--until", "2026-11-31"], "'2026-11-31' is not a date or time"),
        (["--until", "9999-12-31"], "'9999-12-31' is not a date or time"),
        (["--since", "0001-01-01T00:00+01:00"], "'0001-01-01T00:00+01:00' is not a date or time"),
        (["--event", "x"], "'x' is not one of"),
    ],
)
def test_wrong_usage(run: Run, options: list[str], words: str) -> None:
    result = run("audit", "export", *options)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.usefixtures("trail")
def test_an_unknown_user(run: Run) -> None:
    result = run("audit", "export", "--user", "x@example.se")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no user with the address x@example.se" in result.stderr
