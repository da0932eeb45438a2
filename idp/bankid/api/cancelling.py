"""Cancelling orders at BankID that have ended here (RP API v6.0, /cancel)."""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

import structlog

from idp.bankid.api.answers import BankIdError, report
from idp.bankid.api.circuit import Circuit
from idp.bankid.api.client import BankIdClient

log = structlog.get_logger("idp.bankid")

CANCELS_AT_ONCE = 2
MAX_WAITING = 200


class Cancels:
    """Cancels orders in threads of its own, so that no page waits for it.

    An order that is not cancelled ends by itself after minutes, so cancelling is skipped while the circuit
    is open and when `MAX_WAITING` orders wait already.
    """

    def __init__(self) -> None:
        # It starts its threads with the first order, so that a process may fork before.
        self._executor = ThreadPoolExecutor(CANCELS_AT_ONCE, thread_name_prefix="bankid-cancel")
        self._lock = Lock()
        self._waiting: set[Future[None]] = set()

    def queue(self, client: BankIdClient, circuit: Circuit, order_ref: str) -> None:
        """Have the order cancelled soon. `client` must have the certificate that started it."""
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                log.warning("bankid_cancel_left_out")
                return
            future = self._executor.submit(_cancel, client, circuit, order_ref)
            self._waiting.add(future)
        future.add_done_callback(self._done)

    def settle(self) -> None:
        """Wait until every queued order has been cancelled."""
        with self._lock:
            waiting = set(self._waiting)
        wait(waiting)

    def _done(self, future: Future[None]) -> None:
        with self._lock:
            self._waiting.discard(future)


def _cancel(client: BankIdClient, circuit: Circuit, order_ref: str) -> None:
    if not circuit.allows():
        return
    try:
        client.cancel(order_ref)
    except BankIdError as error:
        circuit.note(error)
        report("bankid_cancel_failed", error)
    else:
        circuit.note(None)
