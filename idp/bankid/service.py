"""Orders: start, collect, renew, cancel, and hand over who it was."""

import ipaddress
import json
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import BoundedSemaphore
from typing import Any, cast

import sqlalchemy as sa
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from idp import audit
from idp.bankid import evidence
from idp.bankid.answers import BankIdError, Complete, Failed, Pending
from idp.bankid.circuit import Circuit
from idp.bankid.client import BankIdClient, OrderRequest, Web
from idp.bankid.environment import Environment
from idp.bankid.evidence_errors import EvidenceError
from idp.bankid.launch import ReturnUrl
from idp.bankid.messages import RfaId
from idp.bankid.models import Evidence, Order
from idp.crypto import Sealer
from idp.db import db, execute_alone
from idp.login.models import Interaction
from idp.tokens import new_token, sha256_hex

log = structlog.get_logger("idp.bankid")

COLLECT_EVERY = timedelta(seconds=2)
COLLECT_LEASE = timedelta(seconds=40)  # longer than a collect can take: nobody else collects meanwhile
LONGEST_ORDER = timedelta(minutes=4)  # BankID ends an order after 30 s unopened and 3 minutes in the app
RETURN_WITHIN = timedelta(seconds=15)  # from completion until the app has brought its browser back
CALLS_AT_ONCE = 4  # of a worker's 8 threads: when BankID is slow, the others go on
START_WAITS_SECONDS = 1.0
RENEW_WITHIN = timedelta(minutes=3)
MAX_ATTEMPTS = 5
UNREACHABLE = "unreachable"  # hints of ours beside BankID's: the circuit is open …
LOST = "lost"  # … and BankID tells nothing of the order any more
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


@dataclass(frozen=True)
class Starter:
    """Who starts an order, and from where."""

    interaction_uid: str
    browser: str
    client_id: str | None
    client_name: str
    language: str
    end_user_ip: str
    user_agent: str
    device_identifier: str
    referring_domain: str
    started_by: str
    device: str
    return_url: Callable[[str], ReturnUrl | None]  # a nonce → where the app returns to, None: nowhere


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
    """BankID cannot be used now; `rfa` is the text for the user."""

    def __init__(self, rfa: RfaId) -> None:
        super().__init__(rfa.value)
        self.rfa = rfa


def start(bankid: BankId, starter: Starter, *, now: datetime) -> Order:
    """A new order for the interaction, in place of the one it had. Raises `Unavailable`."""
    cancel(bankid, starter.interaction_uid, browser=starter.browser, now=now)
    return _order(bankid, starter, attempt=1, first_started_at=now, now=now)


def current(interaction_uid: str, *, browser: str) -> Order | None:
    """The interaction's newest order, if this browser started it."""
    return db.session.scalar(
        sa.select(Order)
        .where(Order.interaction_uid == interaction_uid, Order.browser_hash == sha256_hex(browser))
        .order_by(Order.started_at.desc())
        .limit(1)
    )


_order_table, _interaction_table = cast(sa.Table, Order.__table__), cast(sa.Table, Interaction.__table__)
_orders, _interactions = _order_table.c, _interaction_table.c
_NEWEST = (
    sa.select(
        _orders.id,
        _orders.order_ref,
        _orders.started_by,
        _orders.device,
        _orders.started_at,
        _orders.qr_start_token,
        _orders.qr_start_secret,
        _orders.next_collect_at,
        _orders.state,
        _orders.hint_code,
        _interactions.request["ui_locales"].as_string().label("ui_locales"),
    )
    .select_from(_order_table)
    .join(_interaction_table, _interactions.uid == _orders.interaction_uid)
    .where(
        _orders.interaction_uid == sa.bindparam("uid"),
        _orders.browser_hash == sa.bindparam("browser_hash"),
        _interactions.browser_hash == sa.bindparam("browser_hash"),
        _interactions.answered_at.is_(None),
        _interactions.expires_at > sa.bindparam("now"),
    )
    .order_by(_orders.started_at.desc())
    .limit(1)
)
_LEASE = (
    sa.update(_order_table)
    .where(
        _orders.id == sa.bindparam("b_id"),
        _orders.state == "pending",
        _orders.next_collect_at == sa.bindparam("b_due"),
    )
    .values(next_collect_at=sa.bindparam("b_until"))
    .returning(_orders.id)
)
_STILL_PENDING = (
    sa.update(_order_table)
    .where(_orders.id == sa.bindparam("b_id"), _orders.state == "pending")
    .values(hint_code=sa.bindparam("b_hint"), next_collect_at=sa.bindparam("b_next"))
    .returning(_orders.id)
)


