"""The clients' public keys: listed in clients.yaml, or fetched from their jwks_uri and reused for a while."""

import re
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from idp.oidc.clients import jws as client_jws
from idp.oidc.clients.client import Client
from idp.oidc.clients.jwks import ClientKey, read_fetched
from idp.oidc.clients.jws import Unverified
from idp.outbound import Answer, Outbound, OutboundError

log = structlog.get_logger("idp.oidc")

FRESH = timedelta(hours=1)  # unless the answer's Cache-Control says otherwise, within these limits
LEAST_FRESH, MOST_FRESH = timedelta(minutes=5), timedelta(hours=24)
STALE = timedelta(hours=24)  # keys count for so much longer while no new ones can be fetched
UNKNOWN_KID_PAUSE = timedelta(minutes=1)  # anybody can send an unknown kid
FAILURE_PAUSE = timedelta(seconds=10)
FETCHES_AT_ONCE = 2  # threads of a worker that may be busy with keys; it has more
WAITING_AT_ONCE = 2  # and threads that may wait for one of those
WAIT_SECONDS = 2.0

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,9})")


class KeysUnavailable(Exception):
    """The client's keys cannot be fetched now; later they may (OIDC Core §10.1.1)."""


@dataclass(frozen=True)
class _FetchedKeys:
    """The keys last fetched from a jwks_uri, and the time of the last attempt."""

    uri: str
    keys: tuple[ClientKey, ...] = ()
    fresh_until: datetime | None = None
    tried_at: datetime | None = None
    failed: bool = False

    def usable(self, now: datetime) -> bool:
        return self.fresh_until is not None and now < self.fresh_until + STALE

    def needs_fetch(self, kid: str | None, now: datetime) -> bool:
        """Whether to fetch again for this kid: not when that was tried a moment ago."""
        if self.tried_at is None or self.fresh_until is None:
            return self.tried_at is None or now >= self.tried_at + FAILURE_PAUSE
        if now >= self.fresh_until:
            return not self.failed or now >= self.tried_at + FAILURE_PAUSE
        unknown = kid is not None and all(key.kid != kid for key in self.keys)
        return unknown and now >= self.tried_at + UNKNOWN_KID_PAUSE


class ClientKeys:
    """Finds clients' keys (OIDC Core §10.1.1); safe to share between threads.

    A worker fetches for one client once at a time, and with few of its threads altogether: a slow jwks_uri
    delays its own client only. `outbound` makes the requests.
    """

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._fetched: dict[str, _FetchedKeys] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._slots = threading.BoundedSemaphore(FETCHES_AT_ONCE)
        self._places = threading.BoundedSemaphore(WAITING_AT_ONCE)

    def verify(self, client: Client, found: Unverified, now: datetime) -> dict[str, Any]:
        """The claims of a JWT that the client signed. Raises `ValueError` and `KeysUnavailable`."""
        return client_jws.verify(found, self.keys_of(client, found.kid, now))

    def keys_of(self, client: Client, kid: str | None, now: datetime) -> tuple[ClientKey, ...]:
        """The client's keys, fetched when they are old or none has this kid. Raises `KeysUnavailable`."""
        if client.jwks_uri is None:
            return client.jwks.keys if client.jwks else ()
        fetched = self._current(client.client_id, client.jwks_uri)
        if fetched.needs_fetch(kid, now):
            self._fetch_once(client.client_id, client.jwks_uri, kid, now)
            fetched = self._current(client.client_id, client.jwks_uri)
        if not fetched.usable(now):
            raise KeysUnavailable
        return fetched.keys

    def _current(self, client_id: str, uri: str) -> _FetchedKeys:
        fetched = self._fetched.get(client_id)
        return fetched if fetched is not None and fetched.uri == uri else _FetchedKeys(uri)

    def _fetch_once(self, client_id: str, uri: str, kid: str | None, now: datetime) -> None:
        """Fetch, or wait for the thread that does; not at all when too many threads are busy with keys.

        The client's own lock comes first: a thread that waits for a fetch takes no other client's place.
        """
        lock = self._locks.setdefault(client_id, threading.Lock())
        if not self._acquire(lock):
            return
        try:
            fetched = self._current(client_id, uri)
            if fetched.needs_fetch(kid, now) and self._slots.acquire(blocking=False):
                try:
                    self._fetched[client_id] = self._fetch(client_id, fetched, now)
                finally:
                    self._slots.release()
        finally:
            lock.release()

    def _acquire(self, lock: threading.Lock) -> bool:
        if lock.acquire(blocking=False):
            return True
        if not self._places.acquire(blocking=False):
            return False
        try:
            return lock.acquire(timeout=WAIT_SECONDS)
        finally:
            self._places.release()

    def _fetch(self, client_id: str, fetched: _FetchedKeys, now: datetime) -> _FetchedKeys:
        try:
            answer = self._outbound.request(
                "GET", fetched.uri, headers={"Accept": "application/jwk-set+json, application/json"}
            )
            if answer.status != 200:
                raise OutboundError(f"the answer has status {answer.status}")
            keys = read_fetched(answer.body).keys
        except (OutboundError, ValueError) as error:
            log.warning("jwks_uri_failed", client_id=client_id, uri=fetched.uri, reason=str(error))
            return _FetchedKeys(fetched.uri, fetched.keys, fetched.fresh_until, tried_at=now, failed=True)
        log.info("jwks_uri_fetched", client_id=client_id, kids=[key.kid for key in keys])
        return _FetchedKeys(fetched.uri, keys, fresh_until=now + _fresh_for(answer), tried_at=now)


def _fresh_for(answer: Answer) -> timedelta:
    found = _MAX_AGE.search(answer.headers.get("cache-control", "").lower())
    return min(max(timedelta(seconds=int(found[1])), LEAST_FRESH), MOST_FRESH) if found else FRESH
