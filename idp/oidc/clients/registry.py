"""The clients in force: clients.yaml read whole, and followed while the server runs."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from idp.clock import utcnow
from idp.config import ConfigError
from idp.oidc.clients.client import Client
from idp.oidc.clients.field_types import HOW_TO_MAKE_ONE
from idp.oidc.clients.file import ClientFileReader, Origin, read_file
from idp.oidc.clients.problems import quoted

log = logging.getLogger("idp.clients")

FRESH_NS = 100_000_000
PATIENCE_SECONDS = (
    0.2  # a request waits no longer for a new file; a file with thousands of clients takes seconds
)


def load_clients(
    path: Path,
    *,
    login_methods: Sequence[str],
    signing_algs: Collection[str] | None = None,
    bankid_certificates: Collection[str] | None = None,
) -> dict[str, Client]:
    """The clients of a clients.yaml by client_id. Raises `ConfigError` with every problem.

    `login_methods` are those that exist, and those of an entry without its own; `signing_algs` those that
    there are keys for, `bankid_certificates` the names of our further certificates at BankID (None: not known
    and not checked). Expired secrets are not a problem of the file: see `expired_clients`.
    """
    context = _context(login_methods, signing_algs, bankid_certificates)
    return _parse(path, read_file(path), context)


def read_with_origins(
    name: str, data: bytes, *, login_methods: Sequence[str]
) -> tuple[dict[str, Client], Callable[[str, str], Origin]]:
    """The clients in `data`, and a function from client_id and field to where the value comes from.

    Problems, which `ConfigError` holds, begin with `name`.
    """
    reader = _reader(name, _context(login_methods, None, None))
    return reader.read(data), reader.origin


def clients_with_unproven_numbers(clients: Mapping[str, Client]) -> str | None:
    """A sentence on the clients that get personal numbers which the login has not proven; None: none."""
    found = [quoted(client_id) for client_id, client in clients.items() if client.number_after_any_login]
    if not found:
        return None
    return f"number_after_any_login: {', '.join(found)}: personal numbers reach it also after password logins"


def expired_clients(clients: Mapping[str, Client], now: datetime) -> str | None:
    """A sentence on the clients that cannot authenticate because every secret has expired; None: none.

    A date that passes must stop neither the other clients nor a restart, so it is reported, not refused.
    """
    expired = [quoted(client_id) for client_id, client in clients.items() if client.has_expired(now)]
    return f"every secret of {', '.join(expired)} has expired; {HOW_TO_MAKE_ONE}" if expired else None


def _context(
    login_methods: Sequence[str],
    signing_algs: Collection[str] | None,
    bankid_certificates: Collection[str] | None,
) -> Mapping[str, object]:
    """The values that the fields' checks compare against."""
    return {
        "login_methods": tuple(login_methods),
        "signing_algs": None if signing_algs is None else frozenset(signing_algs),
        "bankid_certificates": bankid_certificates,
    }


def _parse(path: Path, data: bytes, context: Mapping[str, object]) -> dict[str, Client]:
    return _reader(path.name, context).read(data)


def _reader(name: str, context: Mapping[str, object]) -> ClientFileReader[Client]:
    base = {"login_methods": context["login_methods"]}
    return ClientFileReader(name, Client, base=base, context=context)