def poll_pending(bankid: BankId, interaction_uid: str, *, browser: str, now: datetime) -> PendingOrder | None:
    """The interaction's order if it is pending and stays so, collected when that is due; else None.

    This is `current` and `poll` for nearly every poll there is, in one statement, or in three when it
    collects. The interaction is open and, like the order, this browser's.
    """
    rows = execute_alone(_NEWEST, {"uid": interaction_uid, "browser_hash": sha256_hex(browser), "now": now})
    if not rows or rows[0].state != "pending":
        return None
    order = PendingOrder(**rows[0]._asdict())
    if now < order.next_collect_at:
        return order
    hint = _collect_once(
        bankid, order.id, order.order_ref, order.hint_code, due=order.next_collect_at, now=now
    )
    return None if hint is None else replace(order, hint_code=hint)


def poll(bankid: BankId, order: Order, starter: Callable[[Order], Starter], *, now: datetime) -> Order:
    """The order as it is now: collected when that is due, renewed when its QR code found nobody.

    Of all who poll at the same time, on all machines, one collects (a conditional UPDATE moves
    `next_collect_at` ahead), and the result is stored before anybody is told of it.
    """
    if order.state == "pending" and order.next_collect_at <= now:
        order_id, order_ref, hint, due = order.id, order.order_ref, order.hint_code, order.next_collect_at
        db.session.commit()  # no connection is held while BankID is asked
        _collect_once(bankid, order_id, order_ref, hint or "", due=due, now=now)
        db.session.refresh(order)
    if _renewable(order, now):
        renewed = _renew(bankid, order, starter, now) if _take_renewal(order, now) else None
        if renewed is not None:
            return renewed
        db.session.refresh(order)
    return order


def cancel(bankid: BankId, interaction_uid: str, *, browser: str, now: datetime) -> None:
    """End the interaction's pending order here and at BankID, if this browser started it."""
    mine = Order.browser_hash == sha256_hex(browser)
    _cancel(bankid, Order.interaction_uid == interaction_uid, mine, state="cancelled", now=now)


def abandon(bankid: BankId, interaction_uid: str, *, now: datetime) -> None:
    """End the interaction's pending order here and at BankID: its person has gone another way.

    Who comes back to BankID gets a new order, and is told of no cancelling.
    """
    _cancel(bankid, Order.interaction_uid == interaction_uid, state="abandoned", now=now)


def _cancel(bankid: BankId, *which: sa.ColumnElement[bool], state: str, now: datetime) -> None:
    statement = (
        sa.update(Order)
        .where(*which, Order.state.in_(("pending", "complete")))
        .values(state=state, finished_at=now, result=None)
        .returning(Order.order_ref)
    )
    references = list(db.session.scalars(statement))
    db.session.commit()
    for reference in references:
        # A courtesy to the app, which forgets the order by itself in time: nobody waits for it.
        if not bankid.calls.acquire(blocking=False):
            return
        try:
            if bankid.circuit.allows():
                bankid.client.cancel(reference)
                bankid.circuit.note(None)
        except BankIdError as error:
            bankid.circuit.note(error)
            _report("bankid_cancel_failed", error)
        finally:
            bankid.calls.release()


def note_return(order: Order, nonce: str, *, now: datetime) -> None:
    """Note that the app led this browser back: the nonce it carried is the order's."""
    db.session.execute(
        sa.update(Order)
        .where(Order.id == order.id, Order.nonce_hash == sha256_hex(nonce), Order.returned_at.is_(None))
        .values(returned_at=now)
    )
    db.session.commit()
    db.session.refresh(order)


