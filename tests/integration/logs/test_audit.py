"""The audit trail holds every event, and nobody changes it."""

from uuid import uuid4

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.exc import DBAPIError

from idp import audit
from idp.audit import AuditRow, Event
from idp.clock import utcnow
from idp.db import db
from tests.factories import NOON, PASSWORD, SECRET
from tests.fakes.relying_party import RelyingParty


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET event = 'login.succeeded'",
        "UPDATE audit_events SET at = at",
        "DELETE FROM audit_events",
        "DELETE FROM audit_events WHERE id = 1",
    ],
)
def test_rows_are_only_ever_added(app: Flask, statement: str) -> None:
    with app.app_context():
        audit.record(Event.LOGIN_FAILED, now=NOON)
        db.session.commit()
        with pytest.raises(DBAPIError, match="append-only"):
            db.session.execute(sa.text(statement))
        db.session.rollback()
        row = audit.newest(1)[0]
        assert (row.event, row.at) == ("login.failed", NOON)


def test_rows_cannot_be_truncated(app: Flask) -> None:
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            return  # has no TRUNCATE
        audit.record(Event.LOGIN_FAILED, now=NOON)
        db.session.commit()
        with pytest.raises(DBAPIError, match="append-only"):
            db.session.execute(sa.text("TRUNCATE audit_events"))
        db.session.rollback()
        assert len(audit.newest(5)) == 1


def test_a_row_shares_its_causes_transaction(app: Flask) -> None:
    with app.app_context():
        audit.record(Event.LOGIN_FAILED, now=NOON)
        db.session.rollback()
        assert audit.newest(5) == []


def test_rows_are_listed_newest_first_by_event_and_user(app: Flask) -> None:
    person = uuid4()
    with app.app_context():
        for event in (Event.LOGIN_FAILED, Event.LOGIN_SUCCEEDED, Event.LOGIN_FAILED):
            audit.record(event, now=NOON, user_id=person if event is Event.LOGIN_SUCCEEDED else None)
        db.session.commit()
        assert [row.event for row in audit.newest(2)] == ["login.failed", "login.succeeded"]
        assert len(audit.newest(9, event="login.failed")) == 2
        assert [row.event for row in audit.newest(9, user_id=person)] == ["login.succeeded"]


def test_every_event_has_a_name_of_its_own_that_fits(app: Flask) -> None:
    names = [event.value for event in Event]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 60 and name.count(".") == 1 for name in names)


def test_a_whole_flow_leaves_its_trail(app: Flask, rp: RelyingParty, anna: str) -> None:
    rp.log_in(password="fel")
    answer = rp.answer(rp.log_in())
    rp.exchange(answer["code"])
    rp.exchange(answer["code"])
    rp.exchange(answer["code"], basic=("portal", "fel"))
    rp.submit(rp.browser.get("/logout", base_url="https://login.example.se"))
    with app.app_context():
        rows = list(reversed(audit.newest(20)))
        trail = [(row.event, row.actor, row.client_id) for row in rows if "created" not in row.event]
        assert trail == [
            ("login.failed", "user", None),
            ("login.succeeded", "user", "portal"),
            ("code.replayed", "client", "portal"),
            ("client.authentication_failed", "client", "portal"),
            ("session.ended", "user", None),
        ]
        sessions = {row.session_id for row in rows if row.session_id}
        assert len(sessions) == 1
        assert {str(row.user_id) for row in rows if row.event in ("login.succeeded", "session.ended")} == {
            anna
        }


def test_the_trail_holds_nothing_secret(app: Flask, rp: RelyingParty, anna: str) -> None:
    rp.log_in(email="typo@example.se", password="hemligt-0815")
    answer = rp.answer(rp.log_in())
    tokens = rp.exchange(answer["code"])
    rp.exchange(answer["code"])
    rp.exchange(answer["code"], basic=("portal", "fel-0815"))
    cookies = [
        found.value
        for name in ("__Host-idp_session", "__Host-idp_browser")
        if (found := rp.browser.get_cookie(name, "login.example.se"))
    ]
    assert len(cookies) == 2
    with app.app_context():
        rows = db.session.execute(sa.select(AuditRow.__table__)).all()
        assert len(rows) >= 6
        text = "\n".join(str(tuple(row)) for row in rows)
    secrets = [
        PASSWORD,
        SECRET,
        "0815",
        "typo@",
        answer["code"],
        tokens.access_token,
        tokens.id_token,
        *cookies,
    ]
    for secret in secrets:
        assert secret not in text


def test_a_rows_moment_is_the_requests(app: Flask) -> None:
    before = utcnow()
    with app.app_context():
        audit.record(Event.KEY_ROTATED, now=utcnow(), alg="RS256")
        db.session.commit()
        row = audit.newest(1)[0]
        assert before <= row.at <= utcnow()
        assert (row.actor, row.address, row.request_id, row.detail) == (
            "operator",
            None,
            None,
            {"alg": "RS256"},
        )
