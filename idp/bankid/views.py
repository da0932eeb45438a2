"""The tab "BankID": the animated QR code, the app on the same device, and what comes of it."""

import json
from typing import Any
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Response,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_babel import gettext, lazy_gettext
from werkzeug.wrappers import Response as BaseResponse

from idp import audit, i18n, web
from idp.bankid import launch, messages, qr, service
from idp.bankid.models import Order
from idp.bankid.service import BankId, PendingOrder, Starter, Unavailable, VerifiedPerson
from idp.clock import utcnow
from idp.crypto import PersonalNumberKeys
from idp.db import db
from idp.errors import TooManyTries
from idp.login import guard, methods
from idp.login import service as login
from idp.login.event import AuthenticationEvent
from idp.login.methods import LoginMethod
from idp.login.requirement import AuthnRequirement
from idp.login.service import LoginRefused, Waiting
from idp.ratelimit import RateLimiter
from idp.tokens import new_token
from idp.users import bankid_links
from idp.users.models import User
from idp.users.personal_number import PersonalNumber

blueprint = Blueprint("bankid", __name__)

METHOD = "bankid"
AMR = {"card": ("sc", "hwk", "mfa", "pin")}
DEFAULT_AMR = ("swk", "mfa", "user")
MODES = {"this": "autostart", "other": "qr"}


def login_method(acr: str) -> LoginMethod:
    """How this module presents itself to the login pages."""
    return LoginMethod(
        name=METHOD, label=lazy_gettext("BankID"), acr=acr, amr=DEFAULT_AMR, start_endpoint="bankid.login"
    )


def _bankid() -> BankId:
    found: BankId = current_app.extensions["idp.bankid"]
    return found


@blueprint.get("/login/bankid", endpoint="login", defaults={"uid": None})
@blueprint.get("/login/<uid>/bankid", endpoint="login")
@guard.login_page
def show(waiting: Waiting) -> BaseResponse:
    """Show this login's order, starting one when there is none; go on when it is complete.

    `device` (this, other) says where the app is; without it the order there is goes on, and a new one
    begins as the device seems to want.
    """
    if waiting.uid is None:
        return redirect(
            url_for("bankid.login", uid=_direct_interaction(), device=request.args.get("device")), 303
        )
    if not guard.offers(waiting, METHOD):
        return redirect(url_for("login.choose", uid=waiting.uid), 303)
    order = service.current(waiting.uid, browser=guard.browser())
    wanted = MODES.get(request.args.get("device", ""))
    if order is not None and wanted in (None, order.started_by) and "again" not in request.args:
        order = _poll(waiting, order)
        if order.state == "complete":
            return _page(waiting, order) if _awaits_return(order) else _finish(waiting, order)
        if order.state in ("pending", "failed", "refused", "cancelled"):
            return _page(waiting, order)
        if order.state == "used" and _has_logged_in(waiting):
            # Another page of this browser was quicker; what it brought is enough for this one too.
            return redirect(url_for(waiting.return_endpoint, uid=waiting.uid), 303)
    return _start(waiting, wanted or (order.started_by if order else _default_mode()))


def _has_logged_in(waiting: Waiting) -> bool:
    live = guard.current_session()
    return live is not None and waiting.requirement.satisfied_by(live.event)


@blueprint.get("/login/<uid>/bankid/poll")
def poll(uid: str) -> Response:
    """How the order stands, for the page's script: `state`, `text`, the QR code's picture, where to go."""
    nonce = request.args.get("nonce")
    if not nonce:
        pending = service.poll_pending(_bankid(), uid, browser=guard.browser(), now=utcnow())
        if pending is not None:
            i18n.prefer(pending.ui_locales)
            return _json(200, state="pending", text=_text(pending), qr=_frame(pending))
    try:
        interaction = login.load(uid, browser=guard.browser(), now=utcnow())
    except (login.InteractionOver, login.ForeignBrowser):
        return _json(200, state="gone", url=url_for("bankid.login", uid=uid))
    waiting = login.waiting(interaction)
    i18n.prefer(waiting.ui_locales)
    order = service.current(uid, browser=guard.browser())
    if order is None:
        return _json(200, state="gone", url=url_for("bankid.login", uid=uid))
    if nonce:
        service.note_return(order, nonce, now=utcnow())
    order = _poll(waiting, order)
    if order.state == "pending" or (order.state == "complete" and _awaits_return(order)):
        return _json(200, state="pending", text=_text(order), qr=_frame(order))
    untouched = order.started_by == "autostart" and order.hint_code == "startFailed"
    again = url_for("bankid.login", uid=uid, again=1) if untouched else None
    return _json(200, state=order.state, text=_text(order), url=url_for("bankid.login", uid=uid), again=again)


