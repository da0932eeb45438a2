"""Hashes from an older system: finds those that can be checked here, without checking one."""

import re

from passlib.context import CryptContext

from idp.password.hashing import OLDER_SCHEMES
from idp.users.models import MAX_PASSWORD_HASH

_CONTEXT = CryptContext(schemes=["argon2", *OLDER_SCHEMES])
KINDS = "bcrypt, argon2, or PBKDF2 as passlib or Django writes it"

# A login waits for its hash: one that takes much longer than a second is an attack, not a password check.
MAX_BCRYPT_COST = 16
MAX_ARGON2_KIB = 1024 * 1024
MAX_ARGON2_TIME = 64
MAX_PBKDF2_ROUNDS = 5_000_000
ARGON2_BYTES = (16, 32, 64)

_OTHERS = (
    (r"\$1\$", "MD5-crypt"),
    (r"\$apr1\$", "Apache's MD5-crypt"),
    (r"\$2x\$", "bcrypt as PHP wrote it before 5.3.7 ($2x$)"),
    (r"\$5\$", "SHA-256-crypt"),
    (r"\$6\$", "SHA-512-crypt"),
    (r"\$y\$", "yescrypt"),
    (r"\$[PH]\$", "phpass"),
    (r"\$S\$", "Drupal's SHA-512"),
    (r"\$?scrypt[$:]", "scrypt"),
    (r"pbkdf2:", "PBKDF2 as Werkzeug writes it"),
    (r"\{[A-Z0-9-]+\}", "an LDAP directory's"),
    (r"[0-9a-fA-F]{32}\Z", "MD5"),
    (r"[0-9a-fA-F]{40}\Z", "SHA-1"),
    (r"[0-9a-fA-F]{64}\Z", "SHA-256"),
    (r"[0-9a-fA-F]{128}\Z", "SHA-512"),
)


class UnusableHash(ValueError):
    """No password can be checked against the text. The message gives the reason, and never repeats it."""


def scheme_of(stored: str) -> str:
    """The scheme of a stored hash, which is read but not tried. Raises `UnusableHash`."""
    if len(stored) > MAX_PASSWORD_HASH:
        raise UnusableHash(f"is longer than {MAX_PASSWORD_HASH} characters")
    scheme: str | None = _CONTEXT.identify(stored)
    if scheme is None or stored.startswith("$2x$"):
        raise UnusableHash(f"{_explained(stored)}: use {KINDS}")
    try:
        read = _CONTEXT.handler(scheme).from_string(stored)
    except (ValueError, TypeError):
        raise UnusableHash(f"is cut off or damaged ({_plain(scheme)})") from None
    if not read.checksum or (scheme == "argon2" and len(read.checksum) not in ARGON2_BYTES):
        raise UnusableHash(f"is cut off or damaged ({_plain(scheme)})")
    if scheme == "argon2":
        costly = read.memory_cost > MAX_ARGON2_KIB or read.rounds > MAX_ARGON2_TIME
    else:
        costly = read.rounds > (MAX_BCRYPT_COST if scheme == "bcrypt" else MAX_PBKDF2_ROUNDS)
    if costly:
        raise UnusableHash(f"would take too long to check ({_plain(scheme)})")
    return scheme


def _explained(stored: str) -> str:
    for pattern, name in _OTHERS:
        if re.match(pattern, stored):
            return f"is of a kind ({name}) that cannot be checked"
    return "is not of a kind that can be checked"


def _plain(scheme: str) -> str:
    return scheme.replace("django_", "Django's ").replace("_", "-")
