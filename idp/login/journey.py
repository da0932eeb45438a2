"""A login from its first page to its end: the interaction in the URL, the tabs, the session, the way back."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import structlog
from flask import (
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

from idp import i18n
from idp.clock import utcnow
from idp.errors import IdpError
from idp.extensions import current_settings
from idp.login import guard, interactions, methods, sessions, this_browser
from idp.login.event import AuthenticationEvent
from idp.login.guard import current_session, logout_frames
from idp.login.interactions import Waiting
from idp.login.requirement import AuthnRequirement
from idp.login.waiting_client import describe_client
from idp.reference import reference
from idp.web.headers import allow_form_to

log = structlog.get_logger("idp.login")


class CookiesNeeded(IdpError):
    code = "cookies_needed"
    status = 400


def login_page(view: Callable[[Waiting], Any]) -> Callable[..., Any]:
    """Give a login page the interaction in its URL (none: a direct login) instead of the URL's `uid`.

    An interaction that is over gets a page with the way back; one of another browser begins anew here.
    """

    @wraps(view)
    def with_interaction(uid: str | None = None) -> Any:
        if uid is None:
            return view(direct_login())
        try:
            interaction = interactions.load(uid, browser=this_browser.value(), now=utcnow())
        except interactions.ForeignBrowser:
            return copy_here(uid, "login.choose")
        except interactions.InteractionOver as over:
            return over_page(over)
        waiting = interactions.waiting(interaction)
        i18n.prefer(waiting.ui_locales)
        if waiting.leads_to:
            allow_form_to(waiting.leads_to)
        return view(waiting)

    return with_interaction


def direct_login() -> Waiting:
    """The interaction of a login that no client waits for, at `/login`. It is not stored."""
    return Waiting(
        uid=None,
        requirement=AuthnRequirement(),
        client_id=None,
        login_hint="",
        ui_locales="",
        return_endpoint="account.landing",
        leads_to=None,
    )


def copy_here(uid: str, endpoint: str) -> BaseResponse:
    """Begin another browser's interaction anew in this one, and redirect to it at `endpoint`.

    Raises `CookiesNeeded` for a browser that has just got one and does not own it either: it sends no cookies
    back, and would be redirected for ever.
    """
    if "copied" in request.args:
        raise CookiesNeeded("the browser sends no cookies back")
    copy = interactions.copy_to_browser(
        uid,
        browser=this_browser.value(),
        lifetime=current_settings().session.interaction_lifetime,
        now=utcnow(),
    )
    return redirect(url_for(endpoint, uid=copy, copied=1), 303)


def over_page(over: interactions.InteractionOver) -> Response:
    """The page for an interaction that is over: what happened and the way back."""
    log.info("login_over", client_id=over.client_id, reason=over.reason)
    client = describe_client(over.client_id)
    page = render_template(
        "login/over.html",
        reference=reference(),
        reason="answered" if over.reason == "answered" else "expired",
        client_name=client.name if client else None,
        restart_url=client.restart_url if client else None,
    )
    return make_response(page, 404 if over.reason == "unknown" else 400)


def offers(waiting: Waiting, method: str) -> bool:
    """Whether a login by `method` could meet the interaction's requirement."""
    return any(offered.name == method for offered in methods.offered(waiting.requirement))


def page_facts(waiting: Waiting, active: str) -> dict[str, Any]:
    """The variables of `login/base.html`: the client, the tabs, and whether only an own login will do."""
    client = describe_client(waiting.client_id)
    arguments: dict[str, Any] = {"uid": waiting.uid} if waiting.uid else {}
    tabs = [
        {
            "name": method.name,
            "label": method.label,
            "url": url_for(method.start_endpoint, **arguments),
            "active": method.name == active,
        }
        for method in methods.offered(waiting.requirement)
    ]
    cancel_url = url_for(waiting.return_endpoint, cancel=1, **arguments) if client else None
    own_only = None
    if waiting.own_only:
        endpoints = [method.recovery_endpoint for method in methods.offered(waiting.requirement)]
        recovery = next(filter(None, endpoints), None)
        own_only = {"recovery_url": url_for(recovery, **arguments) if recovery else None}
    return {
        "client_name": client.name if client else None,
        "tabs": tabs,
        "cancel_url": cancel_url,
        "own_only": own_only,
    }


def complete(waiting: Waiting, event: AuthenticationEvent) -> BaseResponse:
    """Log the browser in and redirect it to what waits for the login. Raises `sessions.LoginRefused`.

    When this ends another person's session, a page in between loads the logout pages of the relying apps
    that the session had reached.
    """
    before = current_session()
    value = sessions.log_in(
        waiting.requirement,
        event,
        client_id=waiting.client_id,
        old_cookie=guard.session_cookie(),
        user_agent=request.user_agent.string,
        address=request.remote_addr,
        settings=current_settings().session,
        now=utcnow(),
    )
    session["method"] = event.method
    leave_other_methods(waiting, event.method)
    arguments: dict[str, Any] = {"uid": waiting.uid} if waiting.uid else {}
    url = url_for(methods.page_after_login(waiting, event), **arguments)
    if before is not None and before.event.user_id != event.user_id and logout_frames(before.id):
        session["taken_over"] = {"session": str(before.id), "url": url}
        url = url_for("login.taken_over")
    response = redirect(url, 303)
    guard.set_session_cookie(response, value)
    return response


def leave_other_methods(waiting: Waiting, method: str) -> None:
    """Let the other methods end what they began: the person goes on by this one."""
    if waiting.uid is not None:
        interactions.moved_on.send(uid=waiting.uid, method=method, now=utcnow())


def refusal_text(refused: sessions.LoginRefused) -> str:
    """The text for a login that was genuine but does not meet the requirement."""
    if refused.lacks == "user":
        return str(
            gettext("Inloggningen gäller ett annat konto. Logga in med det konto som tjänsten bad om.")
        )
    return str(gettext("Tjänsten godtar inte den här inloggningen. Välj ett annat sätt att logga in."))
