"""The tab "E-postinloggning", and the pages for choosing a password by a mailed link."""

import re

from flask import Blueprint, make_response, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from idp import i18n
from idp.addresses import address_key
from idp.clock import utcnow
from idp.errors import TooManyTries
from idp.extensions import current_settings
from idp.i18n import gettext
from idp.login import journey, methods, this_browser
from idp.login.event import AuthenticationEvent
from idp.login.interactions import Waiting
from idp.login.sessions import LoginRefused
from idp.password import reset, service
from idp.password.forms import ForgotForm, LoginForm, NewPasswordForm
from idp.password.hashing import HASHER
from idp.password.reset import LinkOver
from idp.ratelimit import LIMITER
from idp.users.fields import email_key

blueprint = Blueprint("password", __name__)
MAX_TYPED = 1000
UID = re.compile(r"[\w-]{43}", re.ASCII)


@blueprint.route("/login/password", methods=["GET", "POST"], defaults={"uid": None})
@blueprint.route("/login/<uid>/password", methods=["GET", "POST"])
@journey.login_page
def login(waiting: Waiting) -> Response:
    """Show the form; on POST check address and password and send the browser on."""
    if not journey.offers(waiting, service.METHOD):
        return redirect(url_for("login.choose", uid=waiting.uid), 303)
    form = LoginForm()
    if request.method != "POST":
        journey.leave_other_methods(waiting, service.METHOD)
        form.email.data = waiting.login_hint
        return _page(waiting, form)
    email, password = (form.email.data or "")[:MAX_TYPED], form.password.data or ""
    account = this_browser.account_key(email_key(email))
    try:
        user_id = service.authenticate(
            email,
            password,
            hasher=HASHER.current(),
            limiter=LIMITER.current(),
            address=address_key(request.remote_addr),
            account=account,
            known_browser=this_browser.value() if this_browser.knows(account) else None,
            now=utcnow(),
        )
    except TooManyTries as limited:
        return _page(waiting, form, wait_seconds=limited.wait_seconds, status=429)
    if user_id is None:
        return _page(waiting, form, error=gettext("Fel e-postadress eller lösenord."), status=401)
    this_browser.note_known(account)
    method = methods.named(service.METHOD)
    event = AuthenticationEvent(
        user_id=user_id, method=method.name, acr=method.acr, amr=method.amr, auth_time=utcnow()
    )
    try:
        return journey.complete(waiting, event)
    except LoginRefused as refused:
        return _page(waiting, form, error=journey.refusal_text(refused), status=403)


@blueprint.route("/password/reset", methods=["GET", "POST"])
def forgot() -> Response:
    """Ask for the address of a forgotten password; on POST have a link mailed. The answer never differs."""
    form = ForgotForm()
    uid = _waiting_uid()
    if request.method != "POST" or not form.validate():
        page = render_template("password/forgot.html", form=form, login_url=_login_url(uid))
        return make_response(page, 400 if request.method == "POST" else 200)
    reset.ask(
        form.email.data,
        limiter=LIMITER.current(),
        address=address_key(request.remote_addr),
        account=this_browser.account_key(email_key(form.email.data)),
        settings=current_settings(),
        now=utcnow(),
    )
    # Kept in this browser, not in the mail: a login that waits belongs to the browser it began in.
    session["reset_for"] = uid
    return redirect(url_for("password.forgot_sent", uid=uid), 303)


@blueprint.get("/password/reset/sent")
def forgot_sent() -> Response:
    """The answer to every address."""
    uid = _waiting_uid()
    page = render_template(
        "password/forgot_sent.html",
        minutes=current_settings().reset.link_minutes,
        login_url=_login_url(uid),
        forgot_url=url_for("password.forgot", uid=uid),
    )
    return make_response(page)


@blueprint.route("/password/reset/<token>", methods=["GET", "POST"])
def choose(token: str) -> Response:
    """Show the form of a mailed link, any number of times; only its POST uses the link up."""
    try:
        response = _choose(token)
    except LinkOver as over:
        uid = _uid_in_session()
        page = render_template(
            "password/link_over.html",
            reason=over.reason,
            login_url=_login_url(uid),
            forgot_url=url_for("password.forgot", uid=uid),
        )
        response = make_response(page, 404 if over.reason == "unknown" else 410)
    return response


def _choose(token: str) -> Response:
    link = reset.open_link(token, now=utcnow())
    i18n.prefer(link.recipient.locale)
    form = NewPasswordForm((*link.own_data, current_settings().brand.name))
    if request.method != "POST" or not form.validate():
        page = render_template("password/new.html", form=form, email=link.recipient.email)
        return make_response(page, 400 if request.method == "POST" else 200)
    reset.choose_password(
        link,
        form.password.data,
        hasher=HASHER.current(),
        address=request.remote_addr,
        settings=current_settings(),
        now=utcnow(),
    )
    this_browser.value()  # makes the cookie last, which notes the account as known
    this_browser.note_known(this_browser.account_key(email_key(link.recipient.email)))
    session["password_changed"] = True
    return redirect(_login_url(session.pop("reset_for", None)), 303)


def _waiting_uid() -> str | None:
    """The interaction that the person left to ask for a link, if the address names one."""
    uid = request.args.get("uid", "")
    return uid if UID.fullmatch(uid) else None


def _uid_in_session() -> str | None:
    uid: str | None = session.get("reset_for")
    return uid


def _login_url(uid: str | None) -> str:
    return url_for("password.login", uid=uid)


def _has_just_changed() -> bool:
    """Whether this is the first page since the password was changed in this browser."""
    return bool("password_changed" in session and session.pop("password_changed"))


def _page(
    waiting: Waiting,
    form: LoginForm,
    *,
    error: str | None = None,
    wait_seconds: int | None = None,
    status: int = 200,
) -> Response:
    page = render_template(
        "password/login.html",
        form=form,
        error=error,
        wait_seconds=wait_seconds,
        forgot_url=url_for("password.forgot", uid=waiting.uid),
        note=gettext("Lösenordet är ändrat. Logga in.") if _has_just_changed() else None,
        **journey.page_facts(waiting, service.METHOD),
    )
    response = make_response(page, status)
    if wait_seconds is not None:
        response.headers["Retry-After"] = str(wait_seconds)
    return response
