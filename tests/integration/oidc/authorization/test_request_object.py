"""Request objects work in the browser's request and in pushed ones, by keys registered in clients.yaml."""

import time
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from joserfc.jwk import ECKey
from werkzeug.test import TestResponse

from tests.conftest import ISSUER
from tests.factories import PASSWORD, SECRET, make_client
from tests.fakes.relying_party import HTTPS, RelyingParty, basic_value
from tests.fakes.request_objects import JWKS, sign, unsigned


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(jwks=JWKS),
        "strict": make_client(jwks=JWKS, require_signed_request_object=True),
        "keyless": make_client(),
    }


def signed(rp: RelyingParty, **changes: Any) -> str:
    """A valid request object; `changes` to its members, None leaves one out."""
    facts = {"iss": rp.client_id, "aud": ISSUER, "exp": int(time.time()) + 60, **rp.parameters(), **changes}
    return sign({name: value for name, value in facts.items() if value is not None})


def arrive(rp: RelyingParty, request: str, **beside: str) -> TestResponse:
    query = {"client_id": rp.client_id, "request": request, **beside}
    return rp.browser.get("/authorize", query_string=query, **HTTPS)


def log_in(rp: RelyingParty, response: TestResponse) -> dict[str, str]:
    page = rp.follow(response)
    return rp.answer(rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD)))


def push(rp: RelyingParty, request: str) -> TestResponse:
    return rp.app.test_client().post(
        "/par",
        data={"client_id": rp.client_id, "request": request},
        headers={"Authorization": "Basic " + basic_value(rp.client_id, SECRET)},
        **HTTPS,
    )


def test_a_signed_request_ends_in_tokens(rp: RelyingParty, anna: str) -> None:
    found = log_in(rp, arrive(rp, signed(rp), state="other", scope="email"))
    assert (found["state"], found["iss"]) == ("the-state", ISSUER)
    assert rp.exchange(found["code"]).body["scope"] == "openid profile email"


def test_a_posted_request_object_ends_in_tokens(rp: RelyingParty, anna: str) -> None:
    form = {"client_id": rp.client_id, "request": signed(rp)}
    assert "code" in log_in(rp, rp.browser.post("/authorize", data=form, **HTTPS))


def test_a_login_may_take_longer_than_the_object_lives(rp: RelyingParty, anna: str, clock: Any) -> None:
    page = rp.follow(arrive(rp, signed(rp)))
    clock.shift(120)
    assert "code" in rp.answer(rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD)))


def test_a_signed_request_may_be_pushed(rp: RelyingParty, anna: str) -> None:
    answer = push(rp, signed(rp))
    assert answer.status_code == 201, answer.text
    query = {"client_id": rp.client_id, "request_uri": answer.get_json()["request_uri"]}
    assert "code" in log_in(rp, rp.browser.get("/authorize", query_string=query, **HTTPS))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "keyless"},
        {"aud": "https://else.example"},
        {"client_id": "keyless"},
        {"client_id": None},
        {"exp": 1},
        {"request_uri": "urn:ietf:params:oauth:request_uri:x"},
        {"request": "x"},
    ],
)
def test_one_claim_changed_is_refused(rp: RelyingParty, changes: dict[str, Any]) -> None:
    text = signed(rp, **changes)
    pushed = push(rp, text)
    assert (pushed.status_code, pushed.get_json()["error"]) == (400, "invalid_request_object")
    found = rp.answer(arrive(rp, text, redirect_uri=rp.redirect_uri, state="outside"))
    assert (found["error"], found["state"], found["iss"]) == ("invalid_request_object", "outside", ISSUER)


@pytest.mark.parametrize("redirect_uri", [None, "https://evil.example/"])
def test_a_bad_object_is_shown_here_when_nothing_says_where_else(
    rp: RelyingParty, redirect_uri: str | None
) -> None:
    beside = {"redirect_uri": redirect_uri} if redirect_uri else {}
    page = arrive(rp, signed(rp, aud="https://else.example"), **beside)
    assert page.status_code == 400
    assert "Location" not in page.headers
    assert "error-page" in page.text


def test_an_unregistered_redirect_uri_in_an_object_is_never_followed(rp: RelyingParty) -> None:
    page = arrive(rp, signed(rp, redirect_uri="https://evil.example/"), redirect_uri=rp.redirect_uri)
    assert page.status_code == 400
    assert "Location" not in page.headers


@pytest.mark.parametrize("kind", ["none", "foreign key"])
def test_an_object_that_the_client_did_not_sign_is_refused(rp: RelyingParty, kind: str) -> None:
    claims = {"iss": rp.client_id, "aud": ISSUER, **rp.parameters()}
    foreign = ECKey.generate_key("P-256", {"kid": "p256"})
    text = unsigned(claims) if kind == "none" else sign(claims, key=foreign)
    assert push(rp, text).get_json()["error"] == "invalid_request_object"


def test_a_client_without_keys_cannot_send_one(app: Flask, browser: FlaskClient) -> None:
    keyless = RelyingParty(app, browser, "keyless")
    assert push(keyless, signed(keyless)).get_json()["error"] == "invalid_request_object"


def test_a_client_that_must_sign_is_refused_otherwise(app: Flask, browser: FlaskClient, anna: str) -> None:
    strict = RelyingParty(app, browser, "strict")
    assert strict.answer(strict.authorize())["error"] == "invalid_request"
    unsigned_push = strict.app.test_client().post(
        "/par",
        data=strict.parameters(),
        headers={"Authorization": "Basic " + basic_value("strict", SECRET)},
        **HTTPS,
    )
    assert unsigned_push.get_json()["error"] == "invalid_request"
    assert "code" in log_in(strict, arrive(strict, signed(strict)))


@pytest.mark.parametrize("name", ["client_id", "request", "redirect_uri"])
def test_a_parameter_given_twice_is_refused(rp: RelyingParty, name: str) -> None:
    query = {"client_id": rp.client_id, "request": signed(rp), "redirect_uri": rp.redirect_uri}
    pairs = [*query.items(), (name, query[name])]
    response = rp.browser.get("/authorize", query_string=urlencode(pairs), **HTTPS)
    if name == "request":
        assert rp.answer(response)["error"] == "invalid_request"
    else:
        assert response.status_code == 400


def pairs_text(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in pairs)
