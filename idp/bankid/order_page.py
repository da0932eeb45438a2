"""The page that follows an order: QR code, link to the app, text, retry. Login and linking share it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from flask import Response, make_response, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as BaseResponse

from idp import audit, i18n
from idp.addresses import address_key
from idp.bankid import launch, order_result, qr, service
from idp.bankid.api import messages
from idp.bankid.models import OUTSTANDING, RENEWING, UNREACHABLE, Order
from idp.bankid.service import NewOrder, PendingOrder, Unavailable
from idp.bankid.setup import BANKID, OPENER
from idp.bankid.terms import NO_DEMANDS, Terms
from idp.bankid.visible_text import clipped
from idp.clock import utcnow
from idp.db import db
from idp.errors import TooManyTries
from idp.extensions import current_settings
from idp.login import this_browser
from idp.ratelimit import LIMITER
from idp.tokens import new_token
from idp.user_agent import Device, DeviceKind, recognise
from idp.users.mails import Notice

MODES = {"this": "autostart", "other": "qr"}


@dataclass(frozen=True)
class Place:
    """What an order's page depends on: purpose, texts, and endpoints, which all take `uid`."""

    purpose: Literal["login", "link"]
    uid: str  # the interaction's
    client_id: str | None
    visible_text: str
    page_endpoint: str
    poll_endpoint: str
    cancel_endpoint: str
    template: str
    facts: Callable[[], dict[str, Any]]  # what the template needs beside the order
    visible_format: Literal["simpleMarkdownV1"] | None = None
    terms: Terms = NO_DEMANDS
    personal_number: str | None = field(default=None, repr=False)  # the only person whose BankID will do
    user_id: UUID | None = None

    @property
    def url(self) -> str:
        return url_for(self.page_endpoint, uid=self.uid)


def show(place: Place, finish: Callable[[Order], BaseResponse | None]) -> BaseResponse:
    """The page of the place's order; starts one when there is none.

    The query's `device` (this, other) says where the app is. Without it an existing order goes on, and a
    new one is started in the way that fits the device: a phone opens its app, a computer shows a QR code, a
    tablet is asked (Sweden Connect BankID profile). `finish` answers an order that is complete or over; when
    it returns None a new order is started.
    """
    if "touch" in request.args:
        session["touch"] = True
    order = service.current(place.uid, purpose=place.purpose, browser=this_browser.value())
    wanted = MODES.get(request.args.get("device", ""))
    if order is not None and wanted in (None, order.started_by) and "again" not in request.args:
        order = _poll(place, order)
        if order.state in ("pending", "failed", "refused", "cancelled") or _awaits_return(order):
            return page(place, order)
        answer = finish(order)
        if answer is not None:
            return answer
    first_choice = launch.first_choice(device())
    if order is None and wanted is None and first_choice is launch.FirstChoice.ASK:
        return _message_page(place, messages.RfaId.RFA20, status=200, state="choose")
    default = "autostart" if first_choice is launch.FirstChoice.SAME_DEVICE else "qr"
    return _start(place, wanted or (order.started_by if order else default))


def poll_pending(uid: str, purpose: str) -> Response | None:
    """The answer to a poll whose order stays pending, which is nearly every poll; None for all others."""
    if request.args.get("nonce"):
        return None
    pending = service.poll_pending(
        BANKID.current(), uid, purpose=purpose, browser=this_browser.value(), now=utcnow()
    )
    if pending is None:
        return None
    i18n.prefer(pending.ui_locales)
    return answer_poll(state="pending", text=_status_text(pending), qr=_qr_image(pending))


def poll(place: Place) -> Response:
    """How the order stands, as JSON for the page's script: `state`, `text`, `qr` (SVG), `url` to go to."""
    order = service.current(place.uid, purpose=place.purpose, browser=this_browser.value())
    if order is None:
        return answer_poll(state="gone", url=place.url)
    nonce = request.args.get("nonce")
    # With the nonce of another order the app has returned to another browser than the one that started it.
    strayed = bool(nonce) and not service.note_return(order, nonce or "", now=utcnow())
    order = _poll(place, order)
    if order.state == "pending" or _awaits_return(order):
        facts = {"elsewhere": True} if strayed else {}
        return answer_poll(state="pending", text=_status_text(order), qr=_qr_image(order), **facts)
    untouched = order.started_by == "autostart" and order.hint_code == "startFailed"
    again = url_for(place.page_endpoint, uid=place.uid, again=1) if untouched else None
    return answer_poll(state=order.state, text=_status_text(order), url=place.url, again=again)


def answer_poll(**facts: Any) -> Response:
    return Response(json.dumps(facts), 200, {"Cache-Control": "no-store"}, mimetype="application/json")


def cancel(place: Place) -> BaseResponse:
    """End the order here and at BankID; the page then offers a new one."""
    service.cancel(BANKID.current(), place.uid, browser=this_browser.value(), now=utcnow())
    return redirect(place.url, 303)


def refuse(order: Order, user_id: UUID | None, reason: str, *, state: str = "refused") -> None:
    """End a completed order that does not count in this browser, and audit `reason`."""
    now = utcnow()
    if order_result.claim(order, state=state, user_id=user_id, now=now):
        audit.record(
            audit.Event.BANKID_REFUSED, now=now, user_id=user_id, client_id=order.client_id, reason=reason
        )
    db.session.commit()
    db.session.refresh(order)


def page(place: Place, order: Order, *, error: str | None = None, status: int = 200) -> Response:
    """The page of an order. `error` replaces the text that the order's state has."""
    # The order is complete while the app may still bring the nonce, and used while another page of this
    # browser logs in: the page goes on polling.
    state = "pending" if error is None and order.state in ("complete", "used") else order.state
    pending = state == "pending"
    return _rendered(
        place,
        status,
        order=order,
        state=state,
        status_text=error or _status_text(order),
        qr=_qr_image(order) if pending else None,
        launch_url=_launch_url(order) if pending else None,
        wait_seconds=None,
    )


