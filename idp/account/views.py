"""Mina uppgifter: an account's details for its owner, and the page that a direct login leads to."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

from flask import Blueprint, make_response, redirect, render_template, request, session, url_for
from flask_babel import gettext
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from idp import i18n
from idp.account import activity, forms, linking, sealed_form, service, start_page, stored_page
from idp.account.forms import AccountForm
from idp.account.service import AccountDetails
from idp.bankid import order_page
from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS, CannotOpen
from idp.errors import Busy, NotFound, TooManyTries
from idp.extensions import current_settings
from idp.login import guard, interactions, this_browser
from idp.login.credential_change import Change
from idp.login.interactions import InteractionOver
from idp.login.sessions import LiveSession
from idp.oidc.provider import PROVIDER
from idp.password.hashing import HASHER
from idp.ratelimit import LIMITER
from idp.users.accounts import ChangedMeanwhile

blueprint = Blueprint("account", __name__)
BUSY_SECONDS = 5


@blueprint.get("/account")
@guard.login_required
def index(live: LiveSession) -> Response:
    """The page as it is stored."""
    before = _details(live)
    saved = "account_saved" in session and session.pop("account_saved")
    apps, has_number = _apps(live), NUMBER_KEYS.find() is not None
    if request.args:  # the language menu's links keep it
        form = forms.shown(forms.stored_values(before, apps), apps, has_number=has_number)
        return _page(live, before, form, saved=bool(saved))
    flags = {
        "saved": bool(saved),
        "undelivered": service.confirmation_failed(before),
        "is_fresh": guard.may_change(live, Change.PASSWORD),
    }
    page = stored_page.write(before, apps, has_number=has_number, flags=flags, **_sections(live))
    return make_response(page)


@blueprint.post("/account")
def save() -> Response:
    """Save the form. When the session has ended meanwhile, the next login leads back to it, filled in."""
    person = guard.user_of_ended_session()
    if person is not None:
        return guard.log_in_as(person, return_endpoint="account.resume", page_state=_filled_in(person))
    answer: Response = _save()
    return answer


@guard.login_required
def _save(live: LiveSession) -> Response:
    """Save, but first ask for a login that allows the changes."""
    before = _details(live)
    form = _form(live, before, request.form)
    if form.seen_version != before.version:
        return _conflict(live, before)
    if not form.validate():
        return _page(live, before, form, status=400)
    changes = form.changes()
    asked = changes.credential_changes
    if not guard.may_change(live, *asked):
        filled_in = _filled_in(before.user_id)
        return guard.log_in_to_change(live, *asked, return_endpoint="account.resume", page_state=filled_in)
    try:
        cookie = service.save(
            before,
            changes,
            session_id=live.id,
            hasher=HASHER.current(),
            limiter=LIMITER.current(),
            keys=NUMBER_KEYS.find(),
            address=request.remote_addr,
            settings=current_settings(),
            now=utcnow(),
        )
    except ChangedMeanwhile:
        return _conflict(live, _details(live))
    except Busy:
        response = _page(live, before, form, busy=True, status=503)
        response.headers["Retry-After"] = str(BUSY_SECONDS)
        return response
    except TooManyTries as limited:
        form.email.errors = [gettext("Du har bytt e-postadress för många gånger. Försök igen senare.")]
        response = _page(live, before, form, status=429)
        response.headers["Retry-After"] = str(limited.wait_seconds)
        return response
    _close(form.resume.data or "")
    session["account_saved"] = True
    response = redirect(url_for("account.index"), 303)
    if cookie is not None:
        guard.set_session_cookie(response, cookie)
    # Also when another language was chosen for this browser before.
    if changes.profile.choices and changes.profile.choices.locale != i18n.current_language():
        i18n.choose(response, changes.profile.choices.locale, secure=current_settings().is_https)
    return response


@blueprint.get("/account/resume/<uid>")
def resume(uid: str) -> Response:
    """The filled-in form again, after the login that saving it asked for."""
    live = guard.current_session()
    try:
        interaction = interactions.load(uid, browser=this_browser.value(), now=utcnow())
    except (InteractionOver, interactions.ForeignBrowser):
        return redirect(url_for("account.index"), 303)
    if interaction.return_endpoint != "account.resume":
        raise NotFound("another interaction's uid")
    waiting = interactions.waiting(interaction)
    if live is None or not waiting.requirement.satisfied_by(live.event):
        return redirect(url_for("login.choose", uid=uid), 303)
    i18n.prefer(live.locale)
    before = _details(live)
    secret_key = current_settings().secret_key
    try:
        typed = sealed_form.unseal(interaction.request, user_id=before.user_id, secret_key=secret_key)
    except CannotOpen:
        return redirect(url_for("account.index"), 303)
    form = _form(live, before, typed)
    form.resume.data = uid
    return _page(live, before, form, resumed=True, password_again=interaction.request["password_again"])


@blueprint.get("/account/start")
@guard.login_required
def landing(live: LiveSession) -> Response:
    """Redirect a direct login to the relying app of the person's choice, else to Mina uppgifter.

    Browsers apply form-action to every redirect after a form, and the login page's header does not name the
    app: so browsers, which ask for HTML, get a page that goes on by itself.
    """
    chosen = _details(live).choices.start_page
    client = PROVIDER.current().clients.get(chosen) if chosen else None
    address = start_page.address(client, company=live.company, issuer=current_settings().issuer)
    if client is None or address is None:
        return redirect(url_for("account.index"), 303)
    if "text/html" not in request.headers.get("Accept", ""):
        return redirect(address, 303)
    name = client.name(i18n.current_language())
    return make_response(render_template("account/landing.html", address=address, client_name=name))


@blueprint.get("/.well-known/change-password")
def change_password() -> Response:
    """The address that password managers open (W3C, A Well-Known URL for Changing Passwords)."""
    return redirect(url_for("account.index", _anchor="account-password"), 303)


@blueprint.get("/")
def home() -> Response:
    return redirect(url_for("account.index"), 303)


def _conflict(live: LiveSession, before: AccountDetails) -> Response:
    """The form as it was sent, with the values that were stored meanwhile beside it."""
    form = _form(live, before, request.form)
    form.go_on_from_stored()
    return _page(
        live, before, form, conflicts=form.conflicts(), password_again=bool(form.password.data), status=409
    )


def _page(
    live: LiveSession,
    before: AccountDetails,
    form: AccountForm | SimpleNamespace,
    *,
    saved: bool = False,
    resumed: bool = False,
    busy: bool = False,
    password_again: bool = False,
    conflicts: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    page = render_template(
        "account/index.html",
        user=before,
        form=form,
        saved=saved,
        resumed=resumed,
        busy=busy,
        password_again=password_again,
        is_conflict=conflicts is not None,
        conflicts=conflicts or {},
        undelivered=service.confirmation_failed(before),
        is_fresh=guard.may_change(live, Change.PASSWORD),
        **_sections(live),
    )
    return make_response(page, status)


def _sections(live: LiveSession) -> dict[str, Any]:
    """The variables of the page's other sections; each has a partial template of its own."""
    return {
        **activity.facts(live),
        **linking.facts(live.event.user_id, keys=NUMBER_KEYS.find(), device=order_page.device()),
    }


