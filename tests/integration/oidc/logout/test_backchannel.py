"""Back-channel logout: who hears of it, what they hear, and what becomes of those who do not listen."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import yaml
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import KeySet
from time_machine import Traveller

from idp import audit, retention, worker
from idp.app import logout_delivery
from idp.clock import utcnow
from idp.config import Settings
from idp.db import db
from idp.extensions import SETTINGS
from idp.login import sessions
from idp.oidc.logout import notices
from idp.oidc.logout.backchannel import LOGOUT_EVENT, LogoutDelivery
from idp.oidc.logout.notices import LogoutNotice
from idp.oidc.provider import PROVIDER
from idp.outbound import Outbound
from tests.conftest import DATABASES
from tests.factories import PASSWORD, make_client, make_user
from tests.fakes import encrypted, reset_pages
from tests.fakes.listening_app import ALGS, ListeningApp, listening_app
from tests.fakes.relying_party import HTTPS, RelyingParty

Run = Callable[..., Any]
HOUR = timedelta(hours=1)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One that threads and commands share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/idp.sqlite3"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def portal() -> Iterator[ListeningApp]:
    with listening_app() as found:
        yield found


@pytest.fixture
def other() -> Iterator[ListeningApp]:
    with listening_app() as found:
        yield found


@pytest.fixture
def clients(portal: ListeningApp, other: ListeningApp) -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(backchannel_logout_uri=portal.uri),
        "other": make_client(
            redirect_uris=["https://other.example.se/cb"],
            backchannel_logout_uri=other.uri,
            backchannel_logout_session_required=True,
            subject_type="pairwise",
            id_token_signed_response_alg="ES256",
        ),
        "silent": make_client(redirect_uris=["https://silent.example.se/cb"]),
        "sealed": make_client(
            redirect_uris=["https://sealed.example.se/cb"],
            backchannel_logout_uri=portal.uri,
            jwks=encrypted.JWKS,
            id_token_encrypted_response_alg="RSA-OAEP-256",
            id_token_encrypted_response_enc="A256GCM",
        ),
    }


@pytest.fixture
def rp(app: Flask, browser: FlaskClient, anna: str) -> RelyingParty:
    """The portal, with anna at her browser."""
    return RelyingParty(app, browser)


@pytest.fixture
def parties(rp: RelyingParty, app: Flask) -> dict[str, RelyingParty]:
    """The three relying apps with one browser; none of them has logged anybody in yet."""
    return {
        "portal": rp,
        "other": RelyingParty(app, rp.browser, "other", "https://other.example.se/cb"),
        "silent": RelyingParty(app, rp.browser, "silent", "https://silent.example.se/cb"),
    }


@dataclass
class Post:
    """The worker's part, done when a test says so; it reaches this machine too."""

    app: Flask
    delivery: LogoutDelivery

    def deliver(self) -> int:
        """Try every notice that is due; how many there were."""
        with self.app.app_context():
            tried = 0
            while self.delivery.deliver_next():
                tried += 1
            return tried

    def waiting(self) -> list[tuple[str, int]]:
        """The clients that have yet to hear something, and how often each notice has been tried."""
        query = sa.select(LogoutNotice.client_id, LogoutNotice.attempts)
        with self.app.app_context():
            rows = db.session.execute(query.order_by(LogoutNotice.client_id, LogoutNotice.attempts.desc()))
            return [(row.client_id, row.attempts) for row in rows]

    def pause(self) -> float:
        """Seconds until the one waiting notice is due."""
        with self.app.app_context():
            due = db.session.scalars(sa.select(LogoutNotice.next_attempt_at)).one()
            return (due - utcnow()).total_seconds()

    def given_up(self) -> list[audit.AuditRow]:
        with self.app.app_context():
            return audit.newest(100, event=audit.Event.LOGOUT_NOTICE_GIVEN_UP)


@pytest.fixture
def post(app: Flask) -> Post:
    made = logout_delivery(SETTINGS.of(app))
    return Post(app, dataclasses.replace(made, outbound=Outbound(allow_loopback=True)))