def notice() -> Notice:
    """The facts for the mail about a changed BankID: IP address and device of this request."""
    return Notice(current_settings(), address=request.remote_addr, device=device().described)


def device() -> Device:
    """The device of this request, from its headers and what the script of an earlier page found out."""
    return recognise(
        request.user_agent.string, brands=request.headers.get("Sec-CH-UA", ""), touch="touch" in session
    )


def _rendered(place: Place, status: int, **facts: Any) -> Response:
    urls = {
        "page": place.url,
        "poll": url_for(place.poll_endpoint, uid=place.uid),
        "cancel": url_for(place.cancel_endpoint, uid=place.uid),
        "again": url_for(place.page_endpoint, uid=place.uid, again=1),
        "this": url_for(place.page_endpoint, uid=place.uid, device="this"),
        "other": url_for(place.page_endpoint, uid=place.uid, device="other"),
    }
    on_phone = device().kind is DeviceKind.PHONE
    return make_response(
        render_template(place.template, urls=urls, on_phone=on_phone, **facts, **place.facts()), status
    )


def _poll(place: Place, order: Order) -> Order:
    return service.poll(BANKID.current(), order, lambda old: _new_order(place, old.started_by), now=utcnow())


def _start(place: Place, started_by: str) -> BaseResponse:
    if request.method != "GET":
        return make_response("", 200)  # a HEAD request starts no order
    limiter = LIMITER.current()
    key = address_key(request.remote_addr)
    try:
        limiter.test("bankid_per_address", key)
        limiter.hit("bankid_per_address", key)
        service.start(BANKID.current(), _new_order(place, started_by), now=utcnow())
    except TooManyTries as limited:
        return _message_page(place, messages.RfaId.RFA5, status=429, wait_seconds=limited.wait_seconds)
    except Unavailable as unavailable:
        return _message_page(place, unavailable.rfa, status=503)
    # At an address without `again`, so that a reload shows this order and starts no other.
    return redirect(place.url, 303)


def _new_order(place: Place, started_by: str) -> NewOrder:
    here = device()
    page_url = current_settings().issuer + place.url
    if "device_id" not in session:
        session["device_id"] = new_token()
    return NewOrder(
        purpose=place.purpose,
        interaction_uid=place.uid,
        browser=this_browser.value(),
        client_id=place.client_id,
        visible_text=clipped(place.visible_text),
        visible_format=place.visible_format,
        end_user_ip=request.remote_addr or "",
        user_agent=request.user_agent.string,
        device_identifier=session["device_id"],
        referring_domain=urlsplit(current_settings().issuer).hostname or "",
        started_by=started_by,
        device=launch.page_device(here),
        return_url=lambda nonce: launch.return_url(here, page_url, nonce),
        terms=place.terms,
        personal_number=place.personal_number,
        user_id=place.user_id,
    )


def _awaits_return(order: Order) -> bool:
    """Whether the order is complete and only the app's return with the nonce is missing."""
    if order.state != "complete":
        return False
    person = order_result.person_of(BANKID.current(), order)
    return order_result.awaits_return(BANKID.current(), order, person, now=utcnow())


def _status_text(order: Order | PendingOrder) -> str:
    language = i18n.current_language()
    if order.state == "cancelled":
        rfa = messages.RfaId.RFA6
    elif order.hint_code == UNREACHABLE:
        rfa = messages.for_error(UNREACHABLE)
    elif order.state == "refused":
        rfa = messages.RfaId.RFA22
    else:
        status = "failed" if order.state == "failed" else "pending"
        # While a code is being replaced the text still says to scan it.
        hint = OUTSTANDING if order.hint_code == RENEWING else order.hint_code or ""
        rfa = messages.message(
            status,
            hint,
            started_by="autostart" if order.started_by == "autostart" else "qr",
            device=_app_device(order),
        )
    return messages.text(rfa, "en" if language == "en" else "sv")


def _app_device(order: Order | PendingOrder) -> messages.PageDevice:
    """The device that the texts speak of: a QR code is scanned with another device than this page's."""
    if order.started_by == "qr":
        return "mobile"
    return "computer" if order.device == "computer" else "mobile" if order.device == "mobile" else "unknown"


def _qr_image(order: Order | PendingOrder) -> str | None:
    """The QR code of this second as SVG, while no app has the order (BankID RP guide, QR)."""
    if order.started_by != "qr" or order.hint_code != OUTSTANDING:
        return None
    elapsed = max(0, int((utcnow() - order.started_at).total_seconds()))
    return qr.qr_svg(qr.qr_payload(order.qr_start_token, order.qr_start_secret, elapsed))


def _launch_url(order: Order) -> str | None:
    """The link that opens the app; None for an order that was started with a QR code.

    Anybody who has the link can complete the order, so it is shown only for orders whose result must come
    back to this browser.
    """
    if order.started_by != "autostart":
        return None
    opener = OPENER.current()
    if opener is not None:
        return f"{opener}?autostarttoken={order.autostart_token}"
    return launch.launch_url(device(), order.autostart_token)


def _message_page(
    place: Place, rfa: messages.RfaId, *, status: int, state: str = "none", wait_seconds: int | None = None
) -> Response:
    response = _rendered(
        place,
        status,
        order=None,
        state=state,
        status_text=messages.text(rfa, "en" if i18n.current_language() == "en" else "sv"),
        qr=None,
        launch_url=None,
        wait_seconds=wait_seconds,
    )
    if wait_seconds is not None:
        response.headers["Retry-After"] = str(wait_seconds)
    return response
