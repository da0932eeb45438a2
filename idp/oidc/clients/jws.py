"""A compact JWS that a client signed: read first, then verified with one of its keys (RFC 7515)."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

from idp.oidc.clients.jwks import ClientKey

MAX_LENGTH = 16_384


@dataclass(frozen=True)
class Unverified:
    """A JWT as it came (RFC 7519 §7.2): nothing in it is to be believed before `verify` has passed."""

    alg: str
    kid: str | None
    typ: str | None
    claims: dict[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    jwk: object = field(default=None, repr=False)


def read(token: str, *, algs: Collection[str], typs: Collection[str]) -> Unverified:
    """The parts of a compact JWT (RFC 7515 §7.1). Raises `ValueError` with a reason for its sender.

    The `typ` may be missing. Keys in the header are not used here (`jwk` counts in DPoP proofs alone; jku,
    x5c and x5u never do); extensions that must be understood (crit) are refused, because none is understood.
    """
    if len(token) > MAX_LENGTH:
        raise ValueError("is too long")
    try:
        header_part, payload_part, signature_part = token.encode("ascii").split(b".")
        header = json.loads(urlsafe_b64decode(header_part))
        claims = json.loads(urlsafe_b64decode(payload_part))
        signature = urlsafe_b64decode(signature_part)
    except (ValueError, RecursionError):
        raise ValueError("is not a compact JWT") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise ValueError("is not a compact JWT")
    alg, kid, typ = (header.get(name) for name in ("alg", "kid", "typ"))
    if not isinstance(alg, str) or alg not in algs:
        raise ValueError(f"must have an alg of {', '.join(algs)}")
    if "crit" in header or header.get("b64", True) is not True:
        raise ValueError("has a crit header, which is not supported")
    if not isinstance(kid, str | None) or not isinstance(typ, str | None):
        raise ValueError("has a header of the wrong type")
    if typ is not None and typ.lower().removeprefix("application/") not in typs:
        raise ValueError("has the typ of another kind of token")
    return Unverified(alg, kid, typ, claims, header_part + b"." + payload_part, signature, header.get("jwk"))


def verify(found: Unverified, keys: Sequence[ClientKey]) -> dict[str, Any]:
    """The claims, once the one key that can be meant has verified the signature (RFC 7515 §5.2, §6).

    That is the key of the header's kid, or without a kid the only key that suits its alg. Raises
    `ValueError`.
    """
    named = [key for key in keys if found.kid in (None, key.kid)]
    if not named:
        raise ValueError("has a kid that none of the client's keys has")
    suited = [key for key in named if key.suits(found.alg)]
    if not suited:
        raise ValueError("has an alg that does not suit the client's key")
    if len(suited) > 1:
        raise ValueError("needs the kid of one of the client's keys")
    if not JWSRegistry.algorithms[found.alg].verify(found.signed, found.signature, suited[0].key):
        raise ValueError("has a wrong signature")
    return found.claims
