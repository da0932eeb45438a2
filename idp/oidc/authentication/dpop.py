"""DPoP: tokens that only the holder of a key can use, and the proofs that show it (RFC 9449).

Nonces are not required: one request more would be refused for every client that has none yet, and a proof
without one is good for little: one request, once, within minutes. A client that sends one gets the rest of
what nonces give. Each answer to a proof therefore brings a nonce, and a nonce that is sent must be in force.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2.base import OAuth2Error

from idp.oidc.authentication import single_use
from idp.oidc.clients import jwks as client_jwks
from idp.oidc.clients import jws as client_jws
from idp.oidc.clients.jwks import ClientKey
from idp.oidc.clients.jws import Unverified
from idp.oidc.provider import Provider
from idp.tokens import base64url, s256_challenge

HEADER = "DPoP"
NONCE_HEADER = "DPoP-Nonce"
ALGS = ("ES256", "PS256", "RS256", "EdDSA")
TYPS = ("dpop+jwt",)
THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
MAX_LENGTH = 8192
MAX_AGE = timedelta(seconds=300)
MAX_AHEAD = timedelta(seconds=60)
NONCE_SECONDS = 300  # each nonce is made for so long, and accepted for as long again

_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class InvalidProof(OAuth2Error):  # type: ignore[misc]
    """The proof does not hold (RFC 9449 §4.3, §5)."""

    error = "invalid_dpop_proof"

    def __init__(self, description: str) -> None:
        super().__init__(description=f"the DPoP proof {description}")


class NonceNeeded(OAuth2Error):  # type: ignore[misc]
    """The nonce is not in force any more; the answer's DPoP-Nonce header brings another (RFC 9449 §8)."""

    error = "use_dpop_nonce"

    def __init__(self) -> None:
        super().__init__(description="the nonce of the DPoP proof is unknown or too old: use DPoP-Nonce")


@dataclass(frozen=True)
class Proof:
    """A checked proof (RFC 9449 §4.3): the thumbprint of its key (RFC 7638 §3), a digest, and its end.

    No two proofs have the same digest.
    """

    jkt: str
    digest: str
    ends_at: datetime


def check_proof(
    header: str, *, method: str, url: str, nonce_key: bytes, now: datetime, access_token: str | None = None
) -> Proof:
    """The proof in a DPoP header of a request to `url`, sent with the `access_token` if any.

    Raises `InvalidProof` (RFC 9449 §4.3) and `NonceNeeded`. `claim_proof` checks that it is new.
    """
    try:
        if len(header) > MAX_LENGTH:
            raise ValueError("is too long")
        found = client_jws.read(header, algs=ALGS, typs=TYPS)
        if found.typ is None:
            raise ValueError("must have the typ dpop+jwt")
        key = _key(found)
        claims = client_jws.verify(found, (key,))
        jti, issued_at = _check_claims(claims, method, url, now)
        if access_token is not None and claims.get("ath") != s256_challenge(access_token):
            raise ValueError("must have the hash of the access token as ath")
    except ValueError as error:
        raise InvalidProof(str(error)) from None
    if "nonce" in claims and not _in_force(claims["nonce"], nonce_key, now):
        raise NonceNeeded
    jkt = str(key.key.thumbprint())
    # surrogatepass: JSON may hold half a surrogate pair; no client assertion's name begins with a NUL
    digest = hashlib.sha256(f"\0{jkt}\0{jti}".encode(errors="surrogatepass")).hexdigest()
    return Proof(jkt, digest, datetime.fromtimestamp(issued_at, UTC) + MAX_AGE)


def claim_proven_key(
    provider: Provider, header: str | None, *, method: str, path: str, now: datetime
) -> str | None:
    """The thumbprint of the key that a request to one of our endpoints proves; its proof is used up.

    None without the header (RFC 9449 §5, §10.1). Raises `InvalidProof` and `NonceNeeded`.
    """
    if header is None:
        return None
    url = provider.issuer + path
    return claim_proof(check_proof(header, method=method, url=url, nonce_key=provider.nonce_key, now=now))


def claim_proof(proof: Proof) -> str:
    """The thumbprint of the proof's key; the proof is used up (RFC 9449 §11.1).

    Raises `InvalidProof` when it has been used before.
    """
    if not single_use.claim_once(proof.digest, ends_at=proof.ends_at):
        raise InvalidProof("has been used before")
    return proof.jkt


def current_nonce(key: bytes, now: datetime) -> str:
    """A nonce for the next proofs; every machine with the key makes and takes the same (RFC 9449 §8)."""
    return _nonce(key, _window(now))


def _in_force(value: object, key: bytes, now: datetime) -> bool:
    if not isinstance(value, str):
        return False
    given = value.encode(errors="surrogatepass")
    # The next one too: the clock of the machine that made it may be ahead of ours.
    valid = [_nonce(key, _window(now) + step).encode() for step in (0, -1, 1)]
    return any(hmac.compare_digest(given, nonce) for nonce in valid)


def _window(now: datetime) -> int:
    return int(now.timestamp()) // NONCE_SECONDS


def _nonce(key: bytes, window: int) -> str:
    return base64url(hmac.new(key, str(window).encode(), hashlib.sha256).digest())


def _key(found: Unverified) -> ClientKey:
    """The key in the header. Raises `ValueError`: it must be public, strong, and suit the alg."""
    try:
        key = client_jwks.read_key(found.jwk)
    except ValueError as error:
        raise ValueError(f"has an unusable jwk, which {error}") from None
    if not key.suits(found.alg):
        raise ValueError("has an alg that does not suit its jwk")
    return replace(key, kid=found.kid)  # the only key: a kid has nothing to choose


def _check_claims(claims: Mapping[str, Any], method: str, url: str, now: datetime) -> tuple[str, float]:
    """The proof's jti and iat. Raises `ValueError` with what is wrong."""
    jti, issued_at = claims.get("jti"), claims.get("iat")
    if not isinstance(jti, str) or not jti:
        raise ValueError("must have a jti")
    if claims.get("htm") != method:
        raise ValueError("must have the method of its request as htm")
    if not isinstance(claims.get("htu"), str) or _normalised(claims["htu"]) != _normalised(url):
        raise ValueError("must have the URL of its request as htu")
    if not isinstance(issued_at, int | float) or isinstance(issued_at, bool):
        raise ValueError("must have a number of seconds since 1970 as iat")
    moment = now.timestamp()
    # Written as a condition to hold, because NaN is neither greater nor smaller than anything.
    if not moment - MAX_AGE.total_seconds() < issued_at <= moment + MAX_AHEAD.total_seconds():
        raise ValueError("must be new: its iat is too old or in the future")
    return jti, issued_at


def _normalised(url: str) -> tuple[str, str, int | None, str]:
    """What counts of an address, in one spelling (RFC 3986 §6.2.2, §6.2.3); no query and no fragment."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("has an htu that is not a URL") from None
    if parts.username is not None or not parts.hostname:
        raise ValueError("has an htu that is not a URL")
    path = _ESCAPED.sub(_unescaped, parts.path) or "/"
    port = _DEFAULT_PORTS.get(parts.scheme) if port is None else port
    return parts.scheme, parts.hostname, port, path


def _unescaped(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else found[0].upper()