def log_out(party: RelyingParty, id_token: str) -> None:
    answer = party.browser.get(f"/end_session?id_token_hint={id_token}", **HTTPS)
    assert 'id="logged-out"' in answer.text


def content(token: str, jwks: Any) -> dict[str, Any]:
    decoded = jwt.decode(token, KeySet.import_key_set(jwks), algorithms=ALGS)
    return dict(decoded.claims)


# What is heard


def test_each_app_that_listens_hears_of_its_own_login(
    clock: Traveller,
    parties: dict[str, RelyingParty],
    portal: ListeningApp,
    other: ListeningApp,
    post: Post,
) -> None:
    tokens = {name: party.tokens() for name, party in parties.items()}
    parties["portal"].tokens()  # a second login of the same session: still one notice
    log_out(parties["portal"], tokens["portal"].id_token)
    assert post.waiting() == [("other", 0), ("portal", 0)]
    clock.shift(1000)  # signed when it is delivered, not when it was queued
    assert post.deliver() == 2
    assert post.waiting() == []
    jwks = parties["portal"].browser.get("/jwks", **HTTPS).get_json()
    ids = set()
    for name, listener, alg in (("portal", portal, "RS256"), ("other", other, "ES256")):
        (heard,) = listener.heard
        assert heard.path == "/logout?from=idp"
        assert heard.content_type == "application/x-www-form-urlencoded"
        token = heard.token(jwks)
        assert (token.header["typ"], token.header["alg"]) == ("logout+jwt", alg)
        id_token = content(tokens[name].id_token, jwks)
        ids.add(token.claims.pop("jti"))
        assert token.claims == {
            "iss": "https://login.example.se",
            "aud": name,
            "sub": id_token["sub"],
            "sid": id_token["sid"],
            "iat": int(utcnow().timestamp()),
            "exp": int(utcnow().timestamp()) + 120,
            "events": {LOGOUT_EVENT: {}},
        }
    assert len(ids) == 2


