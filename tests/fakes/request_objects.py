"""Request objects as a relying app signs them, for tests to change one thing in."""

import hmac
import json
from typing import Any

from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from idp.tokens import base64url

KEYS: dict[str, Any] = {
    "rsa": RSAKey.generate_key(2048, {"kid": "rsa"}),
    "p256": ECKey.generate_key("P-256", {"kid": "p256"}),
    "p384": ECKey.generate_key("P-384", {"kid": "p384"}),
}
JWKS = {"keys": [key.as_dict(private=False) for key in KEYS.values()]}


def sign(
    claims: dict[str, Any], *, alg: str = "ES256", key: Any = None, header: dict[str, Any] | None = None
) -> str:
    """A compact JWT; `header` members of None are left out, others replace."""
    signer = key or KEYS["rsa" if alg[1] == "S" and alg[0] in "RP" else "p384" if alg == "ES384" else "p256"]
    members = {"alg": alg, "kid": signer.kid, "typ": "oauth-authz-req+jwt", **(header or {})}
    members = {name: value for name, value in members.items() if value is not None}
    signed = f"{base64url(json.dumps(members).encode())}.{base64url(json.dumps(claims).encode())}"
    return f"{signed}.{base64url(JWSRegistry.algorithms[alg].sign(signed.encode(), signer))}"


def unsigned(claims: dict[str, Any]) -> str:
    """The claims with alg none."""
    header = base64url(json.dumps({"alg": "none"}).encode())
    return f"{header}.{base64url(json.dumps(claims).encode())}."


def keyed_by_the_public_key(claims: dict[str, Any]) -> str:
    """The claims with an HMAC keyed by the public RSA key, which anybody knows (RFC 8725 §2.1)."""
    header = base64url(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())
    signed = f"{header}.{base64url(json.dumps(claims).encode())}"
    return f"{signed}.{base64url(hmac.digest(KEYS['rsa'].as_pem(private=False), signed.encode(), 'sha256'))}"
