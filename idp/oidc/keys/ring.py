"""The key ring: signs, verifies and decrypts, publishes the keys, and follows the folder while running."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from joserfc.errors import JoseError
from joserfc.jwe import decrypt_compact
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

from idp.clock import utcnow
from idp.config import ConfigError
from idp.oidc.keys import files as key_files
from idp.oidc.keys.files import DECRYPTION_ALGS, HOW_TO_MAKE, SIGNING_ALGS, PastKey, ProviderKey
from idp.tokens import base64url

REQUIRED_ALG = "RS256"  # every relying app understands it (OIDC Core §15.1)
JWKS_MAX_AGE_SECONDS = 600  # so long may a relying app keep /jwks; a next key must be published longer

CONTENT_ENCS = ("A128GCM", "A256GCM")  # for encryption to us

_HEADER_MAX_CHARS = 512
_JWE_HEADER = ("alg", "enc", "kid", "cty", "typ")
_AS_JSON = json.JSONEncoder(separators=(",", ":")).encode
_log = logging.getLogger("idp.keys")


@dataclass(frozen=True)
class _Published:
    """One state of the folder, prepared once and replaced whole, so threads need no lock."""

    by_kid: dict[str, ProviderKey]
    past: dict[str, ProviderKey | PastKey]  # not published any more, for hints alone
    active: dict[str, ProviderKey]
    jwks: bytes
    generation: int


class KeyRing:
    """The keys of a folder (OIDC Core §10.1.1), current while the server runs; safe to share between threads.

    At most once in `check_interval_seconds` a call checks whether the folder has changed. A broken change
    leaves the old keys in use, is logged and shown by `problems`. Raises `ConfigError` with every problem
    when the folder cannot be used at the start.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Callable[[], datetime] = utcnow,
        check_interval_seconds: float = 1.0,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._interval = check_interval_seconds
        self._lock = threading.Lock()
        self._problems: tuple[str, ...] = ()
        self._loaded: dict[str, ProviderKey] = {}
        self._seen, self._keys, self._past = _read_usable(directory, self._loaded)
        self._published = _publish(self._keys, self._past, now=clock(), generation=1)
        self._checked_at = time.monotonic()

    def sign(
        self, claims: Mapping[str, Any], *, alg: str = REQUIRED_ALG, typ: str = "JWT", now: datetime
    ) -> str:
        """A JWT of the claims, signed by the active key for `alg` (RFC 7515 §7.1).

        `iat` is `now` unless the claims say otherwise. Raises `LookupError` when no key is active for `alg`.
        """
        key = self._current().active.get(alg)
        if key is None:
            raise LookupError(f"no active {alg} key; {HOW_TO_MAKE} --alg {alg}")
        payload = _AS_JSON({"iat": int(now.timestamp()), **claims})
        signed = f"{_header(key.alg, key.kid, typ)}.{base64url(payload.encode())}"
        return f"{signed}.{base64url(JWSRegistry.algorithms[key.alg].sign(signed.encode(), key.key))}"

    def verify(self, token: str, *, typ: str | None = None) -> dict[str, Any]:
        """The claims of a JWT that any published key signed (RFC 7515 §5.2, RFC 8725 §3.1).

        The header must be one that `sign` writes: with the alg of that very key, and `typ` when it is given.
        `exp` and the other claims are not checked. Raises `ValueError` for every other token.
        """
        return _verified(token, self._current().by_kid, typ)

    def verify_hint(self, token: str) -> dict[str, Any]:
        """As `verify`, for an `id_token_hint` (OIDC Core §3.1.2.1): a key that is gone counts too."""
        current = self._current()
        return _verified(token, {**current.past, **current.by_kid}, "JWT")

    def decrypt(self, token: str) -> str:
        """The JWT in a compact JWE that is encrypted to a published key (RFC 7516 §5.2, RFC 7519 §5.2).

        A kid names the key; without one it is the active key for the alg. Nothing is decompressed: a small
        token could become a large one. Raises `ValueError` with a reason for its sender that does not reveal
        how far the decryption came.
        """
        try:
            header = json.loads(urlsafe_b64decode(token.encode("ascii").split(b".")[0]))
        except (ValueError, RecursionError):
            raise ValueError("is not a compact JWE") from None
        if not isinstance(header, dict):
            raise ValueError("is not a compact JWE")
        alg, enc, kid = (header.get(name) for name in ("alg", "enc", "kid"))
        if alg not in DECRYPTION_ALGS or enc not in CONTENT_ENCS:
            known = ", ".join(DECRYPTION_ALGS), " or ".join(CONTENT_ENCS)
            raise ValueError(f"must be encrypted by one of {known[0]}, with {known[1]}")
        if set(header) - set(_JWE_HEADER):
            raise ValueError(f"may have in its JWE header only {', '.join(_JWE_HEADER)}")
        if str(header.get("cty", "JWT")).upper() != "JWT":
            raise ValueError("must have a signed JWT inside")
        current = self._current()
        key = current.active.get(alg) if kid is None else current.by_kid.get(str(kid))
        if key is None or key.alg != alg:
            raise ValueError(f"is not encrypted to one of our {alg} keys")
        try:
            found = decrypt_compact(token, key.key, algorithms=[alg, enc])
            return (found.plaintext or b"").decode("ascii")
        except (JoseError, InvalidTag, ValueError):
            raise ValueError("cannot be decrypted") from None

    @property
    def algs(self) -> tuple[str, ...]:
        """The signature algorithms that have an active key."""
        return tuple(alg for alg, key in self._current().active.items() if key.signs)

    @property
    def decryption_algs(self) -> tuple[str, ...]:
        """The algorithms of active keys that clients may encrypt to."""
        return tuple(alg for alg, key in self._current().active.items() if not key.signs)

    def jwks(self) -> bytes:
        """The public keys as a JWK Set (RFC 7517 §5), in JSON."""
        return self._current().jwks

    @property
    def generation(self) -> int:
        """A number that grows whenever the published or signing keys change."""
        return self._current().generation

    @property
    def problems(self) -> tuple[str, ...]:
        """The reasons why the folder in its present state is not in use; empty when it is."""
        self._current()
        return self._problems

    def _current(self) -> _Published:
        # One thread checks; the others go on with the keys in use.
        if time.monotonic() - self._checked_at >= self._interval and self._lock.acquire(blocking=False):
            try:
                self._check()
            finally:
                self._checked_at = time.monotonic()
                self._lock.release()
        return self._published

    def _check(self) -> None:
        problems: tuple[str, ...] = ()
        try:
            if key_files.scan(self._directory) != self._seen:  # the state last read without a problem
                self._seen, self._keys, self._past = _read_usable(self._directory, self._loaded)
        except ConfigError as error:
            problems = tuple(error.problems)
        if problems and problems != self._problems:
            _log.error("the signing keys stay as they were: %s", "; ".join(problems))
        self._problems = problems
        # Also without a change: a retired key leaves the set when its time is up.
        old = self._published
        new = _publish(self._keys, self._past, now=self._clock(), generation=old.generation + 1)
        if (new.jwks, new.active) != (old.jwks, old.active):
            self._published = new
            _log.info("signing keys changed; in use: %s", ", ".join(key.kid for key in new.active.values()))


