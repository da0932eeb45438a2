"""The tab "E-postinloggning"."""

from flask import Blueprint, current_app, make_response, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from werkzeug.wrappers import Response

from idp import web
from idp.clock import utcnow
from idp.errors import TooManyTries
from idp.login import guard
from idp.login.event import AuthenticationEvent
from idp.login.methods import LoginMethod
from idp.login.service import LoginRefused, Waiting
from idp.password import service
from idp.password.forms import LoginForm
from idp.password.hashing import PasswordHasher
from idp.ratelimit import RateLimiter
from idp.users.service import email_key

blueprint = Blueprint("password", __name__)
MAX_TYPED = 1000


def login_method(issuer: str) -> LoginMethod:
    """How this module presents itself to the login pages; its acr is the provider's own."""
    return LoginMethod(
        name=service.METHOD,
        label=lazy_gettext("E-postinloggning"),
        acr=f"{issuer}/acr/password",
        amr=service.AMR,
        start_endpoint="password.login",
    )


@blueprint.route("/login/password", methods=["GET", "POST"], defaults={"uid": None})
@blueprint.route("/login/<uid>/password", methods=["GET", "POST"])
@guard.login_page
def login(waiting: Waiting) -> Response:
    """Show the form; on POST check address and password and send the browser on."""
    if not guard.offers(waiting, service.METHOD):
        return redirect(url_for("login.choose", uid=waiting.uid), 303)
    form = LoginForm()
    if request.method == "GET":
        guard.take_to(waiting, service.METHOD)
        form.email.data = waiting.login_hint
        return _page(waiting, form)
    email, password = (form.email.data or "")[:MAX_TYPED], form.password.data or ""
    account = guard.account_key(email_key(email))
    hasher: PasswordHasher = current_app.extensions["idp.password_hasher"]
    limiter: RateLimiter = current_app.extensions["idp.limiter"]
    try:
        user_id = service.authenticate(
            email,
            password,
            hasher=hasher,
            limiter=limiter,
            address=web.address_key(request.remote_addr),
            account=account,
            known_browser=guard.browser() if guard.knows(account) else None,
            now=utcnow(),
        )
    except TooManyTries as limited:
        return _page(waiting, form, wait_seconds=limited.wait_seconds, status=429)
    if user_id is None:
        return _page(waiting, form, error=gettext("Fel e-postadress eller lösenord."), status=401)
    guard.note_known(account)
    method = login_method(guard.settings().issuer)
    event = AuthenticationEvent(
        user_id=user_id, method=method.name, acr=method.acr, amr=method.amr, auth_time=utcnow()
    )
    try:
        return guard.complete(waiting, event)
    except LoginRefused as refused:
        return _page(waiting, form, error=guard.refusal_text(refused), status=403)


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
        forgot_url=None,
        **guard.page_facts(waiting, service.METHOD),
    )
    response = make_response(page, status)
    if wait_seconds is not None:
        response.headers["Retry-After"] = str(wait_seconds)
    return response
