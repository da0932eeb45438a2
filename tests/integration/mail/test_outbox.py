"""The outbox keeps a mail with its transaction and lends it to one worker at a time."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from time_machine import Traveller

from idp import audit, outbox, retention
from idp.audit import AuditRow
from idp.clock import utcnow
from idp.config import Settings
from idp.crypto import CannotOpen
from idp.db import db
from idp.extensions import SETTINGS
from idp.mail import OutgoingMail
from idp.outbox import QueuedMail, Urgency
from idp.users import accounts, companies, fields
from tests.factories import make_user
from tests.fakes.outbox import queued

Run = Callable[..., Any]
LINK = "https://login.example.se/password/reset/0123456789abcdef"
MAIL = OutgoingMail("anna@example.se", f"Subject: Hej\r\n\r\n{LINK}\r\n")


def add(mail: OutgoingMail = MAIL, **changes: Any) -> None:
    """Queue a mail and commit."""
    facts: dict[str, Any] = {"now": utcnow(), "kind": "test"} | changes
    outbox.queue(mail, **facts)
    db.session.commit()


def take() -> outbox.Lease:
    lease = outbox.lease_next(now=utcnow())
    assert lease is not None
    return lease


def row(lease: outbox.Lease) -> QueuedMail:
    db.session.expire_all()
    found = db.session.get(QueuedMail, lease.id)
    assert found is not None
    return found


@pytest.fixture
def inside(app: Flask) -> Any:
    with app.app_context():
        yield app


# Into the outbox


def test_a_mail_goes_with_its_transaction(inside: Flask) -> None:
    outbox.queue(MAIL, now=utcnow(), kind="test")
    db.session.rollback()
    assert outbox.waiting() == 0
    outbox.queue(MAIL, now=utcnow(), kind="test")
    db.session.commit()
    assert outbox.waiting() == 1


def test_a_waiting_mail_cannot_be_read_in_the_database(inside: Flask) -> None:
    add()
    with db.engine.connect() as connection:
        values = connection.execute(sa.text("SELECT * FROM outbox")).one()
    assert "test" in values
    stored = " ".join(map(str, values))
    assert "0123456789abcdef" not in stored
    assert "anna@" not in stored
    assert outbox.open_mail(take()) == MAIL


def test_a_mail_sealed_with_another_secret_does_not_open(inside: Flask, environ: dict[str, str]) -> None:
    add()
    lease = take()
    assert outbox.open_mail(lease) == MAIL
    other = Settings.from_environ({**environ, "IDP_SECRET_KEY": environ["IDP_SECRET_KEY"][::-1]})
    outbox.register(inside, other)
    with pytest.raises(CannotOpen, match="IDP_SECRET_KEY"):
        outbox.open_mail(lease)


def test_one_mails_content_is_worthless_in_anothers_row(inside: Flask) -> None:
    add()
    add()
    first, second = take(), take()
    moved = outbox.Lease(first.id, first.kind, None, 1, first.queued_at, second.sealed)
    with pytest.raises(CannotOpen):
        outbox.open_mail(moved)


# Claims


def test_the_longest_waiting_mail_is_next_and_leased_once(inside: Flask, clock: Traveller) -> None:
    for number in range(3):
        add(OutgoingMail(f"{number}@example.se", "Hej"))
        clock.shift(1)
    assert [outbox.open_mail(take()).to for _ in range(3)] == [f"{number}@example.se" for number in range(3)]
    assert outbox.lease_next(now=utcnow()) is None


def test_urgent_mails_leave_before_older_ones(inside: Flask, clock: Traveller) -> None:
    for number, urgency in enumerate((Urgency.LATER, Urgency.SOON, Urgency.WAITED_FOR) * 2):
        add(OutgoingMail(f"{number}@example.se", "Hej"), urgency=urgency)
        clock.shift(1)
    assert [outbox.open_mail(take()).to[0] for _ in range(6)] == list("251403")


def test_a_claim_lasts_until_the_lease_ends(inside: Flask, clock: Traveller) -> None:
    add()
    first = take()
    clock.shift(outbox.LEASE_TIME - timedelta(seconds=1))
    assert outbox.lease_next(now=utcnow()) is None
    clock.shift(1)
    second = take()
    assert second.id == first.id
    assert (first.attempt, second.attempt) == (1, 2)


def test_a_worker_that_comes_back_too_late_changes_nothing(inside: Flask, clock: Traveller) -> None:
    add()
    late = take()
    clock.shift(outbox.LEASE_TIME)
    present = take()
    before = row(present).next_attempt_at
    outbox.retry_later(late, now=utcnow())
    outbox.mark_delivered(late, now=utcnow())
    outbox.give_up(late, "late", now=utcnow())
    assert row(present).next_attempt_at == before
    assert row(present).sealed
    assert audit.newest(1, event=audit.Event.MAIL_GIVEN_UP) == []
    outbox.mark_delivered(present, now=utcnow())
    assert outbox.waiting() == 0


# Afterwards


def test_a_delivered_mails_content_is_removed(inside: Flask) -> None:
    add(kind="welcome")
    lease = take()
    outbox.mark_delivered(lease, now=utcnow())
    left = row(lease)
    assert (left.sealed, left.next_attempt_at, left.kind) == (None, None, "welcome")
    assert left.finished_at is not None
    assert outbox.waiting() == 0


def test_pauses_between_tries_grow_for_two_days_then_the_mail_is_given_up(
    inside: Flask, clock: Traveller
) -> None:
    start = utcnow()
    add()
    pauses: list[int] = []
    while True:
        lease = take()
        again = outbox.retry_later(lease, now=utcnow())
        if again is None:
            break
        pauses.append(int((again - utcnow()).total_seconds()))
        clock.move_to(again)
    minutes = [1, 2, 4, 8, 16, 32, 64, 128]
    assert pauses[:9] == [60 * number for number in [*minutes, 240]]
    assert set(pauses[8:]) == {4 * 3600}
    assert timedelta(days=2) <= utcnow() - start <= timedelta(days=2, hours=4)
    assert row(lease).sealed, "the caller says loudly that it is given up"


def test_a_mail_given_up_is_audited_without_its_address(inside: Flask) -> None:
    user_id = make_user().id
    add(kind="welcome", user_id=user_id)
    lease = take()
    outbox.give_up(lease, "the mail server refuses the recipient (550)", now=utcnow())
    event = audit.newest(1)[0]
    assert (event.event, event.actor, event.user_id) == ("mail.given_up", "worker", user_id)
    assert event.detail == {
        "kind": "welcome",
        "attempts": 1,
        "reason": "the mail server refuses the recipient (550)",
    }
    assert row(lease).sealed is None
    assert outbox.waiting() == 0


def test_a_failed_last_mail_is_remembered(inside: Flask, clock: Traveller) -> None:
    user_id = make_user().id
    assert not outbox.failed(user_id, "welcome")
    add(kind="welcome", user_id=user_id)
    assert not outbox.failed(user_id, "welcome"), "it waits"
    outbox.give_up(take(), "refused " + "x" * 300, now=utcnow())
    assert outbox.failed(user_id, "welcome")
    assert not outbox.failed(user_id, "test")
    clock.shift(1)
    add(kind="welcome", user_id=user_id)
    assert not outbox.failed(user_id, "welcome"), "the newest counts"


def test_mails_finished_over_a_month_ago_are_removed(inside: Flask, clock: Traveller) -> None:
    add()
    add()
    outbox.mark_delivered(take(), now=utcnow())
    clock.shift(outbox.FORGET_AFTER)
    (over,) = outbox.EXPIRED_ROWS
    assert list(retention.remove(over, now=utcnow())) == []
    clock.shift(1)
    assert list(retention.remove(over, now=utcnow())) == [1]
    assert outbox.waiting() == 1, "what still waits is not forgotten"


# The welcome mail


def test_a_new_user_is_welcomed(app: Flask, run: Run, database_url: str, monkeypatch: Any) -> None:
    with app.app_context():
        given: Settings = SETTINGS.of(app)
        new = accounts.NewUser(email="åsa+1@exempelå.se", name="Åsa", company="Exempel AB", locale="en")
        companies.add("Exempel AB", None, now=utcnow())
        user_id = accounts.add(new, now=utcnow(), welcome=given).id
        assert db.session.scalars(sa.select(QueuedMail.user_id)).all() == [user_id]
    (mail,) = queued(app, "welcome")
    assert mail["Subject"] == "Welcome to Leasify"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "åsa+1@exempelå.se" in body.get_content()
    assert "https://login.example.se/password/reset>" in body.get_content(), "no token"


def test_a_user_who_is_not_added_is_not_welcomed(app: Flask) -> None:
    with app.app_context():
        make_user()
        again = accounts.NewUser(email="ANNA@example.se", name="Anna", company="Exempel AB")
        with pytest.raises(fields.BadInput, match="already"):
            accounts.add(again, now=utcnow(), welcome=SETTINGS.of(app))
    assert queued(app) == []


class TestCommands:
    """`idp users add` and `send-welcome`, on a database of their own."""

    @pytest.fixture
    def database_url(self, tmp_path: Any) -> str:
        return f"sqlite:///{tmp_path}/idp.sqlite3"

    @pytest.fixture(autouse=True)
    def anna(self, app: Flask, run: Run) -> None:
        assert run("companies", "add", "Exempel AB").exit_code == 0
        added = run("users", "add", "anna@example.se", "--name", "Anna", "--company", "Exempel AB")
        assert added.exit_code == 0, added.output

    def test_an_added_user_is_welcomed(self, app: Flask) -> None:
        (mail,) = queued(app, "welcome")
        assert mail["To"] == "Anna <anna@example.se>"

    def test_the_operators_paragraphs(self, app: Flask, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IDP_BRAND_WELCOME", "Ett.\n\n  Två. \n")
        assert run("users", "send-welcome", "anna@example.se").exit_code == 0
        body = queued(app, "welcome")[-1].get_body(("plain",))
        assert body is not None
        assert "Ett.\r\n\r\nTvå.\r\n\r\nKontakta" in body.get_content()

    def test_a_user_is_welcomed_again(self, app: Flask, run: Run) -> None:
        result = run("users", "send-welcome", "ANNA@example.se")
        assert (result.exit_code, result.stdout) == (0, "the welcome mail to ANNA@example.se is queued\n")
        assert len(queued(app, "welcome")) == 2
        with app.app_context():
            event = db.session.scalars(sa.select(AuditRow).order_by(AuditRow.id.desc())).first()
            assert event is not None
            assert (event.event, event.actor) == ("user.welcomed", "operator")

    def test_an_unknown_user_is_not_welcomed(self, app: Flask, run: Run) -> None:
        result = run("users", "send-welcome", "nobody@example.se")
        assert (result.exit_code, len(queued(app))) == (1, 1)
        assert "there is no user" in result.stderr

    def test_the_disabled_are_not_welcomed(self, app: Flask, run: Run) -> None:
        assert run("users", "disable", "anna@example.se").exit_code == 0
        result = run("users", "send-welcome", "anna@example.se")
        assert (result.exit_code, len(queued(app))) == (1, 1)
        assert "disabled" in result.stderr


class TestSideBySide:
    """Workers at once; test_worker has them on SQLite, as processes."""

    @pytest.fixture
    def database_url(self, postgres_url: str) -> str:
        return postgres_url

    def test_no_mail_is_claimed_twice_by_workers_at_once(self, app: Flask) -> None:
        with app.app_context():
            for number in range(40):
                outbox.queue(OutgoingMail(f"{number}@example.se", "Hej"), now=utcnow(), kind="test")
            db.session.commit()
        leased: list[UUID] = []

        def work() -> None:
            with app.app_context():
                while (mine := outbox.lease_next(now=utcnow())) is not None:
                    leased.append(mine.id)

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert len(leased) == len(set(leased)) == 40
