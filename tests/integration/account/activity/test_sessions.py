"""Mina inloggningar shows its owner each login and ends the ones they choose."""

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from time_machine import Traveller

from idp.account import activity
from idp.audit import Event
from idp.clock import utcnow
from idp.db import db
from idp.extensions import current_settings
from idp.login import guard, overview, sessions
from idp.login.models import BrowserSession
from idp.oidc.models import Grant
from idp.users import accounts
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.fakes.statements import Statements
from tests.integration.account.activity.conftest import MAC_SAFARI
from tests.integration.account.activity.pages import (
    end_paths,
    events,
    get,
    is_logged_in,
    post,
    session_entries,
)

pytestmark = pytest.mark.usefixtures("anna")


@pytest.mark.usefixtures("clock")
def test_each_login_is_told_in_plain_words(rp: RelyingParty, phone: RelyingParty) -> None:
    rp.log_in()
    phone.log_in()
    here, there = session_entries(get(rp))
    assert "Den här inloggningen" in here
    assert "Den här inloggningen" not in there
    assert there.startswith("Chrome på Android ")
    assert "E-postinloggning · IP-adress 198.51.100.7" in there
    assert "Inloggad 22 november 2026 13:00 Senast använd 22 november 2026 13:00" in there
    assert "Appar: Portalen" in there


def test_the_sessions_page_in_english(rp: RelyingParty) -> None:
    rp.log_in()
    (here,) = session_entries(get(rp, "/account?lang=en"))
    assert "The portal" in here


def test_an_unknown_device_is_called_so(app: Flask, device: Callable[..., FlaskClient]) -> None:
    rp = RelyingParty(app, device("<b>Robot</b>", "2001:db8:1:2:3:4:5:6"))
    rp.log_in()
    (here,) = session_entries(get(rp))
    assert here.startswith("Okänd enhet ")
    assert "2001:db8:1:2::…" in here
    assert "Robot" not in get(rp).text


def test_each_app_of_a_session_is_shown_once(rp: RelyingParty, asking: RelyingParty) -> None:
    rp.log_in()
    rp.authorize()
    asking.follow(asking.submit(asking.follow(asking.authorize()), answer="allow"))
    (here,) = session_entries(get(rp))
    assert here.count("Portalen") == 1
    assert "Frågande appen, Portalen" in here


def test_an_apps_many_grants_cost_one_index_look_up(
    app: Flask, rp: RelyingParty, asking: RelyingParty
) -> None:
    """One look at an index finds each app of a session, whatever it has been granted since."""
    rp.log_in()
    asking.follow(asking.submit(asking.follow(asking.authorize()), answer="allow"))
    with app.app_context():
        grant = db.session.execute(sa.select(Grant.__table__).limit(1)).one()._asdict()
        again = [{**grant, "id": uuid4(), "code_hash": f"{number:064}"} for number in range(5000)]
        db.session.execute(sa.insert(Grant), again)
        db.session.commit()
    (here,) = session_entries(get(rp))
    assert "Frågande appen, Portalen" in here
    with app.app_context():
        if db.engine.dialect.name != "postgresql":
            return
        asked = overview.in_force_at(utcnow(), limit=50, settings=current_settings().session)
        asked["user_id"] = grant["user_id"]
        statement = activity._OWN_SESSIONS.compile(db.engine)
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE grants")
            lines = connection.exec_driver_sql(f"EXPLAIN ANALYZE {statement}", {**statement.params, **asked})
            plan = lines.scalars().all()
    looks = [line for line in plan if "on grants" in line]
    assert looks
    assert all(re.search(r"actual time=\S+ rows=[01](\.00)? ", line) for line in looks), plan


def test_the_page_shows_its_owners_sessions_in_force(
    rp: RelyingParty, phone: RelyingParty, bertil: RelyingParty, clock: Traveller
) -> None:
    phone.log_in()
    clock.shift(timedelta(hours=9))  # idle for too long
    rp.log_in()
    assert len(session_entries(get(rp))) == 1
    assert 'id="end-others"' not in get(rp).text


def test_another_session_is_ended_with_its_tokens(app: Flask, rp: RelyingParty, phone: RelyingParty) -> None:
    rp.log_in()
    token = phone.tokens().access_token
    assert phone.userinfo(token).status_code == 200
    _mine, theirs = end_paths(rp)
    answer = post(rp, theirs)
    assert (answer.status_code, answer.location) == (303, "/account#sessions")
    assert is_logged_in(rp)
    assert not is_logged_in(phone)
    assert phone.userinfo(token).status_code == 401
    assert events(app, Event.SESSION_ENDED) == [{"reason": activity.REASON}]


