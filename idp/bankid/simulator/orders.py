"""Orders from their start to their end: which call and which action is allowed when.

The relying party starts, collects and cancels; the app opens, signs and refuses. One `Orders` serves
many threads of one process.
"""

import hmac
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509

from idp.bankid.simulator.order import (
    PROCESSING,
    STARTED,
    USER_CALL_CONFIRM,
    Completion,
    OpenedBy,
    Order,
    Status,
)
from idp.bankid.simulator.people import Person
from idp.bankid.simulator.pki import Kind
from idp.bankid.simulator.validation import PhoneAuthRequest, StartRequest, matches_policy

SHOWN = timedelta(minutes=10)
"""How long the phone page remembers an order that has ended."""
QR_OLDEST, QR_NEWEST = 2, -1
"""The ages in seconds between which a scanned code is fresh."""
CODE_TRIES = 3


class UnknownOrderError(Exception):
    """The relying party does not have this order, or no longer has it: 400 invalidParameters."""


class AlreadyInProgressError(Exception):
    """The person of a new order has one open, which ends now: 400 alreadyInProgress."""


class Refusal(StrEnum):
    """The reasons for which the app refuses an action."""

    NOT_A_CODE = "not_a_code"
    UNKNOWN_ORDER = "unknown_order"
    WRONG_CODE = "wrong_code"
    STALE_CODE = "stale_code"
    ALREADY_USED = "already_used"
    ENDED = "ended"
    OTHER_PERSON = "other_person"
    NO_ORDER = "no_order"
    NOT_NOW = "not_now"


