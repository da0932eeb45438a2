"""The key ring signs tokens that its published keys verify, and refuses forged ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey
from joserfc.util import json_b64encode, urlsafe_b64encode

from idp.oidc.keys import files as key_files
from idp.oidc.keys.ring import KeyRing
from tests.slow_unit.oidc.keys.key_folder import NOW, PRIVATE_MEMBERS, header_of, put, ring_of


@pytest.fixture(scope="module")
def ring(
    tmp_path_factory: pytest.TempPathFactory, rsa_jwk: dict[str, Any], ec_jwk: dict[str, Any]
) -> KeyRing:
    folder = tmp_path_factory.mktemp("keys")
    put(folder, "rs", rsa_jwk)
    put(folder, "ps", rsa_jwk, alg="PS256")
    put(folder, "es", ec_jwk, alg="ES256")
    put(folder, "ed", dict(OKPKey.generate_key("Ed25519").as_dict(private=True)), alg="EdDSA")
    return KeyRing(folder, clock=lambda: NOW)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_signed_token_verifies_with_the_published_key(ring: KeyRing, alg: str) -> None:
    token = ring.sign({"sub": "åsa"}, alg=alg, typ="at+jwt", now=NOW)
    assert header_of(token) == {"alg": alg, "typ": "at+jwt", "kid": alg[:2].lower()}
    assert ring.verify(token, typ="at+jwt") == {"sub": "åsa", "iat": int(NOW.timestamp())}
    if alg != "EdDSA":  # joserfc only takes RFC 9864's name for it
        theirs = jws.deserialize_compact(token, KeySet.import_key_set(json.loads(ring.jwks())), [alg])
        assert json.loads(theirs.payload or b"") == ring.verify(token)


def test_claims_may_set_iat(ring: KeyRing) -> None:
    assert ring.verify(ring.sign({"iat": 5}, now=NOW)) == {"iat": 5}


def test_expiry_is_the_callers_to_judge(ring: KeyRing) -> None:
    assert ring.verify(ring.sign({"exp": 1}, now=NOW))["exp"] == 1


def test_algs_are_those_with_an_active_key(ring: KeyRing) -> None:
    assert ring.algs == ("RS256", "PS256", "ES256", "EdDSA")


def test_alg_without_active_key(folder: Path, ec_jwk: dict[str, Any]) -> None:
    put(folder, "ec", ec_jwk, alg="ES256", state="next")
    ring = ring_of(folder)
    assert ring.algs == ("RS256",)
    with pytest.raises(LookupError, match="idp keys rotate --alg ES256"):
        ring.sign({}, alg="ES256", now=NOW)


def test_jwks_holds_no_private_member(ring: KeyRing) -> None:
    published = json.loads(ring.jwks())["keys"]
    assert [set(key) for key in published] == [
        {"kty", "n", "e", "kid", "use", "alg"},
        {"kty", "n", "e", "kid", "use", "alg"},
        {"kty", "crv", "x", "y", "kid", "use", "alg"},
        {"kty", "crv", "x", "kid", "use", "alg"},
    ]
    assert all(key["use"] == "sig" and not PRIVATE_MEMBERS & set(key) for key in published)


def test_private_key_is_not_in_the_repr(folder: Path, ec_jwk: dict[str, Any]) -> None:
    text = repr(key_files.list_keys(folder))
    assert "kid='ec'" in text
    assert ec_jwk["d"] not in text


def _resigned(header: dict[str, Any], payload: str, key: Any, alg: str) -> str:
    """A token whose signature is right for `key` and `alg`, whatever its header says."""
    signed = json_b64encode(header) + b"." + payload.encode()
    signature = jws.JWSRegistry.algorithms[alg].sign(signed, key)
    return (signed + b"." + urlsafe_b64encode(signature)).decode()


FORGERIES: dict[str, Callable[[dict[str, Any], str, RSAKey], str]] = {
    "alg none": lambda head, body, key: _resigned({**head, "alg": "none"}, body, key, "none"),
    "HS256 with the public PEM": lambda head, body, key: _resigned(
        {**head, "alg": "HS256"}, body, OctKey.import_key(key.as_bytes(private=False).hex()), "HS256"
    ),
    "HS256 under RS256's name": lambda head, body, key: _resigned(
        head, body, OctKey.import_key(key.as_bytes(private=False).hex()), "HS256"
    ),
    "another alg of the same key": lambda head, body, key: _resigned(
        {**head, "alg": "PS256"}, body, key, "PS256"
    ),
    "another alg in the header only": lambda head, body, key: _resigned(
        {**head, "alg": "PS256"}, body, key, "RS256"
    ),
    "another key": lambda head, body, key: _resigned(head, body, ECKey.generate_key("P-256"), "ES256"),
    "unknown kid": lambda head, body, key: _resigned({**head, "kid": "else"}, body, key, "RS256"),
    "kid of another alg": lambda head, body, key: _resigned({**head, "kid": "ps"}, body, key, "RS256"),
    "kid no string": lambda head, body, key: _resigned({**head, "kid": ["rs"]}, body, key, "RS256"),
    "no kid": lambda head, body, key: _resigned({"alg": "RS256", "typ": "JWT"}, body, key, "RS256"),
    "key in the header": lambda head, body, key: _resigned(
        {**head, "jwk": key.as_dict(private=False)}, body, key, "RS256"
    ),
    "critical extension": lambda head, body, key: _resigned({**head, "crit": ["exp"]}, body, key, "RS256"),
    "another typ": lambda head, body, key: _resigned({**head, "typ": "logout+jwt"}, body, key, "RS256"),
    "header a list": lambda head, body, key: _resigned(["alg", "kid", "typ"], body, key, "RS256"),  # type: ignore[arg-type]
}


def test_resigned_token_without_a_change_is_accepted(ring: KeyRing, rsa_jwk: dict[str, Any]) -> None:
    token = ring.sign({"sub": "a"}, now=NOW)
    again = _resigned(header_of(token), token.split(".")[1], RSAKey.import_key(rsa_jwk), "RS256")
    assert ring.verify(again, typ="JWT")["sub"] == "a"


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_token_is_refused(ring: KeyRing, rsa_jwk: dict[str, Any], forgery: str) -> None:
    token = ring.sign({"sub": "a"}, now=NOW)
    forged = FORGERIES[forgery](header_of(token), token.split(".")[1], RSAKey.import_key(rsa_jwk))
    with pytest.raises(ValueError, match="the token"):
        ring.verify(forged, typ="JWT")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda head, body, mac: f"{head}.{json_b64encode({'sub': 'b'}).decode()}.{mac}",
        lambda head, body, mac: f"{head}.{body}.{'B' if mac[0] == 'A' else 'A'}{mac[1:]}",
        lambda head, body, mac: f"{head}.{body}.",
        lambda head, body, mac: f"{head}.{body}",
        lambda head, body, mac: f"{head}.{body}.{mac}.{mac}",
        lambda head, body, mac: f"{head}.{body}.{mac}å",
        lambda head, body, mac: f"{head}=.{body}.{mac}",
        lambda head, body, mac: f"{head[:-4]}.{body}.{mac}",
        lambda head, body, mac: f"{urlsafe_b64encode(b'[' * 90_000).decode()}.{body}.{mac}",
        lambda head, body, mac: "",
    ],
)
def test_tampered_token_is_refused(ring: KeyRing, spoil: Callable[[str, str, str], str]) -> None:
    token = ring.sign({"sub": "a"}, now=NOW)
    assert ring.verify(token)["sub"] == "a"
    with pytest.raises(ValueError, match="the token"):
        ring.verify(spoil(*token.split(".")))
