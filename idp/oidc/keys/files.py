"""The provider's private keys as files: one each in a folder that many processes and machines may share.

A reader meets a key's old file or its new one, never half of one. The files are reconciled here too: readers
may come between two writes of a rotation (see `rotation`) and find two active keys.
"""

import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import base64_to_int
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from idp.config import ConfigError

Alg = Literal["RS256", "PS256", "ES256", "EdDSA", "RSA-OAEP", "RSA-OAEP-256"]
State = Literal["active", "next", "retired"]
PrivateKey = RSAKey | ECKey | OKPKey

SIGNING_ALGS: tuple[Alg, ...] = ("RS256", "PS256", "ES256", "EdDSA")
DECRYPTION_ALGS: tuple[Alg, ...] = ("RSA-OAEP", "RSA-OAEP-256")
ALGS = SIGNING_ALGS + DECRYPTION_ALGS
RSA_BITS = 2048
RETENTION = timedelta(hours=24)  # tokens live at most 60 minutes
PAST_FILE = "past.jwks"
MAX_PAST = 50  # keys of four years at one rotation a month
HOW_TO_MAKE = "make one with: idp keys rotate"

_STATES: tuple[State, ...] = ("active", "next", "retired")
_KINDS: dict[Alg, tuple[type[PrivateKey], str | None]] = {
    "RS256": (RSAKey, None),
    "PS256": (RSAKey, None),
    "ES256": (ECKey, "P-256"),
    "EdDSA": (OKPKey, "Ed25519"),
    "RSA-OAEP": (RSAKey, None),
    "RSA-OAEP-256": (RSAKey, None),
}
_READ_ATTEMPTS = 10

# A changed folder has a changed name, mtime, ctime (chmod), size or inode (rename) of a key file.
Fingerprint = tuple[tuple[str, int, int, int, int], ...]


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
class ProviderKey:
    """A private key with its state, and its public half."""

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
        use = "sig" if self.signs else "enc"
        return {**_public_members(self.key), "kid": self.kid, "use": use, "alg": self.alg}

    @property
    def signs(self) -> bool:
        """Whether tokens are signed with the key; otherwise clients encrypt to it."""
        return self.alg in SIGNING_ALGS

    def is_past(self, now: datetime) -> bool:
        """Whether the key is retired and every token that it signed has expired."""
        return self.retired_at is not None and now >= self.retired_at + RETENTION


def list_keys(directory: Path) -> list[ProviderKey]:
    """The folder's keys in a reader's order: by alg, then active, next, retired, then age.

    Raises `ConfigError` with every problem.
    """
    return settle(read(directory, {})[1])


@dataclass(frozen=True)
class PastKey:
    """The public half of a removed key: an `id_token_hint` counts at any age (OIDC Core §3.1.2.1)."""

    kid: str
    alg: Alg
    key: PrivateKey

    @property
    def public_jwk(self) -> dict[str, str]:
        """The public key (RFC 7517 §4) with kid, use and alg."""
        return {**_members(self.key.as_dict(private=False)), "kid": self.kid, "use": "sig", "alg": self.alg}


# Reading


def scan(directory: Path) -> Fingerprint:
    """The names of the key files and a mark of their state. Raises `ConfigError` if they cannot be listed."""
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
        raise no_folder(directory) from None
    except OSError as error:
        raise ConfigError([f"{directory}: cannot be listed: {error.strerror}"]) from None
    return tuple(sorted(found))


def no_folder(directory: Path) -> ConfigError:
    """The problem of a missing folder."""
    return ConfigError([f"{directory}: the folder of signing keys does not exist; {HOW_TO_MAKE}"])


def read(directory: Path, loaded: dict[str, ProviderKey]) -> tuple[Fingerprint, list[ProviderKey]]:
    """Every key as its file holds it, from one moment in which the folder did not change.

    `loaded` holds keys between calls: checking an RSA key takes 60 ms, too long for a request to wait for
    keys that are known. Raises `ConfigError` with every problem.
    """
    for _ in range(_READ_ATTEMPTS):
        seen = scan(directory)
        keys, problems = [], []
        for name, *_about in seen:
            try:
                key = _read_file(directory / name, loaded)
            except FileNotFoundError:
                continue  # the second scan finds out
            except ValueError as error:
                problems.append(f"{directory / name}: {error}")
            else:
                keys.append(key)
                loaded[key.kid] = key
        if scan(directory) == seen:
            if problems:
                raise ConfigError(problems)
            return seen, keys
    raise ConfigError([f"{directory}: keeps changing while it is read"])