def _read_usable(
    directory: Path, loaded: dict[str, ProviderKey]
) -> tuple[key_files.Fingerprint, list[ProviderKey], list[PastKey]]:
    """The settled keys, enough for a provider to run, and those that are gone. Raises `ConfigError`."""
    seen, keys = key_files.read(directory, loaded)
    if not any(key.alg == REQUIRED_ALG and key.state == "active" for key in keys):
        raise ConfigError([f"{directory}: no active {REQUIRED_ALG} key; {HOW_TO_MAKE}"])
    for kid in loaded.keys() - {key.kid for key in keys}:
        del loaded[kid]
    return seen, key_files.settle(keys), key_files.read_past(directory)


def _publish(
    keys: Iterable[ProviderKey], past: Iterable[PastKey], *, now: datetime, generation: int
) -> _Published:
    """The keys in use and published; retired keys whose time is up are left out, removed or not."""
    keys = list(keys)
    shown = [key for key in keys if not key.is_past(now)]
    gone: dict[str, ProviderKey | PastKey] = {key.kid: key for key in past}
    return _Published(
        by_kid={key.kid: key for key in shown},
        past=gone | {key.kid: key for key in keys if key.is_past(now)},
        active={key.alg: key for key in shown if key.state == "active"},
        jwks=json.dumps({"keys": [key.public_jwk for key in shown]}, separators=(",", ":")).encode(),
        generation=generation,
    )


def _verified(token: str, keys: Mapping[str, ProviderKey | PastKey], typ: str | None) -> dict[str, Any]:
    try:
        header_part, payload_part, signature_part = token.encode("ascii").split(b".")
        if len(header_part) > _HEADER_MAX_CHARS:
            raise ValueError("the header is too long")
        header = json.loads(urlsafe_b64decode(header_part))
        payload, signature = urlsafe_b64decode(payload_part), urlsafe_b64decode(signature_part)
    except (ValueError, RecursionError):
        raise ValueError("the token is not a compact JWS") from None
    if not isinstance(header, dict) or header.keys() != {"alg", "kid", "typ"}:
        raise ValueError("the token's header is not one of ours")
    kid = header["kid"]
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None or key.alg not in SIGNING_ALGS:
        raise ValueError("the token's kid is unknown")
    if header["alg"] != key.alg:
        raise ValueError("the token's alg is not its key's")
    if typ is not None and header["typ"] != typ:
        raise ValueError(f"the token's typ is not {typ}")
    if not JWSRegistry.algorithms[key.alg].verify(header_part + b"." + payload_part, signature, key.key):
        raise ValueError("the token's signature is wrong")
    claims: dict[str, Any] = json.loads(payload)
    return claims


@lru_cache(maxsize=64)
def _header(alg: str, kid: str, typ: str) -> str:
    return base64url(json.dumps({"alg": alg, "typ": typ, "kid": kid}, separators=(",", ":")).encode())