def _apps(live: LiveSession) -> dict[str, str]:
    """The names of the apps that the person may begin at, by client_id."""
    apps = start_page.offered(PROVIDER.current().clients.initiating(), company=live.company)
    language = i18n.current_language()
    return {client_id: client.name(language) for client_id, client in apps.items()}


def _form(live: LiveSession, before: AccountDetails, typed: MultiDict[str, str]) -> AccountForm:
    """The form with what was typed."""
    form = AccountForm(
        before,
        _apps(live),
        own_data=(before.email, before.profile.name, before.company, current_settings().brand.name),
        today=utcnow().date(),
        typed=typed,
    )
    if NUMBER_KEYS.find() is None:
        del form.personal_number
    return form


def _filled_in(user_id: UUID) -> dict[str, Any]:
    """The form as it was sent, sealed."""
    return sealed_form.seal(request.form, user_id=user_id, secret_key=current_settings().secret_key)


def _close(uid: str) -> None:
    """Close the interaction that keeps a form that has been saved."""
    if "\0" in uid:
        return  # PostgreSQL refuses a query for a NUL
    try:
        interaction = interactions.load(uid, browser=this_browser.value(), now=utcnow())
    except (InteractionOver, interactions.ForeignBrowser):
        return
    if interaction.return_endpoint == "account.resume":
        interactions.close(uid, now=utcnow())


def _details(live: LiveSession) -> AccountDetails:
    return service.details(live.event.user_id, keys=NUMBER_KEYS.find(), now=utcnow())
