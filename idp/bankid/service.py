"""Orders as the login pages use them: start, poll, renew, cancel."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

import sqlalchemy as sa
import structlog

from idp import audit
from idp.bankid.api.answers import BankIdError, OrderStarted, report
from idp.bankid.api.client import OrderRequest, Web
from idp.bankid.api.messages import RfaId
from idp.bankid.collecting import COLLECT_EVERY, collect_once, end_pending, take_lease
from idp.bankid.launch import ReturnUrl
from idp.bankid.models import OUTSTANDING, RENEWING, Order
from idp.bankid.setup import BankId
from idp.bankid.terms import NO_DEMANDS, Terms
from idp.db import db, execute_alone
from idp.login.models import Interaction
from idp.tokens import new_token, sha256_hex

log = structlog.get_logger("idp.bankid")

METHOD = "bankid"
START_WAITS_SECONDS = 1.0


@dataclass(frozen=True)
class NewOrder:
    """What a new order is started with: its purpose, the browser that asks, the texts in the app."""

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
    return_url: Callable[[str], ReturnUrl | None]  # from a nonce to where the app returns; None: nowhere
    terms: Terms = NO_DEMANDS
    personal_number: str | None = field(default=None, repr=False)  # the only person whose BankID will do
    user_id: UUID | None = None  # whose account the order links


@dataclass(frozen=True)
class PendingOrder:
    """The columns that a poll's answer needs while an order is pending."""

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
    certificate: str | None  # the name of the certificate of ours that started it
    ui_locales: str | None  # of the waiting request


class Unavailable(Exception):
    """BankID cannot be used now.

    `rfa` is the text for the user, `code` BankID's error code; None when no call was made.
    """

    def __init__(self, rfa: RfaId, code: str | None = None) -> None:
        super().__init__(rfa.value)
        self.rfa = rfa
        self.code = code


def start(bankid: BankId, new: NewOrder, *, now: datetime) -> Order:
    """A new pending order for the interaction; the one it had is cancelled. Raises `Unavailable`.

    One interaction has one pending order. Of several started at the same time, the order that BankID
    answered last stays pending, and the others are abandoned.
    """
    cancel(bankid, new.interaction_uid, browser=new.browser, now=now)
    try:
        order = _start_at_bankid(bankid, new, attempt=1)
    except Unavailable as unavailable:
        if unavailable.code is not None:
            hint = unavailable.code[:60]
            audit.record(audit.Event.BANKID_FAILED, now=now, client_id=new.client_id, hint=hint)
            db.session.commit()
        raise
    # Parallel starts pass here one after the other, so that each sees the orders stored before it.
    db.session.execute(
        sa.select(Interaction.uid).where(Interaction.uid == new.interaction_uid).with_for_update()
    )
    others = Order.interaction_uid == new.interaction_uid, Order.state == "pending"
    replaced = _end_all(*others, Order.started_at <= order.started_at, state="abandoned", now=now)
    if db.session.scalar(sa.select(Order.id).where(*others).limit(1)) is not None:
        order.state, order.finished_at = "abandoned", now
    db.session.add(order)
    audit.record(audit.Event.BANKID_STARTED, now=now, client_id=new.client_id, started_by=new.started_by)
    stays = order.state == "pending"
    db.session.commit()
    _cancel_all_at_bankid(bankid, replaced)
    if not stays:
        _cancel_at_bankid(bankid, order.order_ref, order.terms)
    return order


def current(interaction_uid: str, *, purpose: str, browser: str) -> Order | None:
    """The interaction's newest order for `purpose`; None if there is none, or another browser started it."""
    return db.session.scalar(
        sa.select(Order)
        .where(
            Order.interaction_uid == interaction_uid,
            Order.purpose == purpose,
            Order.browser_hash == sha256_hex(browser),
        )
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
        _orders.terms["certificate"].as_string().label("certificate"),
        _interactions.request["ui_locales"].as_string().label("ui_locales"),
    )
    .select_from(_order_table)
    .join(_interaction_table, _interactions.uid == _orders.interaction_uid)
    .where(
        _orders.interaction_uid == sa.bindparam("uid"),
        _orders.purpose == sa.bindparam("purpose"),
        _orders.browser_hash == sa.bindparam("browser_hash"),
        _interactions.browser_hash == sa.bindparam("browser_hash"),
        _interactions.answered_at.is_(None),
        _interactions.expires_at > sa.bindparam("now"),
    )
    .order_by(_orders.started_at.desc())
    .limit(1)
)


