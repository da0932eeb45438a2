"""A pushed authorization request is checked at once and used up by one response (RFC 9126)."""

import re
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.clock import utcnow
from idp.db import db
from idp.oidc.models import Grant, PushedRequest
from idp.oidc.retention import EXPIRED_ROWS
from idp.retention import remove
from idp.tokens import sha256_hex
from tests.factories import PASSWORD, SECRET, make_client
from tests.fakes.relying_party import HTTPS, RelyingParty, basic_value

OWN = r'name="csrf_token" value="[^"]*"|request_uri%3A[\w-]+'  # what differs from one visit to another
URN = "urn:ietf:params:oauth:request_uri:"


@pytest.fixture
def clients(clients: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    clients["strict"] = make_client(
        require_pushed_authorization_requests=True, redirect_uris=["https://strict.example.se/cb"]
    )
    return clients


def post(rp: RelyingParty, form: Any, *, headers: dict[str, str] | None = None) -> TestResponse:
    sent = {"Authorization": "Basic " + basic_value(rp.client_id, rp.secret or "")} if rp.secret else {}
    return rp.app.test_client().post("/par", data=form, headers=sent if headers is None else headers, **HTTPS)


def push(rp: RelyingParty, **changes: Any) -> TestResponse:
    return post(rp, rp.parameters(**changes))


def pushed(rp: RelyingParty, **changes: Any) -> str:
    answer = push(rp, **changes)
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["request_uri"])


def arrive(
    rp: RelyingParty, request_uri: str, browser: FlaskClient | None = None, **extra: str
) -> TestResponse:
    query = {"client_id": rp.client_id, "request_uri": request_uri, **extra}
    return (browser or rp.browser).get("/authorize", query_string=query, **HTTPS)


def log_in(rp: RelyingParty, page: TestResponse) -> TestResponse:
    return rp.follow(rp.submit(rp.follow(page), email="anna@example.se", password=PASSWORD))


def test_a_pushed_request_ends_in_tokens(rp: RelyingParty, anna: str) -> None:
    answer = push(rp)
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.get_json().keys() == {"request_uri", "expires_in"}
    assert answer.get_json()["expires_in"] == 60
    found = rp.answer(log_in(rp, arrive(rp, answer.get_json()["request_uri"])))
    assert found["state"] == "the-state"
    assert rp.exchange(found["code"]).status == 200


def test_the_request_uri_is_long_and_its_hash_alone_is_kept(rp: RelyingParty) -> None:
    request_uri = pushed(rp)
    assert request_uri.startswith(URN)
    assert len(request_uri.removeprefix(URN)) >= 43
    with rp.app.app_context():
        row = db.session.scalars(sa.select(PushedRequest)).one()
        assert row.request_hash == sha256_hex(request_uri)
        assert "client_secret" not in row.parameters


def test_parameters_beside_the_request_uri_do_not_count(rp: RelyingParty, anna: str) -> None:
    response = arrive(rp, pushed(rp), state="other", redirect_uri="https://evil.example/", prompt="none")
    assert rp.answer(log_in(rp, response))["state"] == "the-state"


@pytest.mark.parametrize("method", ["client_secret_post", "none"])
def test_clients_authenticate_as_they_do_for_tokens(app: Flask, browser: FlaskClient, method: str) -> None:
    if method == "none":
        spa = RelyingParty(app, browser, "spa", "https://spa.example.se/cb", secret=None)
        assert push(spa).status_code == 201
        assert post(spa, {**spa.parameters(), "client_secret": SECRET}).status_code == 401
    else:
        portal = RelyingParty(app, browser)
        answer = post(portal, {**portal.parameters(), "client_secret": SECRET}, headers={})
        assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("secret", "headers"),
    [
        ("wrong", None),
        (SECRET, {}),
        (SECRET, {"Authorization": "Bearer x"}),
        (SECRET, {"Authorization": "Basic x"}),
    ],
)
def test_a_push_without_authentication_is_refused(
    rp: RelyingParty, secret: str, headers: dict[str, str] | None
) -> None:
    rp.secret = secret
    answer = post(rp, rp.parameters(), headers=headers)
    assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_client")
    assert "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"request_uri": URN + "x"}, "invalid_request"),
        ({"request_uri": "https://portal.example.se/r"}, "invalid_request"),
        ({"client_id": None}, "invalid_request"),
        ({"client_id": "spa"}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"scope": "email"}, "invalid_scope"),
        ({"scope": "openid https://id.oidc.se/scope/naturalPersonNumber"}, "invalid_scope"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"max_age": "x"}, "invalid_request"),
        ({"claims": "{"}, "invalid_request"),
        ({"nonce": "a\x00"}, "invalid_request"),
        ({"nonce": "n" * 8001}, "invalid_request"),
        ({"id_token_hint": "x"}, "invalid_request"),
        ({"registration": "{}"}, "registration_not_supported"),
        ({"request": "x"}, "invalid_request_object"),
    ],
)
def test_one_thing_changed_is_refused_in_json(rp: RelyingParty, changes: dict[str, Any], error: str) -> None:
    answer = push(rp, **changes)
    assert (answer.status_code, answer.get_json()["error"]) == (400, error)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.get_json()["error_description"].isascii()
    with rp.app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(PushedRequest)) == 0


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "scope", "state", "nonce", "claims"])
def test_a_parameter_given_twice_is_refused(rp: RelyingParty, name: str) -> None:
    form = {**rp.parameters(), "claims": "{}"}
    answer = post(rp, {**form, name: [form[name], form[name]]})
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_request")


