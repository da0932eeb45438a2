"""The signing keys: one file each in a folder that many processes and machines may share.

A key is *next* (published, not used), *active* (signs), *retired* (published until every token it signed
is past), then gone. Nothing coordinates readers and the writer, so the writer replaces one whole file at
a time in an order that leaves a usable set at every instant: the new next, then the promoted active, then
the old one. Between the last two an algorithm has two active keys; readers let the one with the newest
`activated_at` sign and treat the others as retired.
"""

import fcntl
import json
import logging
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import base64_to_int, urlsafe_b64decode
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from idp.clock import utcnow
from idp.config import ConfigError
from idp.tokens import base64url, new_token, sha256_hex

Alg = Literal["RS256", "PS256", "ES256", "EdDSA"]
State = Literal["active", "next", "retired"]
PrivateKey = RSAKey | ECKey | OKPKey

ALGS: tuple[Alg, ...] = ("RS256", "PS256", "ES256", "EdDSA")
REQUIRED_ALG: Alg = "RS256"  # what every relying app understands (OpenID Connect Core §15.1)
RSA_BITS = 2048
JWKS_MAX_AGE_SECONDS = 600  # how long a relying app may keep /jwks; a next key must have been out longer
# Tokens live at most 60 minutes. A day also lets an id_token_hint from this morning's login end its session.
RETENTION = timedelta(hours=24)

_STATES: tuple[State, ...] = ("active", "next", "retired")
_KINDS: dict[Alg, tuple[type[PrivateKey], str | None]] = {
    "RS256": (RSAKey, None),
    "PS256": (RSAKey, None),
    "ES256": (ECKey, "P-256"),
    "EdDSA": (OKPKey, "Ed25519"),
}
_READ_ATTEMPTS = 10
_HEADER_MAX_CHARS = 512
_HOW_TO_MAKE = "make one with: idp keys rotate"
_log = logging.getLogger("idp.keys")

# What tells that a folder changed, for each key file: name, mtime, ctime (chmod), size, inode (rename).
_Fingerprint = tuple[tuple[str, int, int, int, int], ...]


class RefusedError(Exception):
    """The folder was left as it was; the message says what `force` would risk."""


class _KeyFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kid: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    alg: Alg
    state: State
    created_at: AwareDatetime
    activated_at: AwareDatetime | None
    retired_at: AwareDatetime | None
    private_jwk: dict[str, str]


@dataclass(frozen=True)
class SigningKey:
    """A private key, where it is in its life, and what may be published of it."""

    kid: str
    alg: Alg
    state: State
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None
    key: PrivateKey = field(repr=False, compare=False)

    @cached_property
    def public_jwk(self) -> dict[str, str]:
        """The public key (RFC 7517 §4) with kid, use and alg; derived, so it cannot hold a private member."""
        return {**_public_members(self.key), "kid": self.kid, "use": "sig", "alg": self.alg}

    def is_past(self, now: datetime) -> bool:
        """Whether this key is retired and every token it signed is past."""
        return self.retired_at is not None and now >= self.retired_at + RETENTION


@dataclass(frozen=True)
class _Published:
    """What one state of the folder means, prepared once; swapped whole, so threads need no lock."""

    by_kid: dict[str, SigningKey]
    signers: dict[str, SigningKey]
    jwks: bytes
    generation: int


