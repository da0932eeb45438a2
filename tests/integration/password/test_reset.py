"""A person with a forgotten password gets a mail and chooses a new password."""

import re
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from time_machine import Traveller

from idp.clock import utcnow
from idp.db import db
from idp.login.models import BrowserSession
from idp.users import accounts
from idp.users.models import User
from tests.factories import PASSWORD, make_user
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.fakes.reset_pages import ANNA, NEW, ask, choose, events, link, logs_in, newest_link, text_of

MINUTE = 60


def account(app: Flask, email: str = ANNA) -> User:
    with app.app_context():
        found = accounts.find_by_email(email)
        assert found is not None
        return found


def test_a_reset_from_the_login_page_to_a_new_password(app: Flask, rp: RelyingParty, anna: str) -> None:
    login_page = rp.follow(rp.authorize())
    forgot = re.search(r'href="(/password/reset\?uid=[\w-]{43})">Har du glömt lösenordet\?<', login_page.text)
    assert forgot
    page = rp.browser.get(forgot[1], **HTTPS)
    assert "<h1>Glömt användarnamn / lösenord</h1>" in page.text
    assert "Skriv in din e-post så skickar vi en länk för att välja nytt lösenord" in page.text
    for name in ('id="forgot-form"', 'id="forgot-email"', 'id="forgot-submit"', ">Epost<", ">Fortsätt<"):
        assert name in page.text
    answer = ask(rp.browser, query="?" + urlsplit(forgot[1]).query)
    sent = rp.follow(answer)
    assert "Länken gäller i 60 minuter." in sent.text
    path = newest_link(app)
    page = rp.browser.get(path, **HTTPS)
    assert "<h1>Välj ditt nya lösenord</h1>" in page.text
    for name in ('id="reset-form"', 'id="reset-password"', 'id="reset-confirm"', 'id="reset-submit"'):
        assert name in page.text
    for label in (">Lösenord<", ">Bekräfta lösenord<", ">Fortsätt<", f">{ANNA}<"):
        assert label in page.text
    changed = choose(rp.browser, path)
    assert changed.status_code == 303
    assert changed.location == login_page.request.path, "back to the login that waits"
    back = rp.browser.get(changed.location, **HTTPS)
    assert "Lösenordet är ändrat. Logga in." in back.text
    assert rp.browser.get("/account", **HTTPS).status_code == 303, "nobody is logged in by a link"
    answer = rp.follow(rp.submit(back, email=ANNA, password=NEW))
    assert "code" in rp.answer(answer)
    assert not logs_in(app, PASSWORD)
    assert events(app) == ["password.reset_asked", "password.changed"]


@pytest.mark.usefixtures("anna")
def test_the_note_of_a_new_password_is_shown_once(app: Flask, browser: FlaskClient) -> None:
    changed = choose(browser, link(app, browser))
    assert changed.location == "/login/password"
    assert 'id="login-note"' in browser.get(changed.location, **HTTPS).text
    assert 'id="login-note"' not in browser.get(changed.location, **HTTPS).text


@pytest.mark.usefixtures("anna")
def test_another_browser_is_not_drawn_into_the_login_that_waits(app: Flask, rp: RelyingParty) -> None:
    uid = rp.authorize().location.rsplit("/", 1)[1]
    ask(rp.browser, query=f"?uid={uid}")
    assert uid not in newest_link(app)
    assert choose(app.test_client(), newest_link(app)).location == "/login/password"


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize("uid", ["", "x", "../../evil", "a" * 42, "å" * 43, "%00", "https://evil.example"])
def test_a_strange_uid_is_left_out(browser: FlaskClient, uid: str) -> None:
    page = browser.get("/password/reset", query_string={"uid": uid}, **HTTPS)
    assert page.status_code == 200
    assert '<a href="/login/password">' in page.text


def test_the_reset_mail(app: Flask, browser: FlaskClient, anna: str, clock: Traveller) -> None:
    ask(browser, "ANNA@Example.se ")
    (message,) = queued(app)
    assert message["To"].addresses[0].addr_spec == ANNA
    assert message["Subject"] == "Återställning av lösenord"
    text = text_of(message)
    for line in (
        "Hej Anna Åsén",
        "Klicka på följande länk för att ändra ditt lösenord",
        "60 minuter",
        "Med vänlig hälsning",
    ):
        assert line in text
    path = newest_link(app)
    assert re.fullmatch(r"/password/reset/[0-9a-f]{64}\?email=anna%40example\.se", path)
    html = message.get_body(("html",))
    assert html is not None
    assert f"https://login.example.se{path}" in html.get_content().replace("&amp;", "&")


