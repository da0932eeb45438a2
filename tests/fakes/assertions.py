"""Client assertions as a relying app signs them (RFC 7523), for tests to change one thing in."""

import json
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from idp.clock import utcnow
from idp.tokens import base64url, new_token

ISSUER = "https://login.example.se"
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KEYS: dict[str, Any] = {
    "RS256": RSAKey.generate_key(2048, {"kid": "rsa"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "p256"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}
KEYS["PS256"] = KEYS["RS256"]


def public(*names: str, **changes: Any) -> dict[str, Any]:
    """A JWK Set of these keys' public halves; `changes` replace members, None leaves one out."""
    keys = [{**KEYS[name].as_dict(private=False), **changes} for name in names]
    return {"keys": [{name: value for name, value in key.items() if value is not None} for key in keys]}


def claims(client_id: str = "portal", **changes: Any) -> dict[str, Any]:
    """A valid assertion's claims; a change to None leaves one out."""
    now = int(utcnow().timestamp())
    valid = {
        "iss": client_id,
        "sub": client_id,
        "aud": ISSUER,
        "exp": now + 60,
        "iat": now,
        "jti": new_token(),
        **changes,
    }
    return {name: value for name, value in valid.items() if value is not None}


def sign(payload: Any, *, alg: str = "ES256", key: Any = None, header: dict[str, Any] | None = None) -> str:
    """A compact JWS of the payload; `header` members of None are left out, others replace."""
    key = key or KEYS[alg]
    members = {"alg": alg, "kid": key.kid, "typ": "JWT", **(header or {})}
    members = {name: value for name, value in members.items() if value is not None}
    signed = f"{base64url(json.dumps(members).encode())}.{base64url(json.dumps(payload).encode())}"
    return f"{signed}.{base64url(JWSRegistry.algorithms[alg].sign(signed.encode(), key))}"


def form(assertion: str | None = None, **changes: Any) -> dict[str, Any]:
    """The form fields that authenticate, for `RelyingParty.exchange`: there is no secret."""
    return {
        "basic": None,
        "client_assertion_type": TYPE,
        "client_assertion": assertion or sign(claims()),
        **changes,
    }