class ClientRegistry:
    """The clients in force: those of the newest clients.yaml without a problem.

    At most once in `check_interval_seconds`, a call checks whether the file, or the set of signing keys, has
    changed. A changed file is read in a thread of its own, while the clients in force go on being used. All
    or nothing: a bad or missing file is logged and changes nothing. Raises `ConfigError` when there is no
    good file to begin with.
    """

    def __init__(
        self,
        path: Path,
        *,
        login_methods: Sequence[str],
        signing_algs: Callable[[], Collection[str]] | None = None,
        bankid_certificates: Collection[str] | None = None,
        clock: Callable[[], datetime] = utcnow,
        check_interval_seconds: float = 1.0,
    ) -> None:
        self._path = path
        self._login_methods = login_methods
        self._signing_algs = signing_algs
        self._bankid_certificates = bankid_certificates
        self._clock = clock
        self._interval = check_interval_seconds
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._context = self._context_now()
        data = read_file(path)
        self._digest: bytes | None = hashlib.sha256(data).digest()
        self._clients = self._parse(data)
        self._initiating = _initiating(self._clients)
        self._warn_of_expired()
        self._next_check = time.monotonic() + check_interval_seconds
        self.problems: list[str] = []

    def get(self, client_id: str) -> Client | None:
        """The client, or None when no entry has that client_id."""
        self._check_when_due()
        return self._clients.get(client_id)

    def initiating(self) -> Mapping[str, Client]:
        """The clients with an `initiate_login_uri` (OIDC Core §4), by client_id.

        The set of one moment, which a later reload does not change.
        """
        self._check_when_due()
        return self._initiating

    def refresh(self) -> None:
        """Read the file now, whether or not it seems changed."""
        with self._lock:
            self._stamp = None
            self._reload_if_changed()

    def _check_when_due(self) -> None:
        if time.monotonic() < self._next_check or not self._lock.acquire(blocking=False):
            return
        reader = threading.Thread(target=self._reload_and_release, daemon=True)
        try:
            self._next_check = time.monotonic() + self._interval
            stamp = _stamp(self._path)
            if stamp is not None and stamp == self._stamp and self._context_now() == self._context:
                return
            reader.start()
        finally:
            if reader.ident is None:  # it has not begun, so it will not release the lock
                self._lock.release()
        reader.join(PATIENCE_SECONDS)

    def _reload_and_release(self) -> None:
        try:
            self._reload_if_changed()
        finally:
            self._lock.release()

    def _reload_if_changed(self) -> None:
        """Read the file if it has changed; the caller holds the lock."""
        stamp, context = _stamp(self._path), self._context_now()
        self._stamp = stamp
        try:
            data = read_file(self._path)
        except ConfigError as error:
            self._digest = None
            self._keep_clients(error.problems)
            return
        digest = hashlib.sha256(data).digest()
        if digest == self._digest and context == self._context:
            return
        self._digest, self._context = digest, context
        try:
            self._put_in_force(self._parse(data))
        except ConfigError as error:
            self._keep_clients(error.problems)

    def _context_now(self) -> Mapping[str, object]:
        algs = self._signing_algs() if self._signing_algs else None
        return _context(self._login_methods, algs, self._bankid_certificates)

    def _parse(self, data: bytes) -> dict[str, Client]:
        return _parse(self._path, data, self._context)

    def _keep_clients(self, problems: list[str]) -> None:
        if problems != self.problems:
            lines = "\n".join(problems)
            log.error("%s is not in force; the clients that were read before it stay:\n%s", self._path, lines)
        self.problems = problems

    def _put_in_force(self, new: dict[str, Client]) -> None:
        old = self._clients
        self._clients, self._initiating = new, _initiating(new)
        self.problems = []
        changed = sum(old[client_id] != client for client_id, client in new.items() if client_id in old)
        log.info(
            "%s loaded: %d clients added, %d changed, %d removed",
            self._path,
            len(new.keys() - old.keys()),
            changed,
            len(old.keys() - new.keys()),
        )
        self._warn_of_expired()

    def _warn_of_expired(self) -> None:
        expired = expired_clients(self._clients, self._clock())
        if expired:
            log.warning("%s: %s", self._path, expired)


def _initiating(clients: Mapping[str, Client]) -> Mapping[str, Client]:
    return MappingProxyType(
        {client_id: client for client_id, client in clients.items() if client.initiate_login_uri is not None}
    )


def _stamp(path: Path) -> tuple[int, ...] | None:
    """A mark that differs between versions of the file, found without reading it.

    None when nothing can be said: the file is missing, or so fresh that a second write could fall within the
    same tick of the file system's clock.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < FRESH_NS:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