def person_of(bankid: BankId, order: Order) -> VerifiedPerson:
    """Who completed the order. It must be complete."""
    if order.result is None:
        raise ValueError("the order has no result")
    opened = bankid.sealer.open(order.result, purpose=RESULT_PURPOSE, context=order.id)
    return VerifiedPerson(**json.loads(opened))


def awaits_return(bankid: BankId, order: Order, person: VerifiedPerson, *, now: datetime) -> bool:
    """Whether only the nonce is missing, and the app may still be on its way back to the browser with it."""
    return (
        bankid.same_device_policy == "enforce"
        and order.nonce_hash is not None
        and order.finished_at is not None
        and now < order.finished_at + RETURN_WITHIN
        and _may_be_elsewhere(order, person)
    )


def refusal(bankid: BankId, order: Order, person: VerifiedPerson) -> str | None:
    """Why a completed order must not log this browser in: `other_device`, `high_risk`; None if it may.

    An order that the app was started for with a link completes for whoever follows the link, so its
    person must be shown to be at this browser: the app came back to it with the nonce, or both have one
    address.
    """
    if bankid.refuse_high_risk and person.risk == "high":
        return "high_risk"
    if _may_be_elsewhere(order, person):
        if bankid.same_device_policy == "enforce":
            return "other_device"
        log.warning("bankid_other_address", order=order.id)
    return None


def _may_be_elsewhere(order: Order, person: VerifiedPerson) -> bool:
    return (
        order.started_by == "autostart"
        and order.returned_at is None
        and _plain_address(person.device_ip) != _plain_address(order.end_user_ip)
    )


def _plain_address(literal: str | None) -> str | None:
    """One spelling for each address: IPv6 has many, and IPv4 can come inside it."""
    try:
        address = ipaddress.ip_address(literal or "")
    except ValueError:
        return literal
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def use(order: Order, *, state: str, user_id: Any, now: datetime) -> bool:
    """Claim a completed order, in the caller's transaction. False: it has been used already."""
    statement = (
        sa.update(Order)
        .where(Order.id == order.id, Order.state == "complete")
        .values(state=state, finished_at=now, result=None)
        .returning(Order.id)
    )
    claimed = db.session.scalar(statement) is not None
    if claimed and user_id is not None:
        db.session.execute(sa.update(Evidence).where(Evidence.order_id == order.id).values(user_id=user_id))
    return claimed


def visible_text(client_name: str, language: str) -> str:
    """What the app shows above the code: where the person is logging in."""
    text = f"Log in at {client_name}" if language == "en" else f"Logga in hos {client_name}"
    return text.encode()[:MAX_VISIBLE].decode(errors="ignore")


def _order(
    bankid: BankId, starter: Starter, *, attempt: int, first_started_at: datetime, now: datetime
) -> Order:
    nonce = new_token()
    return_url = starter.return_url(nonce) if starter.started_by == "autostart" else None
    visible = visible_text(starter.client_name, starter.language)
    interaction = sha256_hex(starter.interaction_uid)
    bound = {"client_id": starter.client_id, "interaction": interaction, "once": new_token()}
    non_visible = json.dumps(bound, separators=(",", ":"))
    if not bankid.calls.acquire(timeout=START_WAITS_SECONDS):
        log.warning("bankid_busy")
        raise Unavailable(RfaId.RFA5)
    try:
        if not bankid.circuit.allows():
            raise Unavailable(RfaId.RFA5)
        started = bankid.client.auth(
            OrderRequest(
                end_user_ip=starter.end_user_ip,
                visible_data=visible,
                non_visible_data=non_visible.encode(),
                return_url=return_url.url if return_url else None,
                return_risk=True,
                web=Web(
                    referring_domain=starter.referring_domain,
                    user_agent=starter.user_agent,
                    device_identifier=starter.device_identifier,
                ),
            )
        )
    except BankIdError as error:
        bankid.circuit.note(error)
        _report("bankid_start_failed", error)
        raise Unavailable(error.rfa) from None
    finally:
        bankid.calls.release()
    bankid.circuit.note(None)
    order = Order(
        id=new_token(),
        interaction_uid=starter.interaction_uid,
        browser_hash=sha256_hex(starter.browser),
        client_id=starter.client_id,
        started_by=starter.started_by,
        device=starter.device,
        attempt=attempt,
        first_started_at=first_started_at,
        started_at=now,
        order_ref=started.order_ref,
        qr_start_token=started.qr_start_token,
        qr_start_secret=started.qr_start_secret,
        autostart_token=started.auto_start_token,
        visible_data=visible,
        non_visible_data=non_visible,
        end_user_ip=starter.end_user_ip,
        nonce_hash=sha256_hex(nonce) if return_url and return_url.carries_nonce else None,
        next_collect_at=now + COLLECT_EVERY,
        state="pending",
        hint_code="outstandingTransaction",
    )
    db.session.add(order)
    if attempt == 1:
        audit.record(
            audit.Event.BANKID_STARTED, now=now, client_id=starter.client_id, started_by=starter.started_by
        )
    db.session.commit()
    return order


