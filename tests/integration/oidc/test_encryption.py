"""ID tokens and userinfo answers are signed and encrypted as the client's entry says (OIDC Core §10.2)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet
from werkzeug.test import TestResponse

from idp.oidc.provider import PROVIDER
from tests.conftest import ISSUER
from tests.factories import make_client
from tests.fakes import encrypted
from tests.fakes.assertions import public
from tests.fakes.encrypted import opened
from tests.fakes.key_server import KeyServer, key_server
from tests.fakes.relying_party import HTTPS, RelyingParty

# Nothing here depends on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
OFFLINE = {
    "scope": "openid profile offline_access",
    "grant_types": ["authorization_code", "refresh_token"],
}


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with key_server() as server:
        yield server


@pytest.fixture
def clients(server: KeyServer) -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(),
        "signed": make_client(userinfo_signed_response_alg="ES256"),
        "nested": make_client(
            jwks=encrypted.JWKS,
            id_token_encrypted_response_alg="RSA-OAEP-256",
            id_token_encrypted_response_enc="A256GCM",
            userinfo_signed_response_alg="RS256",
            userinfo_encrypted_response_alg="ECDH-ES+A256KW",
            userinfo_encrypted_response_enc="A128GCM",
            **OFFLINE,
        ),
        "encrypted": make_client(jwks=encrypted.JWKS, userinfo_encrypted_response_alg="RSA-OAEP"),
        "fetched": make_client(
            jwks_uri=server.http_url,
            id_token_encrypted_response_alg="ECDH-ES",
            userinfo_encrypted_response_alg="ECDH-ES",
            **OFFLINE,
        ),
    }


def relying_party(app: Flask, client_id: str) -> RelyingParty:
    return RelyingParty(app, app.test_client(), client_id)


def verified(rp: RelyingParty, token: str, alg: str) -> dict[str, Any]:
    jwks = KeySet.import_key_set(rp.browser.get("/jwks", **HTTPS).get_json())
    return dict(jwt.decode(token, jwks, algorithms=[alg]).claims)


def userinfo(rp: RelyingParty, access_token: str) -> TestResponse:
    answer = rp.userinfo(access_token)
    assert answer.headers["Cache-Control"] == "no-store"
    return answer


@pytest.mark.usefixtures("anna")
def test_userinfo_is_signed_for_a_client_that_registers_it(app: Flask, rp: RelyingParty) -> None:
    plain = userinfo(rp, rp.tokens().access_token)
    assert plain.content_type == "application/json"
    signed = relying_party(app, "signed")
    answer = userinfo(signed, signed.tokens().access_token)
    assert answer.content_type == "application/jwt"
    told = verified(signed, answer.text, "ES256")
    assert (told.pop("iss"), told.pop("aud")) == (ISSUER, "signed")
    assert isinstance(told.pop("iat"), int)
    assert told == plain.get_json()


@pytest.mark.usefixtures("anna")
def test_errors_stay_json(app: Flask) -> None:
    signed = relying_party(app, "signed")
    answer = userinfo(signed, signed.tokens().access_token + "x")
    assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_token")


@pytest.mark.usefixtures("anna")
def test_a_signed_userinfo_answer_is_no_id_token_hint(app: Flask) -> None:
    signed = relying_party(app, "signed")
    tokens = signed.tokens()
    told = userinfo(signed, tokens.access_token).text
    assert "code" in signed.answer(signed.authorize(prompt="none", id_token_hint=tokens.id_token))
    assert signed.answer(signed.authorize(prompt="none", id_token_hint=told))["error"] == "invalid_request"


@pytest.mark.usefixtures("anna")
def test_id_token_and_userinfo_are_signed_then_encrypted(app: Flask) -> None:
    rp = relying_party(app, "nested")
    tokens = rp.tokens(scope="openid profile offline_access")
    for id_token in (tokens.id_token, rp.refresh(tokens.refresh_token).id_token):
        header, inner = opened(id_token, "RSA-OAEP-256", "A256GCM")
        assert (header["kid"], header["cty"]) == ("enc-rsa", "JWT")
        assert verified(rp, inner, "RS256")["aud"] == "nested"
    answer = userinfo(rp, tokens.access_token)
    assert answer.content_type == "application/jwt"
    header, inner = opened(answer.text, "ECDH-ES+A256KW", "A128GCM")
    assert (header["kid"], header["cty"]) == ("enc-p256", "JWT")
    assert verified(rp, inner, "RS256")["name"] == "Anna Åsén"


@pytest.mark.usefixtures("anna")
def test_userinfo_may_be_encrypted_alone(app: Flask) -> None:
    rp = relying_party(app, "encrypted")
    answer = userinfo(rp, rp.tokens().access_token)
    assert answer.content_type == "application/jwt"
    header, inner = opened(answer.text, "RSA-OAEP", "A128CBC-HS256")
    assert "cty" not in header
    assert json.loads(inner)["name"] == "Anna Åsén"


@pytest.mark.usefixtures("anna")
def test_an_encrypted_id_token_is_a_hint_once_the_app_has_opened_it(app: Flask) -> None:
    rp = relying_party(app, "nested")
    id_token = rp.tokens(scope="openid").id_token
    assert (
        rp.answer(rp.authorize(scope="openid", prompt="none", id_token_hint=id_token))["error"]
        == "invalid_request"
    )
    _, inner = opened(id_token, "RSA-OAEP-256", "A256GCM")
    assert "code" in rp.answer(rp.authorize(scope="openid", prompt="none", id_token_hint=inner))


# A key that cannot be had


@pytest.fixture
def fetched(environ: dict[str, str], request: pytest.FixtureRequest) -> RelyingParty:
    environ["IDP_ISSUER"] = "http://localhost:8000"
    return relying_party(request.getfixturevalue("app"), "fetched")


def test_a_client_without_a_fitting_key_gets_no_plain_answer_and_keeps_its_code(
    fetched: RelyingParty, server: KeyServer, clock: Any, anna: str
) -> None:
    server.serve_keys(*public("RS256", "EdDSA")["keys"])
    code = fetched.code(scope="openid offline_access")
    refused = fetched.exchange(code)
    assert (refused.status, refused.error) == (400, "invalid_client_metadata")
    assert "ECDH-ES" in refused.body["error_description"]
    server.serve_keys(*encrypted.JWKS["keys"])
    clock.shift(59)
    assert fetched.exchange(code).error == "invalid_client_metadata"  # what was fetched is kept
    PROVIDER.of(fetched.app).client_keys._fetched.clear()
    tokens = fetched.exchange(code)
    assert opened(tokens.id_token, "ECDH-ES", "A128CBC-HS256")
    assert opened(userinfo(fetched, tokens.access_token).text, "ECDH-ES", "A128CBC-HS256")
    server.serve_keys(*public("RS256")["keys"])
    clock.shift(3601)
    assert fetched.refresh(tokens.refresh_token).error == "invalid_client_metadata"
    server.serve_keys(*encrypted.JWKS["keys"])
    clock.shift(3601)
    again = fetched.refresh(tokens.refresh_token)
    assert again.status == 200, again
    server.serve_keys(*public("RS256")["keys"])
    PROVIDER.of(fetched.app).client_keys._fetched.clear()
    answer = userinfo(fetched, again.access_token)
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_client_metadata")


def test_keys_that_cannot_be_fetched_are_asked_for_later(
    fetched: RelyingParty, server: KeyServer, anna: str
) -> None:
    server.status = 500
    refused = fetched.exchange(fetched.code(scope="openid"))
    assert (refused.status, refused.error) == (503, "temporarily_unavailable")
    assert refused.headers["Retry-After"]
