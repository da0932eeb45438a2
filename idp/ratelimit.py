"""Counters that slow guessing down: tested before costly or revealing work, hit after a failure."""

import re
import time
from math import ceil

import limits
import structlog
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from idp.config import Settings
from idp.errors import TooManyTries
from idp.extensions import Slot

log = structlog.get_logger("idp.ratelimit")
REDIS_TIMEOUT_SECONDS = 1
REDIS_PAUSE_SECONDS = 5  # after a failure; else every counter of every login would wait for the time-out


class RateLimiter:
    """Counts tries by name and key, in Redis when configured, else in this process.

    When Redis does not answer, this process counts alone: logins go on, guessing stays slow.
    """

    def __init__(self, settings: Settings) -> None:
        self._rates = {name: limits.parse_many(rate) for name, rate in settings.limits.model_dump().items()}
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._shared: MovingWindowRateLimiter | None = None
        self._paused_until = 0.0
        if settings.redis_url:
            storage: Storage = storage_from_string(  # type: ignore[assignment]
                re.sub(r"^unix:", "redis+unix:", settings.redis_url),  # as `limits` calls it
                socket_timeout=REDIS_TIMEOUT_SECONDS,
                socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
                wrap_exceptions=True,
            )
            self._shared = MovingWindowRateLimiter(storage)

    def test(self, name: str, key: str) -> None:
        """Raise `TooManyTries` when the next try under `name` and `key` has to wait."""
        wait = self._ask("wait", name, key)
        if wait:
            raise TooManyTries(wait)

    def hit(self, name: str, key: str) -> None:
        """Count one try; raise `TooManyTries` instead when parallel tries have left no room for it."""
        wait = self._ask("hit", name, key)
        if wait:
            raise TooManyTries(wait)

    def clear(self, name: str, key: str) -> None:
        """Forget the tries, after one that succeeded."""
        self._ask("clear", name, key)

    def _ask(self, what: str, name: str, key: str) -> int:
        if self._shared is not None and time.monotonic() >= self._paused_until:
            try:
                return self._do(self._shared, what, name, key)
            except limits.errors.StorageError:
                self._paused_until = time.monotonic() + REDIS_PAUSE_SECONDS
                log.error("counters_unavailable", advice="check IDP_REDIS_URL; workers count alone meanwhile")
        return self._do(self._own, what, name, key)

    def _do(self, limiter: MovingWindowRateLimiter, what: str, name: str, key: str) -> int:
        wait = 0
        for rate in self._rates[name]:
            if what == "clear":
                limiter.clear(rate, name, key)
                continue
            has_room = limiter.hit(rate, name, key) if what == "hit" else limiter.test(rate, name, key)
            if not has_room:
                window = limiter.get_window_stats(rate, name, key)
                wait = max(wait, ceil(window.reset_time - time.time()), 1)
        return wait


LIMITER: Slot[RateLimiter] = Slot("limiter")