def _take_lease(order_id: str, due: datetime, now: datetime) -> bool:
    return bool(execute_alone(_LEASE, {"b_id": order_id, "b_due": due, "b_until": now + COLLECT_LEASE}))


def _renewable(order: Order, now: datetime) -> bool:
    return (
        order.state == "failed"
        and order.hint_code == "startFailed"
        and order.started_by == "qr"
        and order.attempt < MAX_ATTEMPTS
        and now < order.first_started_at + RENEW_WITHIN
    )


def _take_renewal(order: Order, now: datetime) -> bool:
    """Of parallel polls one renews. To the others the order is pending until the new one is there.

    Should the one who renews die of it, a collect finds the order lost.
    """
    statement = (
        sa.update(Order)
        .where(Order.id == order.id, Order.state == "failed", Order.hint_code == "startFailed")
        .values(state="pending", hint_code="renewing", next_collect_at=now + COLLECT_LEASE)
        .returning(Order.id)
    )
    taken = db.session.scalar(statement) is not None
    db.session.commit()
    return taken


def _renew(bankid: BankId, order: Order, starter: Callable[[Order], Starter], now: datetime) -> Order | None:
    order_id, attempt, first_started_at = order.id, order.attempt + 1, order.first_started_at
    asker = starter(order)
    db.session.commit()  # no connection is held while BankID is asked
    renewed = None
    with suppress(Unavailable):
        renewed = _order(bankid, asker, attempt=attempt, first_started_at=first_started_at, now=now)
    _end(order_id, state="failed", hint_code="renewed" if renewed else "notRenewed", finished_at=now)
    db.session.commit()
    return renewed


def _collect_once(
    bankid: BankId, order_id: str, order_ref: str, hint: str, *, due: datetime, now: datetime
) -> str | None:
    """The pending order's hint, None when it is over: asked for by one of all who poll, if there is room."""
    if not bankid.calls.acquire(blocking=False):
        return hint
    try:
        return _collect(bankid, order_id, order_ref, hint, now) if _take_lease(order_id, due, now) else hint
    finally:
        bankid.calls.release()


def _collect(bankid: BankId, order_id: str, order_ref: str, hint: str, now: datetime) -> str | None:
    """Ask BankID, and store what it answers: the pending order's hint (was `hint`), None when it is over."""
    if not bankid.circuit.allows():
        return _unanswered(order_id, UNREACHABLE, now)
    try:
        answer = bankid.client.collect(order_ref)
    except BankIdError as error:
        bankid.circuit.note(error)
        if not error.order_is_lost:
            _report("bankid_collect_failed", error)
            return _unanswered(order_id, hint, now)
        # Collected by a worker that died, or too old: nobody can be logged in by it.
        log.warning("bankid_order_lost", order=order_id, details=error.details)
        answer = Failed(LOST)
    else:
        bankid.circuit.note(None)
    if isinstance(answer, Pending):
        return _still_pending(order_id, answer.hint_code[:60], now)
    order = db.session.get_one(Order, order_id)
    if isinstance(answer, Failed):
        _fail(order, answer.hint_code[:60], now)
    else:
        _complete(bankid, order, answer, now)
    return None


