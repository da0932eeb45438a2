"""The purge removes expired rows in batches, by command and by workers, several at once."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask import Flask
from time_machine import Traveller

from idp import mail_transport, outbox, purge, retention, worker
from idp.bankid.models import Evidence, Order
from idp.clock import utcnow
from idp.db import Base, db
from idp.login.models import BrowserSession, Interaction
from idp.mail import OutgoingMail
from idp.oidc.models import AccessToken, Grant, PushedRequest, RefreshToken, UsedAssertion
from idp.password.models import ResetLink
from tests.conftest import DATABASES
from tests.factories import make_user
from tests.fakes.relying_party import RelyingParty

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SOON = timedelta(seconds=1)


@pytest.fixture
def inside(app: Flask) -> Iterator[Flask]:
    with app.app_context():
        yield app


def add(*rows: Base) -> None:
    db.session.add_all(rows)
    db.session.commit()


def count(model: type[Base]) -> int:
    return db.session.scalars(sa.select(sa.func.count()).select_from(model)).one()


def removed(now: datetime) -> dict[str, int]:
    """What a purge removes, by table; tables that lose nothing left out. A look beforehand says the same."""
    expected = {one.table: one.rows for one in purge.count_expired(now=now)}
    found = {one.table: one.rows for one in purge.run(now=now)}
    assert found == expected
    assert not any(one.rows for one in purge.count_expired(now=now))
    return {table: rows for table, rows in found.items() if rows}


def grant(now: datetime, **changes: Any) -> Grant:
    facts: dict[str, Any] = {
        "id": uuid4(),
        "client_id": "portal",
        "user_id": uuid4(),
        "session_id": uuid4(),
        "scope": "openid",
        "redirect_uri": "https://portal.example.se/cb",
        "code_hash": uuid4().hex,
        "code_expires_at": now + timedelta(minutes=1),
        "acr": "password",
        "amr": ["pwd"],
        "auth_time": now,
        "created_at": now,
    }
    return Grant(**facts | changes)


def token(grant_id: UUID, expires_at: datetime) -> AccessToken:
    return AccessToken(token_hash=uuid4().hex, grant_id=grant_id, scope="openid", expires_at=expires_at)


def refresh_token(grant_id: UUID, expires_at: datetime, used_at: datetime | None = None) -> RefreshToken:
    return RefreshToken(
        token_hash=uuid4().hex,
        grant_id=grant_id,
        issued_at=expires_at - DAY,
        expires_at=expires_at,
        ends_at=expires_at + DAY,
        used_at=used_at,
    )


def session(user_id: UUID, now: datetime, **changes: Any) -> BrowserSession:
    facts: dict[str, Any] = {
        "id": uuid4(),
        "handle_hash": uuid4().hex,
        "user_id": user_id,
        "method": "password",
        "acr": "password",
        "amr": ["pwd"],
        "auth_time": now,
        "created_at": now,
        "seen_at": now,
        "expires_at": now + 10 * HOUR,
    }
    return BrowserSession(**facts | changes)


def interaction(expires_at: datetime) -> Interaction:
    return Interaction(
        uid=uuid4().hex,
        requirement={},
        return_endpoint="oidc.resume",
        request={},
        created_at=expires_at - HOUR,
        expires_at=expires_at,
    )


def order(started_at: datetime, finished_at: datetime | None) -> Order:
    facts: dict[str, Any] = dict.fromkeys(
        ("order_ref", "qr_start_token", "qr_start_secret", "autostart_token", "visible_data"), "x"
    )
    return Order(
        **facts,
        id=uuid4().hex,
        interaction_uid="x",
        browser_hash="x",
        started_by="qr",
        device="computer",
        attempt=1,
        first_started_at=started_at,
        started_at=started_at,
        non_visible_data="x",
        end_user_ip="192.0.2.1",
        next_collect_at=started_at,
        state="complete" if finished_at else "pending",
        finished_at=finished_at,
    )


def test_an_empty_database_has_nothing_to_purge(inside: Flask) -> None:
    assert removed(utcnow()) == {}


def test_interactions_go_a_day_after_they_ran_out(inside: Flask, clock: Traveller) -> None:
    now = utcnow()
    add(interaction(now - DAY), interaction(now - DAY - SOON), interaction(now + HOUR))
    assert removed(now) == {"interactions": 1}


def test_sessions_go_when_no_hint_names_them_any_more(inside: Flask, clock: Traveller) -> None:
    now = utcnow()
    user = make_user().id
    keep = timedelta(days=90)
    add(
        session(user, now),
        session(user, now, expires_at=now - keep),
        session(user, now, expires_at=now - keep + SOON, ended_at=now - keep),
        session(user, now, expires_at=now - keep - SOON),
        session(user, now, expires_at=now - keep - SOON, ended_at=now - keep - HOUR),
    )
    assert removed(now) == {"browser_sessions": 2}


def test_access_tokens_go_when_they_are_past(inside: Flask, clock: Traveller) -> None:
    now = utcnow()
    add(token(uuid4(), now), token(uuid4(), now - SOON))
    assert removed(now) == {"access_tokens": 1}


def test_a_grant_goes_when_nothing_is_in_force_by_it(inside: Flask, clock: Traveller) -> None:
    now = utcnow()
    old = now - DAY - SOON
    user = make_user().id
    live, ended, past = (
        session(user, now),
        session(user, now, ended_at=now),
        session(user, now, expires_at=now),
    )
    with_token, with_refresh, revoked = grant(old), grant(old), grant(old, revoked_at=now)
    staying = [grant(now - DAY), grant(old, session_id=live.id), with_token, with_refresh]
    going = [grant(old), grant(old, session_id=ended.id), grant(old, session_id=past.id), revoked]
    ids = {one.id for one in staying}
    tokens = token(with_token.id, now), token(revoked.id, now), refresh_token(with_refresh.id, now + SOON)
    add(live, ended, past, *staying, *going, *tokens)
    assert removed(now) == {"grants": 4}
    assert set(db.session.scalars(sa.select(Grant.id))) == ids
    assert removed(now + SOON) == {"access_tokens": 2, "grants": 2}
    assert removed(now + 2 * SOON) == {"refresh_tokens": 1, "grants": 1}


def test_a_clients_own_token_keeps_no_grant(inside: Flask, clock: Traveller) -> None:
    now = utcnow()
    own = AccessToken(token_hash="x", client_id="portal", scope="", expires_at=now)
    add(grant(now - DAY - SOON), own)
    assert removed(now) == {"grants": 1}


def test_every_grant_is_examined_however_many_stay(
    inside: Flask, clock: Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STRETCH", 3)
    monkeypatch.setattr(retention, "BATCH", 2)
    now = utcnow()
    old = now - 2 * DAY
    # Seven made at one moment, more than are looked at in one go, among such as are alone in theirs.
    moments = [old - SOON, *[old] * 7, *(old + number * SOON for number in range(1, 8)), now]
    going = [grant(created_at) for created_at in moments]
    staying = [grant(created_at) for created_at in moments]
    ids = {one.id for one in staying} | {going[-1].id}
    add(*going, *staying, *(refresh_token(one.id, now) for one in staying))
    assert removed(now) == {"grants": len(going) - 1}
    assert set(db.session.scalars(sa.select(Grant.id))) == ids


def test_refresh_tokens_go_when_they_are_past_used_or_not(inside: Flask, clock: Traveller) -> None:
    now = utcnow()
    for used_at in (None, now - HOUR):
        add(refresh_token(uuid4(), now, used_at), refresh_token(uuid4(), now - SOON, used_at))
    assert removed(now) == {"refresh_tokens": 2}


def test_pushed_requests_and_assertions_outlive_their_use(inside: Flask, clock: Traveller) -> None:
    now = utcnow()
    for over in (timedelta(0), SOON):
        add(
            PushedRequest(
                request_hash=uuid4().hex, client_id="x", parameters={}, expires_at=now - 2 * DAY - over
            ),
            UsedAssertion(assertion_hash=uuid4().hex, expires_at=now - HOUR - over),
        )
    assert removed(now) == {"pushed_requests": 1, "used_assertions": 1}


def test_orders_go_after_a_day_and_evidence_at_its_time(inside: Flask, clock: Traveller) -> None:
    now = utcnow()
    old = now - DAY - SOON
    add(order(old, now - DAY), order(old, old), order(old, None), order(now - DAY, None), order(now, now))
    for delete_after in (now, now + SOON):
        add(
            Evidence(
                order_id=uuid4().hex,
                order_ref="x",
                sealed="x",
                created_at=now - 365 * DAY,
                delete_after=delete_after,
            )
        )
    assert removed(now) == {"bankid_orders": 2, "bankid_evidence": 1}


def test_reset_links_go_after_a_week(inside: Flask, clock: Traveller) -> None:
    now = utcnow()
    for expires_at in (now - 7 * DAY, now - 7 * DAY - SOON):
        add(
            ResetLink(
                token_hash=uuid4().hex,
                user_id=uuid4(),
                email_key="anna@example.se",
                created_at=expires_at - HOUR,
                expires_at=expires_at,
            )
        )
    assert removed(now) == {"reset_links": 1}


def test_rows_beyond_one_batch_are_removed(
    inside: Flask, clock: Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    now = utcnow()
    add(*(token(uuid4(), now - HOUR) for _ in range(7)), token(uuid4(), now))
    assert [batch.rows for batch in purge.batches(now=now)] == [3, 3, 1]
    assert count(AccessToken) == 1


def test_a_login_in_use_outlives_every_purge(
    app: Flask, rp: RelyingParty, anna: str, clock: Traveller
) -> None:
    tokens = rp.tokens()
    with app.app_context():
        removed(utcnow())
    assert rp.userinfo(tokens.access_token).status_code == 200
    clock.shift(30 * 60)
    assert "code" in rp.answer(rp.authorize())
    clock.shift(40 * DAY)
    with app.app_context():
        assert removed(utcnow()) == {"access_tokens": 1, "interactions": 1, "grants": 2}


# The command


def test_the_command_tells_what_it_removes(app: Flask, run: Callable[..., Any], tmp_path: Path) -> None:
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            return  # a command cannot look into another connection's memory
        now = utcnow()
        add(token(uuid4(), now - HOUR), interaction(now - 2 * DAY), interaction(now))
        would = {
            row["table"]: row["would_go"] for row in json.loads(run("purge", "--dry-run", "--json").stdout)
        }
        assert (would["access_tokens"], would["interactions"], would["grants"]) == (1, 1, 0)
        assert count(Interaction) == 2
        result = run("purge", "--json")
        assert result.exit_code == 0
        assert {row["table"]: row["removed"] for row in json.loads(result.stdout)} == would
        assert count(Interaction) == 1
        assert "access_tokens" in run("purge").stdout
        assert "audit_events" not in would


# Workers


def test_the_worker_purges_and_mails_go_on_leaving(inside: Flask, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    now = utcnow()
    add(*(token(uuid4(), now - HOUR) for _ in range(4)))
    content = "Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nTo: a@example.se\r\n\r\n"
    outbox.queue(OutgoingMail("a@example.se", content), now=now, kind="test")
    db.session.commit()
    transport = mail_transport.transport(f"file:{tmp_path}", sender="no-reply@example.se")
    assert worker.tidy(transport, fine=True, stopping=lambda: False)
    assert (count(AccessToken), outbox.waiting()) == (0, 0)


def test_a_worker_that_is_stopped_leaves_the_rest(inside: Flask, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    add(*(token(uuid4(), utcnow() - HOUR) for _ in range(4)))
    transport = mail_transport.transport(f"file:{tmp_path}", sender="no-reply@example.se")
    worker.tidy(transport, fine=True, stopping=lambda: True)
    assert count(AccessToken) == 2


@pytest.mark.parametrize("database_url", DATABASES[1:], indirect=True)
def test_two_purges_at_once_share_the_work(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 20)
    now = utcnow()
    total = 400
    with app.app_context():
        add(*(token(uuid4(), now - HOUR) for _ in range(total)))
    both = threading.Barrier(2)
    found: list[int] = []

    def work() -> None:
        with app.app_context():
            both.wait()
            found.append(sum(batch.rows for batch in purge.batches(now=now)))
            db.session.remove()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with app.app_context():
        left = count(AccessToken)
    assert sum(found) + left == total, "each row is removed once"
    # Rows that the other was just removing are left to it, and it takes them.
    assert left == 0


@pytest.mark.parametrize("database_url", DATABASES[1:], indirect=True)
def test_locked_rows_are_passed_over(inside: Flask) -> None:
    now = utcnow()
    add(token(uuid4(), now - HOUR), token(uuid4(), now - HOUR))
    with db.engine.connect() as other:
        held = sa.select(AccessToken.token_hash).limit(1).with_for_update()
        assert len(other.execute(held).all()) == 1
        assert sum(batch.rows for batch in purge.batches(now=now)) == 1
    assert sum(batch.rows for batch in purge.batches(now=now)) == 1
