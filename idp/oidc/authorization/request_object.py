"""Request objects: an authorization request in a JWT that the client signed (RFC 9101, OIDC Core §6.1)."""

import json
import math
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, get_args

from idp.oidc.authorization.parameters import JSON_PARAMETERS, KNOWN, RequestError
from idp.oidc.clients import entry_notes
from idp.oidc.clients import jws as client_jws
from idp.oidc.clients.client import Client
from idp.oidc.clients.field_types import RequestObjectAlg
from idp.oidc.clients.jws import Unverified
from idp.oidc.clients.keys import KeysUnavailable

ALGS: tuple[str, ...] = get_args(RequestObjectAlg)
TYPES = ("oauth-authz-req+jwt", "jwt")  # RFC 9101 §10.8; OIDC Core asks for none
CLOCK_SKEW_SECONDS = 10
MAX_LENGTH = 24_576  # of an encrypted object, a third longer than the signed one in it
JWE_DOTS = 4  # compact form: five parts; a signed JWT has three


def read(
    text: str,
    *,
    client: Client,
    decrypt: Callable[[str], str],
    verify: Callable[[Unverified], dict[str, Any]],
    audiences: Collection[str],
    now: datetime,
) -> dict[str, str]:
    """The authorization request's parameters in a request object of `client` (RFC 9101 §6, OIDC Core §6.1).

    `decrypt` opens one that is encrypted to us (signed, then encrypted), `verify` checks a signature by the
    client's registered keys; `audiences` are the names of this provider.

    Raises `RequestError`: `invalid_request_object` (RFC 9101 §7) for everything that does not hold.
    """
    try:
        if len(text) > MAX_LENGTH:
            raise ValueError("is too long")
        if text.count(".") == JWE_DOTS:
            text = decrypt(text)
        claims = _verified(text, client, verify)
        _check(claims, client, audiences, now.timestamp())
        return {name: _text(name, value) for name, value in claims.items() if name in KNOWN}
    except KeysUnavailable:
        request_error = RequestError("temporarily_unavailable", "the keys at jwks_uri cannot be fetched now")
        raise entry_notes.about_keys(request_error, client) from None
    except ValueError as error:
        request_error = RequestError("invalid_request_object", f"the request object {error}")
        raise entry_notes.carry(error, request_error) from None


def _verified(text: str, client: Client, verify: Callable[[Unverified], dict[str, Any]]) -> dict[str, Any]:
    alg = client.request_object_signing_alg
    try:
        found = client_jws.read(text, algs=(alg,) if alg else ALGS, typs=TYPES)
    except ValueError as error:
        raise (entry_notes.about(error, client, "request_object_signing_alg") if alg else error) from None
    try:
        return verify(found)
    except ValueError as error:
        raise entry_notes.about_keys(error, client) from None


def _check(claims: Mapping[str, Any], client: Client, audiences: Collection[str], moment: float) -> None:
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != client.client_id:
        raise ValueError("has an iss other than the client_id")
    if not any(isinstance(name, str) and name in audiences for name in named):
        raise ValueError("has an aud other than this provider")
    if claims.get("client_id") != client.client_id:
        raise ValueError("has no client_id, or one other than its sender's")
    if claims.get("sub") == client.client_id:
        raise ValueError("must not have the client_id as sub")  # RFC 9101 §10.8
    if "request" in claims or "request_uri" in claims:
        raise ValueError("must not contain request or request_uri")
    if "exp" in claims and moment >= _number(claims, "exp"):
        raise ValueError("has expired")
    if "nbf" in claims and moment < _number(claims, "nbf") - CLOCK_SKEW_SECONDS:
        raise ValueError("is not valid yet")


def _number(claims: Mapping[str, Any], name: str) -> int | float:
    value = claims[name]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError(f"has an {name} that is not a number")
    return value


def _text(name: str, value: Any) -> str:
    """A member as the parameter would have been sent: JSON as its text (OIDC Core §6.1)."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and name in JSON_PARAMETERS:
        return json.dumps(value)
    if name == "max_age" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"has a {name} of the wrong type")
