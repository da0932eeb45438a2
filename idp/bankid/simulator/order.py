"""The state of one order at a moment, and how time changes it."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from cryptography import x509

from idp.bankid.simulator.people import Person
from idp.bankid.simulator.pki import Kind
from idp.bankid.simulator.validation import AuthRequest, PhoneAuthRequest, StartRequest

START_WINDOW = timedelta(seconds=30)
LIFETIME = timedelta(seconds=180)
COMPLETE_KEPT = timedelta(minutes=3)
FAILED_KEPT = timedelta(minutes=5)

OUTSTANDING, STARTED, USER_SIGN, USER_MRTD = "outstandingTransaction", "started", "userSign", "userMrtd"
USER_CALL_CONFIRM, PROCESSING = "userCallConfirm", "processing"

Completion = Mapping[str, Any]


def _new_token() -> str:
    return str(uuid4())


class Status(StrEnum):
    """The status of an order in /collect."""

    PENDING = "pending"
    FAILED = "failed"
    COMPLETE = "complete"


class OpenedBy(StrEnum):
    """How the app got an order."""

    QR = "qr"
    AUTOSTART = "autostart"
    CALL = "call"


@dataclass(frozen=True)
class Order:
    """One order at a moment. Times are aware; `number` identifies it on the phone page."""

    number: int
    request: StartRequest
    relying_party: x509.Certificate
    created_at: datetime
    order_ref: str = field(default_factory=_new_token, repr=False)
    auto_start_token: str = field(default_factory=_new_token, repr=False)
    qr_start_token: str = field(default_factory=_new_token, repr=False)
    qr_start_secret: str = field(default_factory=_new_token, repr=False)
    status: Status = Status.PENDING
    hint_code: str = OUTSTANDING
    opened_by: OpenedBy | None = None
    opened_at: datetime | None = None
    person: Person | None = None
    kind: Kind | None = None
    redirect: str | None = None
    wrong_codes: int = 0
    mrtd: bool | None = None
    completion: Completion | None = field(default=None, repr=False)
    ended_at: datetime | None = None
    is_gone: bool = False

    @property
    def is_call(self) -> bool:
        """Whether it belongs to a telephone call, and has no tokens."""
        return isinstance(self.request, PhoneAuthRequest)

    @property
    def is_open(self) -> bool:
        """Whether a person has it in the app and can still decide."""
        return self.status is Status.PENDING and self.person is not None and not self.is_gone

    @property
    def return_url(self) -> str | None:
        """The address that the app opens afterwards; None unless it was opened on the same device.

        The order's own place wins over the launch link's, which is the older way.
        """
        if self.opened_by is not OpenedBy.AUTOSTART or not isinstance(self.request, AuthRequest):
            return None
        return self.request.returnUrl or self.redirect

    @property
    def first_hint(self) -> str:
        """The first hint once a person has the order."""
        return USER_MRTD if self.request.requirement.mrtd else USER_SIGN

    def qr(self, elapsed: int) -> str:
        """The QR text, `elapsed` whole seconds after the order began (RP API, animated QR)."""
        code = hmac.new(self.qr_start_secret.encode(), str(elapsed).encode(), hashlib.sha256).hexdigest()
        return f"bankid.{self.qr_start_token}.{elapsed}.{code}"

    def at(self, now: datetime) -> "Order":
        """The order after the time limits that have passed."""
        if self.status is not Status.PENDING or self.is_gone:
            return self
        begun = self.created_at if self.is_call else self.opened_at
        if begun is None and now >= self.created_at + START_WINDOW:
            return self.failed("startFailed", self.created_at + START_WINDOW)
        if begun is not None and now >= begun + LIFETIME:
            return self.failed("expiredTransaction", begun + LIFETIME)
        return self

    def failed(self, hint_code: str, now: datetime) -> "Order":
        return replace(self, status=Status.FAILED, hint_code=hint_code, ended_at=now)

    def is_collectable(self, now: datetime) -> bool:
        """Whether /collect still answers for it: a result is kept for minutes, and handed out once."""
        if self.is_gone:
            return False
        kept = COMPLETE_KEPT if self.status is Status.COMPLETE else FAILED_KEPT
        return self.ended_at is None or now < self.ended_at + kept
