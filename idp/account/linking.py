"""Linking a BankID to the account that is logged in: its section, its order, its confirmation."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask_babel import format_date, format_datetime

from idp.bankid import launch, order_result
from idp.bankid.models import Order
from idp.bankid.order_result import VerifiedPerson
from idp.bankid.setup import BankId
from idp.crypto import PersonalNumberKeys
from idp.db import db
from idp.login import interactions, methods
from idp.login.credential_change import RECENT_LOGIN
from idp.login.models import Interaction
from idp.login.requirement import AuthnRequirement
from idp.login.sessions import LiveSession
from idp.user_agent import Device
from idp.users import bankid_links
from idp.users.mails import Notice
from idp.users.personal_number import PersonalNumber

PURPOSE = "link"
LINKING_FOR = timedelta(minutes=10)
LOGIN_WITHIN = RECENT_LOGIN + LINKING_FOR  # the login may be older than the interaction
ENDPOINT = "linking.resume"


class NotThisPerson(Exception):
    """The BankID has another number than the account's owner has stated."""


@dataclass(frozen=True)
class Proposal:
    """A proven person whose BankID can be linked, and the one whose link it would replace."""

    person: VerifiedPerson
    number: PersonalNumber
    replaces: bankid_links.LinkState | None


def facts(user_id: UUID, *, keys: PersonalNumberKeys | None, device: Device) -> dict[str, Any]:
    """The variables of `account/_bankid.html`. Without keys, BankID is off and there is no section."""
    if keys is None:
        return {"bankid": None}
    linked = bankid_links.state(user_id, keys=keys)
    choice = launch.first_choice(device)
    return {
        "bankid": {
            "name": linked.name if linked else None,
            "number": linked.masked_number if linked else None,
            "linked_at": format_date(linked.linked_at, "long") if linked else None,
            "used_at": format_datetime(linked.last_used_at, "long")
            if linked and linked.last_used_at
            else None,
            "app_first": choice is launch.FirstChoice.SAME_DEVICE,
            "app_here": choice is not launch.FirstChoice.QR,
        }
    }


def page_state(live: LiveSession, device: str) -> dict[str, Any]:
    """The `request` of a linking interaction: it belongs to this session, and so to its person."""
    return {"purpose": PURPOSE, "session": str(live.id), "device": device}


def begin(live: LiveSession, *, device: str, browser: str, now: datetime) -> str:
    """The uid of a new interaction that links a BankID to the account of this session."""
    return interactions.begin(
        AuthnRequirement(user_id=live.event.user_id, methods=methods.own_names()),
        return_endpoint=ENDPOINT,
        request=page_state(live, device),
        client_id=None,
        browser=browser,
        lifetime=LINKING_FOR,
        now=now,
    )


def load(uid: str, live: LiveSession, *, browser: str, now: datetime) -> Interaction:
    """The open linking interaction, if it is this browser's and this session's.

    Raises `InteractionOver`, also for another session's, and `ForeignBrowser`.
    """
    interaction = interactions.load(uid, browser=browser, now=now)
    asked = interaction.request
    if live.event.auth_time < now - LOGIN_WITHIN:
        raise interactions.InteractionOver("expired")
    if asked.get("purpose") != PURPOSE or asked.get("session") != str(live.id):
        raise interactions.InteractionOver("unknown")
    return interaction


def propose(bankid: BankId, order: Order, *, keys: PersonalNumberKeys) -> Proposal:
    """The person whose BankID completed the order of `order.user_id`. Raises `NotThisPerson`."""
    assert order.user_id is not None
    person = order_result.person_of(bankid, order)
    number = PersonalNumber.from_bankid(person.personal_number)
    if bankid_links.stated_number(order.user_id, keys=keys) not in (None, number):
        raise NotThisPerson
    replaces = None
    if bankid_links.number_of(order.user_id, keys=keys) not in (None, number):
        replaces = bankid_links.state(order.user_id, keys=keys)
    return Proposal(person, number, replaces)


def confirm(
    order: Order,
    proposal: Proposal,
    live: LiveSession,
    *,
    keys: PersonalNumberKeys,
    notice: Notice,
    now: datetime,
) -> bool:
    """Link the proposed person to the account and mail a notice. False: the order was used, or is too old."""
    user_id = live.event.user_id
    claimed = order.user_id == user_id and order_result.claim(
        order, state="used", user_id=user_id, now=now, not_before=now - order_result.LINK_WITHIN
    )
    if claimed and interactions.claim_answer(order.interaction_uid, now=now):
        linked = bankid_links.link(
            user_id,
            proposal.number,
            proposal.person.name,
            keys=keys,
            now=now,
            notice=notice,
            keep_session=live.id,
        )
        if linked:
            return True
    db.session.rollback()
    return False
