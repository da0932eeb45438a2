"""Processes that SIGKILL ends, and two that do the same work, lose nothing and do nothing twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from flask import Flask

from idp import audit, outbox
from idp.app import create_tool_app
from idp.clock import utcnow
from idp.config import Settings
from idp.db import db
from idp.mail import OutgoingMail
from idp.oidc.models import AccessToken, Grant
from idp.outbox import QueuedMail
from idp.users.models import Company, User
from tests.conftest import DATABASES
from tests.factories import make_company
from tests.fakes.smtp import MailServer

pytestmark = [pytest.mark.servers, pytest.mark.drills]

Run = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]
COMMAND = (sys.executable, "-m", "idp")
LOGIN = ("portal", "p@ss: word")
MAILS = 500
WORKERS = 2
ROUNDS = 4
TOKENS = 20_000
LINES = 8_000
WAIT_SECONDS = 120


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table, which processes can share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/idp.sqlite3"
    url: str = request.getfixturevalue("postgres").create_database(f"crash_{uuid4().hex}")
    return url


@pytest.fixture
def tools(environ: dict[str, str], run: Run) -> Iterator[Flask]:
    """The database with its tables, for the test itself."""
    assert run("db", "upgrade").exit_code == 0
    tools = create_tool_app(Settings.from_environ(environ))
    with tools.app_context():
        yield tools
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def start(environ: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Start an `idp` command, with what it says in a file; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, log: Path, **variables: str) -> "subprocess.Popen[str]":
        surroundings = {**os.environ, **environ, "SSL_CERT_FILE": str(tmp_path / "mail-server.pem")}
        with log.open("ab") as file:
            process = subprocess.Popen(
                [*COMMAND, *arguments], env=surroundings | variables, stdout=file, stderr=file, text=True
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


def count(model: type[Any]) -> int:
    """How many rows there are now, in no transaction that lasts."""
    rows = db.session.scalars(sa.select(sa.func.count()).select_from(model)).one()
    db.session.rollback()
    return rows


def waiting() -> int:
    db.session.rollback()
    return outbox.waiting()


def events(log: Path, name: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in log.read_text().splitlines())
    return [line for line in lines if line["event"] == name]


def end_leases() -> None:
    """Let ten minutes pass for the mails that killed workers had in hand."""
    claimed = QueuedMail.next_attempt_at > utcnow()
    db.session.execute(sa.update(QueuedMail).where(claimed).values(next_attempt_at=utcnow()))
    db.session.commit()


def stop(process: "subprocess.Popen[str]", log: Path) -> None:
    wait_until(lambda: bool(events(log, "worker_started")))  # before, nothing heeds the signal
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_SECONDS) == 0


@pytest.mark.parametrize("database_url", DATABASES[1:], indirect=True)
def test_workers_killed_at_any_point_lose_no_mail(tools: Flask, start: Start, tmp_path: Path) -> None:
    chance = random.Random(4)
    mails = {
        f"{number}@example.se": f"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nSubject: {number}\r\n\r\nHej\r\n"
        for number in range(MAILS)
    }
    for address, content in mails.items():
        outbox.queue(OutgoingMail(address, content), now=utcnow(), kind="test")
    db.session.commit()
    kills = 0
    with MailServer(tmp_path, starttls=True, login=LOGIN) as server:
        to = {"IDP_MAIL_URL": f"smtp://portal:p%40ss%3A%20word@127.0.0.1:{server.port}"}
        for turn in range(ROUNDS):
            workers = [start("worker", log=tmp_path / "killed", **to) for _ in range(WORKERS)]
            # A quarter is left to the end: what a kill interrupts goes to the back, and is not met again.
            aim = MAILS * 3 // 4 * (turn + 1) // ROUNDS - chance.randrange(MAILS // 20)
            for process in workers:
                wait_until(lambda aim=aim: len(server.received) >= aim)  # type: ignore[misc]
                time.sleep(chance.random() / 50)
                process.kill()
                process.wait()
                kills += 1
                aim += chance.randrange(10)
            end_leases()
        assert len(server.received) < MAILS, "nothing was left when the last was killed"
        logs = [tmp_path / f"log-{number}" for number in range(WORKERS)]
        rest = [start("worker", log=log, **to) for log in logs]
        wait_until(lambda: waiting() == 0)
        for process, log in zip(rest, logs, strict=True):
            stop(process, log)
    times = Counter(server.recipients)
    assert set(times) == set(mails)
    assert max(times.values()) <= 2
    assert sum(times.values()) - MAILS <= kills, "a kill repeats the mail it interrupts, at most"
    assert all(mail.content.decode() == mails[mail.recipients[0]] for mail in server.received)
    assert not audit.newest(1, event=audit.Event.MAIL_GIVEN_UP)


@pytest.mark.parametrize("database_url", DATABASES[1:], indirect=True)
def test_two_workers_share_a_purge(tools: Flask, start: Start, tmp_path: Path) -> None:
    now = utcnow()
    long_ago = now - timedelta(days=2)

    def add(number: int, expires_at: datetime) -> None:
        grants = [
            {
                **{"id": uuid4(), "client_id": "portal", "user_id": uuid4(), "session_id": uuid4()},
                **{"scope": "openid", "redirect_uri": "https://portal.example.se/cb", "acr": "password"},
                **{"code_hash": uuid4().hex, "code_expires_at": long_ago, "amr": ["pwd"]},
                **{"auth_time": long_ago, "created_at": long_ago + timedelta(milliseconds=turn)},
            }
            for turn in range(number)
        ]
        tokens = [
            {"token_hash": uuid4().hex, "grant_id": one["id"], "scope": "openid", "expires_at": expires_at}
            for one in grants
        ]
        db.session.execute(sa.insert(Grant), grants)
        db.session.execute(sa.insert(AccessToken), tokens)
        db.session.commit()

    add(TOKENS, now - timedelta(hours=1))
    add(100, now + timedelta(hours=1))
    logs = [tmp_path / f"log-{number}" for number in range(WORKERS)]
    mails = {"IDP_MAIL_URL": f"file:{tmp_path}"}
    workers = [start("worker", log=log, **mails) for log in logs]
    wait_until(lambda: count(Grant) == 100)
    for process, log in zip(workers, logs, strict=True):
        stop(process, log)
    told: Counter[str] = Counter()
    for log in logs:
        assert not events(log, "database_trouble")
        for line in events(log, "purged"):
            told.update({table: line[table] for table in ("access_tokens", "grants") if table in line})
    assert told == {"access_tokens": TOKENS, "grants": TOKENS}, "each row is removed once"
    assert (count(AccessToken), count(Grant)) == (100, 100)


def test_a_killed_import_leaves_nothing_behind(tools: Flask, start: Start, tmp_path: Path, run: Run) -> None:
    make_company()
    before = [count(model) for model in (User, Company, QueuedMail, audit.AuditRow)]
    file = tmp_path / "people.csv"
    lines = (f"a{number}@example.se,Anna,Bolag {number % 50}" for number in range(LINES))
    file.write_text("\n".join(["email,name,company", *lines]))
    log = tmp_path / "log"
    process = start("users", "import", str(file), "--create-companies", log=log)
    wait_until(lambda: f"added 5000 of {LINES}" in log.read_text())
    process.kill()
    assert process.wait() == -signal.SIGKILL, log.read_text()
    assert [count(model) for model in (User, Company, QueuedMail, audit.AuditRow)] == before
    # Nothing stays locked either.
    file.write_text("\n".join(file.read_text().split("\n")[:11]))
    assert run("users", "import", str(file), "--create-companies").exit_code == 0
    assert count(User) == before[0] + 10
