"""The token endpoint exchanges a code once for its client (RFC 6749 §4.1.3, RFC 7636 §4.6, RFC 9700 §4.5)."""

from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict

from idp.audit import Event, newest
from idp.db import db
from idp.oidc.models import AccessToken, Grant
from idp.tokens import sha256_hex
from tests.factories import SECRET, make_client, make_public_client
from tests.fakes.relying_party import HTTPS, VERIFIER, RelyingParty, basic_value

FORM = "application/x-www-form-urlencoded"
AUTHORIZED = {"Authorization": "Basic " + basic_value("portal", SECRET)}
on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(redirect_uris=["https://portal.example.se/cb", "https://portal.example.se/2"]),
        "other": make_client(redirect_uris=["https://portal.example.se/cb"]),
        "spa": make_public_client(redirect_uris=["https://spa.example.se/cb"]),
        "old": make_client(redirect_uris=["https://old.example.se/cb"], require_pkce=False),
    }


def test_the_answer_is_what_rfc_6749_says(rp: RelyingParty, anna: str) -> None:
    answer = rp.tokens()
    assert set(answer.body) == {"access_token", "token_type", "expires_in", "scope", "id_token"}
    assert (answer.body["token_type"], answer.body["expires_in"]) == ("Bearer", 600)
    assert answer.body["scope"] == "openid profile email"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert "Set-Cookie" not in answer.headers


def test_an_exchange_with_one_thing_wrong_is_refused_and_spends_nothing(
    rp: RelyingParty, anna: str, subtests: pytest.Subtests
) -> None:
    code = rp.code()
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "unknown code": ({"code": "x" * 43}, "invalid_grant"),
        "code in another case": ({"code": code.swapcase()}, "invalid_grant"),
        "code with a space": ({"code": code + " "}, "invalid_grant"),
        "code with a NUL": ({"code": code + "\x00"}, "invalid_request"),
        "no code": ({"code": None}, "invalid_request"),
        "empty code": ({"code": ""}, "invalid_request"),
        "other redirect_uri of the client": (
            {"redirect_uri": "https://portal.example.se/2"},
            "invalid_grant",
        ),
        "redirect_uri with a slash": ({"redirect_uri": "https://portal.example.se/cb/"}, "invalid_grant"),
        "no redirect_uri": ({"redirect_uri": None}, "invalid_request"),
        "other client": ({"basic": ("other", SECRET)}, "invalid_grant"),
        "wrong verifier": ({"code_verifier": "w" * 43}, "invalid_grant"),
        "verifier in another case": ({"code_verifier": VERIFIER.upper()}, "invalid_grant"),
        "no verifier": ({"code_verifier": None}, "invalid_request"),
        "empty verifier": ({"code_verifier": ""}, "invalid_request"),
        "short verifier": ({"code_verifier": "v" * 42}, "invalid_request"),
        "long verifier": ({"code_verifier": "v" * 129}, "invalid_request"),
        "verifier of other characters": ({"code_verifier": "å" * 43}, "invalid_request"),
        "no grant_type": ({"grant_type": None}, "invalid_request"),
        "empty grant_type": ({"grant_type": ""}, "invalid_request"),
        "grant_type password": ({"grant_type": "password"}, "unsupported_grant_type"),
        "grant_type refresh_token": ({"grant_type": "refresh_token"}, "unauthorized_client"),
        "grant_type client_credentials": ({"grant_type": "client_credentials"}, "unauthorized_client"),
        "grant_type not ASCII": ({"grant_type": "åäö\u2028<b>"}, "unsupported_grant_type"),
        "grant_type with a NUL": ({"grant_type": "authorization_code\x00"}, "invalid_request"),
    }
    for name, (changes, error) in cases.items():
        with subtests.test(name):
            answer = rp.exchange(**{"code": code, **changes})
            assert (answer.status, answer.error) == (400, error)
            assert set(answer.body) == {"error", "error_description"}
            assert answer.body["error_description"].isascii()
            assert answer.headers["Cache-Control"] == "no-store"
    assert rp.exchange(code).status == 200


@on_sqlite_only
def test_only_known_parameters_may_not_come_twice(app: Flask, rp: RelyingParty, anna: str) -> None:
    valid = {"grant_type": "authorization_code", "redirect_uri": rp.redirect_uri, "code_verifier": VERIFIER}
    for twice, status in (("redirect_uri", 400), ("resource", 200)):
        form = MultiDict({**valid, "code": rp.code()})
        for value in (rp.redirect_uri, rp.redirect_uri):
            form.add(twice, value)
        answer = app.test_client().post("/token", data=form, headers=AUTHORIZED, **HTTPS)
        assert answer.status_code == status, answer.text


def test_a_code_lives_for_sixty_seconds(clock: time_machine.Traveller, rp: RelyingParty, anna: str) -> None:
    first, second = rp.code(), rp.code()
    clock.shift(59)
    assert rp.exchange(first).status == 200
    clock.shift(1)
    assert rp.exchange(second).error == "invalid_grant"


def test_a_code_works_once_and_its_replay_ends_what_it_gave(rp: RelyingParty, app: Flask, anna: str) -> None:
    code = rp.code()
    tokens = rp.exchange(code)
    bystander = rp.tokens()
    assert rp.userinfo(tokens.access_token).status_code == 200
    assert rp.exchange(code).error == "invalid_grant"
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert rp.exchange(code).error == "invalid_grant"
    assert rp.userinfo(bystander.access_token).status_code == 200
    with app.app_context():
        assert len(newest(10, event=Event.CODE_REPLAYED)) >= 1