def poll_pending(
    bankid: BankId, interaction_uid: str, *, purpose: str, browser: str, now: datetime
) -> PendingOrder | None:
    """The interaction's order if it is pending and stays pending, collected when that is due; else None.

    A shorter way than `current` and `poll`, enough for nearly every poll: one statement, or three when it
    collects. The interaction must be open, and interaction and order must be this browser's.
    """
    asked = {"uid": interaction_uid, "purpose": purpose, "browser_hash": sha256_hex(browser), "now": now}
    rows = execute_alone(_NEWEST, asked, PendingOrder)
    if not rows or rows[0].state != "pending":
        return None
    order = rows[0]
    if now < order.next_collect_at:
        return order
    if order.hint_code == RENEWING:
        return None
    chosen = bankid.with_certificate(order.certificate)
    hint = collect_once(
        chosen, order.id, order.order_ref, order.hint_code, due=order.next_collect_at, now=now
    )
    return None if hint is None or hint == RENEWING else replace(order, hint_code=hint)


def poll(bankid: BankId, order: Order, renewal: Callable[[Order], NewOrder], *, now: datetime) -> Order:
    """The order as it stands now: collected when that is due, renewed when nobody scanned its QR code.

    Of all polls at the same time, on all machines, one collects: a conditional UPDATE moves
    `next_collect_at` ahead. BankID hands out a final result once (RP API v6.0, /collect), so it is stored
    before any poll is answered with it. `renewal` makes the `NewOrder` that takes the order's place.
    """
    if order.state == "pending" and order.next_collect_at <= now and order.hint_code != RENEWING:
        order_id, order_ref, hint, due = order.id, order.order_ref, order.hint_code, order.next_collect_at
        chosen = bankid.with_certificate(_certificate(order.terms))
        db.session.commit()  # no connection is held while BankID is asked
        collect_once(chosen, order_id, order_ref, hint or "", due=due, now=now)
        db.session.refresh(order)
    if order.state == "pending" and order.next_collect_at <= now and order.hint_code == RENEWING:
        renewed = _renew_if_there_is_room(bankid, order, renewal, now)
        if renewed is not None:
            return renewed
        db.session.refresh(order)
    return order


def cancel(bankid: BankId, interaction_uid: str, *, browser: str, now: datetime) -> None:
    """End the interaction's order here and at BankID (Sweden Connect BankID profile §3.3).

    Does nothing when another browser started it.
    """
    mine = Order.browser_hash == sha256_hex(browser)
    open_ones = Order.state.in_(("pending", "complete", "unmatched"))
    _cancel(bankid, Order.interaction_uid == interaction_uid, mine, open_ones, state="cancelled", now=now)


def abandon(bankid: BankId, interaction_uid: str, *, now: datetime) -> None:
    """End the interaction's pending order here and at BankID, because the person uses another method.

    A person who comes back to BankID gets a new order, without a word about a cancelled one. An order that
    found no account stays: the other method may log in to an account that it can be linked to.
    """
    open_ones = Order.state.in_(("pending", "complete"))
    _cancel(bankid, Order.interaction_uid == interaction_uid, open_ones, state="abandoned", now=now)


def _cancel(bankid: BankId, *which: sa.ColumnElement[bool], state: str, now: datetime) -> None:
    ended = _end_all(*which, state=state, now=now)
    db.session.commit()
    _cancel_all_at_bankid(bankid, ended)


def _end_all(*which: sa.ColumnElement[bool], state: str, now: datetime) -> Sequence[sa.Row[Any]]:
    """End these orders here, in the caller's transaction. Returns order_ref and terms of each."""
    statement = (
        sa.update(Order)
        .where(*which)
        .values(state=state, finished_at=now, result=None)
        .returning(Order.order_ref, Order.terms)
    )
    return db.session.execute(statement).all()


def _cancel_all_at_bankid(bankid: BankId, ended: Sequence[sa.Row[Any]]) -> None:
    for order in ended:
        _cancel_at_bankid(bankid, order.order_ref, order.terms)


def _cancel_at_bankid(bankid: BankId, order_ref: str, terms: dict[str, Any] | None) -> None:
    """Have BankID end an order as well, with the certificate that started it: BankID accepts no other."""
    chosen = bankid.with_certificate(_certificate(terms))
    bankid.cancels.queue(chosen.client, chosen.circuit, order_ref)


def _certificate(terms: dict[str, Any] | None) -> str | None:
    """The name of our certificate that an order's terms ask for; None: the first one."""
    return terms["certificate"] if terms else None


def note_return(order: Order, nonce: str, *, now: datetime) -> bool:
    """Store that the app returned here (BankID RP guide, return URL). False: the nonce is not the order's."""
    if order.nonce_hash != sha256_hex(nonce):
        return False
    db.session.execute(
        sa.update(Order)
        .where(Order.id == order.id, Order.nonce_hash == sha256_hex(nonce), Order.returned_at.is_(None))
        .values(returned_at=now)
    )
    db.session.commit()
    db.session.refresh(order)
    return True


