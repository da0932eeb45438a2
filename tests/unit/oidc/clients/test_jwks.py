"""Clients' public keys in clients.yaml are taken, or refused at their place."""

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey

from idp.config import ConfigError
from idp.oidc.clients import jws as client_jws
from idp.oidc.clients.client import Client
from idp.oidc.clients.jwks import KINDS
from idp.oidc.clients.registry import load_clients
from idp.tokens import base64url
from tests.fakes.assertions import KEYS, claims, public, sign

HEAD = """\
version: 1
clients:
  reports:
    redirect_uris: [https://rapporter.example.se/cb]
    token_endpoint_auth_method: private_key_jwt
"""


def load(tmp_path: Path, *lines: str) -> Client:
    path = tmp_path / "clients.yaml"
    path.write_text(HEAD + "".join(f"    {line}\n" for line in lines))
    return load_clients(path, login_methods=("password",))["reports"]


def problems(tmp_path: Path, *lines: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, *lines)
    return caught.value.problems


def jwks(*keys: Any) -> str:
    return "jwks: " + json.dumps({"keys": list(keys)})


def one(name: str = "ES256", **changes: Any) -> dict[str, Any]:
    key: dict[str, Any] = public(name, **changes)["keys"][0]
    return key


def test_keys_may_be_listed_or_fetched(tmp_path: Path) -> None:
    listed = load(
        tmp_path, jwks(one(), one("EdDSA", use="sig", key_ops=["verify"]), one("RS256", alg="PS256"))
    )
    assert listed.jwks is not None
    assert [(key.kid, key.kind) for key in listed.jwks.keys] == [
        ("p256", "P-256"),
        ("ed", "Ed25519"),
        ("rsa", "RSA"),
    ]
    assert [alg for alg in KINDS if listed.jwks.keys[2].suits(alg)] == ["PS256"]
    fetched = load(tmp_path, "jwks_uri: https://rapporter.example.se/jwks.json")
    assert (fetched.jwks, fetched.jwks_uri) == (None, "https://rapporter.example.se/jwks.json")


def test_a_set_may_be_written_as_yaml(tmp_path: Path) -> None:
    lines = ["jwks:", "  keys:", "    - kty: EC"]
    lines += [f'      {name}: "{value}"' for name, value in one().items() if name != "kty"]
    assert load(tmp_path, *lines).jwks == load(tmp_path, jwks(one())).jwks


