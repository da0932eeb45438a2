"""What using BankID needs, what starts an order, and what an order says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import BoundedSemaphore
from typing import Literal
from uuid import UUID

from cryptography import x509

from idp.bankid.api.cancelling import Cancels
from idp.bankid.api.circuit import Circuit
from idp.bankid.api.client import BankIdClient
from idp.bankid.api.environment import Environment
from idp.bankid.api.messages import RfaId
from idp.bankid.launch import ReturnUrl
from idp.bankid.terms import NO_DEMANDS, Terms
from idp.clock import utcnow
from idp.crypto import Sealer

CALLS_AT_ONCE = 4  # of a worker's 8 threads: when BankID is slow, the others go on
RENEWALS_AT_ONCE = 3  # codes shown together end together; who waits for a new one holds nobody up
COLLECT_EVERY = timedelta(seconds=2)
OUTSTANDING = "outstandingTransaction"  # BankID's hint while no app has the order
UNREACHABLE = "unreachable"  # hints of ours beside BankID's: the circuit is open …
LOST = "lost"  # … BankID tells nothing of the order any more …
RENEWING = "renewing"  # … and nobody has scanned the QR code: a new order is to take its place
EVIDENCE_PURPOSE = "bankid evidence"
RESULT_PURPOSE = "bankid result"
MAX_VISIBLE = 1100  # bytes of text; 1,500 characters in base64 is BankID's limit


@dataclass(frozen=True)
class BankId:
    """What using BankID needs; made once in `create_app`."""

    client: BankIdClient
    environment: Environment
    rp_certificate: x509.Certificate
    circuit: Circuit
    sealer: Sealer
    retention: timedelta
    same_device_policy: str  # enforce or log
    refuse_high_risk: bool
    calls: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(CALLS_AT_ONCE))
    renewals: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(RENEWALS_AT_ONCE))
    cancels: Cancels = field(default_factory=Cancels)
    clock: Callable[[], datetime] = utcnow  # what a call to BankID has taken is not in a request's `now`
    others: "Mapping[str, BankId]" = field(default_factory=dict)  # the same, asking as another of ours

    def asking_as(self, certificate: str | None) -> "BankId":
        """BankID asked with our certificate of this name; with the first where there is none such."""
        return self.others.get(certificate, self) if certificate else self


@dataclass(frozen=True)
class Starter:
    """Who starts an order, and from where."""

    purpose: Literal["login", "link"]
    interaction_uid: str
    browser: str
    client_id: str | None
    visible_text: str
    visible_format: Literal["simpleMarkdownV1"] | None  # None: plain text
    end_user_ip: str
    user_agent: str
    device_identifier: str
    referring_domain: str
    started_by: str
    device: str
    return_url: Callable[[str], ReturnUrl | None]  # a nonce → where the app returns to, None: nowhere
    terms: Terms = NO_DEMANDS
    personal_number: str | None = field(default=None, repr=False)  # the only person whose BankID will do
    user_id: UUID | None = None  # whose account the order links


@dataclass(frozen=True)
class PendingOrder:
    """What answers a poll while an order is pending."""

    id: str
    order_ref: str
    started_by: str
    device: str
    started_at: datetime
    qr_start_token: str
    qr_start_secret: str
    next_collect_at: datetime
    state: str
    hint_code: str
    certificate: str | None  # which of ours asks
    ui_locales: str | None  # of the request that waits


@dataclass(frozen=True)
class VerifiedPerson:
    """Who a completed order was made by, read from the verified signature."""

    personal_number: str
    name: str
    policy_kind: str
    device_ip: str | None
    risk: str | None


class Unavailable(Exception):
    """BankID cannot be used now; `rfa` is the text for the user, `code` BankID's answer if it was asked."""

    def __init__(self, rfa: RfaId, code: str | None = None) -> None:
        super().__init__(rfa.value)
        self.rfa = rfa
        self.code = code


def clipped(text: str, longest: int = MAX_VISIBLE) -> str:
    """As much of a text for the app as fits in so many bytes; in as many as BankID takes, unless said."""
    return text.encode()[:longest].decode(errors="ignore")