def test_the_reset_mail_in_english(app: Flask, browser: FlaskClient) -> None:
    with app.app_context():
        make_user(locale="en")
    path = link(app, browser)
    (message,) = queued(app)
    assert message["Subject"] == "Password reset"
    assert "60 minutes" in text_of(message)
    page = browser.get(path, **HTTPS)
    assert '<html lang="en">' in page.text
    assert "Choose your new password" in page.text
    choose(browser, path)
    (notice,) = queued(app, "password_notice")
    assert "password" in str(notice["Subject"])
    assert "lösenord" not in text_of(notice)


@pytest.mark.usefixtures("clock")
def test_the_notice_of_a_new_password(app: Flask, browser: FlaskClient, anna: str) -> None:
    choose(browser, link(app, browser))
    (notice,) = queued(app, "password_notice")
    assert notice["To"].addresses[0].addr_spec == ANNA
    assert notice["Subject"] == "Ditt lösenord har ändrats"
    text = text_of(notice)
    for fact in ("Anna Åsén", "22 november 2026", "13:00", "127.0.0.1"):
        assert fact in text, "whose, when (in Sweden), from where"
    html = notice.get_body(("html",))
    assert html is not None
    for part in (text, html.get_content()):
        assert "/login" not in part
        assert "/password" not in part


@pytest.mark.parametrize("email", ["anna+leasing@example.se", "åsa.öberg@exempel.se", "b@åkeri.se"])
def test_a_reset_for_addresses_of_every_kind(app: Flask, browser: FlaskClient, email: str) -> None:
    with app.app_context():
        make_user(email=email)
    path = link(app, browser, email)
    assert parse_qs(urlsplit(path).query) == {"email": [email]}
    assert f'id="reset-email">{email}<' in browser.get(path, **HTTPS).text
    assert choose(browser, path).status_code == 303
    assert logs_in(app, NEW, email)


def test_a_reset_from_a_browser_that_sends_the_domain_in_ascii(app: Flask, browser: FlaskClient) -> None:
    with app.app_context():
        make_user(email="b@åkeri.se")
    assert choose(browser, link(app, browser, "b@xn--keri-poa.se")).status_code == 303


def test_a_reset_for_a_user_who_never_had_a_password(app: Flask, browser: FlaskClient) -> None:
    with app.app_context():
        make_user(password=None)
    assert account(app).email_verified_at is None
    choose(browser, link(app, browser))
    assert logs_in(app, NEW)
    assert account(app).email_verified_at is not None, "the mail came through"


def test_an_address_verified_before_keeps_its_time(
    app: Flask, browser: FlaskClient, clock: Traveller
) -> None:
    with app.app_context():
        make_user(email_verified=True)
    before = account(app).email_verified_at
    clock.shift(MINUTE)
    choose(browser, link(app, browser))
    assert account(app).email_verified_at == before
    assert account(app).updated_at == utcnow()


def test_every_session_and_its_grants_end(app: Flask, rp: RelyingParty, anna: str) -> None:
    tokens = rp.tokens()
    assert rp.userinfo(tokens.access_token).status_code == 200
    with app.app_context():
        make_user(email="berit@example.se")
    other = RelyingParty(app, app.test_client())
    others_tokens = other.tokens(email="berit@example.se")
    stranger = app.test_client()
    choose(stranger, link(app, stranger))
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert rp.browser.get("/account", **HTTPS).status_code == 303
    with app.app_context():
        query = sa.select(BrowserSession.id).where(
            BrowserSession.user_id == UUID(anna), BrowserSession.ended_at.is_(None)
        )
        assert db.session.scalars(query).all() == []
    assert other.userinfo(others_tokens.access_token).status_code == 200, "nobody else's"


@pytest.mark.usefixtures("clock")
def test_the_browser_is_known_afterwards(app: Flask, rp: RelyingParty, anna: str) -> None:
    """Guesses made elsewhere do not lock out the person who has just chosen a password."""
    choose(rp.browser, link(app, rp.browser))
    guesser = RelyingParty(app, app.test_client())
    for _ in range(11):
        guesser.log_in(password="fel")
    assert guesser.log_in(password=NEW).status_code == 429
    assert rp.log_in(password=NEW).status_code == 303
