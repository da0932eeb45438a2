"""Mina uppgifter, "Logga in med BankID": linking a BankID to the account, and unlinking it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response as BaseResponse

from idp import i18n
from idp.account import linking
from idp.account.linking import NotThisPerson
from idp.bankid import order_page, order_result, service
from idp.bankid.models import Order
from idp.bankid.order_page import Place
from idp.bankid.setup import BANKID
from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS
from idp.extensions import current_settings
from idp.login import guard, interactions, this_browser
from idp.login.credential_change import Change
from idp.login.models import Interaction
from idp.login.requirement import AuthnRequirement
from idp.login.sessions import LiveSession
from idp.users import accounts, bankid_links

blueprint = Blueprint("linking", __name__)
SECTION = "bankid-section"


class LinkingOver(Exception):
    """There is no such linking for this session (any more)."""


@blueprint.post("/account/bankid")
@guard.login_required
def begin(live: LiveSession) -> BaseResponse:
    """Begin to link: `device` (this, other) says where the app is. An old login is renewed first."""
    device = "this" if request.form.get("device") == "this" else "other"
    if not guard.may_change(live, Change.BANKID_LINK):
        page_state = linking.page_state(live, device)
        return guard.log_in_to_change(
            live, Change.BANKID_LINK, return_endpoint=linking.ENDPOINT, page_state=page_state
        )
    uid = linking.begin(live, device=device, browser=this_browser.value(), now=utcnow())
    return redirect(url_for("linking.order", uid=uid, device=device), 303)


def _linking_page(view: Callable[[LiveSession, Interaction], BaseResponse]) -> Callable[..., BaseResponse]:
    """Give a view the session and its linking interaction; without them show that the linking is over."""

    @wraps(view)
    def with_linking(uid: str) -> BaseResponse:
        live = guard.current_session()
        if live is None:
            return redirect(url_for("account.index"), 303)
        i18n.prefer(live.locale)
        try:
            interaction = _load(uid, live)
        except LinkingOver:
            return make_response(render_template("account/link_over.html"), 404)
        if not AuthnRequirement.from_json(interaction.requirement).satisfied_by(live.event):
            return redirect(url_for("login.choose", uid=uid), 303)
        return view(live, interaction)

    return with_linking


@blueprint.get("/account/bankid/<uid>/resume", endpoint="resume")
@_linking_page
def resume(live: LiveSession, interaction: Interaction) -> BaseResponse:
    """Go on after a renewed login, on the device that was chosen before it."""
    return redirect(url_for("linking.order", uid=interaction.uid, device=interaction.request["device"]), 303)


@blueprint.get("/account/bankid/<uid>", endpoint="order")
@_linking_page
def show(live: LiveSession, interaction: Interaction) -> BaseResponse:
    """Show the order, starting one when there is none; ask for confirmation when it is complete."""
    place = _place(live, interaction.uid)
    return order_page.show(place, lambda order: _finish(live, place, order))


@blueprint.get("/account/bankid/<uid>/poll")
def poll(uid: str) -> Response:
    """The state of the order, for the page's script."""
    live = guard.current_session()
    try:
        if live is None:
            raise LinkingOver
        _load(uid, live)
    except LinkingOver:
        return order_page.answer_poll(state="gone", url=url_for("account.index"))
    i18n.prefer(live.locale)
    return order_page.poll_pending(uid, linking.PURPOSE) or order_page.poll(_place(live, uid))


@blueprint.post("/account/bankid/<uid>/cancel", endpoint="cancel")
@_linking_page
def cancel(live: LiveSession, interaction: Interaction) -> BaseResponse:
    """End the order here and in the app; the page then offers a new one."""
    return order_page.cancel(_place(live, interaction.uid))


@blueprint.post("/account/bankid/<uid>/confirm", endpoint="confirm")
@_linking_page
def confirm(live: LiveSession, interaction: Interaction) -> BaseResponse:
    """Link the person who completed the order, or leave it."""
    order = service.current(interaction.uid, purpose=linking.PURPOSE, browser=this_browser.value())
    if order is None or order.state != "complete":
        return redirect(url_for("linking.order", uid=interaction.uid), 303)
    if request.form.get("answer") != "link":
        service.cancel(BANKID.current(), interaction.uid, browser=this_browser.value(), now=utcnow())
        interactions.close(interaction.uid, now=utcnow())
        return _to_section()
    refused = _refused(_place(live, interaction.uid), order)
    if refused is not None:
        return refused
    keys = NUMBER_KEYS.current()
    proposal = linking.propose(BANKID.current(), order, keys=keys)
    done = linking.confirm(order, proposal, live, keys=keys, notice=order_page.notice(), now=utcnow())
    if not done:
        return make_response(render_template("account/link_over.html"), 404)
    return _to_section()