SHORT = {"kty": "RSA", "n": base64url(b"\xff" * 128), "e": "AQAB"}
LONG = {"kty": "RSA", "n": base64url(b"\xff" * 1025), "e": "AQAB"}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (KEYS["ES256"].as_dict(private=True), "jwks.keys[0].d: is part of a private key"),
        ({**one("RS256"), "p": "AAAA"}, "jwks.keys[0].p: is part of a private key"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "jwks.keys[0].k: is part of a private key"),
        (SHORT, "jwks.keys[0].n: has 1024 bits: RSA needs 2048 to 8192"),
        (LONG, "jwks.keys[0].n: has 8200 bits"),
        (one("RS256", e="AQ"), "jwks.keys[0].e: is not a valid exponent"),
        (one("RS256", e="Ag"), "jwks.keys[0].e: is not a valid exponent"),
        (one("RS256", e="AQAAAAE"), "jwks.keys[0].e: is not a valid exponent"),
        (one("RS256", n="not base64!"), "jwks.keys[0]: is not an RSA key"),
        (one("RS256", n="å"), "jwks.keys[0]: is not an RSA key"),
        (one("RS256", n=None), "jwks.keys[0].n: has 0 bits"),
        (one(x=None), "jwks.keys[0]: is incomplete: it needs kty, crv, x, y"),
        (one(x=one()["y"], y=one()["x"]), "jwks.keys[0]: is not a valid key"),
        (one("EdDSA", x="AAAA"), "jwks.keys[0]: is not a valid key"),
        (ECKey.generate_key("secp256k1").as_dict(private=False), "jwks.keys[0].crv: must be P-256 or P-384"),
        (OKPKey.generate_key("X25519").as_dict(private=False), "jwks.keys[0].crv: must be Ed25519"),
        (one(kty="ec"), "jwks.keys[0].kty: must be RSA, EC or OKP"),
        (one(kty=None), "jwks.keys[0].kty: must be RSA, EC or OKP"),
        (one(use="both"), "jwks.keys[0].use: must be sig or enc"),
        (one("EdDSA", use="enc"), "jwks.keys[0].use: must be sig for this key"),
        (one(use="enc", key_ops=["verify"]), "jwks.keys[0].key_ops: must contain verify, or for encryption"),
        (one(use="enc", alg="ES256"), "jwks.keys[0].alg: must be ECDH-ES or ECDH-ES+A256KW for this key"),
        (one(key_ops=["sign"]), "jwks.keys[0].key_ops: must contain verify"),
        (one(alg="RS256"), "jwks.keys[0].alg: must be ES256 or ECDH-ES or ECDH-ES+A256KW for this key"),
        (one(kid=1), "jwks.keys[0].kid: must be text: quote it"),
        (one(kid=""), "jwks.keys[0].kid: must have 1 to 200 characters"),
        ("a word", "jwks.keys[0]: must be a mapping"),
    ],
)
def test_a_key_that_is_not_fit_is_refused(tmp_path: Path, key: Any, words: str) -> None:
    [problem] = problems(tmp_path, jwks(key))
    assert problem.startswith("clients.yaml:6:")
    assert words in problem
    if isinstance(key, dict):
        assert all(str(key[name]) not in problem for name in ("d", "k") if name in key)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([jwks()], "jwks.keys: must not be empty"),
        ([jwks(one(), one("EdDSA", kid="p256"))], "jwks.keys[1].kid: is also the kid of another key"),
        ([jwks(one(), one("EdDSA", kid=None))], "jwks.keys[1]: needs a kid: there are several keys"),
        (['jwks: {"keys": {}}'], "jwks: must be a JWK Set"),
        (["jwks: https://rapporter.example.se/jwks.json"], "jwks: must be a JWK Set"),
        (
            [jwks(one()), "jwks_uri: https://rapporter.example.se/jwks"],
            "jwks_uri: must be left out beside jwks",
        ),
        ([], "jwks_uri: is missing, and so is jwks"),
        (["jwks_uri: http://rapporter.example.se/jwks"], "jwks_uri: must be https"),
        (["jwks_uri: https://user:pass@rapporter.example.se/"], "jwks_uri: must not contain a user name"),
        ([jwks(one()), "token_endpoint_auth_signing_alg: RS256"], "jwks: must contain a key for RS256"),
        (
            [jwks(one()), "token_endpoint_auth_signing_alg: HS256"],
            "token_endpoint_auth_signing_alg: must be RS256",
        ),
        (
            [jwks(ECKey.generate_key("P-384", auto_kid=False).as_dict(private=False))],
            "jwks: must contain a key for RS256 or PS256 or ES256 or EdDSA",
        ),
        (
            [jwks(one()), f"client_secrets: [{{sha256: {'0123456789abcdef' * 4}}}]"],
            "client_secrets: must be left out: token_endpoint_auth_method private_key_jwt has no secret",
        ),
    ],
)
def test_key_fields_that_do_not_fit_together_are_refused(
    tmp_path: Path, lines: list[str], words: str
) -> None:
    [problem] = problems(tmp_path, *lines)
    assert words in problem


def test_keys_of_several_clients_are_one_problem_each(tmp_path: Path) -> None:
    found = problems(tmp_path, jwks(one(use="both"), SHORT, one()))
    assert len(found) == 2


def test_a_signature_is_verified_with_the_one_key_that_can_be_meant(tmp_path: Path) -> None:
    client = load(tmp_path, jwks(one("RS256", kid="a"), one("PS256", kid="b"), one()))
    assert client.jwks is not None

    def verified(header: dict[str, Any], alg: str) -> Any:
        found = client_jws.read(sign(claims(), alg=alg, header=header), algs=KINDS, typs=("jwt",))
        return client_jws.verify(found, client.jwks.keys if client.jwks else ())

    assert verified({"kid": "a"}, "RS256")["iss"] == "portal"
    assert verified({"kid": None}, "ES256")["iss"] == "portal"
    with pytest.raises(ValueError, match="needs the kid"):
        verified({"kid": None}, "RS256")
    with pytest.raises(ValueError, match="does not suit"):
        verified({"kid": "p256"}, "PS256")
