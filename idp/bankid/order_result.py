"""What a completed order says of its person, whether it counts in this browser, and its one use."""

import ipaddress
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog

from idp.bankid.models import RESULT_PURPOSE, Evidence, Order
from idp.bankid.setup import BankId
from idp.bankid.terms import NO_DEMANDS, Terms
from idp.db import db

log = structlog.get_logger("idp.bankid")

RETURN_WITHIN = timedelta(seconds=15)  # from completion until the app has brought its browser back
LINK_WITHIN = timedelta(minutes=10)  # from completion until the link has been confirmed


@dataclass(frozen=True)
class VerifiedPerson:
    """Who a completed order was made by, read from the verified signature."""

    personal_number: str
    name: str
    policy_kind: str
    device_ip: str | None
    risk: str | None


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
    """One spelling for each address: IPv6 has many, and IPv4 can come inside it."""
    try:
        address = ipaddress.ip_address(literal or "")
    except ValueError:
        return literal
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def claim(
    order: Order, *, state: str, user_id: UUID | None, now: datetime, not_before: datetime | None = None
) -> bool:
    """Claim a completed order, in the caller's transaction.

    False: it has been used already, or was completed before `not_before`.
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