def test_grants_for_offline_use_end_with_their_session(
    app: Flask, rp: RelyingParty, phone: RelyingParty
) -> None:
    rp.log_in()
    phone.tokens()
    with app.app_context():
        db.session.execute(sa.update(Grant).values(offline=True))
        db.session.commit()
    post(rp, end_paths(rp)[1])
    with app.app_context():
        revoked = db.session.execute(sa.select(Grant.revoked_at.is_not(None)).order_by(Grant.created_at))
        assert [row[0] for row in revoked] == [False, True]


def test_ending_a_session_twice_is_ending_it_once(app: Flask, rp: RelyingParty, phone: RelyingParty) -> None:
    rp.log_in()
    phone.log_in()
    theirs = end_paths(rp)[1]
    assert post(rp, theirs).status_code == 303
    assert post(rp, theirs).status_code == 303
    assert len(events(app, Event.SESSION_ENDED)) == 1


def test_ending_ones_own_session_logs_out(rp: RelyingParty, phone: RelyingParty) -> None:
    rp.log_in()
    phone.log_in()
    mine, _theirs = end_paths(rp)
    answer = post(rp, mine)
    assert (answer.status_code, answer.location) == (303, "/logout")
    assert "idp_session=;" in answer.headers["Set-Cookie"]
    assert get(rp, "/logout").status_code == 200
    assert not is_logged_in(rp)
    assert is_logged_in(phone)


def test_all_other_sessions_are_ended(
    app: Flask,
    rp: RelyingParty,
    phone: RelyingParty,
    bertil: RelyingParty,
    device: Callable[..., FlaskClient],
) -> None:
    rp.log_in()
    phone.log_in()
    third = RelyingParty(app, device(MAC_SAFARI))
    third.log_in()
    for _ in range(2):  # the second time there is none
        answer = post(rp, "/account/sessions/end-others")
        assert (answer.status_code, answer.location) == (303, "/account#sessions")
    assert [is_logged_in(one) for one in (rp, phone, third, bertil)] == [True, False, False, True]
    assert len(events(app, Event.SESSION_ENDED)) == 2


def test_another_persons_session_is_not_found(rp: RelyingParty, bertil: RelyingParty) -> None:
    rp.log_in()
    (his,) = end_paths(bertil)
    answer = post(rp, his)
    unknown = post(rp, f"/account/sessions/{uuid4()}/end")
    assert (answer.status_code, unknown.status_code) == (404, 404)
    assert is_logged_in(bertil)


@pytest.mark.parametrize("session_id", ["1", "x" * 36, "%00", "00000000-0000-0000-0000-00000000000g", "é"])
def test_malformed_session_ids_are_not_found(rp: RelyingParty, session_id: str) -> None:
    rp.log_in()
    assert post(rp, f"/account/sessions/{session_id}/end").status_code == 404


def test_ending_a_session_needs_the_forms_token(rp: RelyingParty, phone: RelyingParty) -> None:
    rp.log_in()
    phone.log_in()
    theirs = end_paths(rp)[1]
    for path in (theirs, "/account/sessions/end-others"):
        assert rp.browser.post(path, **HTTPS).status_code == 400
        assert get(rp, path).status_code == 405
    assert is_logged_in(phone)


def test_ending_sessions_needs_a_login(app: Flask, rp: RelyingParty, phone: RelyingParty, anna: str) -> None:
    rp.log_in()
    phone.log_in()
    mine, theirs = end_paths(rp)
    token = phone.tokens().access_token
    with app.app_context():
        sessions.end_these(
            list(
                db.session.scalars(sa.select(BrowserSession.id).where(BrowserSession.address == "127.0.0.1"))
            ),
            now=utcnow(),
            reason="logged out",
        )
    for path in (mine, theirs, "/account/sessions/end-others"):
        assert post(rp, path, page="/login/password").status_code == 401
    assert phone.userinfo(token).status_code == 200


def test_a_user_disabled_meanwhile_ends_nothing(app: Flask, rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    (mine,) = end_paths(rp)
    with app.app_context():
        user = accounts.find_by_email("anna@example.se")
        assert user is not None
        accounts.disable(user.id, now=utcnow())
    assert post(rp, mine, page="/login/password").status_code == 401
    assert events(app, Event.SESSION_ENDED) == [{"reason": "user disabled"}]


def test_any_number_of_sessions_ends_in_one_statement(
    app: Flask, rp: RelyingParty, device: Callable[..., FlaskClient], clock: Traveller, statements: Statements
) -> None:
    rp.log_in()
    counts = []
    for _ in range(2):
        RelyingParty(app, device()).log_in()
        with app.test_request_context("/account", headers={"Cookie": _cookie(rp)}, **HTTPS):
            live = guard.current_session()
            assert live is not None
            facts, sent = statements.of(partial(activity.facts, live))
            shown = facts["sessions"]
        counts.append((len(shown), len(sent)))
    assert counts == [(2, 1), (3, 1)]


def _cookie(rp: RelyingParty) -> str:
    cookie = rp.browser.get_cookie("__Host-idp_session", domain="login.example.se")
    assert cookie is not None
    return f"__Host-idp_session={cookie.value}"
