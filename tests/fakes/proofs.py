"""DPoP proofs as a relying app makes them (RFC 9449 §4.2), for tests to change one thing in."""

from typing import Any

from idp.clock import utcnow
from idp.tokens import new_token, s256_challenge
from tests.fakes import assertions
from tests.fakes.assertions import ISSUER, KEYS

JKT = {alg: str(key.thumbprint()) for alg, key in KEYS.items()}
"""The thumbprint of each key in `KEYS`."""


def claims(path: str = "/token", *, access_token: str | None = None, **changes: Any) -> dict[str, Any]:
    """A valid proof's claims, for a POST to `path`; a change to None leaves one out."""
    valid = {
        "jti": new_token(),
        "htm": "POST",
        "htu": ISSUER + path,
        "iat": int(utcnow().timestamp()),
        "ath": s256_challenge(access_token) if access_token is not None else None,
        **changes,
    }
    return {name: value for name, value in valid.items() if value is not None}


def sign(
    payload: dict[str, Any], *, alg: str = "ES256", key: Any = None, header: dict[str, Any] | None = None
) -> str:
    """A proof of the payload, its public key in the header; `header` members of None are left out."""
    key = key or KEYS[alg]
    members = {"typ": "dpop+jwt", "kid": None, "jwk": key.as_dict(private=False), **(header or {})}
    return assertions.sign(payload, alg=alg, key=key, header=members)


def proof(path: str = "/token", *, alg: str = "ES256", **changes: Any) -> dict[str, str]:
    """The header of a valid proof with `changes` to its claims."""
    return {"DPoP": sign(claims(path, **changes), alg=alg)}


def with_token(access_token: str, *, alg: str = "ES256", **changes: Any) -> dict[str, str]:
    """The headers of a GET at userinfo with a bound access token."""
    changes = {"htm": "GET", "access_token": access_token, **changes}
    return {"Authorization": f"DPoP {access_token}", **proof("/userinfo", alg=alg, **changes)}
