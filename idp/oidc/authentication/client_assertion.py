"""Client assertions: what one must say, and that it is used once (RFC 7523 §3, OIDC Core §9)."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from idp.oidc.authentication import single_use

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGS = ("RS256", "PS256", "ES256", "EdDSA")
# Many libraries write JWT or nothing; a token of any other type is not an assertion.
TYPS = ("jwt", "client-authentication+jwt")
MAX_LIFETIME = timedelta(minutes=10)
SKEW = timedelta(seconds=60)

_LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Assertion:
    """A checked assertion (RFC 7523 §3): a digest of its client and jti, and when it stops counting."""

    digest: str
    ends_at: datetime


def issuer_of(claims: Mapping[str, Any]) -> str:
    """The client_id that an assertion has as iss and sub (RFC 7523 §3, OIDC Core §9).

    Raises `ValueError` when they differ or one is missing.
    """
    client_id = claims.get("iss")
    if not isinstance(client_id, str) or claims.get("sub") != client_id:
        raise ValueError("must have the client_id as iss and as sub")
    return client_id


def check_assertion(claims: Mapping[str, Any], *, audiences: Collection[str], now: datetime) -> Assertion:
    """The assertion, when its claims hold (RFC 7523 §3). Raises `ValueError` with what is wrong.

    `audiences` are the names of this provider. An `aud` that holds another's name too is refused although RFC
    7523 leaves room for it: the other could send it on. The clocks may differ by a minute.
    """
    named = claims.get("aud")
    named = named if isinstance(named, list) else [named]
    if not named or not all(isinstance(name, str) and name in audiences for name in named):
        raise ValueError("must have an aud that names only this provider")
    expires_at = _time(claims, "exp")
    issued_at, not_before = _time(claims, "iat"), _time(claims, "nbf")
    if expires_at is None:
        raise ValueError("must have an exp")
    if now >= expires_at + SKEW:
        raise ValueError("has expired")
    if expires_at > now + MAX_LIFETIME + SKEW or (issued_at and expires_at > issued_at + MAX_LIFETIME):
        raise ValueError("must expire within 10 minutes")
    if any(moment and moment > now + SKEW for moment in (issued_at, not_before)):
        raise ValueError("has an iat or nbf in the future")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise ValueError("must have a jti")
    # surrogatepass: JSON may hold half a surrogate pair; the NUL keeps client and jti apart
    name = f"{issuer_of(claims)}\0{jti}".encode(errors="surrogatepass")
    return Assertion(hashlib.sha256(name).hexdigest(), expires_at + SKEW)


def claim_assertion(assertion: Assertion) -> bool:
    """Use the assertion up (RFC 7523 §3: a jti counts once). False: it has been used.

    Servers that share the database share what is used.
    """
    return single_use.claim_once(assertion.digest, ends_at=assertion.ends_at)


def _time(claims: Mapping[str, Any], name: str) -> datetime | None:
    value = claims.get(name)
    if name not in claims:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < _LATEST:
        raise ValueError(f"must have a number of seconds since 1970 as {name}")
    return datetime.fromtimestamp(value, UTC)
