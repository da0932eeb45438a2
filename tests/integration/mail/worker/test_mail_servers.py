"""The worker delivers to mail servers by STARTTLS, login and TLS, many mails a connection."""

from pathlib import Path

from flask import Flask

from idp import mail_transport, outbox, worker
from idp.extensions import SETTINGS
from idp.mail import Recipient, compose
from tests.fakes.smtp import MailServer
from tests.integration.mail.worker.delivering import (
    LOGIN,
    SENDER,
    add,
    attempts,
    deliver,
    letter,
    smtp,
    with_login,
)


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
