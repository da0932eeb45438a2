"""Encryption of the values that the database must not reveal: personal numbers, evidence.

Several keys may be in use at once: the first seals, all open, so a key is replaced without a stop. From each
come, by HKDF (RFC 5869), one key for every purpose, and others for searching: one that leaks reveals
nothing of another.
"""

import hmac
import re
import secrets
from base64 import b64decode, b64encode, urlsafe_b64decode
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from idp.config import ConfigError
from idp.extensions import Slot
from idp.tokens import base64url

KEY_BYTES = 32
HOW_TO_MAKE_ONE = 'make one with: echo "k1:$(openssl rand -base64 32)"'

_SETTING = "IDP_PERSONAL_NUMBER_KEYS"
_NONCE_BYTES = 12
_PERSONAL_NUMBER = "personal number"


class CannotOpen(Exception):
    """A sealed text cannot be opened. The message gives the reason, and nothing of the content."""


@dataclass(frozen=True)
class Key:
    """One secret of 256 bits, and its name in the texts that it sealed."""

    id: str
    secret: bytes = field(repr=False)

    def derive(self, use: str) -> bytes:
        """The 256-bit key for one use."""
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"idp {use}".encode()).derive(self.secret)


def parse_keys(text: str) -> tuple[Key, ...]:
    """The keys that IDP_PERSONAL_NUMBER_KEYS lists: `id:base64`, separated by commas, 32 bytes each.

    Raises `ConfigError` with every problem, never with a secret.
    """
    keys: list[Key] = []
    problems: list[str] = []
    for number, entry in enumerate(text.split(","), 1):
        key_id, _, encoded = entry.strip().partition(":")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", key_id):
            problems.append(f"{_SETTING}: entry {number} must look like id:base64; {HOW_TO_MAKE_ONE}")
            continue
        secret = _decode(encoded)
        if secret is None:
            problems.append(f"{_SETTING}: key {key_id} is not 32 bytes in base64; {HOW_TO_MAKE_ONE}")
        elif len(set(secret)) < 8:
            problems.append(f"{_SETTING}: key {key_id} looks like an example; {HOW_TO_MAKE_ONE}")
        elif any(key_id == other.id for other in keys):
            problems.append(f"{_SETTING}: there are two keys {key_id}")
        elif any(secret == other.secret for other in keys):
            problems.append(f"{_SETTING}: key {key_id} is the same as another")
        else:
            keys.append(Key(key_id, secret))
    if problems:
        raise ConfigError(problems)
    return tuple(keys)


class Sealer:
    """Seals texts with the first key, opens those of every key (AES-256-GCM)."""

    def __init__(self, keys: str) -> None:
        """`keys` is IDP_PERSONAL_NUMBER_KEYS; raises `ConfigError`."""
        self._keys = parse_keys(keys)

    def seal(self, text: str, *, purpose: str, context: str = "") -> str:
        """The text encrypted, as `key id.base64url`. It opens for the same purpose and context only.

        `context` names its place, such as the row's id: copied elsewhere it is worthless.
        """
        key, nonce = self._keys[0], secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(key.derive(f"seal {purpose}")).encrypt(nonce, text.encode(), context.encode())
        return f"{key.id}.{base64url(nonce + sealed)}"

    def open(self, sealed: str, *, purpose: str, context: str = "") -> str:
        """The text again. Raises `CannotOpen`: key gone, changed, or sealed for something else."""
        key_id, dot, encoded = sealed.partition(".")
        key = next((key for key in self._keys if key.id == key_id), None)
        if key is None or not dot:
            raise CannotOpen(f"sealed with key {key_id[:32]!r}, which {_SETTING} does not list")
        try:
            data = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            if base64url(data) != encoded:  # the decoder skips characters that are not base64
                raise ValueError
            nonce, body = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
            opened = AESGCM(key.derive(f"seal {purpose}")).decrypt(nonce, body, context.encode())
        except (ValueError, InvalidTag):
            raise CannotOpen(f"changed, or not sealed here with key {key_id!r}") from None
        return opened.decode()

    def is_current(self, sealed: str) -> bool:
        """Whether the first key sealed this; if not, a rotation has yet to seal it again."""
        return sealed.partition(".")[0] == self._keys[0].id


class PersonalNumberKeys:
    """Personal numbers as they are stored: encrypted for their row, and found by a keyed hash.

    There are so few numbers that a plain hash could be tried out. The hash's key follows from the encryption
    key, so rotation renews both: a row has the hash of the key that sealed it, and until all are sealed
    again a number is searched by `lookups`, its hash under every key.
    """

    def __init__(self, keys: str) -> None:
        """`keys` is IDP_PERSONAL_NUMBER_KEYS; raises `ConfigError`."""
        self._sealer = Sealer(keys)
        self._lookup_keys = tuple(key.derive(f"lookup {_PERSONAL_NUMBER}") for key in parse_keys(keys))

    def encrypt(self, number: str, *, context: str) -> str:
        """The 12 digits encrypted for one row; `context` is its id."""
        return self._sealer.seal(number, purpose=_PERSONAL_NUMBER, context=context)

    def decrypt(self, encrypted: str, *, context: str) -> str:
        """The 12 digits. Raises `CannotOpen`."""
        return self._sealer.open(encrypted, purpose=_PERSONAL_NUMBER, context=context)

    def is_current(self, encrypted: str) -> bool:
        """Whether the first key encrypted this; if not, encrypt it again and store its new `lookup`."""
        return self._sealer.is_current(encrypted)

    def lookup(self, number: str) -> str:
        """The hash to store beside the encrypted number: 64 hex digits."""
        return self.lookups(number)[0]

    def lookups(self, number: str) -> tuple[str, ...]:
        """The hashes to search for: the number's under each key, the first key's first."""
        return tuple(hmac.new(key, number.encode(), sha256).hexdigest() for key in self._lookup_keys)


NUMBER_KEYS: Slot[PersonalNumberKeys] = Slot("personal_number_keys")


def _decode(encoded: str) -> bytes | None:
    try:
        secret = b64decode(encoded, validate=True)
    except ValueError:
        return None
    return secret if len(secret) == KEY_BYTES and b64encode(secret).decode() == encoded else None
