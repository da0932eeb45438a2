"""A circuit breaker: while BankID does not answer, no request waits for it."""

import threading
import time
from collections.abc import Callable

import structlog

from idp.bankid.api.answers import BankIdError

log = structlog.get_logger("idp.bankid")

FAULTS = 5
OPEN_SECONDS = 15.0


class Circuit:
    """Opens after `FAULTS` faults in a row; then allows a call every `OPEN_SECONDS`. An answer closes it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._faults = 0
        self._try_again_at = 0.0

    def allows(self) -> bool:
        """Whether BankID may be called now."""
        with self._lock:
            if self._faults < FAULTS:
                return True
            if self._clock() < self._try_again_at:
                return False
            self._try_again_at = self._clock() + OPEN_SECONDS
            return True

    def note(self, error: BankIdError | None) -> None:
        """Count the end of a call: an answer (None, or an error that is not an outage), or a fault."""
        with self._lock:
            if error is None or not error.is_outage:
                if self._faults >= FAULTS:
                    log.warning("bankid_circuit_closed")
                self._faults = 0
                return
            self._faults += 1
            if self._faults == FAULTS:
                self._try_again_at = self._clock() + OPEN_SECONDS
                log.error("bankid_circuit_open", code=str(error.code))