class KeyRing:
    """The keys of a folder, kept up to date while the server runs; safe to share between threads.

    At most once in `check_interval_seconds` a call looks whether the folder changed. A broken change keeps
    the old keys, is logged and shown by `problems`. Raises `ConfigError` with every problem when the folder
    cannot be used at the start.
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
        self._loaded: dict[str, SigningKey] = {}
        self._seen, self._keys = _read_usable(directory, self._loaded)
        self._published = _publish(self._keys, now=clock(), generation=1)
        self._checked_at = time.monotonic()

    def sign(
        self, claims: Mapping[str, Any], *, alg: str = REQUIRED_ALG, typ: str = "JWT", now: datetime
    ) -> str:
        """A JWT of the claims, signed by the active key for `alg` (RFC 7515 §7.1).

        `iat` is `now` unless the claims say otherwise. Raises `LookupError` when no key is active for `alg`.
        """
        key = self._current().signers.get(alg)
        if key is None:
            raise LookupError(f"no active {alg} key; {_HOW_TO_MAKE} --alg {alg}")
        payload = json.dumps({"iat": int(now.timestamp()), **claims}, separators=(",", ":"))
        signed = f"{_header(key.alg, key.kid, typ)}.{base64url(payload.encode())}"
        return f"{signed}.{base64url(JWSRegistry.algorithms[key.alg].sign(signed.encode(), key.key))}"

    def verify(self, token: str, *, typ: str | None = None) -> dict[str, Any]:
        """The claims of a JWT that any published key signed (RFC 7515 §5.2, RFC 8725 §3.1).

        The header must be one `sign` writes: the alg of that very key, and `typ` when it is given. Does not
        look at `exp` or any other claim. Raises `ValueError` for every other token.
        """
        try:
            header_part, payload_part, signature_part = token.encode("ascii").split(b".")
            if len(header_part) > _HEADER_MAX_CHARS:
                raise ValueError("the header is too long")
            header = json.loads(urlsafe_b64decode(header_part))
            payload, signature = urlsafe_b64decode(payload_part), urlsafe_b64decode(signature_part)
        except (ValueError, RecursionError):
            raise ValueError("the token is no compact JWS") from None
        if not isinstance(header, dict) or header.keys() != {"alg", "kid", "typ"}:
            raise ValueError("the token's header is not one of ours")
        kid = header["kid"]
        key = self._current().by_kid.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise ValueError("the token's kid is unknown")
        if header["alg"] != key.alg:
            raise ValueError("the token's alg is not its key's")
        if typ is not None and header["typ"] != typ:
            raise ValueError(f"the token's typ is not {typ}")
        if not JWSRegistry.algorithms[key.alg].verify(header_part + b"." + payload_part, signature, key.key):
            raise ValueError("the token's signature is wrong")
        claims: dict[str, Any] = json.loads(payload)
        return claims

    @property
    def algs(self) -> tuple[str, ...]:
        """The algorithms that have an active key."""
        return tuple(self._current().signers)

    def jwks(self) -> bytes:
        """The public keys as a JWK Set (RFC 7517 §5), in JSON."""
        return self._current().jwks

    @property
    def generation(self) -> int:
        """A number that grows whenever the published or signing keys changed."""
        return self._current().generation

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the folder as it is now is not in use; empty when it is."""
        self._current()
        return self._problems

    def _current(self) -> _Published:
        # One thread looks; the others go on with what they have.
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
            if _scan(self._directory) != self._seen:  # what was last read without a problem
                self._seen, self._keys = _read_usable(self._directory, self._loaded)
        except ConfigError as error:
            problems = tuple(error.problems)
        if problems and problems != self._problems:
            _log.error("the signing keys stay as they were: %s", "; ".join(problems))
        self._problems = problems
        # Also without a change: a retired key leaves the set when its time is up.
        old = self._published
        new = _publish(self._keys, now=self._clock(), generation=old.generation + 1)
        if (new.jwks, new.signers) != (old.jwks, old.signers):
            self._published = new
            _log.info("signing keys changed; in use: %s", ", ".join(key.kid for key in new.signers.values()))


def list_keys(directory: Path) -> list[SigningKey]:
    """The folder's keys as readers see them: by alg, then active, next, retired, then age.

    Raises `ConfigError` with every problem.
    """
    return _settle(_read(directory, {})[1])


