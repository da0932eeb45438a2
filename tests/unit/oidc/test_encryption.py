"""Every announced pair of algorithms encrypts to the client's right key."""

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey

from idp.oidc import encryption
from idp.oidc.clients import jwks as client_jwks
from idp.oidc.clients.client import Client
from idp.oidc.clients.jwks import ClientKey
from idp.oidc.clients.keys import ClientKeys
from idp.outbound import Outbound
from tests.factories import NOON
from tests.fakes import encrypted
from tests.fakes.assertions import public
from tests.fakes.encrypted import ALGS, ENCS, opened


def client(*jwks: dict[str, Any]) -> Client:
    return Client(
        client_id="portal",
        redirect_uris=("https://portal.example.se/cb",),
        login_methods=("password",),
        token_endpoint_auth_method="none",
        jwks={"keys": list(jwks)},
    )


def chosen(alg: str, *jwks: dict[str, Any]) -> ClientKey:
    return encryption.find_recipient_key(ClientKeys(Outbound()), client(*jwks), alg, NOON)


def test_the_algorithms_are_those_of_the_keys() -> None:
    assert set(encryption.KEY_ALGS) == set(client_jwks.ENCRYPTION_KINDS) == set(ALGS)
    assert encryption.CONTENT_ENCS == ENCS


@pytest.mark.parametrize("enc", ENCS)
@pytest.mark.parametrize("alg", ALGS)
def test_every_pair_of_algorithms_opens(alg: str, enc: str) -> None:
    key = chosen(alg, *encrypted.JWKS["keys"])
    header, content = opened(encryption.encrypt_token("a.signed.token", key, alg, enc), alg, enc)
    assert content == "a.signed.token"
    assert (header["cty"], header["kid"]) == ("JWT", encrypted.KEYS[ALGS[alg]].kid)
    header, content = opened(encryption.encrypt_claims({"name": "Åsa"}, key, alg, enc), alg, enc)
    assert json.loads(content) == {"name": "Åsa"}
    assert "cty" not in header


def test_p384_serves_too() -> None:
    key = ECKey.generate_key("P-384", {"kid": "p384"})
    assert chosen("ECDH-ES", key.as_dict(private=False)).kid == "p384"


def test_a_key_for_encryption_alone_comes_before_one_that_may_also_sign() -> None:
    both = public("RS256")["keys"][0]
    alone = encrypted.JWKS["keys"][0]
    assert chosen("RSA-OAEP", both).kid == "rsa"
    assert chosen("RSA-OAEP", both, alone).kid == "enc-rsa"


@pytest.mark.parametrize(
    "changes",
    [{"use": "sig"}, {"key_ops": ["verify"]}, {"alg": "RSA-OAEP-256"}, {"alg": "RS256"}, {"kty": "EC"}],
)
def test_a_key_for_something_else_is_not_taken(changes: dict[str, Any]) -> None:
    key = public("ES256" if changes.get("kty") == "EC" else "RS256", **changes)["keys"][0]
    assert chosen("RSA-OAEP", public("RS256")["keys"][0]).kid == "rsa"
    with pytest.raises(encryption.NoKey, match="suits RSA-OAEP"):
        chosen("RSA-OAEP", key)