def test_the_logout_token_is_encrypted_to_an_app_whose_id_tokens_are(
    app: Flask, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    sealed = RelyingParty(app, rp.browser, "sealed", "https://sealed.example.se/cb")
    _, hint = encrypted.opened(sealed.tokens().id_token, "RSA-OAEP-256", "A256GCM")
    log_out(sealed, hint)
    assert post.deliver() == 1
    (heard,) = portal.heard
    header, token = encrypted.opened(heard.form["logout_token"], "RSA-OAEP-256", "A256GCM")
    assert header["cty"] == "JWT"
    told = content(token, rp.browser.get("/jwks", **HTTPS).get_json())
    assert (told["aud"], "nonce" in told) == ("sealed", False)


def test_a_key_to_encrypt_to_that_cannot_be_had_is_waited_for(
    app: Flask, rp: RelyingParty, portal: ListeningApp, post: Post, clients_file: Path
) -> None:
    sealed = RelyingParty(app, rp.browser, "sealed", "https://sealed.example.se/cb")
    _, hint = encrypted.opened(sealed.tokens().id_token, "RSA-OAEP-256", "A256GCM")
    log_out(sealed, hint)
    entries = yaml.safe_load(clients_file.read_text())
    del entries["clients"]["sealed"]["jwks"]
    entries["clients"]["sealed"]["jwks_uri"] = "https://localhost:9/jwks.json"
    clients_file.write_text(yaml.safe_dump(entries))
    post.delivery.clients.refresh()
    assert post.deliver() == 1
    assert (portal.heard, post.waiting()) == ([], [("sealed", 1)])


def test_a_logout_token_opens_nothing(rp: RelyingParty, portal: ListeningApp, post: Post) -> None:
    log_out(rp, rp.tokens().id_token)
    post.deliver()
    token = portal.heard[0].form["logout_token"]
    rp.code()
    assert rp.userinfo(token).status_code == 401
    assert rp.introspect(token).get_json() == {"active": False}
    asked = rp.browser.get(f"/end_session?id_token_hint={token}", **HTTPS)
    assert asked.headers["Location"].startswith("/logout?state="), "no hint: the person is asked"


@pytest.mark.parametrize("status", [200, 204])
def test_status_200_and_204_count_as_delivered(
    rp: RelyingParty, portal: ListeningApp, post: Post, status: int
) -> None:
    portal.status = status
    log_out(rp, rp.tokens().id_token)
    post.deliver()
    assert post.waiting() == []


# Whatever ends a session


def by_the_app(rp: RelyingParty) -> None:
    log_out(rp, rp.tokens().id_token)


def in_the_form(rp: RelyingParty) -> None:
    rp.submit(rp.browser.get("/logout", **HTTPS))


def from_another_browser(rp: RelyingParty) -> None:
    phone = RelyingParty(rp.app, rp.app.test_client())
    phone.code()
    token = reset_pages.csrf(phone.browser.get("/account", **HTTPS))
    ended = phone.browser.post("/account/sessions/end-others", data={"csrf_token": token}, **HTTPS)
    assert ended.status_code == 303


def by_a_new_password(rp: RelyingParty) -> None:
    path = reset_pages.link(rp.app, rp.app.test_client())
    assert reset_pages.choose(rp.app.test_client(), path).status_code == 303


def by_another_person(rp: RelyingParty) -> None:
    with rp.app.app_context():
        make_user(email="bo@example.se", name="Bo")
    page = rp.follow(rp.authorize(prompt="login"))
    assert "code" in rp.answer(rp.follow(rp.submit(page, email="bo@example.se", password=PASSWORD)))


@pytest.mark.parametrize(
    "end", [by_the_app, in_the_form, from_another_browser, by_a_new_password, by_another_person]
)
def test_every_end_of_a_session_in_a_browser_notifies_the_app(
    rp: RelyingParty, portal: ListeningApp, post: Post, end: Callable[[RelyingParty], None]
) -> None:
    rp.code()
    assert post.deliver() == 0
    end(rp)
    assert post.deliver() == len(portal.heard) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("users", "disable", "anna@example.se"),
        ("sessions", "end", "--user", "anna@example.se"),
        ("sessions", "end", "--all", "--yes"),
    ],
)
def test_commands_notify_the_apps_too(
    parties: dict[str, RelyingParty], run: Run, portal: ListeningApp, post: Post, command: tuple[str, ...]
) -> None:
    parties["portal"].tokens()
    parties["silent"].tokens()
    assert run(*command).exit_code == 0
    post.deliver()
    assert len(portal.heard) == 1
    assert post.waiting() == [], "who does not listen is not waited for"


