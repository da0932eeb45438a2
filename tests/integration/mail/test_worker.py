"""The worker: what happens to mails when mail servers, folders and workers behave badly."""

import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from time_machine import Traveller

from idp import audit, mail_transport, outbox, worker
from idp.app import create_tool_app
from idp.clock import utcnow
from idp.config import Settings
from idp.db import db
from idp.extensions import SETTINGS
from idp.mail import OutgoingMail, Recipient, compose
from idp.outbox import QueuedMail
from tests.conftest import DATABASES
from tests.fakes.smtp import MailServer

Run = Callable[..., Any]
Start = Callable[[MailServer, Path], subprocess.Popen[bytes]]
Lines = Callable[[], list[dict[str, Any]]]
LOGIN = ("portal", "p@ss: word")
SENDER = "no-reply@example.se"
WAIT_SECONDS = 60


@pytest.fixture(autouse=True)
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail servers' certificate is trusted, unless a test says otherwise."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "mail-server.pem"))


@pytest.fixture
def inside(app: Flask) -> Iterator[Flask]:
    with app.app_context():
        yield app


@pytest.fixture
def lines(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Every line that the worker has logged."""
    handler = next(found for found in logging.getLogger().handlers if type(found) is logging.StreamHandler)
    stream = StringIO()
    monkeypatch.setattr(handler, "stream", stream)
    return lambda: [
        line
        for line in map(json.loads, stream.getvalue().splitlines())
        if line["logger"] != "mail.log"  # the mail server's own
    ]


def letter(to: str = "anna@example.se") -> OutgoingMail:
    return OutgoingMail(
        to, f"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nTo: {to}\r\nSubject: Hej\r\n\r\nhemligheten\r\n"
    )


def add(*mails: OutgoingMail) -> None:
    mails = mails or (letter(),)
    for number, mail in enumerate(mails):
        outbox.queue(mail, now=utcnow() - timedelta(microseconds=len(mails) - number), kind="test")
    db.session.commit()


def deliver(url: str) -> bool:
    return worker.deliver_due(mail_transport.transport(url, sender=SENDER))


def attempts() -> list[int]:
    """The attempts made at each mail that waits."""
    waiting = sa.select(QueuedMail.attempts).where(QueuedMail.sealed.is_not(None))
    return list(db.session.scalars(waiting.order_by(QueuedMail.queued_at)))


def smtp(server: MailServer, query: str = "") -> str:
    return f"smtp://127.0.0.1:{server.port}{query}"


def with_login(server: MailServer, password: str = "p%40ss%3A%20word") -> str:
    return f"smtp://portal:{password}@127.0.0.1:{server.port}"


def given_up() -> list[dict[str, Any]]:
    return [row.detail for row in audit.newest(100, event=audit.Event.MAIL_GIVEN_UP)]


# Mail servers


def test_a_mail_arrives_as_it_was_composed(inside: Flask, tmp_path: Path) -> None:
    composed = compose(
        "welcome",
        Recipient("åsa@exempelå.se", "Åsa", "sv"),
        settings=SETTINGS.of(inside),
        paragraphs=["." + "å" * 2000, "."],
    )
    with MailServer(tmp_path) as server:
        add(composed)
        assert deliver(smtp(server))
    (received,) = server.received
    assert received.content.decode() == composed.content
    assert (received.sender, received.recipients) == (SENDER, ("åsa@xn--exempel-kxa.se",))
    assert outbox.waiting() == 0


def test_starttls_and_login(inside: Flask, tmp_path: Path) -> None:
    with MailServer(tmp_path, starttls=True, login=LOGIN) as server:
        add()
        assert deliver(with_login(server))
    (received,) = server.received
    assert (received.encrypted, received.user) == (True, "portal")


def test_smtps(inside: Flask, tmp_path: Path) -> None:
    with MailServer(tmp_path, smtps=True) as server:
        add()
        assert deliver(f"smtps://localhost:{server.port}")
    assert [mail.encrypted for mail in server.received] == [True]


def test_starttls_is_used_where_it_is_required(inside: Flask, tmp_path: Path) -> None:
    with MailServer(tmp_path, starttls=True) as server:
        add()
        assert deliver(smtp(server, "?starttls=required"))
    assert [mail.encrypted for mail in server.received] == [True]


def test_many_mails_share_a_connection(inside: Flask, tmp_path: Path) -> None:
    count = worker.MAILS_PER_SESSION + 5
    with MailServer(tmp_path) as server:
        add(*[letter(f"{number}@example.se") for number in range(count)])
        assert deliver(smtp(server))
        assert server.connections == 2
    assert server.recipients == [f"{number}@example.se" for number in range(count)]


def test_an_empty_outbox_needs_no_connection(inside: Flask, tmp_path: Path) -> None:
    with MailServer(tmp_path) as server:
        assert deliver(smtp(server))
        assert server.connections == 0


def test_a_stopped_worker_leaves_the_rest_for_later(inside: Flask, tmp_path: Path) -> None:
    with MailServer(tmp_path) as server:
        add(letter("0@example.se"), letter("1@example.se"))
        transport = mail_transport.transport(smtp(server), sender=SENDER)
        worker.deliver_due(transport, stopping=lambda: bool(server.received))
    assert server.recipients == ["0@example.se"]
    assert attempts() == [0]


# Refusals of one mail


@pytest.mark.parametrize("where", ["recipient_answers", "data_answers"])
def test_a_mail_refused_for_ever_is_given_up_and_the_rest_goes(
    inside: Flask, tmp_path: Path, where: str, lines: Lines
) -> None:
    with MailServer(tmp_path) as server:
        setattr(server, where, ["550 5.1.1 <anna@example.se> is unknown here"])
        add(letter(), letter("bo@example.se"))
        assert deliver(smtp(server))
    assert server.recipients == ["bo@example.se"]
    assert outbox.waiting() == 0
    (detail,) = given_up()
    assert detail["kind"] == "test"
    assert "(550 5.1.1)" in detail["reason"]
    assert "@" not in json.dumps(detail)
    logged = lines()
    assert [(line["event"], line["level"]) for line in logged] == [
        ("mail_given_up", "error"),
        ("mail_delivered", "info"),
    ]
    assert "@" not in json.dumps(logged)
    assert "hemligheten" not in json.dumps(logged)


@pytest.mark.parametrize("where", ["recipient_answers", "data_answers"])
def test_a_deferred_mail_is_tried_again(inside: Flask, tmp_path: Path, where: str, clock: Traveller) -> None:
    with MailServer(tmp_path) as server:
        setattr(server, where, ["450 4.2.0 <anna@example.se> greylisted", "451 later"])
        add(letter(), letter("bo@example.se"))
        assert deliver(smtp(server))
        assert attempts() == [1, 1]
        clock.shift(60)
        assert deliver(smtp(server))
    assert sorted(server.recipients) == ["anna@example.se", "bo@example.se"]
    assert given_up() == []


def test_a_mail_deferred_for_two_days_is_given_up(
    inside: Flask, tmp_path: Path, clock: Traveller, lines: Lines
) -> None:
    with MailServer(tmp_path) as server:
        server.recipient_answers = ["450 4.2.0 greylisted"] * 100
        add()
        for _ in range(100):
            assert deliver(smtp(server))
            if not outbox.waiting():
                break
            clock.shift(outbox.LONGEST_PAUSE)
    (detail,) = given_up()
    assert detail["reason"] == "the mail server refuses the recipient (450 4.2.0)"
    assert (lines()[-1]["event"], lines()[-1]["level"]) == ("mail_given_up", "error")


def test_a_mail_whose_link_is_dead_is_not_sent(
    inside: Flask, tmp_path: Path, clock: Traveller, lines: Lines
) -> None:
    until = utcnow() + timedelta(minutes=60)
    for to in ("anna@example.se", "bo@example.se"):
        outbox.queue(letter(to), now=utcnow(), kind="test", useful_until=until)
    outbox.queue(letter("cesar@example.se"), now=utcnow(), kind="test", useful_until=until + timedelta(1))
    db.session.commit()
    clock.move_to(until - timedelta(seconds=1))
    first = outbox.lease_next(now=utcnow())
    assert first is not None
    outbox.retry_later(first, now=utcnow())
    clock.move_to(until + timedelta(minutes=1))
    with MailServer(tmp_path) as server:
        assert deliver(smtp(server))
    assert server.recipients == ["cesar@example.se"]
    assert [detail["reason"] for detail in given_up()] == [outbox.TOO_LATE] * 2
    assert outbox.waiting() == 0
    assert [line["event"] for line in lines()].count("mail_too_late") == 2


def test_an_address_that_the_server_cannot_take(inside: Flask, tmp_path: Path) -> None:
    mail = OutgoingMail("åsa@example.se", "To: åsa@example.se\r\nSubject: Hej\r\n\r\n\r\n")
    with MailServer(tmp_path, utf8=False) as server:
        add(mail, letter())
        assert deliver(smtp(server))
    assert server.recipients == ["anna@example.se"]
    assert [detail["reason"] for detail in given_up()] == ["the mail server accepts only ASCII addresses"]


# Trouble with the server: nothing is lost, and nothing hammers


def trouble(url: str, lines: Lines) -> str:
    """Try two mails at a server in trouble: one attempt is made, both stay. Gives the reason told."""
    add(letter(), letter("bo@example.se"))
    assert not deliver(url)
    assert attempts() == [1, 0]
    assert given_up() == []
    logged = lines()
    assert [line["event"] for line in logged] == ["mail_trouble", "mail_deferred"]
    assert "@" not in json.dumps(logged)
    return str(logged[0]["reason"])


def test_a_server_that_is_down(inside: Flask, tmp_path: Path, lines: Lines) -> None:
    server = MailServer(tmp_path)
    assert trouble(smtp(server), lines) == "the mail server does not answer: Connection refused"
    with server:
        assert deliver(smtp(server))
    assert server.recipients == ["bo@example.se"], "and the first after its pause"


def test_a_server_without_a_name(inside: Flask, lines: Lines) -> None:
    assert "does not answer" in trouble("smtp://mail.invalid", lines)


def test_a_server_that_hangs(inside: Flask, monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    monkeypatch.setattr(mail_transport, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reason = trouble(f"smtp://127.0.0.1:{silent.getsockname()[1]}", lines)
    assert reason == "the mail server: Connection unexpectedly closed: timed out"


@pytest.mark.parametrize(
    ("where", "answer", "reason"),
    [
        ("sender_answers", "550 5.7.1 no", "refuses the sender in IDP_MAIL_FROM: 550 5.7.1"),
        ("sender_answers", "452 4.3.1 full", "answers 452 4.3.1"),
        ("recipient_answers", "530 5.7.0 log in first", "refuses the recipient (530 5.7.0)"),
        ("recipient_answers", "421 4.3.2 closing", "refuses the recipient (421 4.3.2)"),
        ("data_answers", "421 closing", "refuses the mail (421)"),
    ],
)
def test_a_server_that_takes_nothing_from_us(  # noqa: PLR0917 - fixtures and cases
    inside: Flask,
    tmp_path: Path,
    where: str,
    answer: str,
    reason: str,
    lines: Lines,
) -> None:
    with MailServer(tmp_path) as server:
        setattr(server, where, [answer])
        assert trouble(smtp(server), lines) == f"the mail server {reason}"


def test_a_wrong_password(inside: Flask, tmp_path: Path, lines: Lines) -> None:
    with MailServer(tmp_path, starttls=True, login=LOGIN) as server:
        reason = trouble(with_login(server, "wrong"), lines)
        assert reason == "the mail server refuses user name and password (535)"
        assert deliver(with_login(server))
    assert server.recipients == ["bo@example.se"]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_no_password_is_sent_in_clear(inside: Flask, tmp_path: Path, lines: Lines) -> None:
    with MailServer(tmp_path, login=LOGIN) as server:
        assert "does not offer STARTTLS" in trouble(with_login(server), lines)
        assert deliver(with_login(server) + "?starttls=off"), "on this machine, when told so"
    assert [mail.encrypted for mail in server.received] == [False]


def test_a_server_without_the_required_starttls(inside: Flask, tmp_path: Path, lines: Lines) -> None:
    with MailServer(tmp_path) as server:
        assert "does not offer STARTTLS" in trouble(smtp(server, "?starttls=required"), lines)
        assert deliver(smtp(server))


@pytest.mark.parametrize("smtps", [False, True])
def test_a_certificate_that_nobody_vouches_for(
    inside: Flask,
    tmp_path: Path,
    smtps: bool,
    monkeypatch: pytest.MonkeyPatch,
    lines: Lines,
) -> None:
    with MailServer(tmp_path, starttls=not smtps, smtps=smtps) as server:
        url = f"smtps://localhost:{server.port}" if smtps else smtp(server, "?starttls=required")
        monkeypatch.delenv("SSL_CERT_FILE")
        assert trouble(url, lines).startswith("the mail server's certificate: self")
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        assert deliver(url)
    assert server.recipients == ["bo@example.se"]


# A folder


def test_a_folder_gets_whole_files(inside: Flask, tmp_path: Path) -> None:
    folder = tmp_path / "utbrev å"
    folder.mkdir()
    add(letter(), letter("bo@example.se"))
    assert deliver(f"file:{folder}")
    files = sorted(folder.iterdir())
    assert all(file.name.startswith("20261122T120000-") and file.suffix == ".eml" for file in files)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    messages = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
    assert sorted(str(message["To"]) for message in messages) == ["anna@example.se", "bo@example.se"]


def test_a_second_delivery_of_a_mail_replaces_the_first(tmp_path: Path) -> None:
    with mail_transport.Folder(tmp_path).session() as send:
        send(letter())
        send(letter())
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_folder(inside: Flask, tmp_path: Path, lines: Lines) -> None:
    folder = tmp_path / "outbox"
    assert trouble(f"file:{folder}", lines) == f"{folder}: No such file or directory"
    folder.mkdir()
    assert deliver(f"file:{folder}")
    assert len(list(folder.iterdir())) == 1


def test_a_full_disk_leaves_no_half_a_file(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with mail_transport.Folder(tmp_path).session() as send, pytest.raises(mail_transport.Trouble):
            send(letter())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert list(tmp_path.iterdir()) == []
    with mail_transport.Folder(tmp_path).session() as send:
        send(letter())
    assert len(list(tmp_path.iterdir())) == 1


# The command, as processes on databases of their own

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
