"""ID tokens and userinfo are signed in every algorithm by its own active key."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from authlib.oidc.core.util import create_half_hash
from flask import Flask
from joserfc import jws, jwt
from joserfc.jwk import KeySet

from idp.clock import utcnow
from idp.oidc.keys import rotation as key_rotation
from idp.oidc.keys.files import SIGNING_ALGS
from idp.tokens import base64url
from tests.factories import make_client
from tests.fakes.relying_party import HTTPS, RelyingParty

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An active key for each algorithm."""
    directory = tmp_path_factory.mktemp("keys")
    for alg in SIGNING_ALGS:
        key_rotation.rotate(directory, alg=alg, now=utcnow())
    return directory


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        alg: make_client(id_token_signed_response_alg=alg, userinfo_signed_response_alg=alg)
        for alg in SIGNING_ALGS
    }


@pytest.mark.usefixtures("anna")
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")  # OpenID Connect knows no other name
def test_each_algorithm_signs_with_its_own_key(app: Flask) -> None:
    published = app.test_client().get("/jwks", **HTTPS).get_json()
    jwks = KeySet.import_key_set(published)
    algs = {key["kid"]: key["alg"] for key in published["keys"]}
    for alg in SIGNING_ALGS:
        rp = RelyingParty(app, app.test_client(), alg)
        tokens = rp.tokens()
        for token in (tokens.id_token, rp.userinfo(tokens.access_token).text):
            header = jws.extract_compact(token.encode()).headers()
            assert header["alg"] == algs[header["kid"]] == alg
            assert jwt.decode(token, jwks, algorithms=[alg]).claims["aud"] == alg
        at_hash = jwt.decode(tokens.id_token, jwks, algorithms=[alg]).claims["at_hash"]
        # Ed25519 hashes with SHA-512, the others with what their name tells (OIDC Core §3.1.3.6)
        digest = hashlib.sha512 if alg == "EdDSA" else hashlib.sha256
        value = digest(tokens.access_token.encode()).digest()
        assert at_hash == base64url(value[: len(value) // 2])
        assert at_hash == create_half_hash(tokens.access_token, alg).decode()


def test_discovery_lists_the_algorithms(app: Flask) -> None:
    facts = app.test_client().get("/.well-known/openid-configuration", **HTTPS).get_json()
    assert facts["id_token_signing_alg_values_supported"] == list(SIGNING_ALGS)
    assert facts["userinfo_signing_alg_values_supported"] == list(SIGNING_ALGS)