def _unanswered(order_id: str, hint: str, now: datetime) -> str | None:
    """As `_still_pending`, but an order that must be over at BankID by now is over here too."""
    order = db.session.get_one(Order, order_id)
    if now >= order.started_at + LONGEST_ORDER:
        _fail(order, LOST, now)
        return None
    db.session.commit()
    return _still_pending(order_id, hint, now)


def _fail(order: Order, hint: str, now: datetime) -> None:
    client_id = order.client_id
    if _end(order.id, state="failed", hint_code=hint, finished_at=now):
        audit.record(audit.Event.BANKID_FAILED, now=now, client_id=client_id, hint=hint)
    db.session.commit()


def _still_pending(order_id: str, hint: str, now: datetime) -> str | None:
    """`hint`, noted, and when to ask next; None when the order was ended meanwhile."""
    noted = {"b_id": order_id, "b_hint": hint, "b_next": now + COLLECT_EVERY}
    return hint if execute_alone(_STILL_PENDING, noted) else None


def _complete(bankid: BankId, order: Order, answer: Complete, now: datetime) -> None:
    """Verify the evidence, then store it and who it was, all or nothing."""
    data = answer.completion_data
    try:
        verified = evidence.verify(
            signature=data.signature,
            ocsp_response=data.ocsp_response,
            personal_number=data.personal_number,
            visible_data=order.visible_data,
            visible_format=None,
            non_visible_data=order.non_visible_data.encode(),
            rp_certificate=bankid.rp_certificate,
            root=bankid.environment.signature_root,
            policies=bankid.environment.policies.values(),
            now=now,
        )
    except EvidenceError as error:
        reason = error.reason.value
        log.error("bankid_evidence_refused", reason=reason, order=order.id)
        if _end(order.id, state="refused", hint_code="evidence", finished_at=now):
            audit.record(audit.Event.BANKID_REFUSED, now=now, client_id=order.client_id, reason=reason)
        db.session.commit()
        return
    kind = next(name for name, oid in bankid.environment.policies.items() if oid == verified.policy)
    person = {
        "personal_number": verified.personal_number,
        "name": verified.name,
        "policy_kind": kind,
        "device_ip": data.device_ip,
        "risk": data.risk,
    }
    certificate = verified.certificate.public_bytes(Encoding.DER)
    sealed = json.dumps(
        {
            "signature": data.signature,
            "ocsp_response": data.ocsp_response,
            "certificate": b64encode(certificate).decode(),
            "not_before": int(verified.not_before.timestamp()),
            "not_after": int(verified.not_after.timestamp()),
            "device_ip": data.device_ip,
        }
    )
    result = bankid.sealer.seal(json.dumps(person), purpose=RESULT_PURPOSE, context=order.id)
    if not _end(order.id, state="complete", hint_code="", result=result, finished_at=now):
        db.session.rollback()
        return
    db.session.add(
        Evidence(
            order_id=order.id,
            order_ref=order.order_ref,
            sealed=bankid.sealer.seal(sealed, purpose=EVIDENCE_PURPOSE, context=order.id),
            created_at=now,
            delete_after=now + bankid.retention,
        )
    )
    audit.record(
        audit.Event.BANKID_COMPLETED,
        now=now,
        client_id=order.client_id,
        kind=kind,
        risk=data.risk or "unknown",
    )
    db.session.commit()


def _report(event: str, error: BankIdError) -> None:
    level = log.error if error.alarms_operators else log.warning
    level(event, code=str(error.code), status=error.http_status, details=error.details)


def _end(order_id: str, **values: Any) -> bool:
    """Write how an order ended, in the caller's transaction. False: it had ended already, by a cancel."""
    statement = (
        sa.update(Order)
        .where(Order.id == order_id, Order.state == "pending")
        .values(**values)
        .returning(Order.id)
    )
    return db.session.scalar(statement) is not None
