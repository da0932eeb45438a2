"""Telling BankID of orders that have ended here."""

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
    """Cancels orders at BankID, behind the backs of those who left them: nobody waits for it.

    It is a courtesy to the app, which forgets an order by itself in time: it is left out while the circuit is
    open, and where more than `MAX_WAITING` orders wait for it.
    """

    def __init__(self) -> None:
        # Its threads begin with the first order: a process may fork before that.
        self._executor = ThreadPoolExecutor(CANCELS_AT_ONCE, thread_name_prefix="bankid-cancel")
        self._lock = Lock()
        self._waiting: set[Future[None]] = set()

    def queue(self, client: BankIdClient, circuit: Circuit, order_ref: str) -> None:
        """Have the order cancelled soon, by the certificate that started it."""
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                log.warning("bankid_cancel_left_out")
                return
            future = self._executor.submit(_cancel, client, circuit, order_ref)
            self._waiting.add(future)
        future.add_done_callback(self._done)

    def settle(self) -> None:
        """Return when every order that was to be cancelled is."""
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
