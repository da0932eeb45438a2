"""The result of a completed order: whom it proves, whether it counts in this browser, and its one use."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog

from idp.addresses import read_address
from idp.bankid.models import RESULT_PURPOSE, Evidence, Order
from idp.bankid.setup import BankId
from idp.bankid.terms import NO_DEMANDS, Terms
from idp.db import db

log = structlog.get_logger("idp.bankid")

RETURN_WITHIN = timedelta(seconds=15)  # from completion until the app has returned to the browser
LINK_WITHIN = timedelta(minutes=10)  # from completion until the link has been confirmed


@dataclass(frozen=True)
class VerifiedPerson:
    """The person who completed an order, as the verified signature says.

    `policy_kind` is the kind of BankID ("mobile", "card", …), `device_ip` the address of the device with the
    app and `risk` BankID's assessment ("low", "moderate", "high"); None where BankID said nothing.
    """

    personal_number: str
    name: str
    policy_kind: str
    device_ip: str | None
    risk: str | None


def person_of(bankid: BankId, order: Order) -> VerifiedPerson:
    """The person who completed the order. Raises `ValueError` for an order without a result."""
    if order.result is None:
        raise ValueError("the order has no result")
    opened = bankid.sealer.open(order.result, purpose=RESULT_PURPOSE, context=order.id)
    return VerifiedPerson(**json.loads(opened))


def awaits_return(bankid: BankId, order: Order, person: VerifiedPerson, *, now: datetime) -> bool:
    """Whether only the nonce is missing, and the app may still be bringing it back to this browser."""
    return (
        bankid.same_device_policy == "enforce"
        and order.nonce_hash is not None
        and order.finished_at is not None
        and now < order.finished_at + RETURN_WITHIN
        and _may_be_elsewhere(order, person)
    )


def refusal(bankid: BankId, order: Order, person: VerifiedPerson) -> str | None:
    """Why a completed order must not log this browser in: `other_device`, `high_risk`; None if it may.

    Anybody who follows a launch link completes its order, also somebody whom an attacker sent it to. So an
    order started by a link counts only if its person is at this browser: the app returned to it with the
    nonce (BankID RP guide, return URL), or app and browser have the same address.
    """
    terms = Terms.from_json(order.terms) if order.terms else NO_DEMANDS
    high_risk = terms.high_risk or ("refuse" if bankid.refuse_high_risk else "allow")
    if high_risk == "refuse" and person.risk == "high":
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
    """An address in one spelling: IPv6 has many, and an IPv4 address may stand inside one."""
    ip = read_address(literal)
    return str(ip) if ip else literal


def claim(
    order: Order, *, state: str, user_id: UUID | None, now: datetime, not_before: datetime | None = None
) -> bool:
    """Claim the one use of a completed order, in the caller's transaction: the order becomes `state`.

    Its result, with the personal data, is deleted; its evidence becomes that of `user_id`. False: the order
    has been used already, or was completed before `not_before`.
    """
    recent = Order.finished_at > not_before if not_before else sa.true()
    statement = (
        sa.update(Order)
        .where(Order.id == order.id, Order.state.in_(("complete", "unmatched")), recent)
        .values(state=state, finished_at=now, result=None)
        .returning(Order.id)
    )
    claimed = db.session.scalar(statement) is not None
    if claimed and user_id is not None:
        db.session.execute(sa.update(Evidence).where(Evidence.order_id == order.id).values(user_id=user_id))
    return claimed
