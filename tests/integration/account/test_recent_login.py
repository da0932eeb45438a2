"""Changes of how a person logs in need a recent login, which keeps the filled-in form."""

from typing import Any

import pytest
import sqlalchemy as sa
from time_machine import Traveller
from werkzeug.test import TestResponse

from idp.clock import utcnow
from idp.db import db
from idp.login.models import Interaction
from idp.users import accounts
from tests.factories import PASSWORD, make_user
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.fakes.reset_pages import NEW, link, logs_in, text_of
from tests.integration.account.conftest import TITLE, Account

NOT_FRESH = 15 * 60 + 1
PASSWORDS = {"password": NEW, "confirm": NEW}


def again(account: Account, asked: TestResponse, **credentials: str) -> TestResponse:
    """The page after the login that saving asked for."""
    assert asked.status_code == 303
    assert asked.location.startswith("/login/")
    page = account.rp.follow(asked)
    assert 'value="anna@example.se"' in page.text, "whose login is wanted is filled in"
    typed = {"email": "anna@example.se", "password": PASSWORD, **credentials}
    return account.rp.follow(account.rp.submit(page, **typed))


@pytest.mark.parametrize(
    "changes", [PASSWORDS, {"email": "ny@example.se"}, {"personal_number": "9001012385"}]
)
def test_an_older_login_is_asked_for_again_and_the_form_comes_back(
    account: Account, clock: Traveller, changes: dict[str, str]
) -> None:
    clock.shift(NOT_FRESH)
    asked = account.save(title=TITLE, **changes)
    user = account.stored()
    assert (user.title, user.version, user.stated_number) == (None, 0, None)
    page = again(account, asked)
    assert 'id="account-resumed"' in page.text
    shown = account.fields(page)
    assert shown["title"] == TITLE
    for name, value in changes.items():
        assert shown[name] == ("" if name in PASSWORDS else value), "passwords are never kept"
    assert ("Skriv det nya lösenordet en gång till" in page.text) is (changes == PASSWORDS)
    resumed = page.request.path
    assert account.browser.get(resumed, **HTTPS).status_code == 200, "may be loaded again until it is saved"
    assert account.send(shown | changes).status_code == 303
    assert account.stored().title == TITLE
    assert account.browser.get(resumed, **HTTPS).location == "/account", "once saved it is over"


@pytest.mark.parametrize("changes", [{"title": TITLE}, {"name": "Anna Nysén"}, {"phone": "0703032203"}])
def test_other_details_need_no_recent_login(
    account: Account, clock: Traveller, changes: dict[str, str]
) -> None:
    clock.shift(NOT_FRESH)
    assert account.save(**changes).location == "/account"
    assert account.stored().version == 1


def test_a_login_just_young_enough_counts(account: Account, clock: Traveller) -> None:
    clock.shift(15 * 60)
    assert account.save(**PASSWORDS).location == "/account"


def test_a_kept_form_holds_no_secret_in_clear(account: Account, clock: Traveller) -> None:
    clock.shift(NOT_FRESH)
    account.save(personal_number="9001012385", **PASSWORDS)
    with account.app.app_context():
        request = db.session.scalars(
            sa.select(Interaction.request).where(Interaction.return_endpoint == "account.resume")
        ).one()
    assert NEW not in str(request)
    assert "9001012385" not in str(request)
    assert request["password_again"] is True


def test_another_persons_login_does_not_count(account: Account, clock: Traveller) -> None:
    with account.app.app_context():
        make_user(email="berit@example.se", name="Berit")
    clock.shift(NOT_FRESH)
    asked = account.save(email="ny@example.se")
    page = again(account, asked, email="berit@example.se")
    assert page.status_code == 403
    assert "gäller ett annat konto" in page.text


def test_a_login_that_ended_meanwhile_keeps_the_form(account: Account, clock: Traveller) -> None:
    fields = account.fields()
    clock.shift(61 * 60)
    asked = account.send(fields | {"title": TITLE, "personal_number": "9001012385", **PASSWORDS})
    assert (asked.status_code, account.stored().title) == (303, None)
    with account.app.app_context():
        interaction = db.session.scalars(
            sa.select(Interaction).where(Interaction.return_endpoint == "account.resume")
        ).one()
        for secret in (NEW, "9001012385", TITLE):
            assert secret not in str(interaction.request)
    page = account.rp.follow(asked)
    assert "anna@example.se" not in page.text, "who is wanted is not told to whoever sits there now"
    page = account.rp.follow(account.rp.submit(page, email="anna@example.se", password=PASSWORD))
    assert 'id="account-resumed"' in page.text
    shown = account.fields(page)
    assert (shown["title"], shown["personal_number"], shown["password"]) == (TITLE, "9001012385", "")
    assert account.send(shown | PASSWORDS).location == "/account"
    assert account.stored().title == TITLE
    assert logs_in(account.app, NEW)


