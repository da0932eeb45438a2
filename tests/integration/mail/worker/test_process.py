"""`idp worker` runs as a process on a database of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from idp import outbox
from idp.app import create_tool_app
from idp.config import Settings
from idp.db import db
from tests.conftest import DATABASES
from tests.fakes.smtp import MailServer
from tests.integration.mail.worker.delivering import WAIT_SECONDS, Run, Start, add, letter, smtp

made = 0


class TestProcess:
    @pytest.fixture(params=DATABASES)
    def database_url(self, request: pytest.FixtureRequest, tmp_path: Path) -> str:
        """A database without any table, which processes can share."""
        if request.param == "sqlite":
            return f"sqlite:///{tmp_path}/idp.sqlite3"
        global made  # noqa: PLW0603 - databases cannot share a name
        made += 1
        url: str = request.getfixturevalue("postgres").create_database(f"worker_{os.getpid()}_{made}")
        return url

    @pytest.fixture
    def tools(self, environ: dict[str, str], run: Run) -> Iterator[Flask]:
        assert run("db", "upgrade").exit_code == 0
        tools = create_tool_app(Settings.from_environ(environ))
        with tools.app_context():
            yield tools
            db.session.remove()
            db.engine.dispose()

    @pytest.fixture
    def start(self, environ: dict[str, str]) -> Iterator[Start]:
        """Start a worker for a mail server, with its log in a file; none outlives the test."""
        started: list[subprocess.Popen[bytes]] = []

        def start(server: MailServer, log: Path) -> subprocess.Popen[bytes]:
            variables = {**os.environ, **environ, "IDP_MAIL_URL": smtp(server)}
            with log.open("ab") as file:
                process = subprocess.Popen(
                    [sys.executable, "-m", "idp", "worker"], env=variables, stderr=file
                )
            started.append(process)
            return process

        yield start
        for process in started:
            process.kill()
            process.wait()

    def test_the_worker_needs_a_mail_url(self, run: Run) -> None:
        assert run("db", "upgrade").exit_code == 0
        result = run("worker")
        assert (result.exit_code, result.stderr) == (
            1,
            "error: IDP_MAIL_URL is missing: it says where mails go\n",
        )

    def test_the_worker_needs_the_newest_tables(self, run: Run) -> None:
        result = run("worker")
        assert result.exit_code == 1
        assert "idp db upgrade" in result.stderr

    @pytest.mark.real_clock
    def test_the_worker_delivers_until_a_signal(self, tools: Flask, start: Start, tmp_path: Path) -> None:
        with MailServer(tmp_path) as server:
            process = start(server, tmp_path / "log")
            add(letter("0@example.se"))
            wait_until(lambda: len(server.received) == 1)
            add(letter("1@example.se"))
            wait_until(lambda: len(server.received) == 2)
            wait_until(outbox_is_empty)
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_SECONDS) == 0
        log = (tmp_path / "log").read_text()
        events = [json.loads(line)["event"] for line in log.splitlines()]
        assert events == ["worker_started", "mail_delivered", "mail_delivered", "worker_stopped"]
        assert "@" not in log


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


def outbox_is_empty() -> bool:
    db.session.rollback()
    return outbox.waiting() == 0
