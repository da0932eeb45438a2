"""Checking an e-mail address and password."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from idp import audit
from idp.db import db
from idp.errors import TooManyTries
from idp.password.hashing import PasswordHasher
from idp.ratelimit import RateLimiter
from idp.users import accounts
from idp.users.models import User

METHOD = "password"
AMR = ("pwd",)
LEGACY_LOOK_SECONDS = 60


class LegacySample:
    """Some stored hash of an older kind, None when there is none; queried once a minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked_at: float | None = None
        self._found: str | None = None

    def __call__(self) -> str | None:
        with self._lock:
            if self._looked_at is None or time.monotonic() - self._looked_at > LEGACY_LOOK_SECONDS:
                query = sa.select(User.password_hash).where(User.password_hash.not_like("$argon2%")).limit(1)
                self._found = db.session.scalar(query)
                self._looked_at = time.monotonic()
            return self._found


def authenticate(
    email: str,
    password: str,
    *,
    hasher: PasswordHasher,
    limiter: RateLimiter,
    address: str,
    account: str,
    known_browser: str | None,
    now: datetime,
) -> UUID | None:
    """The id of the active account whose address and password these are, else None.

    Unknown address, wrong password, disabled account and account without a password cost the same and
    give the same. Raises `TooManyTries` before the costly work, and also after it when parallel tries
    have used the limit up meanwhile: a try takes its place in the counters before it is answered, the
    right password one in its account's, so that no more tries than the limit are ever answered.

    `account` stands for the typed address in the counters; a browser that has logged in to that account
    before (`known_browser`, its own value) is counted by itself, so that guesses made elsewhere cannot
    lock its owner out (OWASP, device cookies).
    """
    account_counter = f"{account}:{known_browser}" if known_browser else account
    counters = (
        ("login_overall", "all"),
        ("login_per_address", address),
        ("login_per_account", account_counter),
    )
    _each(limiter.test, counters, email, now)
    user = accounts.find_by_email(email)
    verdict = hasher.check(password, user.password_hash if user else None)
    if user is None or not verdict.ok or not user.is_active:
        _each(limiter.hit, counters, email, now)
        audit.record(audit.Event.LOGIN_FAILED, now=now, user_id=user.id if user else None, method=METHOD)
        db.session.commit()
        return None
    _each(limiter.test, counters, email, now)
    _each(limiter.hit, counters[-1:], email, now)
    limiter.clear("login_per_account", account_counter)
    if verdict.new_hash and user.password_hash:
        if accounts.store_password_hash(user.id, user.password_hash, verdict.new_hash):
            audit.record(audit.Event.PASSWORD_REHASHED, now=now, user_id=user.id)
        db.session.commit()
    return user.id


def _each(
    step: Callable[[str, str], None], counters: Sequence[tuple[str, str]], email: str, now: datetime
) -> None:
    for name, key in counters:
        try:
            step(name, key)
        except TooManyTries:
            user = accounts.find_by_email(email)  # for its history
            audit.record(audit.Event.LOGIN_LIMITED, now=now, user_id=user.id if user else None, limit=name)
            db.session.commit()
            raise
