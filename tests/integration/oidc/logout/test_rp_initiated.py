"""A logout request ends the session at once, or asks first, and leads back (RP-Initiated Logout 1.0)."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
import yaml
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.oidc.provider import PROVIDER
from idp.tokens import base64url
from tests.factories import make_client, make_user
from tests.fakes.relying_party import HTTPS, RelyingParty

RETURN = "https://portal.example.se/"
on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(post_logout_redirect_uris=[RETURN, "https://portal.example.se/bye?x=1"]),
        "other": make_client(
            redirect_uris=["https://other.example.se/cb"],
            post_logout_redirect_uris=["https://other.example.se/"],
        ),
        "apis": make_client(redirect_uris=["https://apis.example.se/cb"], access_token_format="jwt"),
    }


def end_session(browser: FlaskClient, method: str = "GET", **parameters: str) -> TestResponse:
    if method == "POST":
        return browser.post("/end_session", data=parameters, **HTTPS)
    return browser.get(f"/end_session?{urlencode(parameters)}", **HTTPS)


def is_done(response: TestResponse) -> bool:
    return response.status_code == 200 and 'id="logged-out"' in response.text


def is_live(rp: RelyingParty) -> bool:
    return "code" in rp.answer(rp.authorize(prompt="none"))


def forget_cookie(response: TestResponse) -> bool:
    return any(
        cookie.startswith("__Host-idp_session=;") and "Path=/" in cookie and "Secure" in cookie
        for cookie in response.headers.getlist("Set-Cookie")
    )


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_hint_of_the_session_ends_it_and_leads_back(rp: RelyingParty, anna: str, method: str) -> None:
    tokens = rp.tokens()
    response = end_session(
        rp.browser,
        method,
        id_token_hint=tokens.id_token,
        post_logout_redirect_uri=RETURN,
        state="å & <b>=?#",
    )
    assert response.status_code == 303
    assert response.headers["Location"] == RETURN + "?" + urlencode({"state": "å & <b>=?#"})
    assert forget_cookie(response)
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert not is_live(rp)


def test_a_return_address_with_a_query_keeps_it(rp: RelyingParty, anna: str) -> None:
    hint = rp.tokens().id_token
    address = "https://portal.example.se/bye?x=1"
    response = end_session(rp.browser, id_token_hint=hint, post_logout_redirect_uri=address, state="s")
    assert response.headers["Location"] == address + "&state=s"


def test_a_missing_state_is_not_added_and_a_missing_address_ends_on_our_page(
    rp: RelyingParty, anna: str
) -> None:
    hint = rp.tokens().id_token
    assert end_session(rp.browser, id_token_hint=hint, post_logout_redirect_uri=RETURN).headers[
        "Location"
    ] == (RETURN)
    hint = rp.tokens().id_token
    assert is_done(end_session(rp.browser, id_token_hint=hint, state="nowhere to send it"))
    assert not is_live(rp)


def test_an_expired_hint_counts(clock: time_machine.Traveller, rp: RelyingParty, anna: str) -> None:
    hint = rp.tokens().id_token
    clock.shift(3500)
    assert is_live(rp)
    clock.shift(3500)
    response = end_session(rp.browser, id_token_hint=hint, post_logout_redirect_uri=RETURN)
    assert response.headers["Location"] == RETURN
    assert not is_live(rp)


def test_a_request_with_one_thing_wrong_asks_first_and_leads_nowhere(
    rp: RelyingParty, app: Flask, anna: str, subtests: pytest.Subtests
) -> None:
    hint = rp.tokens().id_token
    header, payload, signature = hint.split(".")
    access_token = RelyingParty(app, rp.browser, "apis", "https://apis.example.se/cb").tokens().access_token
    others = RelyingParty(app, rp.browser, "other", "https://other.example.se/cb").tokens().id_token
    unsigned = base64url(b'{"alg":"none","typ":"JWT"}')
    valid = {"id_token_hint": hint, "client_id": "portal", "post_logout_redirect_uri": RETURN, "state": "s"}
    cases: dict[str, dict[str, str]] = {
        "hint of another client": {"id_token_hint": others},
        "client_id of another client": {"client_id": "other"},
        "unknown client_id": {"client_id": "nobody"},
        "signature cut": {"id_token_hint": f"{header}.{payload}.{signature[:-4]}"},
        "alg none": {"id_token_hint": f"{unsigned}.{payload}."},
        "no token": {"id_token_hint": "anna@example.se"},
        "not ASCII": {"id_token_hint": "å.ä.ö"},
        "an access token": {"id_token_hint": access_token},
    }
    for name, change in cases.items():
        with subtests.test(name):
            asked = end_session(rp.browser, **{**valid, **change})
            assert asked.status_code == 303
            assert asked.headers["Location"].startswith("/logout?state=")
            assert is_live(rp)
            page = rp.follow(asked)
            assert 'id="logout-confirm"' in page.text
            assert "portal.example.se" not in page.headers["Content-Security-Policy"]
            assert is_done(rp.submit(page))
            assert not is_live(rp)
            rp.code()
    assert end_session(rp.browser, **valid).headers["Location"] == RETURN + "?state=s"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_with_a_doubled_parameter_is_not_believed(
    rp: RelyingParty, anna: str, method: str, subtests: pytest.Subtests
) -> None:
    valid = {"id_token_hint": rp.tokens().id_token, "post_logout_redirect_uri": RETURN, "client_id": "portal"}
    for name in (*valid, "state"):
        with subtests.test(name):
            sent = urlencode([*({"state": "s"} | valid).items(), (name, (valid | {"state": "s"})[name])])
            if method == "POST":
                form = "application/x-www-form-urlencoded"
                asked = rp.browser.post("/end_session", data=sent, content_type=form, **HTTPS)
            else:
                asked = rp.browser.get(f"/end_session?{sent}", **HTTPS)
            assert asked.headers["Location"].startswith("/logout?state=")
            assert is_live(rp)
            page = rp.follow(asked)
            assert "<strong>Portalen</strong>" not in page.text
            assert is_done(rp.submit(page))
            rp.code()


@on_sqlite_only
def test_an_unregistered_return_address_is_never_gone_to(
    rp: RelyingParty, anna: str, subtests: pytest.Subtests
) -> None:
    for address in (
        "https://evil.example/",
        "https://portal.example.se",
        "https://portal.example.se/?x=1",
        "https://portal.example.se/a",
        "https://PORTAL.example.se/",
        "http://portal.example.se/",
        "https://portal.example.se:443/",
        "https://portal.example.se/cb",  # a redirect_uri is no post_logout_redirect_uri
        "https://portal.example.se/@evil.example/",
        "https://other.example.se/",  # another client's
        "//evil.example/",
        "javascript:alert(1)",
    ):
        for client_id in ({}, {"client_id": "portal"}):
            with subtests.test(f"{address} {client_id}"):
                hint = rp.tokens().id_token
                response = end_session(
                    rp.browser, id_token_hint=hint, post_logout_redirect_uri=address, **client_id
                )
                assert "evil.example" not in response.headers.get("Location", "")
                assert is_done(rp.follow(response))
                assert not is_live(rp)
                # with nobody logged in any more: still nowhere
                again = end_session(rp.browser, post_logout_redirect_uri=address, **client_id)
                assert is_done(rp.follow(again))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_without_a_hint_asks_the_person(rp: RelyingParty, anna: str, method: str) -> None:
    tokens = rp.tokens()
    asked = end_session(
        rp.browser, method, client_id="portal", post_logout_redirect_uri=RETURN, state="the-state"
    )
    page = rp.follow(asked)
    assert "<strong>Portalen</strong>" in page.text
    assert "form-action 'self' https://portal.example.se" in page.headers["Content-Security-Policy"]
    assert rp.userinfo(tokens.access_token).status_code == 200  # not before the answer
    response = rp.submit(page)
    assert response.headers["Location"] == RETURN + "?state=the-state"
    assert forget_cookie(response)
    assert rp.userinfo(tokens.access_token).status_code == 401


def test_a_hint_of_another_person_asks(rp: RelyingParty, app: Flask, anna: str) -> None:
    with app.app_context():
        make_user(email="bertil@example.se", name="Bertil Ek")
    elsewhere = RelyingParty(app, app.test_client())
    theirs = elsewhere.exchange(elsewhere.code(email="bertil@example.se"))
    mine = rp.tokens()
    asked = end_session(rp.browser, id_token_hint=theirs.id_token, post_logout_redirect_uri=RETURN)
    assert asked.headers["Location"].startswith("/logout?state=")
    assert rp.userinfo(mine.access_token).status_code == 200
    assert elsewhere.userinfo(theirs.access_token).status_code == 200


def post_from_another_site(app: Flask, **parameters: str) -> str:
    """Where a POST without our SameSite cookies leads the browser, which has them there."""
    return end_session(app.test_client(), "POST", **parameters).headers["Location"]


def test_a_post_from_another_site_ends_the_session_of_now(rp: RelyingParty, app: Flask, anna: str) -> None:
    first = rp.tokens()
    assert is_done(end_session(rp.browser, id_token_hint=first.id_token))
    rp.tokens()  # another session of the same person, whom the older hint names too
    valid = {"id_token_hint": first.id_token, "post_logout_redirect_uri": RETURN, "state": "s"}
    response = rp.browser.get(post_from_another_site(app, **valid), **HTTPS)
    assert response.headers["Location"] == f"{RETURN}?state=s"
    assert forget_cookie(response)
    assert not is_live(rp)


def test_a_post_from_another_site_with_a_hint_of_another_person_asks(
    rp: RelyingParty, app: Flask, anna: str
) -> None:
    with app.app_context():
        make_user(email="bertil@example.se", name="Bertil Ek")
    elsewhere = RelyingParty(app, app.test_client())
    theirs = elsewhere.exchange(elsewhere.code(email="bertil@example.se"))
    rp.tokens()
    page = rp.browser.get(post_from_another_site(app, id_token_hint=theirs.id_token), **HTTPS)
    assert 'id="logout-confirm"' in rp.follow(page).text
    assert is_live(rp)
    assert is_live(elsewhere)


@pytest.mark.parametrize("later", [0, 601])
def test_a_posted_request_is_signed_and_goes_on_for_ten_minutes(
    clock: time_machine.Traveller, rp: RelyingParty, app: Flask, anna: str, later: int
) -> None:
    location = post_from_another_site(app, id_token_hint=rp.tokens().id_token)
    clock.shift(later)
    # Not the last letter, some of whose bits count for nothing.
    changed = location[:-9] + ("A" if location[-9] != "A" else "B") + location[-8:]
    for broken in (changed, "/end_session/posted", *([location] if later else [])):
        assert 'id="logout-confirm"' in rp.follow(rp.browser.get(broken, **HTTPS)).text
    assert is_live(rp)


def test_a_post_without_cookies_ends_the_session_that_the_hint_names(
    rp: RelyingParty, app: Flask, anna: str
) -> None:
    tokens = rp.tokens()
    location = post_from_another_site(app, id_token_hint=tokens.id_token, post_logout_redirect_uri=RETURN)
    assert is_live(rp)  # the POST alone decides nothing
    assert app.test_client().get(location, **HTTPS).headers["Location"] == RETURN
    assert not is_live(rp)
    assert rp.userinfo(tokens.access_token).status_code == 401


def test_a_get_without_cookies_ends_nobodys_session(rp: RelyingParty, app: Flask, anna: str) -> None:
    tokens = rp.tokens()
    end_session(app.test_client(), id_token_hint=tokens.id_token)
    assert is_live(rp)


@on_sqlite_only
def test_a_logout_without_a_session_is_done_at_once(browser: FlaskClient, rp: RelyingParty) -> None:
    assert is_done(end_session(browser))
    assert is_done(end_session(browser, state="only a state"))
    assert is_done(end_session(browser, client_id="portal"))
    response = end_session(browser, client_id="portal", post_logout_redirect_uri=RETURN, state="s")
    assert response.headers["Location"] == RETURN + "?state=s"
    posted = end_session(browser, "POST", client_id="portal", post_logout_redirect_uri=RETURN)
    assert rp.follow(posted).headers["Location"] == RETURN


def test_the_confirmation_needs_its_own_form(rp: RelyingParty, app: Flask, anna: str) -> None:
    rp.code()
    page = rp.browser.get("/logout", **HTTPS)
    forged = rp.browser.post("/logout", data={"state": ""}, **HTTPS)
    assert (forged.status_code, 'id="error-page"' in forged.text) == (400, True)
    thief = app.test_client()
    foreign = RelyingParty(app, thief).submit(page)  # the token of another browser's page
    assert foreign.status_code == 400
    assert is_live(rp)
    assert is_done(rp.submit(page))
    assert not is_live(rp)


def test_a_tampered_state_leads_nowhere(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str, subtests: pytest.Subtests
) -> None:
    rp.code()
    asked = end_session(rp.browser, client_id="portal", post_logout_redirect_uri=RETURN)
    state = asked.headers["Location"].split("state=")[1]
    payload, stamp, signature = state.split(".")
    evil = base64url(b'{"client_id":"portal","return_to":"https://evil.example/"}')
    for tampered in (f"{evil}.{stamp}.{signature}", f"{payload}.{stamp}.x", state[:-2], "x", "", "\x00", "å"):
        with subtests.test(tampered[:20]):
            page = rp.browser.get(f"/logout?{urlencode({'state': tampered})}", **HTTPS)
            assert 'id="logout-confirm"' in page.text
            assert is_done(rp.submit(page, state=tampered))
            rp.code()
    clock.shift(3601)
    rp.code()
    stale = rp.browser.get(f"/logout?state={state}", **HTTPS)
    assert is_done(rp.submit(stale))


def test_a_client_removed_after_a_post_from_another_site_leads_nowhere(
    rp: RelyingParty, app: Flask, clients_file: Path, anna: str
) -> None:
    location = post_from_another_site(
        app, id_token_hint=rp.tokens().id_token, post_logout_redirect_uri=RETURN
    )
    content = yaml.safe_load(clients_file.read_text())
    del content["clients"]["portal"]
    clients_file.write_text(yaml.safe_dump(content))
    PROVIDER.of(app).clients.refresh()
    assert 'id="logout-confirm"' in rp.follow(rp.browser.get(location, **HTTPS)).text


def test_a_client_removed_meanwhile_does_not_keep_the_person_logged_in(
    rp: RelyingParty, app: Flask, clients_file: Path, anna: str
) -> None:
    rp.code()
    other = RelyingParty(app, rp.browser, "other", "https://other.example.se/cb")
    page = rp.follow(end_session(rp.browser, client_id="portal", post_logout_redirect_uri=RETURN))
    content = yaml.safe_load(clients_file.read_text())
    del content["clients"]["portal"]
    clients_file.write_text(yaml.safe_dump(content))
    PROVIDER.of(app).clients.refresh()
    assert is_done(rp.submit(page))  # and not back to where nothing is registered any more
    assert not is_live(other)


@on_sqlite_only
def test_a_head_request_ends_nothing(rp: RelyingParty, anna: str) -> None:
    hint = rp.tokens().id_token
    assert rp.browser.head("/end_session", query_string={"id_token_hint": hint}, **HTTPS).status_code == 405
    assert is_live(rp)


def test_methods_but_get_and_post_are_refused(browser: FlaskClient) -> None:
    for path in ("/end_session", "/logout"):
        answer = browser.put(path, **HTTPS)
        assert answer.status_code == 405
        assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))