def test_other_methods_and_forms_are_answered_in_json(rp: RelyingParty) -> None:
    assert rp.browser.get("/par", **HTTPS).status_code == 405
    assert post(rp, b"\xff\xfe=%ff&client_id=%ff").status_code in (400, 401)
    assert post(rp, {}).get_json()["error"] == "invalid_request"


def test_a_head_request_uses_nothing_up(rp: RelyingParty, anna: str) -> None:
    rp.code()
    asked = {"client_id": "portal", "request_uri": pushed(rp)}
    head = rp.browser.head("/authorize", query_string=asked, **HTTPS)
    assert (head.status_code, "code" in head.headers["Location"]) == (303, False)
    assert "code" in rp.answer(rp.browser.get("/authorize", query_string=asked, **HTTPS))


def test_another_clients_request_uri_is_as_unknown_as_one_never_made(rp: RelyingParty, anna: str) -> None:
    spa = RelyingParty(rp.app, rp.browser, "spa", "https://spa.example.se/cb", secret=None)
    foreign, unknown = arrive(spa, pushed(rp)), arrive(spa, URN + "A" * 43)
    assert foreign.status_code == unknown.status_code == 400
    own = f'{OWN}|<code id="error-reference">[^<]*'
    assert re.sub(own, "", foreign.text) == re.sub(own, "", unknown.text)


def test_a_pushed_request_must_arrive_within_a_minute(rp: RelyingParty, anna: str, clock: Any) -> None:
    first, second = pushed(rp), pushed(rp)
    clock.shift(59)
    assert arrive(rp, first).status_code == 303
    clock.shift(1)
    assert arrive(rp, second).status_code == 400


def test_a_login_begun_in_time_may_take_its_own(rp: RelyingParty, anna: str, clock: Any) -> None:
    page = rp.follow(arrive(rp, pushed(rp)))
    clock.shift(300)
    with rp.app.app_context():
        for expired in EXPIRED_ROWS:
            list(remove(expired, now=utcnow()))
    assert "code" in rp.answer(rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD)))


def test_the_login_page_may_be_seen_again_but_the_response_is_one(rp: RelyingParty, anna: str) -> None:
    request_uri = pushed(rp)
    rp.follow(arrive(rp, request_uri))
    page = rp.follow(arrive(rp, request_uri))
    assert "code" in rp.answer(rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD)))
    assert arrive(rp, request_uri).status_code == 400
    with rp.app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(Grant)) == 1


def test_two_browsers_with_one_request_get_one_response(rp: RelyingParty, anna: str) -> None:
    request_uri = pushed(rp)
    other = RelyingParty(rp.app, rp.app.test_client())
    pages = [party.follow(arrive(party, request_uri)) for party in (rp, other)]
    fields = {"email": "anna@example.se", "password": PASSWORD}
    assert "code" in rp.answer(rp.follow(rp.submit(pages[0], **fields)))
    late = other.follow(other.submit(pages[1], **fields))
    assert late.status_code == 400
    with rp.app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(Grant)) == 1


def test_a_silent_answer_uses_the_request_up_too(rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    request_uri = pushed(rp, prompt="none")
    assert "code" in rp.answer(arrive(rp, request_uri))
    assert arrive(rp, request_uri).status_code == 400


def test_an_error_uses_the_request_up_too(rp: RelyingParty, anna: str) -> None:
    request_uri = pushed(rp, prompt="none")
    assert rp.answer(arrive(rp, request_uri))["error"] == "login_required"
    assert arrive(rp, request_uri).status_code == 400


def test_giving_up_uses_the_request_up_too(rp: RelyingParty, anna: str) -> None:
    request_uri = pushed(rp)
    waiting = arrive(rp, request_uri)
    uid = waiting.headers["Location"].split("?")[0].rsplit("/", 1)[1]
    cancelled = rp.browser.get(f"/authorize/{uid}?cancel=1", **HTTPS)
    assert rp.answer(cancelled)["error"] == "access_denied"
    assert arrive(rp, request_uri).status_code == 400


def test_a_posted_arrival_does_as_well(rp: RelyingParty, anna: str) -> None:
    form = {"client_id": rp.client_id, "request_uri": pushed(rp)}
    response = rp.browser.post("/authorize", data=form, **HTTPS)
    assert "code" in rp.answer(log_in(rp, response))


def test_a_client_that_must_push_is_refused_otherwise(app: Flask, browser: FlaskClient, anna: str) -> None:
    strict = RelyingParty(app, browser, "strict", "https://strict.example.se/cb")
    found = strict.answer(strict.authorize())
    assert (found["error"], found["state"]) == ("invalid_request", "the-state")
    assert "code" in strict.answer(log_in(strict, arrive(strict, pushed(strict))))


def test_a_browser_cannot_name_a_pushed_request_as_its_own(rp: RelyingParty, anna: str) -> None:
    request_uri = pushed(rp)
    page = rp.follow(rp.authorize(pushed=sha256_hex(request_uri)))
    rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD))
    assert arrive(rp, request_uri).status_code == 303  # not used up