class RefusedError(Exception):
    """The app refuses an action; the order is unchanged."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason)
        self.reason = reason


class Orders:
    """Every order of one simulator.

    `now` gives the time; `complete` makes the completionData of an order that its person has approved;
    `policies` says which policy OID each kind of BankID has.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        complete: Callable[[Order, datetime], Completion],
        people: Iterable[Person],
        policies: Mapping[Kind, str],
    ) -> None:
        self._now = now
        self._complete = complete
        self._people = {person.personal_number: person for person in people}
        self._policies = policies
        self._lock = threading.RLock()
        self._orders: dict[int, Order] = {}
        self._by_ref: dict[str, int] = {}
        self._last_number = 0
        self._collects = 0

    # The relying party

    def create(self, request: StartRequest, relying_party: x509.Certificate) -> Order:
        """A new order. Raises `AlreadyInProgressError` for a call to somebody who has an order open."""
        with self._lock:
            now = self._now()
            self._forget(now)
            person = None
            if isinstance(request, PhoneAuthRequest):
                person = self._people.get(request.personalNumber)
                if self._end_open_order(request.personalNumber, now):
                    raise AlreadyInProgressError
            self._last_number += 1
            order = Order(self._last_number, request, relying_party, now, person=person)
            self._by_ref[order.order_ref] = order.number
            return self._put(order)

    def peek(self, order_ref: str, relying_party: x509.Certificate) -> Order:
        """The order as /collect would report it now. Raises `UnknownOrderError`."""
        with self._lock:
            now = self._now()
            order = self._current(self._by_ref.get(order_ref), now)
            if order is None or order.relying_party != relying_party or not order.is_collectable(now):
                raise UnknownOrderError
            return order

    def collect(self, order_ref: str, relying_party: x509.Certificate) -> Order:
        """Like `peek`, but a final result is handed out once."""
        with self._lock:
            self._collects += 1
            order = self.peek(order_ref, relying_party)
            if order.status is not Status.PENDING:
                self._put(replace(order, is_gone=True))
            return order

    def cancel(self, order_ref: str, relying_party: x509.Certificate) -> None:
        """Cancel a pending order. Raises `UnknownOrderError`, also for an order that has ended."""
        with self._lock:
            order = self.peek(order_ref, relying_party)
            if order.status is not Status.PENDING:
                raise UnknownOrderError
            self._put(replace(order, is_gone=True, ended_at=self._now()))

    # The app. Every method raises `RefusedError`.

    def scan(self, qr: str, person: Person, kind: Kind = "mobile") -> Order:
        """The order whose QR code was just read, open in the person's app (RP API, animated QR).

        Age is what the code says against the time since the order began: older than two seconds or
        more than one ahead is not a code that is on a screen now.
        """
        with self._lock:
            now = self._now()
            parts = qr.strip().split(".")
            if len(parts) != 4 or parts[0] != "bankid" or not _is_count(parts[2]):
                raise RefusedError(Refusal.NOT_A_CODE)
            order = self._find(now, lambda one: one.qr_start_token == parts[1] and not one.is_call)
            if not hmac.compare_digest(order.qr(int(parts[2])).encode(), qr.strip().encode()):
                raise RefusedError(Refusal.WRONG_CODE)
            self._check_openable(order)
            age = int((now - order.created_at).total_seconds()) - int(parts[2])
            if not QR_NEWEST <= age <= QR_OLDEST:
                raise RefusedError(Refusal.STALE_CODE)
            return self._choose(replace(order, opened_by=OpenedBy.QR, opened_at=now), person, kind, now)

    def open(
        self,
        auto_start_token: str,
        person: Person | None = None,
        kind: Kind = "mobile",
        *,
        redirect: str | None = None,
    ) -> Order:
        """The order of a launch link, open in the app; its token works once.

        Without a person it stays `started` until one is chosen. `redirect` is the link's own.
        """
        with self._lock:
            now = self._now()
            order = self._find(now, lambda one: one.auto_start_token == auto_start_token and not one.is_call)
            self._check_openable(order)
            order = replace(
                order, opened_by=OpenedBy.AUTOSTART, opened_at=now, hint_code=STARTED, redirect=redirect
            )
            if person is None:
                return self._put(order)
            return self._choose(order, person, kind, now)

    def choose(self, number: int, person: Person, kind: Kind = "mobile") -> Order:
        """The order, which was opened without a person, with this person."""
        with self._lock:
            now = self._now()
            order = self._pending(number, now)
            if order.person is not None or order.opened_at is None:
                raise RefusedError(Refusal.NOT_NOW)
            return self._choose(order, person, kind, now)

    def answer(self, number: int) -> Order:
        """The order of a call, open in the app, which asks the person whether the call is real."""
        with self._lock:
            now = self._now()
            order = self._pending(number, now)
            if not order.is_call or order.opened_at is not None:
                raise RefusedError(Refusal.NOT_NOW)
            opened = replace(order, opened_by=OpenedBy.CALL, opened_at=now)
            return self._open_with(opened, "mobile", USER_CALL_CONFIRM, now)

    def confirm_call(self, number: int) -> Order:
        """The order of a call, after its person has confirmed that the call is real."""
        with self._lock:
            order = self._pending(number, self._now())
            if order.hint_code != USER_CALL_CONFIRM:
                raise RefusedError(Refusal.NOT_NOW)
            return self._put(replace(order, hint_code=order.first_hint))

    def step(self, number: int, hint_code: str, *, mrtd: bool | None = None) -> Order:
        """An open order with another pending hint; `mrtd` is the result of reading a document."""
        with self._lock:
            order = self._pending(number, self._now())
            if order.opened_at is None:
                raise RefusedError(Refusal.NOT_NOW)
            return self._put(replace(order, hint_code=hint_code, mrtd=order.mrtd if mrtd is None else mrtd))

    def approve(self, number: int) -> Order:
        """The completed order, after the person has entered the right code."""
        with self._lock:
            now = self._now()
            order = self._pending(number, now)
            if order.person is None or order.opened_at is None:
                raise RefusedError(Refusal.NOT_NOW)
            order = self._put(replace(order, hint_code=PROCESSING))
        # Outside the lock: a signature may need new keys, which takes time.
        completion = self._complete(order, now)
        with self._lock:
            order = self._pending(number, self._now())
            done = replace(order, status=Status.COMPLETE, completion=completion, ended_at=self._now())
            return self._put(done)

    def enter_wrong_code(self, number: int) -> Order:
        """The order after a wrong code. The third one ends it."""
        with self._lock:
            now = self._now()
            order = self._pending(number, now)
            if order.person is None or order.opened_at is None:
                raise RefusedError(Refusal.NOT_NOW)
            order = replace(order, wrong_codes=order.wrong_codes + 1)
            return self._put(order if order.wrong_codes < CODE_TRIES else order.failed("certificateErr", now))

    def fail(self, number: int, hint_code: str) -> Order:
        """A pending order, failed with this hint."""
        with self._lock:
            now = self._now()
            return self._put(self._pending(number, now).failed(hint_code, now))

    # Queries

    def get(self, number: int) -> Order:
        """The order with this number. Raises `RefusedError`."""
        with self._lock:
            order = self._current(number, self._now())
            if order is None:
                raise RefusedError(Refusal.UNKNOWN_ORDER)
            return order

    def all(self) -> list[Order]:
        """Every order that is remembered, the newest first."""
        with self._lock:
            now = self._now()
            self._forget(now)
            return list(self._each(now))[::-1]

    def counts(self) -> dict[str, int]:
        """How many orders there have been, and how many collects."""
        with self._lock:
            return {"orders": self._last_number, "collects": self._collects}

    def open_order_of(self, person: Person) -> Order:
        """The order that this person has to decide on. Raises `RefusedError` when there is none."""
        with self._lock:
            for order in self._each(self._now()):
                if order.is_open and order.person == person:
                    return order
            raise RefusedError(Refusal.NO_ORDER)

    def elapsed(self, order: Order) -> int:
        """Whole seconds since the order began."""
        return int((self._now() - order.created_at).total_seconds())

    # Inside; the lock is held

    def _put(self, order: Order) -> Order:
        self._orders[order.number] = order
        return order

    def _current(self, number: int | None, now: datetime) -> Order | None:
        order = self._orders.get(number) if number is not None else None
        return None if order is None else self._put(order.at(now))

    def _each(self, now: datetime) -> Iterator[Order]:
        return (self._put(order.at(now)) for order in list(self._orders.values()))

    def _pending(self, number: int, now: datetime) -> Order:
        order = self._current(number, now)
        if order is None:
            raise RefusedError(Refusal.UNKNOWN_ORDER)
        if order.status is not Status.PENDING or order.is_gone:
            raise RefusedError(Refusal.ENDED)
        return order

    def _find(self, now: datetime, fits: Callable[[Order], bool]) -> Order:
        found = next((order for order in self._each(now) if fits(order)), None)
        if found is None:
            raise RefusedError(Refusal.UNKNOWN_ORDER)
        return found

    def _check_openable(self, order: Order) -> None:
        if order.opened_at is not None:
            raise RefusedError(Refusal.ALREADY_USED)
        if order.status is not Status.PENDING or order.is_gone:
            raise RefusedError(Refusal.ENDED)

    def _choose(self, order: Order, person: Person, kind: Kind, now: datetime) -> Order:
        wanted = order.request.requirement.personalNumber
        if wanted not in {None, person.personal_number}:
            raise RefusedError(Refusal.OTHER_PERSON)
        self._end_open_order(person.personal_number, now)
        return self._open_with(replace(order, person=person), kind, order.first_hint, now)

    def _open_with(self, order: Order, kind: Kind, hint_code: str, now: datetime) -> Order:
        """The order, shown to its person; failed if another kind of BankID was asked for."""
        order = replace(order, kind=kind, hint_code=hint_code)
        if not matches_policy(self._policies[kind], order.request.requirement.certificatePolicies):
            order = order.failed("notSupportedByUserApp", now)
        return self._put(order)

    def _end_open_order(self, personal_number: str, now: datetime) -> bool:
        ended = False
        for order in self._each(now):
            if order.is_open and order.person is not None and order.person.personal_number == personal_number:
                self._put(order.failed("cancelled", now))
                ended = True
        return ended

    def _forget(self, now: datetime) -> None:
        for order in self._each(now):  # the oldest first; stops at one that is still shown
            if order.ended_at is None or now < order.ended_at + SHOWN:
                return
            del self._orders[order.number]
            del self._by_ref[order.order_ref]


def _is_count(text: str) -> bool:
    """Whether the text is a whole number in decimal ASCII without padding."""
    return text.isascii() and text.isdigit() and len(text) <= 6 and str(int(text)) == text
