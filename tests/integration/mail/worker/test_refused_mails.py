"""The worker gives up a mail that is refused and tries a deferred one again."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from time_machine import Traveller

from idp import outbox
from idp.clock import utcnow
from idp.db import db
from idp.mail import OutgoingMail
from tests.fakes.smtp import MailServer
from tests.integration.mail.worker.delivering import Lines, add, attempts, deliver, given_up, letter, smtp


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
