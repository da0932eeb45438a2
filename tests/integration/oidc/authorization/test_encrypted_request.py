"""Request objects may be signed, then encrypted to the provider (OIDC Core §6.1, RFC 9101 §6.1)."""

import time
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import RSAKey

from idp.clock import utcnow
from idp.oidc.keys import rotation as key_rotation
from idp.oidc.keys.files import DECRYPTION_ALGS
from idp.oidc.keys.ring import CONTENT_ENCS
from tests.conftest import ISSUER
from tests.factories import PASSWORD, SECRET, make_client
from tests.fakes.relying_party import HTTPS, RelyingParty, basic_value
from tests.fakes.request_objects import JWKS, sign, unsigned

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signing key, and one for each algorithm to encrypt by."""
    directory = tmp_path_factory.mktemp("keys")
    for alg in ("RS256", *DECRYPTION_ALGS):
        key_rotation.rotate(directory, alg=alg, now=utcnow())
    return directory


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {"portal": make_client(jwks=JWKS)}


def facts(rp: RelyingParty) -> dict[str, Any]:
    return {"iss": rp.client_id, "aud": ISSUER, "exp": int(time.time()) + 60, **rp.parameters()}


def encrypted(rp: RelyingParty, content: str, alg: str = "RSA-OAEP", enc: str = "A128GCM") -> str:
    """The content, encrypted as a relying app does it that has read discovery and /jwks."""
    keys = rp.browser.get("/jwks", **HTTPS).get_json()["keys"]
    key = RSAKey.import_key(next(key for key in keys if (key["use"], key["alg"]) == ("enc", alg)))
    header = {"alg": alg, "enc": enc, "kid": key.kid, "cty": "JWT"}
    return jwe.encrypt_compact(header, content, key, algorithms=[alg, enc])


def arrive(rp: RelyingParty, request: str) -> dict[str, str]:
    page = rp.follow(
        rp.browser.post("/authorize", data={"client_id": rp.client_id, "request": request}, **HTTPS)
    )
    if 'id="login-form"' in page.text:
        page = rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD))
    return rp.answer(page)


@pytest.mark.usefixtures("anna")
def test_an_encrypted_request_ends_in_tokens(rp: RelyingParty) -> None:
    announced = rp.browser.get("/.well-known/openid-configuration", **HTTPS).get_json()
    assert announced["request_object_encryption_alg_values_supported"] == list(DECRYPTION_ALGS)
    assert announced["request_object_encryption_enc_values_supported"] == list(CONTENT_ENCS)
    for alg in DECRYPTION_ALGS:
        for enc in CONTENT_ENCS:
            found = arrive(rp, encrypted(rp, sign(facts(rp)), alg, enc))
            assert (found["state"], found["iss"]) == ("the-state", ISSUER)
    assert rp.exchange(found["code"]).body["scope"] == "openid profile email"


@pytest.mark.usefixtures("anna")
def test_an_encrypted_request_may_be_pushed(rp: RelyingParty) -> None:
    answer = rp.app.test_client().post(
        "/par",
        data={"client_id": rp.client_id, "request": encrypted(rp, sign(facts(rp)))},
        headers={"Authorization": "Basic " + basic_value(rp.client_id, SECRET)},
        **HTTPS,
    )
    assert answer.status_code == 201, answer.text


def test_encryption_stands_in_for_no_signature(rp: RelyingParty) -> None:
    redirect = {"client_id": rp.client_id, "redirect_uri": rp.redirect_uri}
    for content in (
        unsigned(facts(rp)),
        sign({**facts(rp), "iss": "other"}),
        "{}",
        encrypted(rp, sign(facts(rp))),
    ):
        answer = rp.browser.get(
            "/authorize", query_string={**redirect, "request": encrypted(rp, content)}, **HTTPS
        )
        assert rp.answer(answer)["error"] == "invalid_request_object"


@pytest.mark.usefixtures("anna")
def test_a_request_encrypted_to_somebody_else_is_refused(rp: RelyingParty) -> None:
    token = jwe.encrypt_compact(
        {"alg": "RSA-OAEP", "enc": "A128GCM", "cty": "JWT"}, sign(facts(rp)), RSAKey.generate_key(2048)
    )
    query = {"client_id": rp.client_id, "redirect_uri": rp.redirect_uri, "request": token}
    answer = rp.answer(rp.browser.get("/authorize", query_string=query, **HTTPS))
    assert answer["error"] == "invalid_request_object"
    assert "cannot be decrypted" in answer["error_description"]