def rotate(directory: Path, *, alg: str = REQUIRED_ALG, now: datetime, force: bool = False) -> list[str]:
    """What was done, a line each, to let the next key sign, the active one retire and a new next wait.

    Where nothing signs yet (an empty or missing folder too) it makes an active and a next key. Keys of any
    alg whose tokens are all past are removed. Raises `RefusedError` when relying apps may not have fetched
    the next key yet, unless forced; `ConfigError` with every problem of the folder; `ValueError` for an
    unknown alg.
    """
    known_alg = _known(alg)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(directory):
        keys = _read(directory, {})[1]
        active = [key for key in keys if key.alg == alg and key.state == "active"]
        waiting = _waiting(keys, known_alg)
        if active and not force:
            if not waiting:
                return [
                    _write_next(directory, known_alg, now),
                    f"nothing else changed: no next {alg} key had been published; rotate again in "
                    f"{JWKS_MAX_AGE_SECONDS} seconds",
                ]
            _refuse_if_young(waiting[0], now)
        lines = _promote(directory, waiting, known_alg, now)
        for key in active:
            _write(directory, replace(key, state="retired", retired_at=now))
            lines.append(f"{key.kid}: retired, published until {_moment(now + RETENTION)}")
        for key in keys:
            if key.is_past(now):
                _remove(directory, key)
                lines.append(f"{key.kid}: removed, every token it signed is past")
        return lines


def retire(directory: Path, kid: str, *, now: datetime, force: bool = False) -> list[str]:
    """What was done, a line each, to take a key out of service at once and remove its file.

    What an active key signed stops being accepted, and the next key signs. Raises `RefusedError` where that
    harms tokens that may still live and `force` is not given, `LookupError` for an unknown kid, `ConfigError`
    with every problem of the folder.
    """
    if not directory.is_dir():
        raise _no_folder(directory)
    with _locked(directory):
        keys = _settle(_read(directory, {})[1])
        key = next((key for key in keys if key.kid == kid), None)
        if key is None:
            raise LookupError(f"no key {kid} in {directory}")
        if key.state != "next" and not key.is_past(now) and not force:
            raise RefusedError(
                f"{kid}: tokens it signed may still be in use; force makes them invalid at once"
            )
        lines = []
        if key.state == "active":
            lines += _promote(directory, _waiting(keys, key.alg), key.alg, now)
        elif key.state == "next" and len(_waiting(keys, key.alg)) == 1:
            lines.append(_write_next(directory, key.alg, now))
        _remove(directory, key)
        return [
            *lines,
            f"{kid}: removed; relying apps may keep accepting it for {JWKS_MAX_AGE_SECONDS} seconds",
        ]


# Making and moving keys; the caller holds the folder's lock.


def _known(alg: str) -> Alg:
    for known in ALGS:
        if known == alg:
            return known
    raise ValueError(f"{alg} is none of {', '.join(ALGS)}")


def _new_key(alg: Alg, now: datetime) -> SigningKey:
    kid = f"{now:%Y%m%d}-{sha256_hex(new_token())[:8]}"
    key: PrivateKey
    if alg == "ES256":
        key = ECKey.generate_key("P-256")
    elif alg == "EdDSA":
        key = OKPKey.generate_key("Ed25519")
    else:
        key = RSAKey.generate_key(RSA_BITS)
    return SigningKey(kid, alg, "next", now, None, None, key)


def _waiting(keys: Iterable[SigningKey], alg: Alg) -> list[SigningKey]:
    """The next keys, longest published first: two of them when an earlier rotation was cut off."""
    return sorted(
        (key for key in keys if key.alg == alg and key.state == "next"), key=lambda key: key.created_at
    )


def _refuse_if_young(key: SigningKey, now: datetime) -> None:
    ready_at = key.created_at + timedelta(seconds=JWKS_MAX_AGE_SECONDS)
    if now < ready_at:
        raise RefusedError(
            f"{key.kid}: published less than {JWKS_MAX_AGE_SECONDS} seconds ago, so relying apps may not "
            f"know it yet; wait until {_moment(ready_at)}"
        )


def _promote(directory: Path, waiting: list[SigningKey], alg: Alg, now: datetime) -> list[str]:
    """Let the longest published next key sign, after seeing to it that another waits behind it."""
    chosen = waiting[0] if waiting else _new_key(alg, now)
    lines = [] if len(waiting) > 1 else [_write_next(directory, alg, now)]
    _write(directory, replace(chosen, state="active", activated_at=now))
    return [f"{chosen.kid}: active, signs {alg}", *lines]