@blueprint.post("/login/<uid>/bankid/cancel")
@guard.login_page
def cancel(waiting: Waiting) -> BaseResponse:
    """End the order here and in the app; the page then offers a new one."""
    if waiting.uid is not None:
        service.cancel(_bankid(), waiting.uid, browser=guard.browser(), now=utcnow())
    return redirect(url_for("bankid.login", uid=waiting.uid), 303)


@blueprint.post("/login/<uid>/bankid/account")
@guard.login_page
def choose_account(waiting: Waiting) -> BaseResponse:
    """Log in to one of the accounts that the completed order opens."""
    order = service.current(waiting.uid or "", browser=guard.browser())
    if order is None or order.state != "complete":
        return redirect(url_for("bankid.login", uid=waiting.uid), 303)
    return _finish(waiting, order, chosen=request.form.get("account"))


def _poll(waiting: Waiting, order: Order) -> Order:
    return service.poll(_bankid(), order, lambda old: _starter(waiting, old.started_by), now=utcnow())


def _start(waiting: Waiting, started_by: str) -> BaseResponse:
    limiter: RateLimiter = current_app.extensions["idp.limiter"]
    key = web.address_key(request.remote_addr)
    try:
        limiter.test("bankid_per_address", key)
        limiter.hit("bankid_per_address", key)
        service.start(_bankid(), _starter(waiting, started_by), now=utcnow())
    except TooManyTries as limited:
        return _message_page(waiting, messages.RfaId.RFA5, status=429, wait_seconds=limited.wait_seconds)
    except Unavailable as unavailable:
        return _message_page(waiting, unavailable.rfa, status=503)
    # Shown at an address without `again`, so that a reload shows this order and starts no other.
    return redirect(url_for("bankid.login", uid=waiting.uid), 303)


def _starter(waiting: Waiting, started_by: str) -> Starter:
    asker = guard.describe_asker(waiting.client_id)
    device = _device()
    page = guard.settings().issuer + url_for("bankid.login", uid=waiting.uid)
    if "device_id" not in session:
        session["device_id"] = new_token()
    return Starter(
        interaction_uid=waiting.uid or "",
        browser=guard.browser(),
        client_id=waiting.client_id,
        client_name=asker.name if asker else guard.settings().brand.name,
        language=i18n.current_language(),
        end_user_ip=request.remote_addr or "",
        user_agent=request.user_agent.string,
        device_identifier=session["device_id"],
        referring_domain=urlsplit(guard.settings().issuer).hostname or "",
        started_by=started_by,
        device=device.page_device,
        return_url=lambda nonce: launch.return_url(device, page, nonce),
    )


def _device() -> launch.Device:
    return launch.detect(request.user_agent.string)


def _default_mode() -> str:
    return "autostart" if _device().first_choice is launch.FirstChoice.SAME_DEVICE else "qr"


def _direct_interaction() -> str:
    return login.begin(
        AuthnRequirement(),
        return_endpoint="account.index",
        request={},
        client_id=None,
        browser=guard.browser(),
        lifetime=guard.interaction_lifetime(),
        now=utcnow(),
    )


# What the page says


def _text(order: Order | PendingOrder) -> str:
    language = i18n.current_language()
    if order.state == "cancelled":
        rfa = messages.RfaId.RFA6
    elif order.hint_code == service.UNREACHABLE:
        rfa = messages.for_error(service.UNREACHABLE)
    elif order.state == "refused":
        rfa = messages.RfaId.RFA22
    else:
        status = "failed" if order.state == "failed" else "pending"
        rfa = messages.message(
            status,
            order.hint_code or "",
            started_by="autostart" if order.started_by == "autostart" else "qr",
            device=_app_device(order),
        )
    return messages.text(rfa, "en" if language == "en" else "sv")


def _app_device(order: Order | PendingOrder) -> messages.PageDevice:
    """Where the app is, as far as texts care: with a QR code it is on another device than our page."""
    if order.started_by == "qr":
        return "mobile"
    return "computer" if order.device == "computer" else "mobile" if order.device == "mobile" else "unknown"


def _frame(order: Order | PendingOrder) -> str | None:
    """The QR code of this second, while no app has taken the order."""
    if order.started_by != "qr" or order.hint_code != "outstandingTransaction":
        return None
    elapsed = max(0, int((utcnow() - order.started_at).total_seconds()))
    return qr.qr_svg(qr.qr_payload(order.qr_start_token, order.qr_start_secret, elapsed))


def _awaits_return(order: Order) -> bool:
    bankid = _bankid()
    return service.awaits_return(bankid, order, service.person_of(bankid, order), now=utcnow())