def test_a_replay_that_is_late_or_has_a_wrong_verifier_counts_too(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str
) -> None:
    for seconds, changes in ((300, {}), (0, {"code_verifier": "w" * 43})):
        code = rp.code()
        tokens = rp.exchange(code)
        clock.shift(seconds)
        assert rp.userinfo(tokens.access_token).status_code == 200
        assert rp.exchange(code, **changes).error == "invalid_grant"
        assert rp.userinfo(tokens.access_token).status_code == 401


def test_another_client_can_neither_use_a_code_nor_end_what_it_gave(rp: RelyingParty, anna: str) -> None:
    code = rp.code()
    assert rp.exchange(code, basic=("other", SECRET)).error == "invalid_grant"
    tokens = rp.exchange(code)
    assert tokens.status == 200
    assert rp.exchange(code, basic=("other", SECRET)).error == "invalid_grant"
    assert rp.userinfo(tokens.access_token).status_code == 200


def test_a_verifier_needs_a_challenge_and_a_challenge_a_verifier(app: Flask, anna: str) -> None:
    old = RelyingParty(app, app.test_client(), "old", "https://old.example.se/cb")
    bare = old.code(code_challenge=None, code_challenge_method=None)
    assert old.exchange(bare).error == "invalid_grant"  # a verifier for nothing (RFC 9700 §4.8.2)
    assert old.exchange(bare, code_verifier=None).status == 200
    challenged = old.code()
    assert old.exchange(challenged, code_verifier=None).error == "invalid_grant"
    assert old.exchange(challenged).status == 200


def test_a_public_client_is_bound_by_its_challenge(app: Flask, anna: str) -> None:
    spa = RelyingParty(app, app.test_client(), "spa", "https://spa.example.se/cb", None)
    code = spa.code()
    assert spa.exchange(code, code_verifier="w" * 43).error == "invalid_grant"
    assert spa.exchange(code, client_id="portal").error == "invalid_client"
    assert spa.exchange(code).status == 200


def test_codes_and_tokens_are_stored_as_hashes(rp: RelyingParty, app: Flask, anna: str) -> None:
    code = rp.code()
    tokens = rp.exchange(code)
    with app.app_context():
        grant = db.session.scalars(sa.select(Grant)).one()
        token = db.session.scalars(sa.select(AccessToken)).one()
        assert grant.code_hash == sha256_hex(code)
        assert token.token_hash == sha256_hex(tokens.access_token)
        assert token.grant_id == grant.id


@on_sqlite_only
def test_only_a_posted_form_is_read(browser: FlaskClient) -> None:
    valid = {
        "grant_type": "authorization_code",
        "code": "x" * 43,
        "redirect_uri": "https://portal.example.se/cb",
        "code_verifier": VERIFIER,
    }
    posted = browser.post("/token", data=valid, headers=AUTHORIZED, **HTTPS)
    assert posted.get_json()["error"] == "invalid_grant"  # valid but for the code
    in_query = browser.post("/token", query_string=valid, headers=AUTHORIZED, **HTTPS)
    assert (in_query.status_code, in_query.get_json()["error"]) == (400, "invalid_request")
    in_json = browser.post("/token", json=valid, headers=AUTHORIZED, **HTTPS)
    assert (in_json.status_code, in_json.get_json()["error"]) == (400, "invalid_request")
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = browser.open("/token", method=method, query_string=valid, headers=AUTHORIZED, **HTTPS)
        assert answer.status_code == 405
        assert set(answer.headers["Allow"].replace(" ", "").split(",")) == {"POST", "OPTIONS"}
        assert answer.get_json()["error"] == "invalid_request"


@on_sqlite_only
def test_malformed_bodies_are_refused(browser: FlaskClient, subtests: pytest.Subtests) -> None:
    start = (
        f"grant_type=authorization_code&redirect_uri=https://portal.example.se/cb&code_verifier={VERIFIER}"
    )
    cases: dict[str, tuple[bytes, int, str]] = {
        "duplicate code": (f"{start}&code=a&code=a".encode(), 400, "invalid_request"),
        "duplicate grant_type": (f"{start}&code=a&grant_type=x".encode(), 400, "invalid_request"),
        "duplicate, one empty": (f"{start}&code=&code=a".encode(), 400, "invalid_request"),
        "not UTF-8": (f"{start}&code=".encode() + b"\xff\xfe", 400, "invalid_request"),
        "not UTF-8, encoded": (f"{start}&code=%FF%FE".encode(), 400, "invalid_request"),
        "empty": (b"", 400, "invalid_request"),
        "only separators": (b"&&&===&", 400, "invalid_request"),
        "100 kB": (f"{start}&code={'a' * 100_000}".encode(), 413, "invalid_request"),
        "1000 parameters": (f"{start}&code=a&{'&'.join(f'p{i}=1' for i in range(1000))}".encode(), 400, ""),
    }
    for name, (body, status, error) in cases.items():
        with subtests.test(name):
            answer = browser.post("/token", data=body, content_type=FORM, headers=AUTHORIZED, **HTTPS)
            assert answer.status_code == status
            assert answer.content_type == "application/json"
            assert answer.headers["Cache-Control"] == "no-store"
            found = answer.get_json()["error"]
            assert found == error or (not error and found in ("invalid_request", "invalid_grant"))
