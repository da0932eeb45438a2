"""No mail is lost at servers that are away, hang or demand something else."""

import socket
from pathlib import Path

import pytest
from flask import Flask

from idp import mail_transport
from tests.fakes.smtp import MailServer
from tests.integration.mail.worker.delivering import LOGIN, Lines, deliver, smtp, with_login
from tests.integration.mail.worker.trouble import trouble


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
