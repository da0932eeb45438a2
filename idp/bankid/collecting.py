"""Asking BankID how an order stands, one worker at a time, and storing the answer (RP API v6.0, /collect)."""

import json
from base64 import b64encode
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
import structlog
from cryptography.hazmat.primitives.serialization import Encoding

from idp import audit
from idp.bankid.api.answers import BankIdError, Complete, Failed, Pending, report
from idp.bankid.evidence.errors import EvidenceError
from idp.bankid.evidence.verification import verify
from idp.bankid.models import EVIDENCE_PURPOSE, LOST, RENEWING, RESULT_PURPOSE, UNREACHABLE, Evidence, Order
from idp.bankid.setup import BankId
from idp.bankid.terms import NO_DEMANDS, Terms
from idp.db import db, write_alone
from idp.users.personal_number import PersonalNumber

log = structlog.get_logger("idp.bankid")

COLLECT_EVERY = timedelta(seconds=2)  # as BankID asks for; more than once a second is forbidden
COLLECT_LEASE = timedelta(seconds=40)  # longer than any collect takes
RENEW_WITHIN = timedelta(minutes=3)
MAX_ATTEMPTS = 5
LONGEST_ORDER = timedelta(minutes=4)  # BankID ends an order after 30 s unopened and 3 minutes in the app

_order_table = cast(sa.Table, Order.__table__)
_orders = _order_table.c
_LEASE = (
    sa.update(_order_table)
    .where(
        _orders.id == sa.bindparam("order_id"),
        _orders.state == "pending",
        _orders.next_collect_at == sa.bindparam("due"),
    )
    .values(next_collect_at=sa.bindparam("until"))
)
_STILL_PENDING = (
    sa.update(_order_table)
    .where(_orders.id == sa.bindparam("order_id"), _orders.state == "pending")
    .values(hint_code=sa.bindparam("hint"), next_collect_at=sa.bindparam("collect_at"))
)


def collect_once(
    bankid: BankId, order_id: str, order_ref: str, hint: str, *, due: datetime, now: datetime
) -> str | None:
    """The pending order's hint code; None when the order is over.

    One of all polls at the same time asks BankID, if fewer than `CALLS_AT_ONCE` calls are under way; the
    others return `hint`, which the order had.
    """
    if not bankid.calls.acquire(blocking=False):
        return hint
    try:
        return _collect(bankid, order_id, order_ref, hint, now) if take_lease(order_id, due, now) else hint
    finally:
        bankid.calls.release()


def take_lease(order_id: str, due: datetime, now: datetime) -> bool:
    """Whether this poll may collect or renew the order, alone until the lease ends."""
    return bool(write_alone(_LEASE, {"order_id": order_id, "due": due, "until": now + COLLECT_LEASE}))


def _collect(bankid: BankId, order_id: str, order_ref: str, hint: str, now: datetime) -> str | None:
    """Ask BankID and store the answer. Returns the pending order's hint code, None when the order is over."""
    if not bankid.circuit.allows():
        return _unanswered(order_id, UNREACHABLE, now)
    try:
        answer = bankid.client.collect(order_ref)
    except BankIdError as error:
        bankid.circuit.note(error)
        if not error.order_is_lost:
            report("bankid_collect_failed", error)
            return _unanswered(order_id, hint, now)
        # A worker that died had collected it, or it is too old: it can log nobody in.
        log.warning("bankid_order_lost", order=order_id, details=error.details)
        answer = Failed(LOST)
    else:
        bankid.circuit.note(None)
    if isinstance(answer, Pending):
        return _still_pending(order_id, answer.hint_code[:60], now)
    order = db.session.get_one(Order, order_id)
    if isinstance(answer, Failed) and _is_renewable(order, answer.hint_code, now):
        db.session.commit()
        due_at_once = {"order_id": order_id, "hint": RENEWING, "collect_at": now}
        return RENEWING if write_alone(_STILL_PENDING, due_at_once) else None
    if isinstance(answer, Failed):
        _fail(order, answer.hint_code[:60], now)
    else:
        _complete(bankid, order, answer, now)
    return None


def _is_renewable(order: Order, hint: str, now: datetime) -> bool:
    """Whether a new order replaces this one silently: nobody scanned its QR code (BankID RP guide, QR)."""
    return (
        hint == "startFailed"
        and order.started_by == "qr"
        and order.attempt < MAX_ATTEMPTS
        and now < order.first_started_at + RENEW_WITHIN
    )


def _unanswered(order_id: str, hint: str, now: datetime) -> str | None:
    """As `_still_pending`, but an order older than BankID keeps any fails."""
    order = db.session.get_one(Order, order_id)
    if now >= order.started_at + LONGEST_ORDER:
        _fail(order, LOST, now)
        return None
    db.session.commit()
    return _still_pending(order_id, hint, now)


def _fail(order: Order, hint: str, now: datetime) -> None:
    client_id = order.client_id
    if end_pending(order.id, state="failed", hint_code=hint, finished_at=now):
        audit.record(audit.Event.BANKID_FAILED, now=now, client_id=client_id, hint=hint)
    db.session.commit()


def _still_pending(order_id: str, hint: str, now: datetime) -> str | None:
    """Store `hint` and when to ask next. Returns `hint`; None when the order has been ended meanwhile."""
    noted = {"order_id": order_id, "hint": hint, "collect_at": now + COLLECT_EVERY}
    return hint if write_alone(_STILL_PENDING, noted) else None


def _complete(bankid: BankId, order: Order, answer: Complete, now: datetime) -> None:
    """Verify the evidence, then store evidence and person in one transaction, or refuse the order."""
    data = answer.completion_data
    terms = Terms.from_json(order.terms) if order.terms else NO_DEMANDS
    policies = terms.accepted(bankid.environment.policies)
    try:
        verified = verify(
            signature=data.signature,
            ocsp_response=data.ocsp_response,
            personal_number=data.personal_number,
            visible_data=order.visible_data,
            visible_format=order.visible_format,
            non_visible_data=order.non_visible_data.encode(),
            rp_certificate=bankid.rp_certificate,
            root=bankid.environment.signature_root,
            policies=policies.values(),
            now=now,
        )
    except EvidenceError as error:
        _refuse(order, error.reason.value, now)
        return
    if terms.mrtd and data.step_up_mrtd is not True:
        _refuse(order, "no_identity_document", now)
        return
    if not PersonalNumber.from_bankid(verified.personal_number).has_right_check_digit:
        log.warning("bankid_check_digit", order=order.id)  # logged alone: the bank has verified the person
    kind = next(name for name, oid in policies.items() if oid == verified.policy)
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
    if not end_pending(order.id, state="complete", hint_code="", result=result, finished_at=now):
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


def _refuse(order: Order, reason: str, now: datetime) -> None:
    log.error("bankid_evidence_refused", reason=reason, order=order.id)
    if end_pending(order.id, state="refused", hint_code="evidence", finished_at=now):
        audit.record(audit.Event.BANKID_REFUSED, now=now, client_id=order.client_id, reason=reason)
    db.session.commit()


def end_pending(order_id: str, **values: Any) -> bool:
    """Write `values`, how a pending order ended, in the caller's transaction. False: it had ended already."""
    statement = (
        sa.update(Order)
        .where(Order.id == order_id, Order.state == "pending")
        .values(**values)
        .returning(Order.id)
    )
    return db.session.scalar(statement) is not None
