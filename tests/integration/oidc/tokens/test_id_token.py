"""An ID token holds the claims of the contract, signed by a published key (OIDC Core §2, §3.1.3.6)."""

import hashlib
from typing import Any

import pytest
import time_machine
from flask import Flask
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from idp.tokens import base64url
from tests.factories import NOON, make_client
from tests.fakes.relying_party import HTTPS, RelyingParty, Tokens

ISSUER = "https://login.example.se"
START = int(NOON.timestamp())
# Nothing here depends on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(),
        "elliptic": make_client(id_token_signed_response_alg="ES256"),
        "brief": make_client(id_token_minutes=1, access_token_minutes=2),
    }


def decoded(rp: RelyingParty, tokens: Tokens, alg: str = "RS256") -> jwt.Token:
    jwks = KeySet.import_key_set(rp.browser.get("/jwks", **HTTPS).get_json())
    return jwt.decode(tokens.id_token, jwks, algorithms=[alg])


def test_an_id_tokens_claims_are_those_of_the_contract_and_no_others(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str
) -> None:
    code = rp.code()
    clock.shift(30)
    tokens = rp.exchange(code)
    claims = decoded(rp, tokens).claims
    digest = hashlib.sha256(tokens.access_token.encode()).digest()
    assert claims.pop("sid")
    assert claims == {
        "iss": ISSUER,
        "sub": anna,
        "aud": "portal",
        "iat": START + 30,
        "exp": START + 30 + 300,
        "auth_time": START,
        "nonce": "the-nonce",
        "acr": f"{ISSUER}/acr/password",
        "amr": ["pwd"],
        "at_hash": base64url(digest[:16]),
    }


def test_an_id_token_has_no_nonce_unless_asked(rp: RelyingParty, anna: str) -> None:
    assert "nonce" not in decoded(rp, rp.tokens(nonce=None)).claims


def test_a_nonce_comes_back_as_it_was(rp: RelyingParty, anna: str) -> None:
    for nonce in ("åäö 漢字 🙂", "\"'<script>\\&%00", "n" * 2000):
        assert decoded(rp, rp.tokens(nonce=nonce)).claims["nonce"] == nonce


def test_an_id_tokens_header_names_a_published_key_and_nothing_to_fetch(rp: RelyingParty, anna: str) -> None:
    tokens = rp.tokens()
    header = jws.extract_compact(tokens.id_token.encode()).headers()
    assert set(header) == {"alg", "kid", "typ"}
    assert (header["alg"], header["typ"]) == ("RS256", "JWT")
    keys = {key["kid"]: key for key in rp.browser.get("/jwks", **HTTPS).get_json()["keys"]}
    assert keys[header["kid"]]["alg"] == "RS256"


def test_a_client_registered_for_es256_gets_es256(rp: RelyingParty, app: Flask, anna: str) -> None:
    elliptic = RelyingParty(app, app.test_client(), "elliptic")
    tokens = elliptic.tokens()
    token = decoded(elliptic, tokens, "ES256")
    assert token.header["alg"] == "ES256"
    digest = hashlib.sha256(tokens.access_token.encode()).digest()
    assert token.claims["at_hash"] == base64url(digest[:16])
    with pytest.raises(JoseError):
        decoded(elliptic, tokens, "RS256")


def test_lifetimes_are_the_clients(clock: time_machine.Traveller, app: Flask, anna: str) -> None:
    brief = RelyingParty(app, app.test_client(), "brief")
    tokens = brief.tokens()
    claims = decoded(brief, tokens).claims
    assert claims["exp"] - claims["iat"] == 60
    assert tokens.body["expires_in"] == 120
    clock.shift(119)
    assert brief.userinfo(tokens.access_token).status_code == 200
    clock.shift(1)
    assert brief.userinfo(tokens.access_token).status_code == 401


def test_one_session_has_one_sid_for_every_client(rp: RelyingParty, app: Flask, anna: str) -> None:
    first = decoded(rp, rp.tokens()).claims
    elliptic = RelyingParty(app, rp.browser, "elliptic")
    assert decoded(elliptic, elliptic.tokens(), "ES256").claims["sid"] == first["sid"]
    elsewhere = RelyingParty(app, app.test_client())
    assert decoded(elsewhere, elsewhere.tokens()).claims["sid"] != first["sid"]