def _page(waiting: Waiting, order: Order, *, error: str | None = None, status: int = 200) -> Response:
    # A complete order gets here while the app may yet bring the nonce: its page goes on asking.
    state = "pending" if order.state == "complete" else order.state
    page = render_template(
        "bankid/login.html",
        order=order,
        state=state,
        status_text=error or _text(order),
        qr=_frame(order) if state == "pending" else None,
        launch_url=_launch_url(order) if state == "pending" else None,
        uid=waiting.uid,
        on_phone=_device().kind is launch.Kind.PHONE,
        wait_seconds=None,
        **guard.page_facts(waiting, METHOD),
    )
    return make_response(page, status)


def _launch_url(order: Order) -> str | None:
    """The link that opens the app: only for an order that was started for it.

    Whoever has the link can complete the order, so a QR order's is never shown.
    """
    if order.started_by != "autostart":
        return None
    opener: str | None = current_app.extensions["idp.bankid_opener"]
    if opener is not None:
        return f"{opener}?autostarttoken={order.autostart_token}"
    return launch.launch_url(_device(), order.autostart_token)


def _message_page(
    waiting: Waiting, rfa: messages.RfaId, *, status: int, wait_seconds: int | None = None
) -> Response:
    page = render_template(
        "bankid/login.html",
        order=None,
        state="none",
        status_text=messages.text(rfa, "en" if i18n.current_language() == "en" else "sv"),
        qr=None,
        launch_url=None,
        uid=waiting.uid,
        on_phone=_device().kind is launch.Kind.PHONE,
        wait_seconds=wait_seconds,
        **guard.page_facts(waiting, METHOD),
    )
    response = make_response(page, status)
    if wait_seconds is not None:
        response.headers["Retry-After"] = str(wait_seconds)
    return response


def _json(status: int, **facts: Any) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(json.dumps(facts), status, headers, mimetype="application/json")


# Who it was


def _finish(waiting: Waiting, order: Order, *, chosen: str | None = None) -> BaseResponse:
    """Log in the person who completed the order, if this browser is where they are."""
    bankid = _bankid()
    person = service.person_of(bankid, order)
    refused = service.refusal(bankid, order, person)
    if refused is not None:
        _end(order, "refused", None, refused)
        return _page(waiting, order, error=_refusal_text(refused), status=403)
    keys: PersonalNumberKeys = current_app.extensions["idp.personal_number_keys"]
    accounts = bankid_links.find_accounts(PersonalNumber.from_bankid(person.personal_number), keys=keys)
    if not accounts:
        _end(order, "used", None, "no_account")
        page = render_template(
            "bankid/not_linked.html", name=person.name, uid=waiting.uid, **guard.page_facts(waiting, METHOD)
        )
        return make_response(page, 403)
    active = [account for account in accounts if account.is_active]
    account = next((one for one in active if str(one.id) == chosen), None)
    if account is None and len(active) > 1:
        page = render_template(
            "bankid/choose.html", accounts=active, uid=waiting.uid, **guard.page_facts(waiting, METHOD)
        )
        return make_response(page)
    if account is None and len(active) == 1:
        account = active[0]
    if account is None:
        _end(order, "refused", accounts[0].id, "disabled")
        text = gettext("Det gick inte att logga in. Kontakta oss om du behöver hjälp.")
        return _page(waiting, order, error=text, status=403)
    return _log_in(waiting, order, person, account)


def _log_in(waiting: Waiting, order: Order, person: VerifiedPerson, account: User) -> BaseResponse:
    now = utcnow()
    completed_at = order.finished_at or now
    if not service.use(order, state="used", user_id=account.id, now=now):
        db.session.rollback()
        return redirect(url_for("bankid.login", uid=waiting.uid), 303)
    bankid_links.note_use(account.id, now=now)
    method = next(method for method in methods.registered() if method.name == METHOD)
    event = AuthenticationEvent(
        user_id=account.id,
        method=METHOD,
        acr=method.acr,
        amr=AMR.get(person.policy_kind, DEFAULT_AMR),
        auth_time=completed_at,
        reference=order.id,
    )
    try:
        return guard.complete(waiting, event)
    except LoginRefused as refused:
        return _page(waiting, order, error=guard.refusal_text(refused), status=403)


def _end(order: Order, state: str, user_id: Any, reason: str) -> None:
    now = utcnow()
    if service.use(order, state=state, user_id=user_id, now=now):
        audit.record(
            audit.Event.BANKID_REFUSED, now=now, user_id=user_id, client_id=order.client_id, reason=reason
        )
    db.session.commit()
    db.session.refresh(order)


def _refusal_text(reason: str) -> str:
    if reason == "other_device":
        return str(
            gettext(
                "BankID användes på en annan enhet än den här. "
                "Logga in där du öppnar tjänsten, eller läs av QR-koden."
            )
        )
    return str(
        gettext(
            "Inloggningen bedömdes som osäker och stoppades. Försök igen eller logga in på ett annat sätt."
        )
    )
