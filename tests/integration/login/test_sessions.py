"""A browser's session has safe cookies, a handle of its own, and an end."""

import re
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from time_machine import Traveller
from werkzeug.test import TestResponse

from idp.clock import utcnow
from idp.db import db
from idp.login.models import BrowserSession
from idp.users import accounts
from tests.factories import PASSWORD, make_user
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.password.attempts import events, is_logged_in

MINUTE = 60


def cookie(response: TestResponse, name: str) -> str:
    found = [line for line in response.headers.getlist("Set-Cookie") if line.startswith(f"{name}=")]
    assert len(found) == 1, response.headers
    return found[0]


def flags(line: str) -> set[str]:
    return {
        part.strip() for part in line.split(";")[1:] if not part.strip().startswith(("Expires", "Max-Age"))
    }


def test_cookies_are_for_this_host_and_no_script(rp: RelyingParty, anna: str) -> None:
    first = rp.authorize()
    browser = cookie(first, "__Host-idp_browser")
    assert flags(browser) == {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"}
    logged_in = rp.submit(rp.follow(first), email="anna@example.se", password=PASSWORD)
    session = cookie(logged_in, "__Host-idp_session")
    assert flags(session) == {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"}
    assert "Expires" not in session, "it ends with the browser"
    assert re.match(r"__Host-idp_session=[\w-]{43};", session)


def test_cookies_on_loopback_http_do_without_tls(environ: dict[str, str], request: Any) -> None:
    environ["IDP_ISSUER"] = "http://127.0.0.1:8000"
    app = request.getfixturevalue("app")
    with app.app_context():
        make_user()
    browser = app.test_client()
    page = browser.get("/login/password")
    assert flags(cookie(page, "idp_browser")) == {"HttpOnly", "SameSite=Lax", "Path=/"}
    token = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)[0]
    fields = {"email": "anna@example.se", "password": PASSWORD, "csrf_token": token}
    answer = browser.post("/login/password", data=fields)
    assert flags(cookie(answer, "idp_session")) == {"HttpOnly", "SameSite=Lax", "Path=/"}
    assert browser.get("/account").status_code == 200


def test_the_database_holds_no_handle(app: Flask, rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    handle = rp.browser.get_cookie("__Host-idp_session", "login.example.se")
    assert handle is not None
    with app.app_context():
        row = db.session.execute(sa.select(BrowserSession.__table__)).one()
        assert handle.value not in str(row)
        assert len(row.handle_hash) == 64


def test_a_new_login_gets_a_new_handle(rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    before = rp.browser.get_cookie("__Host-idp_session", "login.example.se")
    rp.log_in(prompt="login")
    after = rp.browser.get_cookie("__Host-idp_session", "login.example.se")
    assert before is not None
    assert after is not None
    assert before.value != after.value
    rp.browser.set_cookie("__Host-idp_session", before.value, domain="login.example.se", secure=True)
    assert rp.browser.get("/account", **HTTPS).status_code == 303, "the old one opens nothing"


def test_a_session_ends_after_an_idle_hour(rp: RelyingParty, anna: str, clock: Traveller) -> None:
    rp.log_in()
    for _ in range(3):
        clock.shift(59 * MINUTE)
        assert is_logged_in(rp.browser)
    clock.shift(60 * MINUTE)
    assert not is_logged_in(rp.browser)


def test_a_session_ends_after_ten_hours_however_busy(rp: RelyingParty, anna: str, clock: Traveller) -> None:
    rp.log_in()
    for _ in range(19):
        clock.shift(30 * MINUTE)
        assert is_logged_in(rp.browser)
    clock.shift(30 * MINUTE)
    assert not is_logged_in(rp.browser)


def seen_at(app: Flask) -> datetime:
    with app.app_context():
        return db.session.scalars(sa.select(BrowserSession.seen_at)).one()


def test_a_sessions_use_is_noted_once_a_minute(
    app: Flask, rp: RelyingParty, anna: str, clock: Traveller
) -> None:
    rp.log_in()
    first = seen_at(app)
    clock.shift(59)
    assert is_logged_in(rp.browser)
    assert seen_at(app) == first
    clock.shift(1)
    assert is_logged_in(rp.browser)
    second = seen_at(app)
    assert (second - first).total_seconds() == 60
    clock.shift(30)
    assert is_logged_in(rp.browser)
    assert seen_at(app) == second


def test_disabling_somebody_ends_their_session(app: Flask, rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    assert is_logged_in(rp.browser)
    with app.app_context():
        user = accounts.find_by_email("anna@example.se")
        assert user is not None
        accounts.disable(user.id, now=utcnow())
        accounts.enable(user.id, now=utcnow())
    assert not is_logged_in(rp.browser)
    assert set(events(app)[-3:]) == {"session.ended", "user.disabled", "user.enabled"}


@pytest.mark.parametrize("value", ["", "x", "x" * 5000, "\u00e5", "a b", "%00"])
def test_a_made_up_handle_opens_nothing(rp: RelyingParty, anna: str, value: str) -> None:
    rp.log_in()
    assert is_logged_in(rp.browser)
    header = {"Cookie": f"__Host-idp_session={value}"}
    assert rp.app.test_client().get("/account", headers=header, **HTTPS).status_code == 303


def test_logging_out_ends_the_session_here_and_in_the_database(rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    handle = rp.browser.get_cookie("__Host-idp_session", "login.example.se")
    assert handle is not None
    assert rp.browser.post("/logout", **HTTPS).status_code == 400, "not without its form's token"
    assert is_logged_in(rp.browser)
    done = rp.submit(rp.browser.get("/logout", **HTTPS))
    assert 'id="logged-out"' in done.text
    assert rp.browser.get_cookie("__Host-idp_session", "login.example.se") is None
    rp.browser.set_cookie("__Host-idp_session", handle.value, domain="login.example.se", secure=True)
    assert not is_logged_in(rp.browser)