@blueprint.route("/account/bankid/unlink", methods=["GET", "POST"])
@guard.login_required
def unlink(live: LiveSession) -> BaseResponse:
    """Ask for confirmation, then unlink the BankID. Without a password the page shows how to get one."""
    linked = bankid_links.state(live.event.user_id, keys=NUMBER_KEYS.current())
    user = accounts.find(live.event.user_id)
    if linked is None or user is None:
        return _to_section()
    if not guard.may_change(live, Change.BANKID_UNLINK):
        return guard.log_in_to_change(
            live, Change.BANKID_UNLINK, return_endpoint="linking.unlink", page_state={}
        )
    if request.method == "POST":
        bankid_links.unlink(user.id, now=utcnow(), notice=order_page.notice(), keep_session=live.id)
        return _to_section()
    page = render_template(
        "account/unlink_bankid.html",
        name=linked.name,
        number=linked.masked_number,
        email=user.email,
        has_password=user.password_hash is not None,
        account_url=_section_url(),
    )
    return make_response(page)


def _load(uid: str, live: LiveSession) -> Interaction:
    try:
        return linking.load(uid, live, browser=this_browser.value(), now=utcnow())
    except (interactions.InteractionOver, interactions.ForeignBrowser):
        raise LinkingOver from None


def _place(live: LiveSession, uid: str) -> Place:
    brand, email = current_settings().brand.name, live.email
    stated = bankid_links.stated_number(live.event.user_id, keys=NUMBER_KEYS.current())
    return Place(
        purpose="link",
        uid=uid,
        client_id=None,
        visible_text=(
            f"Link BankID to your account {email} at {brand}"
            if i18n.current_language() == "en"
            else f"Koppla BankID till ditt konto {email} hos {brand}"
        ),
        page_endpoint="linking.order",
        poll_endpoint="linking.poll",
        cancel_endpoint="linking.cancel",
        template="account/link_bankid.html",
        facts=lambda: {"email": email, "account_url": _section_url()},
        personal_number=stated.digits if stated else None,
        user_id=live.event.user_id,
    )


def _finish(live: LiveSession, place: Place, order: Order) -> BaseResponse | None:
    if order.state != "complete":
        return None
    refused = _refused(place, order)
    if refused is not None:
        return refused
    proposal = linking.propose(BANKID.current(), order, keys=NUMBER_KEYS.current())
    page: dict[str, Any] = {"replaces": None}
    if proposal.replaces is not None:
        page["replaces"] = {"name": proposal.replaces.name, "number": proposal.replaces.masked_number}
    return make_response(
        render_template(
            "account/link_confirm.html",
            uid=place.uid,
            name=proposal.person.name,
            number=str(proposal.number),
            email=live.email,
            **page,
        )
    )


def _refused(place: Place, order: Order) -> Response | None:
    """The page of a completed order that must not be linked here; None if it may."""
    reason = order_result.refusal(BANKID.current(), order, order_result.person_of(BANKID.current(), order))
    if reason is None:
        try:
            linking.propose(BANKID.current(), order, keys=NUMBER_KEYS.current())
        except NotThisPerson:
            reason = "other_person"
    if reason is None:
        return None
    order_page.refuse(order, place.user_id, reason)
    return order_page.page(place, order, error=_refusal_text(reason), status=403)


def _refusal_text(reason: str) -> str:
    if reason == "other_device":
        return str(
            gettext("BankID användes på en annan enhet än den här. Försök igen, eller läs av QR-koden.")
        )
    if reason == "other_person":
        return str(gettext("Det BankID som användes går inte att koppla till det här kontot."))
    return str(gettext("Kopplingen bedömdes som osäker och stoppades. Försök igen senare."))


def _section_url() -> str:
    return url_for("account.index", _anchor=SECTION)


def _to_section() -> BaseResponse:
    return redirect(_section_url(), 303)
