"""A pending login is bound to its browser, answered once and never mixed up with another."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
import yaml
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.db import db
from idp.login.models import BrowserSession, Interaction
from idp.oidc.models import Grant
from idp.oidc.provider import PROVIDER
from tests.factories import PASSWORD, make_client, make_user
from tests.fakes.relying_party import HTTPS, RelyingParty

on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(),
        "other": make_client(redirect_uris=["https://other.example.se/cb"], client_name="Andra appen"),
    }


@pytest.fixture
def bertil(app: Flask) -> str:
    with app.app_context():
        return str(make_user(email="bertil@example.se", name="Bertil Ek").id)


def log_in_on(rp: RelyingParty, page: TestResponse, email: str = "anna@example.se") -> TestResponse:
    return rp.submit(page, email=email, password=PASSWORD)


def uid_of(page: TestResponse) -> str:
    return page.request.path.split("/")[2]


def count(app: Flask, model: type[Any]) -> int:
    with app.app_context():
        return db.session.scalar(sa.select(sa.func.count()).select_from(model)) or 0


def cookie(browser: FlaskClient, name: str) -> str | None:
    found = browser.get_cookie(name, domain="login.example.se")
    return found.value if found else None


def test_one_request_gives_one_code(rp: RelyingParty, app: Flask, anna: str) -> None:
    page = rp.follow(rp.authorize())
    uid = uid_of(page)
    assert "code" in rp.answer(rp.follow(log_in_on(rp, page)))
    for path in (f"/authorize/{uid}", f"/login/{uid}", f"/login/{uid}/password", f"/consent/{uid}"):
        again = rp.browser.get(path, **HTTPS)
        assert again.status_code == 400
        assert 'href="https://portal.example.se/login"' in again.text  # the way back
        assert "Location" not in again.headers
    assert count(app, Grant) == 1


def test_a_form_sent_twice_gives_one_code(rp: RelyingParty, app: Flask, anna: str) -> None:
    page = rp.follow(rp.authorize())
    first, second = log_in_on(rp, page), log_in_on(rp, page)
    assert first.headers["Location"] == second.headers["Location"]
    assert "code" in rp.answer(rp.follow(first))
    assert rp.follow(second).status_code == 400
    assert log_in_on(rp, page).status_code == 400
    assert count(app, Grant) == 1


def test_an_interaction_ends_after_its_time(
    clock: time_machine.Traveller, rp: RelyingParty, app: Flask, anna: str
) -> None:
    page = rp.follow(rp.authorize())
    clock.shift(3600)
    late = log_in_on(rp, page)
    assert late.status_code == 400
    assert 'href="https://portal.example.se/login"' in late.text
    assert rp.browser.get(f"/authorize/{uid_of(page)}", **HTTPS).status_code == 400
    assert (count(app, Grant), count(app, BrowserSession)) == (0, 0)


@on_sqlite_only
def test_an_unknown_interaction_is_not_found(browser: FlaskClient) -> None:
    for uid in ("x" * 43, "x", "x" * 5000, "å", "%00", "%FF", "..%2f..", "'--"):
        for path in (f"/login/{uid}", f"/login/{uid}/password", f"/authorize/{uid}", f"/consent/{uid}"):
            assert browser.get(path, **HTTPS).status_code == 404


@pytest.mark.parametrize("uid", ["%00", "a%00b", "%ED%A0%80", "%FF"])
def test_a_uid_that_no_database_takes_is_not_found(browser: FlaskClient, uid: str) -> None:
    for path in (f"/login/{uid}", f"/login/{uid}/password", f"/authorize/{uid}", f"/consent/{uid}"):
        assert browser.get(path, **HTTPS).status_code == 404


def test_a_copied_address_begins_anew_in_another_browser(rp: RelyingParty, app: Flask, anna: str) -> None:
    page = rp.follow(rp.authorize())
    uid = uid_of(page)
    colleague = RelyingParty(app, app.test_client())
    for path in (f"/login/{uid}", f"/login/{uid}/password", f"/authorize/{uid}", f"/consent/{uid}"):
        theirs = colleague.follow(colleague.browser.get(path, **HTTPS))
        assert 'id="login-form"' in theirs.text
        assert uid_of(theirs) != uid
    code = colleague.answer(colleague.follow(log_in_on(colleague, theirs)))["code"]
    assert colleague.exchange(code).status == 200
    # What the colleague did is not the first browser's login: it still has to log in, and can.
    assert 'id="login-form"' in rp.follow(rp.browser.get(f"/authorize/{uid}", **HTTPS)).text
    assert "code" in rp.answer(rp.follow(log_in_on(rp, page)))


def test_another_browser_cannot_finish_what_the_first_began(
    rp: RelyingParty, app: Flask, anna: str, bertil: str
) -> None:
    page = rp.follow(rp.authorize(prompt="login"))
    thief = RelyingParty(app, app.test_client())
    thief.code(email="bertil@example.se")
    own_page = thief.follow(thief.browser.get("/login/password", **HTTPS))
    assert own_page.status_code == 200
    token = own_page.text.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "email": "bertil@example.se", "password": PASSWORD}
    for stolen in (
        thief.browser.get(f"/authorize/{uid_of(page)}", **HTTPS),
        thief.browser.post(f"/login/{uid_of(page)}/password", data=form, **HTTPS),
    ):
        copy = thief.follow(stolen)
        assert 'id="login-form"' in copy.text
        assert uid_of(copy) != uid_of(page)
    with app.app_context():
        begun = db.session.get_one(Interaction, uid_of(page))
        assert begun.answered_at is None


def test_tabs_and_clients_do_not_mix(rp: RelyingParty, app: Flask, anna: str) -> None:
    other = RelyingParty(app, rp.browser, "other", "https://other.example.se/cb")
    first = rp.follow(rp.authorize(state="first", nonce="n1"))
    second = rp.follow(rp.authorize(state="second", nonce="n2"))
    third = other.follow(other.authorize(state="third"))
    assert "<strong>Andra appen</strong>" in third.text
    assert "<strong>Portalen</strong>" in first.text
    for asked, page, state, host in (
        (other, third, "third", "https://other.example.se/cb?"),
        (rp, second, "second", "https://portal.example.se/cb?"),
        (rp, first, "first", "https://portal.example.se/cb?"),
    ):
        response = asked.follow(log_in_on(asked, page))
        assert response.headers["Location"].startswith(host)
        answer = asked.answer(response)
        assert answer["state"] == state
        assert asked.exchange(answer["code"]).status == 200


def test_another_tab_goes_on_by_itself_after_the_first_logged_in(rp: RelyingParty, anna: str) -> None:
    first, second = rp.follow(rp.authorize()), rp.follow(rp.authorize(state="second"))
    rp.follow(log_in_on(rp, first))
    resumed = rp.follow(rp.browser.get(f"/authorize/{uid_of(second)}", **HTTPS))
    assert rp.answer(resumed)["state"] == "second"


def test_the_cookies_are_as_safe_as_cookies_get(rp: RelyingParty, anna: str) -> None:
    page = rp.follow(rp.authorize())
    set_before = page.headers.getlist("Set-Cookie")
    response = log_in_on(rp, page)
    found = {line.split("=")[0]: line for line in [*set_before, *response.headers.getlist("Set-Cookie")]}
    assert "__Host-idp_session" in found
    assert cookie(rp.browser, "__Host-idp_browser")
    for line in found.values():
        attributes = {part.strip().lower() for part in line.split(";")[1:]}
        assert {"secure", "httponly", "path=/", "samesite=lax"} <= attributes
        assert not any(attribute.startswith("domain") for attribute in attributes)
    session = {part.strip().split("=")[0].lower() for part in found["__Host-idp_session"].split(";")}
    assert not session & {"expires", "max-age"}  # it ends with the browser


def test_every_login_gives_a_fresh_handle_and_the_old_one_is_dead(
    rp: RelyingParty, app: Flask, anna: str
) -> None:
    planted = "planted-by-somebody-else-0123456789abcdefghij"
    rp.browser.set_cookie("__Host-idp_session", planted, domain="login.example.se")
    rp.code()
    first = cookie(rp.browser, "__Host-idp_session")
    assert first not in (None, planted)
    log_in_on(rp, rp.follow(rp.authorize(prompt="login")))
    rp.follow(log_in_on(rp, rp.browser.get("/login/password", **HTTPS)))
    second = cookie(rp.browser, "__Host-idp_session")
    assert second not in (None, first)
    thief = RelyingParty(app, app.test_client())
    for dead in (planted, first):
        thief.browser.set_cookie("__Host-idp_session", str(dead), domain="login.example.se")
        assert thief.answer(thief.authorize(prompt="none"))["error"] == "login_required"
    assert count(app, BrowserSession) == 1  # one session, renewed


def test_logging_in_as_another_ends_the_first_ones_session(
    rp: RelyingParty, app: Flask, anna: str, bertil: str
) -> None:
    annas = rp.tokens()
    page = rp.browser.get("/login/password", **HTTPS)
    assert log_in_on(rp, page, "bertil@example.se").status_code == 303
    assert rp.userinfo(annas.access_token).status_code == 401
    bertils = rp.exchange(rp.answer(rp.authorize(prompt="none"))["code"])
    assert rp.userinfo(bertils.access_token).get_json()["sub"] == bertil
    with app.app_context():
        ended = {
            str(row.user_id): row.ended_at is not None
            for row in db.session.scalars(sa.select(BrowserSession))
        }
    assert ended == {anna: True, bertil: False}


def test_a_browser_without_cookies_is_told_so_and_not_sent_round(app: Flask, anna: str) -> None:
    without = app.test_client(use_cookies=False)
    rp = RelyingParty(app, without)
    for method in ("GET", "POST"):
        page = rp.follow(rp.authorize(method))  # raises after ten redirects
        assert page.status_code == 400
        assert 'id="error-page"' in page.text
        assert "kakor" in page.text


def test_a_client_removed_in_the_middle_gets_nothing(
    rp: RelyingParty, app: Flask, clients_file: Path, anna: str
) -> None:
    code = rp.code()
    page = rp.follow(rp.authorize(prompt="login"))
    content = yaml.safe_load(clients_file.read_text())
    del content["clients"]["portal"]
    clients_file.write_text(yaml.safe_dump(content))
    PROVIDER.of(app).clients.refresh()
    uid = uid_of(page)
    assert rp.exchange(code).error == "invalid_client"
    for response in (
        rp.follow(log_in_on(rp, page)),
        rp.authorize(),
        rp.browser.get(f"/login/{uid}/password", **HTTPS),
        rp.browser.get(f"/authorize/{uid}", **HTTPS),
        rp.browser.get(f"/consent/{uid}", **HTTPS),
    ):
        assert response.status_code == 400
        assert 'id="error-page"' in response.text
        assert "Location" not in response.headers


def test_a_redirect_uri_removed_in_the_middle_is_not_gone_to(
    rp: RelyingParty, app: Flask, clients_file: Path, anna: str
) -> None:
    page = rp.follow(rp.authorize())
    content = yaml.safe_load(clients_file.read_text())
    content["clients"]["portal"]["redirect_uris"] = ["https://portal.example.se/new"]
    clients_file.write_text(yaml.safe_dump(content))
    PROVIDER.of(app).clients.refresh()
    response = rp.follow(log_in_on(rp, page))
    assert (response.status_code, 'id="error-page"' in response.text) == (400, True)


def test_a_login_method_removed_in_the_middle_is_neither_taken_nor_asked_for_again(
    rp: RelyingParty, app: Flask, clients_file: Path, anna: str
) -> None:
    page = rp.follow(rp.authorize())
    content = yaml.safe_load(clients_file.read_text())
    content["clients"]["portal"]["login_methods"] = ["bankid"]
    clients_file.write_text(yaml.safe_dump(content))
    PROVIDER.of(app).clients.refresh()
    for _ in range(2):  # the second time the old page is known for one that nobody waits for any more
        response = rp.follow(log_in_on(rp, page))
        # There is no BankID here: that is said instead of showing the same form once more.
        assert (response.status_code, 'id="error-page"' in response.text) == (400, True)
    assert rp.answer(rp.authorize(prompt="none"))["error"] == "login_required"


def test_a_broken_clients_file_changes_nothing(
    rp: RelyingParty, app: Flask, clients_file: Path, anna: str
) -> None:
    good = clients_file.read_text()
    registry = PROVIDER.of(app).clients
    for broken in ("clients: [", good.replace("https://portal.example.se/cb", "http://evil.example/"), ""):
        clients_file.write_text(broken)
        registry.refresh()
        assert registry.problems
        assert rp.tokens().status == 200
    clients_file.unlink()
    registry.refresh()
    assert rp.tokens().status == 200
    clients_file.write_text(good)
    registry.refresh()
    assert not registry.problems
