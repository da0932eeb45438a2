"""The tab "BankID": from a completed order to a login."""

from datetime import timedelta
from typing import Literal

from flask import (
    Blueprint,
    Response,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_babel import gettext
from werkzeug.wrappers import Response as BaseResponse

from idp import audit, i18n
from idp.bankid import link_offer, order_page, order_result, service, unmatched, visible_text
from idp.bankid.models import Order
from idp.bankid.order_page import Place
from idp.bankid.order_result import VerifiedPerson
from idp.bankid.service import METHOD
from idp.bankid.setup import BANKID
from idp.bankid.terms import NO_DEMANDS, Terms
from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS
from idp.db import db
from idp.extensions import current_settings
from idp.login import guard, interactions, journey, methods, this_browser, waiting_client
from idp.login.event import AuthenticationEvent
from idp.login.interactions import Waiting
from idp.login.requirement import AuthnRequirement
from idp.login.sessions import LoginRefused
from idp.users import bankid_links
from idp.users.models import User
from idp.users.personal_number import PersonalNumber

blueprint = Blueprint("bankid", __name__)

PURPOSE: Literal["login"] = "login"
AMR_BY_KIND = {"card": ("sc", "hwk", "mfa", "pin")}
LOGGED_IN_WITHIN = timedelta(seconds=10)  # from an order's use until its browser has the session cookie


@blueprint.get("/login/bankid", endpoint="login", defaults={"uid": None})
@blueprint.get("/login/<uid>/bankid", endpoint="login")
@journey.login_page
def show(waiting: Waiting) -> BaseResponse:
    """Show this login's order, starting one when there is none; log in when it is complete."""
    if waiting.uid is None:
        return redirect(
            url_for("bankid.login", uid=_direct_interaction(), device=request.args.get("device")), 303
        )
    if not journey.offers(waiting, METHOD):
        return redirect(url_for("login.choose", uid=waiting.uid), 303)
    return order_page.show(_place(waiting), lambda order: _answer_over(waiting, order))


@blueprint.get("/login/<uid>/bankid/poll")
def poll(uid: str) -> Response:
    """How the order stands, for the page's script."""
    pending = order_page.poll_pending(uid, PURPOSE)
    if pending is not None:
        return pending
    try:
        interaction = interactions.load(uid, browser=this_browser.value(), now=utcnow())
    except (interactions.InteractionOver, interactions.ForeignBrowser):
        return order_page.answer_poll(state="gone", url=url_for("bankid.login", uid=uid))
    waiting = interactions.waiting(interaction)
    i18n.prefer(waiting.ui_locales)
    return order_page.poll(_place(waiting))


@blueprint.post("/login/<uid>/bankid/cancel")
@journey.login_page
def cancel(waiting: Waiting) -> BaseResponse:
    """End the order here and at BankID; the page then offers a new one."""
    return order_page.cancel(_place(waiting))


@blueprint.post("/login/<uid>/bankid/account")
@journey.login_page
def choose_account(waiting: Waiting) -> BaseResponse:
    """Log in to one of the accounts that the completed order opens."""
    order = service.current(waiting.uid or "", purpose=PURPOSE, browser=this_browser.value())
    if order is None or order.state != "complete":
        return redirect(url_for("bankid.login", uid=waiting.uid), 303)
    return _answer_complete(waiting, order, chosen=request.form.get("account"))


def _place(waiting: Waiting) -> Place:
    client = waiting_client.describe_client(waiting.client_id)
    name = client.name if client else current_settings().brand.name
    terms = client.terms[METHOD] if client else NO_DEMANDS
    message = waiting.user_message if terms.user_message else None
    text, text_format = visible_text.login_text(name, i18n.current_language(), message)
    return Place(
        purpose=PURPOSE,
        uid=waiting.uid or "",
        client_id=waiting.client_id,
        visible_text=text,
        visible_format=text_format,
        page_endpoint="bankid.login",
        poll_endpoint="bankid.poll",
        cancel_endpoint="bankid.cancel",
        template="bankid/login.html",
        facts=lambda: journey.page_facts(waiting, METHOD),
        terms=terms,
    )


def _direct_interaction() -> str:
    return interactions.begin(
        AuthnRequirement(),
        return_endpoint=journey.direct_login().return_endpoint,
        request={},
        client_id=None,
        browser=this_browser.value(),
        lifetime=current_settings().session.interaction_lifetime,
        now=utcnow(),
    )


# From a completed order to a login


def _answer_over(waiting: Waiting, order: Order) -> BaseResponse | None:
    """The answer for an order that is complete or over; None when the page is to start a new one."""
    if order.state == "complete":
        return _answer_complete(waiting, order)
    if order.state == "unmatched" and session.get("unmatched") == waiting.uid:
        return _not_linked_page(waiting, order_result.person_of(BANKID.current(), order))
    if order.state == "used" and _has_logged_in(waiting):
        # Another page of this browser has logged in, and that login meets this one's requirement too.
        return redirect(url_for(waiting.return_endpoint, uid=waiting.uid), 303)
    if order.state == "used" and order.finished_at and utcnow() < order.finished_at + LOGGED_IN_WITHIN:
        # Another page of this browser is logging in: its session cookie is not here yet.
        return order_page.page(_place(waiting), order)
    return None


def _has_logged_in(waiting: Waiting) -> bool:
    live = guard.current_session()
    return live is not None and waiting.requirement.satisfied_by(live.event)


def _answer_complete(waiting: Waiting, order: Order, *, chosen: str | None = None) -> BaseResponse:
    """Log in the person who completed the order; `chosen` is the id of one of their accounts.

    The answer is a page where the order does not count in this browser, opens no account or several, or
    only disabled ones.
    """
    person = order_result.person_of(BANKID.current(), order)
    refused = order_result.refusal(BANKID.current(), order, person)
    if refused is not None:
        order_page.refuse(order, None, refused)
        return order_page.page(_place(waiting), order, error=_refusal_text(refused), status=403)
    number = PersonalNumber.from_bankid(person.personal_number)
    accounts = bankid_links.find_accounts(number, keys=NUMBER_KEYS.current())
    if not accounts:
        return _answer_unmatched(waiting, order, person)
    active = [account for account in accounts if account.is_active]
    account = next((one for one in active if str(one.id) == chosen), None)
    if account is None and len(active) > 1:
        page = render_template(
            "bankid/choose.html", accounts=active, uid=waiting.uid, **journey.page_facts(waiting, METHOD)
        )
        return make_response(page)
    if account is None and len(active) == 1:
        account = active[0]
    if account is None:
        order_page.refuse(order, accounts[0].id, "disabled")
        text = gettext("Det gick inte att logga in. Kontakta oss om du behöver hjälp.")
        return order_page.page(_place(waiting), order, error=text, status=403)
    return _log_in(waiting, order, person, account)


def _log_in(waiting: Waiting, order: Order, person: VerifiedPerson, account: User) -> BaseResponse:
    """Claim the order and log in. The login's time is that of the completion (OIDC Core §2, auth_time)."""
    now = utcnow()
    completed_at = order.finished_at or now
    guard.current_session()  # noted as used while no change waits for its commit: SQLite has one writer
    if not order_result.claim(order, state="used", user_id=account.id, now=now):
        db.session.rollback()
        return redirect(url_for("bankid.login", uid=waiting.uid), 303)
    bankid_links.note_use(account.id, now=now)
    method = methods.named(METHOD)
    event = AuthenticationEvent(
        user_id=account.id,
        method=METHOD,
        acr=method.acr,
        amr=_amr(order, person, method.amr),
        auth_time=completed_at,
        evidence_id=order.id,
    )
    try:
        return journey.complete(waiting, event)
    except LoginRefused as refused:
        return order_page.page(_place(waiting), order, error=journey.refusal_text(refused), status=403)


def _amr(order: Order, person: VerifiedPerson, usual: tuple[str, ...]) -> tuple[str, ...]:
    """How the person was authenticated (RFC 8176 §2): `pin` only where BankID was to demand the code."""
    amr = AMR_BY_KIND.get(person.policy_kind, usual)
    pin_code = order.terms is not None and Terms.from_json(order.terms).pin_code
    return (*amr, "pin") if pin_code and "pin" not in amr else amr


def _answer_unmatched(waiting: Waiting, order: Order, person: VerifiedPerson) -> BaseResponse:
    """The page for a person whose BankID opens no account; the order is kept for the login that follows."""
    if unmatched.mark(order):
        now, client_id = utcnow(), order.client_id
        audit.record(audit.Event.BANKID_REFUSED, now=now, client_id=client_id, reason="no_account")
    db.session.commit()
    session["unmatched"] = waiting.uid
    return _not_linked_page(waiting, person)


def _not_linked_page(waiting: Waiting, person: VerifiedPerson) -> BaseResponse:
    page = render_template(
        "bankid/not_linked.html",
        name=person.name,
        uid=waiting.uid,
        other_ways=[tab for tab in methods.offered(waiting.requirement) if tab.name != METHOD],
        **journey.page_facts(waiting, METHOD),
    )
    return make_response(page, 403)


# Linking to the account of a login that followed


@blueprint.route("/login/<uid>/bankid/link", methods=["GET", "POST"], endpoint="offer")
@journey.login_page
def offer(waiting: Waiting) -> BaseResponse:
    """Ask whether to link the BankID that opened no account; the login goes on after either answer."""
    go_on = redirect(url_for(waiting.return_endpoint, uid=waiting.uid), 303)
    live = guard.current_session()
    now = utcnow()
    order = unmatched.find(waiting.uid or "", browser=this_browser.value(), now=now)
    if live is None or order is None or order.user_id != live.event.user_id:
        return go_on
    if live.event.method not in methods.own_names():
        return go_on
    person = order_result.person_of(BANKID.current(), order)
    number = PersonalNumber.from_bankid(person.personal_number)
    if request.method != "POST":
        client = waiting_client.describe_client(waiting.client_id)
        page = render_template(
            "bankid/offer.html",
            name=person.name,
            number=str(number),
            email=live.email,
            uid=waiting.uid,
            client_name=client.name if client else None,
        )
        return make_response(page)
    # The account may have got another BankID since the page was shown.
    wanted = request.form.get("answer") == "link" and link_offer.may_link(live.event.user_id, number)
    claimed = order_result.claim(
        order,
        state="used",
        user_id=live.event.user_id if wanted else None,
        now=now,
        not_before=now - order_result.LINK_WITHIN,
    )
    if claimed and wanted:
        keys, notice = NUMBER_KEYS.current(), order_page.notice()
        bankid_links.link(live.event.user_id, number, person.name, keys=keys, now=now, notice=notice)
    db.session.commit()
    return go_on


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
