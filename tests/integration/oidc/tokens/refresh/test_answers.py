"""Clients with offline_access get refresh tokens and use them (RFC 6749 §6)."""

from typing import Any

import pytest
import time_machine
from flask import Flask

from idp.tokens import sha256_hex
from tests.factories import SECRET
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.oidc.tokens.refresh.refreshing import (
    SCOPE,
    access_tokens,
    claims_of,
    log_in,
    on_sqlite_only,
)


def test_only_offline_access_and_the_grant_type_give_a_refresh_token(
    rp: RelyingParty, app: Flask, anna: str
) -> None:
    assert log_in(rp).refresh_token
    assert "refresh_token" not in log_in(rp, scope="openid profile").body
    bare = RelyingParty(app, rp.browser, "bare", "https://bare.example.se/cb")
    answer = log_in(bare)
    assert "refresh_token" not in answer.body
    assert answer.body["scope"] == "openid profile email"
    assert bare.refresh(log_in(rp).refresh_token).error == "unauthorized_client"


def test_consent_covers_offline_access(app: Flask, anna: str) -> None:
    strict = RelyingParty(app, app.test_client(), "strict", "https://strict.example.se/cb")
    page = strict.log_in(scope=SCOPE)
    assert "consent-allow" in page.text
    code = strict.answer(strict.follow(strict.submit(page, answer="allow")))["code"]
    assert strict.exchange(code).refresh_token
    assert log_in(strict).refresh_token  # remembered


def test_the_answer_to_a_confidential_client(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str
) -> None:
    first = log_in(rp)
    clock.shift(3600)
    second = rp.refresh(first.refresh_token)
    assert set(second.body) == {
        *("access_token", "token_type", "expires_in", "scope", "id_token", "refresh_token"),
    }
    assert second.refresh_token == first.refresh_token  # it does not rotate
    assert second.access_token != first.access_token
    assert second.headers["Cache-Control"] == "no-store"
    assert rp.userinfo(second.access_token).get_json()["email"] == "anna@example.se"
    assert rp.refresh(first.refresh_token).status == 200


def test_the_id_token_tells_of_the_same_login(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str
) -> None:
    first = log_in(rp)
    clock.shift(3600)
    again = rp.refresh(first.refresh_token)
    before, after = claims_of(first.id_token), claims_of(again.id_token)
    for name in ("iss", "sub", "aud", "auth_time", "acr", "amr", "sid"):
        assert before[name] == after[name]
    assert after["iat"] == before["iat"] + 3600
    assert after["exp"] == after["iat"] + 300
    assert after["at_hash"] != before["at_hash"]
    assert "nonce" in before
    assert "nonce" not in after  # OIDC Core §12.2


def test_a_refresh_with_one_thing_wrong_is_refused(
    rp: RelyingParty, app: Flask, anna: str, subtests: pytest.Subtests
) -> None:
    tokens = log_in(rp)
    token = tokens.refresh_token
    before = access_tokens(app)
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "no token": ({"refresh_token": None}, "invalid_request"),
        "empty token": ({"refresh_token": ""}, "invalid_request"),
        "unknown token": ({"refresh_token": "x" * 43}, "invalid_grant"),
        "cut token": ({"refresh_token": token[:-1]}, "invalid_grant"),
        "longer token": ({"refresh_token": token + "A"}, "invalid_grant"),
        "another case": ({"refresh_token": token.swapcase()}, "invalid_grant"),
        "not ASCII": ({"refresh_token": "å" * 43}, "invalid_grant"),
        "long": ({"refresh_token": "x" * 20_000}, "invalid_grant"),
        "NUL": ({"refresh_token": token + "\x00"}, "invalid_request"),
        "its hash": ({"refresh_token": sha256_hex(token)}, "invalid_grant"),
        "an access token": ({"refresh_token": tokens.access_token}, "invalid_grant"),
        "an ID token": ({"refresh_token": tokens.id_token}, "invalid_grant"),
        "a code": ({"refresh_token": rp.code(scope=SCOPE)}, "invalid_grant"),
        "another client": ({"basic": ("other", SECRET)}, "invalid_grant"),
        "wrong secret": ({"basic": ("portal", "wrong")}, "invalid_client"),
        "no client": ({"basic": None}, "invalid_client"),
        "wider scope": ({"scope": SCOPE + " phone"}, "invalid_scope"),
        "unknown scope": ({"scope": "openid secrets"}, "invalid_scope"),
        "as a code": ({"grant_type": "authorization_code"}, "invalid_request"),
    }
    for name, (changes, error) in cases.items():
        with subtests.test(name):
            answer = rp.refresh(**{"refresh_token": token, **changes})
            assert (answer.status, answer.error) == (401 if error == "invalid_client" else 400, error)
            assert set(answer.body) == {"error", "error_description"}
            assert answer.body["error_description"].isascii()
            assert access_tokens(app) == before, "one that nobody is told is not kept"
    assert rp.refresh(token).status == 200  # none of them spent or ended it


@on_sqlite_only
def test_a_doubled_parameter_is_refused(rp: RelyingParty, app: Flask, anna: str) -> None:
    token = log_in(rp).refresh_token
    body = f"grant_type=refresh_token&refresh_token={token}&refresh_token={token}"
    form = "application/x-www-form-urlencoded"
    answer = app.test_client().post("/token", data=body, content_type=form, **HTTPS)
    assert answer.get_json()["error"] == "invalid_request"


def test_the_scope_may_be_narrowed_for_one_answer(rp: RelyingParty, app: Flask, anna: str) -> None:
    token = log_in(rp).refresh_token
    narrow = rp.refresh(token, scope="openid")
    assert narrow.body["scope"] == "openid"
    assert (sha256_hex(narrow.access_token), "openid") in access_tokens(app)
    assert rp.introspect(narrow.access_token).get_json()["scope"] == "openid"
    assert set(rp.userinfo(narrow.access_token).get_json()) == {"sub"}
    bare = rp.refresh(token, scope="email")
    assert "id_token" not in bare.body
    refused = rp.userinfo(bare.access_token)
    assert (refused.status_code, refused.get_json()["error"]) == (403, "insufficient_scope")
    assert rp.refresh(token).body["scope"] == SCOPE
