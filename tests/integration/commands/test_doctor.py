"""`idp doctor` reports what is missing, part by part."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from idp import outbox
from idp.clock import utcnow
from idp.db import db
from idp.mail import OutgoingMail
from tests.fakes.smtp import MailServer


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'idp.sqlite3'}"


@pytest.fixture
def doctor(run: Callable[..., Any]) -> Callable[[], tuple[int, dict[str, str]]]:
    def examine() -> tuple[int, dict[str, str]]:
        result = run("doctor", "--json")
        return result.exit_code, {row["part"]: row["state"] for row in json.loads(result.stdout)}

    return examine


def test_a_complete_set_up_passes(
    run: Callable[..., Any], doctor: Callable[[], tuple[int, dict[str, str]]]
) -> None:
    assert run("db", "upgrade").exit_code == 0
    status, states = doctor()
    assert status == 0
    assert states == {
        "database": "ok",
        "keys": "ok",
        "clients": "ok",
        "bankid": "ok",
        "mail": "warning",
        "outbox": "ok",
        "logout": "ok",
        "counters": "warning",
    }


def test_a_database_behind_is_an_error(doctor: Callable[[], tuple[int, dict[str, str]]]) -> None:
    status, states = doctor()
    assert (status, states["database"], states["keys"]) == (1, "error", "ok")


def test_a_bad_clients_file_is_an_error_and_hides_nothing(
    run: Callable[..., Any], doctor: Callable[[], tuple[int, dict[str, str]]], clients_file: Path
) -> None:
    run("db", "upgrade")
    clients_file.write_text("version: 1\nclients: {portal: {redirect_uri: x}}\n")
    status, states = doctor()
    assert (status, states["clients"], states["database"]) == (1, "error", "ok")


def test_bankid_without_certificate_is_an_error(
    run: Callable[..., Any],
    doctor: Callable[[], tuple[int, dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("db", "upgrade")
    monkeypatch.setenv("IDP_BANKID_ENVIRONMENT", "test")
    monkeypatch.setenv("IDP_PERSONAL_NUMBER_KEYS", "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    status, states = doctor()
    assert (status, states["bankid"]) == (1, "error")


# Mails


@pytest.fixture
def mail_state(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[str, str]]:
    """What the doctor says of a place for mails: state and words."""
    run("db", "upgrade")

    def examine(url: str) -> tuple[str, str]:
        monkeypatch.setenv("IDP_MAIL_URL", url)
        rows = json.loads(run("doctor", "--json").stdout)
        (row,) = [row for row in rows if row["part"] == "mail"]
        return row["state"], row["seen"]

    return examine


def test_a_mail_server_is_asked_without_a_mail(
    mail_state: Callable[[str], tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "mail-server.pem"))
    with MailServer(tmp_path, starttls=True, login=("portal", "secret")) as server:
        state, seen = mail_state(f"smtp://portal:secret@127.0.0.1:{server.port}")
        assert (state, seen) == ("ok", f"127.0.0.1 port {server.port} answers, encrypted, logged in")
        state, seen = mail_state(f"smtp://portal:wrong@127.0.0.1:{server.port}")
        assert (state, seen) == ("error", "the mail server refuses user name and password (535)")
    with MailServer(tmp_path) as server:
        assert mail_state(f"smtp://127.0.0.1:{server.port}")[1].endswith("answers, not encrypted")
        assert server.received == []
    assert mail_state(f"smtp://127.0.0.1:{server.port}") == (
        "error",
        "the mail server does not answer: Connection refused",
    )


def test_a_folder_for_mails_must_be_there(
    mail_state: Callable[[str], tuple[str, str]], tmp_path: Path
) -> None:
    assert mail_state(f"file:{tmp_path}")[0] == "ok"
    assert mail_state(f"file:{tmp_path}/none") == ("error", f"{tmp_path}/none: no such folder")


def test_mails_that_wait_and_those_given_up_are_told(
    app: Flask, run: Callable[..., Any], doctor: Callable[[], tuple[int, dict[str, str]]]
) -> None:
    def seen() -> tuple[str, str]:
        (row,) = [row for row in json.loads(run("doctor", "--json").stdout) if row["part"] == "outbox"]
        return row["state"], row["seen"]

    assert seen() == ("ok", "0 mails are waiting")
    now = utcnow()
    with app.app_context():
        outbox.queue(OutgoingMail("a@example.se", "x"), now=now - timedelta(minutes=5), kind="test")
        db.session.commit()
        assert seen() == ("ok", "1 mail is waiting, the oldest for 5 minutes")
        outbox.queue(OutgoingMail("a@example.se", "x"), now=now - timedelta(minutes=30), kind="test")
        db.session.commit()
        state, words = seen()
        assert (state, words[:53]) == ("warning", "2 mails are waiting, the oldest for 30 minutes: check")
        claimed = outbox.lease_next(now=now)
        assert claimed is not None
        outbox.give_up(claimed, "refused", now=now)
        state, words = seen()
        assert state == "warning"
        assert words.startswith("1 mail is waiting, the oldest for 5 minutes; 1 given up in the last 7 days")