def test_a_kept_form_is_for_its_own_person(account: Account, clock: Traveller) -> None:
    with account.app.app_context():
        make_user(email="berit@example.se", name="Berit")
    fields = account.fields()
    clock.shift(61 * 60)
    page = account.rp.follow(account.send(fields | {"title": TITLE}))
    page = account.rp.submit(page, email="berit@example.se", password=PASSWORD)
    assert page.status_code == 403
    assert TITLE not in page.text


def test_a_form_without_a_session_is_not_kept(account: Account) -> None:
    fields = account.fields()
    account.browser.delete_cookie("__Host-idp_session", domain="login.example.se")
    assert account.send(fields | {"title": TITLE}).status_code == 401
    account.browser.set_cookie("__Host-idp_session", "x" * 43, domain="login.example.se", secure=True)
    assert account.send(fields | {"title": TITLE}).status_code == 401
    assert account.stored().title is None


def test_another_browser_does_not_see_a_kept_form(account: Account, clock: Traveller) -> None:
    clock.shift(NOT_FRESH)
    asked = account.save(title=TITLE, email="ny@example.se")
    resumed = asked.location.replace("/login/", "/account/resume/")
    stranger = account.app.test_client()
    assert stranger.get(resumed, **HTTPS).location == "/account"
    back = account.browser.get(resumed, **HTTPS)
    assert back.location == asked.location, "not before the login"
    for uid in ("x", "x" * 43, "%00"):
        assert account.browser.get(f"/account/resume/{uid}", **HTTPS).status_code in (303, 404)


def test_another_kind_of_interaction_is_not_resumed(account: Account) -> None:
    rp = RelyingParty(account.app, account.app.test_client())
    uid = rp.follow(rp.authorize()).request.path.split("/")[2]
    assert rp.browser.get(f"/account/resume/{uid}", **HTTPS).status_code == 404


def test_a_new_password_after_a_recent_login(account: Account, clock: Traveller) -> None:
    elsewhere = RelyingParty(account.app, account.app.test_client())
    elsewhere.log_in()
    before = account.browser.get_cookie("__Host-idp_session", "login.example.se")
    assert account.save(**PASSWORDS).location == "/account"
    after = account.browser.get_cookie("__Host-idp_session", "login.example.se")
    assert before is not None
    assert after is not None
    assert before.value != after.value, "the session goes on under a fresh handle"
    assert account.page().status_code == 200
    assert elsewhere.browser.get("/account", **HTTPS).status_code == 303, "the others end"
    stolen = account.app.test_client()
    stolen.set_cookie("__Host-idp_session", before.value, domain="login.example.se", secure=True)
    assert stolen.get("/account", **HTTPS).status_code == 303
    assert logs_in(account.app, NEW)
    assert not logs_in(account.app, PASSWORD)
    (notice,) = queued(account.app, "password_notice")
    assert notice["To"].addresses[0].addr_spec == "anna@example.se"
    assert "Alla dina andra inloggningar har avslutats." in text_of(notice)
    assert account.events().count("password.changed") == 1
    assert account.stored().email_verified_at is None, "choosing a password proves no address"


def test_a_new_password_ends_what_the_other_sessions_issued(account: Account) -> None:
    elsewhere = RelyingParty(account.app, account.app.test_client())
    theirs, own = elsewhere.tokens(), account.rp.tokens()
    account.save(**PASSWORDS)
    assert elsewhere.userinfo(theirs.access_token).status_code == 401
    assert account.rp.userinfo(own.access_token).status_code == 200


def test_a_password_in_a_conflict_is_not_changed(account: Account) -> None:
    stale = account.fields()
    account.save(title=TITLE)
    assert account.send(stale | PASSWORDS).status_code == 409
    assert logs_in(account.app, PASSWORD)
    assert queued(account.app) == []


def test_a_password_chosen_by_link_is_no_conflict_but_ends_the_session(account: Account) -> None:
    fields: dict[str, Any] = account.fields()
    with account.app.app_context():
        accounts.disable(account.stored().id, now=utcnow())
        accounts.enable(account.stored().id, now=utcnow())
    assert account.send(fields | PASSWORDS).location.startswith("/login/")
    assert logs_in(account.app, PASSWORD)
    assert link(account.app, account.app.test_client())