def _start_at_bankid(
    bankid: BankId, new: NewOrder, *, attempt: int, first_started_at: datetime | None = None
) -> Order:
    """A new order at BankID (RP API v6.0, /auth), not yet stored. Raises `Unavailable`.

    The signed, invisible part of the order names client, interaction and a random value, so that its
    evidence proves this login and no other.
    """
    nonce = new_token()
    return_url = new.return_url(nonce) if new.started_by == "autostart" else None
    interaction = sha256_hex(new.interaction_uid)
    terms = new.terms
    chosen = bankid.with_certificate(terms.certificate)
    bound = {"client_id": new.client_id, "interaction": interaction, "once": new_token()}
    non_visible = json.dumps(bound, separators=(",", ":"))
    request = OrderRequest(
        end_user_ip=new.end_user_ip,
        visible_data=new.visible_text,
        visible_format=new.visible_format,
        non_visible_data=non_visible.encode(),
        return_url=return_url.url if return_url else None,
        return_risk=True,
        requirement=terms.requirement(chosen.environment.policies, new.personal_number),
        web=Web(
            referring_domain=new.referring_domain,
            user_agent=new.user_agent,
            device_identifier=new.device_identifier,
        ),
    )
    started = _send(bankid, chosen, request)
    answered_at = bankid.clock()  # second 0 of the QR code (BankID RP guide, QR)
    return Order(
        id=new_token(),
        purpose=new.purpose,
        user_id=new.user_id,
        interaction_uid=new.interaction_uid,
        browser_hash=sha256_hex(new.browser),
        client_id=new.client_id,
        started_by=new.started_by,
        device=new.device,
        attempt=attempt,
        first_started_at=first_started_at or answered_at,
        started_at=answered_at,
        order_ref=started.order_ref,
        qr_start_token=started.qr_start_token,
        qr_start_secret=started.qr_start_secret,
        autostart_token=started.auto_start_token,
        visible_data=new.visible_text,
        visible_format=new.visible_format,
        non_visible_data=non_visible,
        terms=terms.to_json() if terms != NO_DEMANDS else None,
        end_user_ip=new.end_user_ip,
        nonce_hash=sha256_hex(nonce) if return_url and return_url.carries_nonce else None,
        next_collect_at=answered_at + COLLECT_EVERY,
        state="pending",
        hint_code=OUTSTANDING,
    )


def _send(bankid: BankId, chosen: BankId, request: OrderRequest) -> OrderStarted:
    """BankID's answer to a new order, asked with the certificate of `chosen`. Raises `Unavailable`."""
    if not bankid.calls.acquire(timeout=START_WAITS_SECONDS):
        log.warning("bankid_busy")
        raise Unavailable(RfaId.RFA5)
    try:
        if not chosen.circuit.allows():
            raise Unavailable(RfaId.RFA5)
        started = chosen.client.auth(request)
    except BankIdError as error:
        chosen.circuit.note(error)
        report("bankid_start_failed", error)
        raise Unavailable(error.rfa, str(error.code)) from None
    finally:
        bankid.calls.release()
    chosen.circuit.note(None)
    return started


def _renew_if_there_is_room(
    bankid: BankId, order: Order, renewal: Callable[[Order], NewOrder], now: datetime
) -> Order | None:
    """The order that replaces this one; None when another poll renews it, or there is no room now.

    Of parallel polls one renews; for the others the order stays pending until the new one is stored. If
    the renewing worker dies, another poll renews when the lease has ended.
    """
    if not bankid.renewals.acquire(blocking=False):
        return None
    try:
        if not take_lease(order.id, order.next_collect_at, now):
            return None
        order_id, attempt, first_started_at = order.id, order.attempt + 1, order.first_started_at
        new = renewal(order)
        db.session.commit()  # no connection is held while BankID is asked
        try:
            renewed = _start_at_bankid(bankid, new, attempt=attempt, first_started_at=first_started_at)
        except Unavailable:
            end_pending(order_id, state="failed", hint_code="notRenewed", finished_at=now)
            audit.record(audit.Event.BANKID_FAILED, now=now, client_id=new.client_id, hint="notRenewed")
            db.session.commit()
            return None
        if end_pending(order_id, state="failed", hint_code="renewed", finished_at=now):
            db.session.add(renewed)
            db.session.commit()
            return renewed
        # The order was cancelled or abandoned while BankID was asked: the new one must not outlive it.
        db.session.rollback()
        _cancel_at_bankid(bankid, renewed.order_ref, renewed.terms)
        return None
    finally:
        bankid.renewals.release()
