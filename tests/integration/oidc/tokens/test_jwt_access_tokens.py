"""Access tokens in JWT format are revocable all the same (RFC 9068)."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
import time_machine
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet

from idp.clock import utcnow
from idp.oidc.provider import PROVIDER
from tests.factories import NOON, make_client
from tests.fakes.relying_party import HTTPS, RelyingParty, Tokens

ISSUER = "https://login.example.se"
SCOPE = "openid email offline_access"


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    jwt_format = {
        "scope": SCOPE,
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "access_token_format": "jwt",
    }
    return {
        "portal": make_client(**jwt_format),
        "curve": make_client(**jwt_format, id_token_signed_response_alg="ES256"),
    }


@pytest.fixture
def tokens(clock: time_machine.Traveller, rp: RelyingParty, anna: str) -> Tokens:
    return rp.tokens(scope=SCOPE)


def decoded(rp: RelyingParty, token: str, alg: str = "RS256") -> jwt.Token:
    keys = KeySet.import_key_set(rp.browser.get("/jwks", **HTTPS).get_json())
    return jwt.decode(token, keys, algorithms=[alg])


@pytest.mark.parametrize(("client_id", "alg"), [("portal", "RS256"), ("curve", "ES256")])
def test_the_claims_of_a_jwt_access_token(
    clock: time_machine.Traveller, app: Flask, anna: str, client_id: str, alg: str
) -> None:
    rp = RelyingParty(app, app.test_client(), client_id)
    token = decoded(rp, rp.tokens(scope=SCOPE).access_token, alg)
    noon = int(NOON.timestamp())
    assert (token.header["typ"], token.header["alg"]) == ("at+jwt", alg)
    assert len(token.claims.pop("jti")) == 64
    assert token.claims == {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": anna,
        "client_id": client_id,
        "scope": SCOPE,
        "iat": noon,
        "exp": noon + 600,
        "auth_time": noon,
        "acr": f"{ISSUER}/acr/password",
        "amr": ["pwd"],
    }


def test_a_jwt_access_token_opens_userinfo_until_it_ends(
    clock: time_machine.Traveller, rp: RelyingParty, tokens: Tokens
) -> None:
    assert rp.userinfo(tokens.access_token).get_json()["email"] == "anna@example.se"
    refreshed = rp.refresh(tokens.refresh_token, scope="openid")
    assert decoded(rp, refreshed.access_token).claims["scope"] == "openid"
    assert set(rp.userinfo(refreshed.access_token).get_json()) == {"sub"}
    clock.shift(600)
    assert rp.userinfo(tokens.access_token).status_code == 401


def test_a_jwt_access_token_ends_with_its_session(rp: RelyingParty, anna: str) -> None:
    token = rp.tokens(scope="openid").access_token
    page = rp.browser.get("/logout", **HTTPS)
    assert rp.submit(page).status_code == 200
    assert rp.userinfo(token).status_code == 401


def test_a_jwt_access_token_for_the_client_itself(rp: RelyingParty, anna: str) -> None:
    token = rp.client_token().access_token
    claims = decoded(rp, token).claims
    assert (claims["sub"], claims["client_id"]) == ("portal", "portal")
    assert not claims.keys() & {"scope", "auth_time", "acr", "amr"}
    assert rp.introspect(token).get_json()["active"] is True
    assert rp.userinfo(token).status_code == 401


def test_a_jwt_that_is_not_our_access_token_opens_nothing(
    rp: RelyingParty, tokens: Tokens, app: Flask, subtests: pytest.Subtests
) -> None:
    header, payload, signature = tokens.access_token.split(".")
    claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    unsigned = urlsafe_b64encode(json.dumps({"alg": "none", "typ": "at+jwt", "kid": "x"}).encode())
    keys = PROVIDER.of(app).keys
    cases = {
        "its jti": claims["jti"],
        "an ID token": tokens.id_token,
        "signed as an ID token": keys.sign(claims, typ="JWT", now=utcnow()),
        "signed as a logout token": keys.sign(claims, typ="logout+jwt", now=utcnow()),
        "an unknown jti": keys.sign({**claims, "jti": "0" * 64}, typ="at+jwt", now=utcnow()),
        "no jti": keys.sign({"iss": ISSUER}, typ="at+jwt", now=utcnow()),
        "no signature": f"{header}.{payload}.",
        "another signature": f"{header}.{payload}.{signature[::-1]}",
        "alg none": f"{unsigned.decode().rstrip('=')}.{payload}.",
    }
    for name, token in cases.items():
        with subtests.test(name):
            assert rp.userinfo(token).status_code == 401
            assert rp.introspect(token).get_json() == {"active": False}
    assert rp.userinfo(tokens.access_token).status_code == 200


def test_a_jwt_access_token_is_no_id_token_hint(rp: RelyingParty, tokens: Tokens) -> None:
    answer = rp.answer(rp.authorize(scope="openid", prompt="none", id_token_hint=tokens.access_token))
    assert answer["error"] == "invalid_request"