def _write_next(directory: Path, alg: Alg, now: datetime) -> str:
    key = _new_key(alg, now)
    _write(directory, key)
    return f"{key.kid}: next, published for {alg}"


def _write(directory: Path, key: SigningKey) -> None:
    """Put a key's file in place whole: a reader meets the old file or the new one."""
    body = _KeyFile(
        kid=key.kid,
        alg=key.alg,
        state=key.state,
        created_at=key.created_at,
        activated_at=key.activated_at,
        retired_at=key.retired_at,
        private_jwk=_members(key.key.as_dict(private=True)),
    )
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=directory)  # 0600 from the first byte
    with open(descriptor, "w") as file:
        _give_to_owner(descriptor, directory)
        file.write(body.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(descriptor)
    os.replace(name, _path(directory, key))
    _sync(directory)


def _remove(directory: Path, key: SigningKey) -> None:
    _path(directory, key).unlink()
    _sync(directory)


def _path(directory: Path, key: SigningKey) -> Path:
    return directory / f"{key.kid}.json"


def _sync(directory: Path) -> None:
    """Make renames and removals outlive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_to_owner(descriptor: int, directory: Path) -> None:
    """Let a rotation by root make files the service can read: they belong to the folder's owner."""
    if os.geteuid() == 0:
        folder = directory.stat()
        os.fchown(descriptor, folder.st_uid, folder.st_gid)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold off other operators; what an interrupted one left half written (a private key) is removed."""
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _give_to_owner(descriptor, directory)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for leftover in directory.glob(".*.tmp"):
            leftover.unlink()
        yield
    finally:
        os.close(descriptor)


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S %Z}"


# Reading.


def _scan(directory: Path) -> _Fingerprint:
    """The key files' names and what changes when they do. Raises `ConfigError` if it cannot be listed."""
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and not entry.name.startswith("."):
                    try:
                        about = entry.stat()
                    except FileNotFoundError:
                        continue  # removed since it was listed
                    found.append(
                        (entry.name, about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino)
                    )
    except FileNotFoundError:
        raise _no_folder(directory) from None
    except OSError as error:
        raise ConfigError([f"{directory}: cannot be listed: {error.strerror}"]) from None
    return tuple(sorted(found))


def _no_folder(directory: Path) -> ConfigError:
    return ConfigError([f"{directory}: there is no such folder of signing keys; {_HOW_TO_MAKE}"])


def _read(directory: Path, loaded: dict[str, SigningKey]) -> tuple[_Fingerprint, list[SigningKey]]:
    """Every key as it stands in its file, from one moment in which the folder held still.

    `loaded` keeps keys between calls: checking an RSA key takes 60 ms, too long for a request to wait for
    keys it already has. Raises `ConfigError` with every problem.
    """
    for _ in range(_READ_ATTEMPTS):
        seen = _scan(directory)
        keys, problems = [], []
        for name, *_about in seen:
            try:
                key = _read_file(directory / name, loaded)
            except FileNotFoundError:
                continue  # the second scan will tell
            except ValueError as error:
                problems.append(f"{directory / name}: {error}")
            else:
                keys.append(key)
                loaded[key.kid] = key
        if _scan(directory) == seen:
            if problems:
                raise ConfigError(problems)
            return seen, keys
    raise ConfigError([f"{directory}: keeps changing while it is read"])


def _read_usable(directory: Path, loaded: dict[str, SigningKey]) -> tuple[_Fingerprint, list[SigningKey]]:
    """The settled keys a provider can run on. Raises `ConfigError` with every problem."""
    seen, keys = _read(directory, loaded)
    if not any(key.alg == REQUIRED_ALG and key.state == "active" for key in keys):
        raise ConfigError([f"{directory}: no active {REQUIRED_ALG} key; {_HOW_TO_MAKE}"])
    for kid in loaded.keys() - {key.kid for key in keys}:
        del loaded[kid]
    return seen, _settle(keys)


def _read_file(path: Path, loaded: Mapping[str, SigningKey]) -> SigningKey:
    """The key of one file. Raises `FileNotFoundError`; `ValueError` saying what is wrong, never a secret."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise ValueError(f"mode is {mode:04o}: others may read it; replace the key, then chmod 600")
    try:
        body = _KeyFile.model_validate_json(content)
    except ValidationError as error:
        items = error.errors(include_url=False, include_input=False, include_context=False)
        # Only the outermost name: deeper ones, and pydantic's words on JSON, may repeat what the file holds.
        raise ValueError(
            ", ".join(
                f"{item['loc'][0]}: {item['msg']}" if item["loc"] else "is no JSON object" for item in items
            )
        ) from None
    if body.kid != path.stem:
        raise ValueError(f"kid is {body.kid}, not the file's name")
    if body.state != "next" and body.activated_at is None:
        raise ValueError(f"state is {body.state} but activated_at is empty")
    if (body.state == "retired") != (body.retired_at is not None):
        raise ValueError(f"state is {body.state} but retired_at is {body.retired_at or 'empty'}")
    old = loaded.get(body.kid)
    if old is not None and old.alg == body.alg and old.key.as_dict(private=True) == body.private_jwk:
        key = old.key
    else:
        key = _import(body.alg, body.private_jwk)
    return SigningKey(
        body.kid, body.alg, body.state, body.created_at, body.activated_at, body.retired_at, key
    )


def _import(alg: Alg, jwk: dict[str, str]) -> PrivateKey:
    """The private key, checked to suit the algorithm. Raises `ValueError`, never with the key's words."""
    kind, curve = _KINDS[alg]
    if jwk.get("kty") != kind.key_type or jwk.get("crv") != curve:
        raise ValueError(f"private_jwk is no {alg} key")
    if kind is RSAKey and _rsa_bits(jwk) < RSA_BITS:  # before the import, which would only warn
        raise ValueError(f"private_jwk is an RSA key of less than {RSA_BITS} bits")
    try:
        key = kind.import_key({**jwk})
    except (JoseError, ValueError, KeyError, TypeError):
        raise ValueError("private_jwk cannot be used as a key") from None
    public = _public_members(key)
    if not key.is_private or any(jwk[name] != value for name, value in public.items()):
        raise ValueError("private_jwk does not hold both halves of one key")
    return key


def _rsa_bits(jwk: Mapping[str, str]) -> int:
    try:
        return base64_to_int(jwk["n"]).bit_length()
    except (KeyError, ValueError):
        return 0


def _public_members(key: PrivateKey) -> dict[str, str]:
    kind: Any = type(key)  # the three share no type that says import_key takes their own public_key
    return _members(kind.import_key(key.public_key).as_dict())


def _members(jwk: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in jwk.items()}


def _settle(keys: Iterable[SigningKey]) -> list[SigningKey]:
    """The keys in order, one active for each alg: the newest of several; the others count as retired."""
    newest: dict[str, SigningKey] = {}
    settled = []
    active_first = sorted(keys, key=lambda key: (key.activated_at or key.created_at, key.kid), reverse=True)
    for key in active_first:
        if key.state == "active" and newest.setdefault(key.alg, key) is not key:
            settled.append(replace(key, state="retired", retired_at=newest[key.alg].activated_at))
        else:
            settled.append(key)
    return sorted(
        settled, key=lambda key: (ALGS.index(key.alg), _STATES.index(key.state), key.created_at, key.kid)
    )


def _publish(keys: Iterable[SigningKey], *, now: datetime, generation: int) -> _Published:
    """The set as it is used and shown; retired keys whose time is up are left out, removed or not."""
    shown = [key for key in keys if not key.is_past(now)]
    return _Published(
        by_kid={key.kid: key for key in shown},
        signers={key.alg: key for key in shown if key.state == "active"},
        jwks=json.dumps({"keys": [key.public_jwk for key in shown]}, separators=(",", ":")).encode(),
        generation=generation,
    )


@lru_cache(maxsize=64)
def _header(alg: str, kid: str, typ: str) -> str:
    return base64url(json.dumps({"alg": alg, "typ": typ, "kid": kid}, separators=(",", ":")).encode())