def test_a_session_that_runs_out_notifies_nobody_but_its_logout_does(
    clock: Traveller, app: Flask, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    hint = rp.tokens().id_token
    clock.shift(HOUR + timedelta(seconds=1))
    assert "error" in rp.answer(rp.authorize(prompt="none"))
    assert post.deliver() == 0
    log_out(RelyingParty(app, app.test_client()), hint)
    assert post.deliver() == 0, "a hint alone, in a link, does nothing"
    log_out(rp, hint)
    assert post.deliver() == 1
    assert len(portal.heard) == 1


def test_no_session_ends_without_its_notices(app: Flask, rp: RelyingParty, anna: str, post: Post) -> None:
    rp.code()
    with app.app_context():
        sessions.end_all_of(UUID(anna), now=utcnow(), reason="test")
        db.session.rollback()
    assert post.waiting() == []
    with app.app_context():
        sessions.end_all_of(UUID(anna), now=utcnow(), reason="test")
        db.session.commit()
    assert post.waiting() == [("portal", 0)]


# Who does not listen


def test_pauses_between_tries_grow_for_an_hour_then_the_notice_is_given_up(
    clock: Traveller, rp: RelyingParty, anna: str, portal: ListeningApp, post: Post
) -> None:
    portal.status = 500
    log_out(rp, rp.tokens().id_token)
    pauses = []
    while post.deliver() and post.waiting():
        pauses.append(post.pause())
        clock.shift(pauses[-1] - 1)
        assert post.deliver() == 0
        clock.shift(1)
    assert pauses == [10, 20, 40, 80, 160] + 10 * [300]
    (event,) = post.given_up()
    assert (event.client_id, event.actor, str(event.user_id)) == ("portal", "worker", anna)
    assert event.session_id is not None
    assert event.detail == {"attempts": 16, "reason": "the answer is 500"}


@pytest.mark.parametrize("status", [302, 401, 404, 429, 503])
def test_an_app_is_notified_when_it_listens_again(
    clock: Traveller, rp: RelyingParty, portal: ListeningApp, post: Post, status: int
) -> None:
    portal.status, portal.headers = status, {"Location": portal.uri}
    log_out(rp, rp.tokens().id_token)
    post.deliver()
    assert (post.waiting(), len(portal.heard)) == ([("portal", 1)], 1)
    portal.status = 200
    clock.shift(10)
    assert post.deliver() == 1
    assert post.waiting() == []
    first, second = (heard.form["logout_token"] for heard in portal.heard)
    assert first != second, "each delivery has a token of its own"


def test_an_app_that_refuses_is_asked_three_times(
    clock: Traveller, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    portal.status = 400
    log_out(rp, rp.tokens().id_token)
    for seconds in (10, 20, 0):
        assert post.deliver() == 1
        clock.shift(seconds)
    assert post.waiting() == []
    assert [event.detail["attempts"] for event in post.given_up()] == [3]


def test_an_app_that_is_not_there_holds_up_no_other(
    clock: Traveller, app: Flask, parties: dict[str, RelyingParty], other: ListeningApp, post: Post
) -> None:
    for _ in range(3):
        parties["other"].code()
        hint = parties["portal"].tokens().id_token
        log_out(parties["portal"], hint)
        clock.shift(1)
    with app.app_context():
        claimed = notices.lease_next(now=utcnow())  # somebody waits for its answer
        assert claimed is not None
    told = {"other": "portal", "portal": "other"}[claimed.client_id]
    post.deliver()
    assert post.waiting() == [(claimed.client_id, 1), (claimed.client_id, 0), (claimed.client_id, 0)]
    assert told not in dict(post.waiting())


def test_an_apps_newer_notices_wait_for_the_one_that_is_tried(
    clock: Traveller, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    portal.status = 500
    log_out(rp, rp.tokens().id_token)
    assert post.deliver() == 1
    log_out(rp, rp.tokens().id_token)
    assert post.deliver() == 0, "in a pause"
    clock.shift(10)
    assert post.deliver() == 1
    assert post.waiting() == [("portal", 2), ("portal", 0)]
    portal.status = 200
    clock.shift(20)
    assert post.deliver() == 2
    assert post.waiting() == []


def test_one_refusal_gives_up_all_notices_an_hour_old(
    clock: Traveller, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    portal.status = 400
    for _ in range(2):
        log_out(rp, rp.tokens().id_token)
    clock.shift(HOUR)
    log_out(rp, rp.tokens().id_token)
    for seconds in (10, 20):
        assert post.deliver() == 1
        clock.shift(seconds)
    assert post.deliver() == 2, "and then the one that has not waited for so long"
    assert post.waiting() == [("portal", 1)]
    assert sorted(event.detail["attempts"] for event in post.given_up()) == [0, 3]


@pytest.mark.parametrize("gone", ["address", "client"])
def test_a_removed_client_is_not_notified(
    rp: RelyingParty, portal: ListeningApp, clients_file: Path, post: Post, gone: str
) -> None:
    log_out(rp, rp.tokens().id_token)
    left = yaml.safe_load(clients_file.read_text())
    if gone == "client":
        del left["clients"]["portal"]
    else:
        del left["clients"]["portal"]["backchannel_logout_uri"]
    clients_file.write_text(yaml.safe_dump(left))
    post.delivery.clients.refresh()
    assert post.deliver() == 1
    assert (portal.heard, post.waiting(), post.given_up()) == ([], [], [])


def test_a_notice_is_not_sent_to_an_address_inside(
    app: Flask, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    log_out(rp, rp.tokens().id_token)
    made = logout_delivery(SETTINGS.of(app))
    assert Post(app, made).deliver() == 1
    assert portal.heard == []
    assert post.waiting() == [("portal", 1)]


# Workers


def test_a_worker_that_comes_back_too_late_changes_nothing(
    clock: Traveller, app: Flask, rp: RelyingParty
) -> None:
    log_out(rp, rp.tokens().id_token)
    with app.app_context():
        late = notices.lease_next(now=utcnow())
        assert late is not None
        clock.shift(notices.LEASE_TIME - timedelta(seconds=1))
        assert notices.lease_next(now=utcnow()) is None
        clock.shift(1)
        present = notices.lease_next(now=utcnow())
        assert present is not None
        assert (present.id, late.attempt, present.attempt) == (late.id, 1, 2)
        notices.remove(late)
        notices.retry_later(late, now=utcnow())
        assert notices.give_up(late, "late", now=utcnow()) == 0
        assert notices.lease_next(now=utcnow()) is None
        notices.remove(present)
        assert notices.waiting() == 0


def test_no_notice_is_claimed_twice_by_workers_at_once(app: Flask, anna: str) -> None:
    with app.app_context():
        now = utcnow()
        db.session.execute(
            sa.insert(LogoutNotice),
            [
                {
                    "id": UUID(int=number),
                    "client_id": f"client-{number}",
                    "user_id": UUID(anna),
                    "session_id": UUID(int=number),
                    "queued_at": now,
                    "attempts": 0,
                    "next_attempt_at": now,
                }
                for number in range(20)
            ],
        )
        db.session.commit()
    claimed: list[UUID] = []

    def work() -> None:
        with app.app_context():
            while (mine := notices.lease_next(now=utcnow())) is not None:
                claimed.append(mine.id)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(30)
    assert len(claimed) == len(set(claimed)) == 20


def test_the_worker_notifies_the_others_while_one_app_is_deaf(
    app: Flask, parties: dict[str, RelyingParty], portal: ListeningApp, other: ListeningApp, post: Post
) -> None:
    portal.deaf = True
    parties["portal"].code()
    hint = parties["other"].tokens().id_token
    log_out(parties["other"], hint)
    stop = threading.Event()
    threads = [threading.Thread(target=worker.notify, args=(app, post.delivery, stop)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert portal.asked.wait(30)
        assert other.asked.wait(30)
    finally:
        portal.over.set()
        stop.set()
        for thread in threads:
            thread.join(30)
    assert post.waiting() == [("portal", 1)]


def test_a_worker_survives_an_unexpected_error(
    app: Flask, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    class Broken(Outbound):
        def request(self, *_args: Any, **_kwargs: Any) -> Any:
            stop.set()
            raise ValueError("nobody thought of this")

    stop = threading.Event()
    log_out(rp, rp.tokens().id_token)
    worker.notify(app, dataclasses.replace(post.delivery, outbound=Broken()), stop)
    assert post.waiting() == [("portal", 1)]


def test_a_notice_that_no_worker_came_for_is_removed(clock: Traveller, app: Flask, rp: RelyingParty) -> None:
    log_out(rp, rp.tokens().id_token)
    (over,) = notices.EXPIRED_ROWS
    with app.app_context():
        clock.shift(notices.FORGET_AFTER)
        assert list(retention.remove(over, now=utcnow())) == []
        clock.shift(1)
        assert list(retention.remove(over, now=utcnow())) == [1]


def test_settings_reach_the_delivery(app: Flask, environ: dict[str, str]) -> None:
    made = logout_delivery(Settings.from_environ(environ))
    assert made.subject_key == PROVIDER.of(app).subject_key
    assert made.issuer == "https://login.example.se"