def read_past(directory: Path) -> list[PastKey]:
    """The keys that are gone, the latest first. Raises `ConfigError` for a file that cannot be used."""
    path = directory / PAST_FILE
    try:
        stored = json.loads(path.read_bytes())["keys"]
        return [PastKey(jwk["kid"], jwk["alg"], _KINDS[jwk["alg"]][0].import_key({**jwk})) for jwk in stored]
    except FileNotFoundError:
        return []
    except (OSError, JoseError, ValueError, KeyError, TypeError):
        raise ConfigError([f"{path}: cannot be read; without it old id_token_hints are refused"]) from None


def _read_file(path: Path, loaded: Mapping[str, ProviderKey]) -> ProviderKey:
    """The key of one file. Raises `FileNotFoundError`, and `ValueError` whose text holds no secret."""
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
        # Only the outermost name: deeper ones, and pydantic's words on JSON, may repeat the file's content.
        raise ValueError(
            ", ".join(
                f"{item['loc'][0]}: {item['msg']}" if item["loc"] else "not a JSON object" for item in items
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
    return ProviderKey(
        body.kid, body.alg, body.state, body.created_at, body.activated_at, body.retired_at, key
    )


def _import(alg: Alg, jwk: dict[str, str]) -> PrivateKey:
    """The private key, checked to suit the algorithm. Raises `ValueError` whose text holds no secret."""
    kind, curve = _KINDS[alg]
    if jwk.get("kty") != kind.key_type or jwk.get("crv") != curve:
        raise ValueError(f"private_jwk is not a key for {alg}")
    if kind is RSAKey and _rsa_bits(jwk) < RSA_BITS:  # before the import, which would only warn
        raise ValueError(f"private_jwk is an RSA key of fewer than {RSA_BITS} bits")
    try:
        key = kind.import_key({**jwk})
    except (JoseError, ValueError, KeyError, TypeError):
        raise ValueError("private_jwk cannot be used as a key") from None
    public = _public_members(key)
    if not key.is_private or any(jwk[name] != value for name, value in public.items()):
        raise ValueError("private_jwk does not contain both halves of one key")
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


def settle(keys: Iterable[ProviderKey]) -> list[ProviderKey]:
    """The keys in order, one active for each alg: the newest of several. The others count as retired."""
    newest: dict[str, ProviderKey] = {}
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


# Writing


def write(directory: Path, key: ProviderKey) -> None:
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
    _replace(directory, _path(directory, key).name, body.model_dump_json(indent=2))


def _replace(directory: Path, file_name: str, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=directory)  # 0600 from the first byte
    with open(descriptor, "w") as file:
        _give_to_owner(descriptor, directory)
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    os.replace(name, directory / file_name)
    _sync(directory)


def remember_past(directory: Path, key: ProviderKey) -> None:
    """Add the public half of a key that is about to be removed to the keys that are gone."""
    others = [past.public_jwk for past in read_past(directory) if past.kid != key.kid]
    _replace(directory, PAST_FILE, json.dumps({"keys": [key.public_jwk, *others][:MAX_PAST]}, indent=2))


def remove(directory: Path, key: ProviderKey) -> None:
    """Remove a key's file."""
    _path(directory, key).unlink()
    _sync(directory)


def _path(directory: Path, key: ProviderKey) -> Path:
    return directory / f"{key.kid}.json"


def _sync(directory: Path) -> None:
    """Make renames and removals outlive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_to_owner(descriptor: int, directory: Path) -> None:
    """Give a file to the folder's owner, so that the service can read keys that root has made."""
    if os.geteuid() == 0:
        folder = directory.stat()
        os.fchown(descriptor, folder.st_uid, folder.st_gid)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold off other operators, and remove what an interrupted one left half written (a private key)."""
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _give_to_owner(descriptor, directory)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for leftover in directory.glob(".*.tmp"):
            leftover.unlink()
        yield
    finally:
        os.close(descriptor)
