"""Password hashes: argon2id now, older portals' hashes until their next login."""

import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from passlib.context import CryptContext

from idp.config import PasswordSettings
from idp.errors import Busy
from idp.extensions import Slot

OLDER_SCHEMES = ["bcrypt", "pbkdf2_sha512", "pbkdf2_sha256", "django_pbkdf2_sha256"]
BCRYPT_BYTES = 72
MAX_LENGTH = 256
WAIT_SECONDS = 10

T = TypeVar("T")


@dataclass(frozen=True)
class Verdict:
    """Whether the password is right, and if so a stronger hash to store when there should be one."""

    ok: bool
    new_hash: str | None = None


class PasswordHasher:
    """Makes and checks hashes, a few at a time.

    Every check costs the same, for every hash and for an account that does not exist: one argon2id and,
    as long as the database has hashes of an older kind, one of that kind. `legacy_sample` returns one
    such hash, or None.

    Hashes are made in threads of their own, as many as there are places: the allocator keeps a part of an
    argon2 buffer for each thread that ever made one.
    """

    def __init__(self, settings: PasswordSettings, legacy_sample: Callable[[], str | None]) -> None:
        self._context = CryptContext(
            schemes=["argon2", *OLDER_SCHEMES],
            deprecated=OLDER_SCHEMES,
            argon2__type="ID",
            argon2__memory_cost=settings.hash_memory_kib,
            argon2__time_cost=settings.hash_time,
            argon2__parallelism=settings.hash_parallelism,
        )
        self._places = threading.BoundedSemaphore(settings.hashes_at_once)
        self._pool = ThreadPoolExecutor(settings.hashes_at_once, thread_name_prefix="hash")
        self._legacy_sample = legacy_sample
        self._nobody = self._pool.submit(self._context.hash, "nobody has this password").result()

    def hash(self, password: str) -> str:
        """An argon2id hash. Raises `Busy` when too many are being made."""
        return self._in_place(lambda: str(self._context.hash(normalized(password))))

    def identify(self, stored: str) -> str | None:
        """The scheme of a stored hash; None if it is cut off, or not of a kind that can be checked."""
        try:
            self._context.verify("any", stored)
        except ValueError:
            return None
        scheme: str | None = self._context.identify(stored)
        return scheme

    def check(self, password: str, stored: str | None) -> Verdict:
        """Whether `password` fits the stored hash; None stands for an account without one. Raises `Busy`."""
        legacy = self._legacy_sample()
        return self._in_place(lambda: self._check(password, stored, legacy))

    def _check(self, password: str, stored: str | None, legacy: str | None) -> Verdict:
        if stored is not None and not stored.startswith("$argon2"):
            if self._fits_legacy(password, stored):
                return Verdict(True, str(self._context.hash(normalized(password))))
            self._fits(password, self._nobody)
            return Verdict(False)
        ok = self._fits(password, stored or self._nobody) and stored is not None
        if legacy is not None:
            self._fits_legacy(password, legacy)
        if ok and stored is not None and self._context.needs_update(stored):
            return Verdict(True, str(self._context.hash(normalized(password))))
        return Verdict(ok)

    def _fits(self, password: str, stored: str) -> bool:
        # One character more than any stored password has: never fits, costs no more than the others.
        return self._verify(normalized(password)[: MAX_LENGTH + 1], stored)

    def _fits_legacy(self, password: str, stored: str) -> bool:
        """Older systems hashed the bytes as typed; bcrypt takes 72 of them and no NUL."""
        acceptable = "\0" not in password and len(password) <= MAX_LENGTH
        secret = password.encode() if acceptable else b"-"
        if stored.startswith("$2"):
            secret = secret[:BCRYPT_BYTES]
        return self._verify(secret, stored) and acceptable

    def _verify(self, secret: str | bytes, stored: str) -> bool:
        """False as well for a stored text that is not a hash: such a row shuts out its owner, nobody else."""
        try:
            return bool(self._context.verify(secret, stored))
        except ValueError:
            return False

    def _in_place(self, work: Callable[[], T]) -> T:
        """The result of `work`, done when one of the places for hashes is free; `Busy` after a while."""
        if not self._places.acquire(timeout=WAIT_SECONDS):
            raise Busy("all places for password hashes are taken")
        try:
            return self._pool.submit(work).result()
        finally:
            self._places.release()


HASHER: Slot[PasswordHasher] = Slot("password_hasher")


def normalized(password: str) -> str:
    """The password as it is hashed: NFKC, so every keyboard's å is one (NIST SP 800-63B §5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)
