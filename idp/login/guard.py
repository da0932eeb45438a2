"""The browser's side of a login: its cookies, who is logged in on it, and the way through a login page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec
from uuid import UUID

import structlog
from flask import (
    Response,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_babel import gettext
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response as BaseResponse

from idp import i18n, web
from idp.clock import utcnow
from idp.config import Settings
from idp.errors import IdpError, SessionNeeded
from idp.login import interactions, methods, sessions
from idp.login.event import AuthenticationEvent
from idp.login.interactions import Waiting
from idp.login.requirement import AuthnRequirement
from idp.login.sessions import LiveSession
from idp.reference import reference
from idp.tokens import new_token, sha256_hex

log = structlog.get_logger("idp.login")
P = ParamSpec("P")
MAX_KNOWN_ACCOUNTS = 8  # how many people's own browser one browser can be
FRESH_LOGIN = timedelta(minutes=15)


@dataclass(frozen=True)
class Asker:
    """Who waits for a login, as the pages name it; `restart_url` begins a new login there.

    `terms` holds, by login method, what it demands of that method's logins, in the method's own type.
    """

    name: str
    restart_url: str | None
    terms: Mapping[str, Any] = field(default_factory=dict)


class CookiesNeeded(IdpError):
    code = "cookies_needed"
    status = 400


class AskerGone(IdpError):
    code = "unknown_client"
    status = 400


def settings() -> Settings:
    found: Settings = current_app.extensions["idp.settings"]
    return found


def describe_asker(client_id: str | None) -> Asker | None:
    """Who waits, by the describer that `create_app` put in; raises `AskerGone` for a removed client."""
    if client_id is None:
        return None
    describe: Callable[[str, str], Asker | None] = current_app.extensions["idp.describe_client"]
    asker = describe(client_id, i18n.current_language())
    if asker is None:
        raise AskerGone(f"client {client_id!r} is not in the clients file any more")
    return asker


def logout_frames(session_id: UUID) -> list[str]:
    """The pages of relying apps to load where a session ends, by the finder that `create_app` put in."""
    find: Callable[[UUID], list[str]] = current_app.extensions["idp.logout_frames"]
    return find(session_id)


# The browser, before and between logins


def browser() -> str:
    """This browser's own random value, kept in a signed cookie; interactions are bound to it."""
    value = session.get("browser")
    if not value:
        value = session["browser"] = new_token()
        session.permanent = True
    return str(value)


def knows(account: str) -> bool:
    """Whether this browser has logged in to the account (a keyed hash) before."""
    return account in session.get("known", [])


def note_known(account: str) -> None:
    """Note that this browser has logged in to the account."""
    others = [entry for entry in session.get("known", []) if entry != account]
    session["known"] = [account, *others][:MAX_KNOWN_ACCOUNTS]


# The session


def _cookie() -> str:
    return web.cookie_name("idp_session", settings())


def handle() -> str | None:
    return request.cookies.get(_cookie())


def current_session() -> LiveSession | None:
    """Who is logged in on this browser; asked of the database once a request."""
    if "live_session" not in g:
        value = handle()
        g.live_session = sessions.current(value, settings=settings().session, now=utcnow()) if value else None
    live: LiveSession | None = g.live_session
    return live


def page_session() -> LiveSession | None:
    """Who is logged in, for a page's header; nobody while the database does not answer."""
    if "database_down" in g:
        return None
    try:
        return current_session()
    except SQLAlchemyError:
        return None


def remember(response: BaseResponse, value: str) -> None:
    """Put a session's handle in the cookie. It ends with the browser, and on the server by its own limits."""
    response.set_cookie(_cookie(), value, path="/", secure=settings().is_https, httponly=True, samesite="Lax")


def session_has_ended() -> None:
    """Let the rest of this request, its page's header too, show nobody as logged in."""
    g.live_session = None


def forget(response: BaseResponse) -> None:
    response.delete_cookie(_cookie(), path="/", secure=settings().is_https, httponly=True, samesite="Lax")


def person_of_before() -> UUID | None:
    """Whose session this browser had, if it is over and they may log in again: what they typed is theirs."""
    value = handle()
    return sessions.person_behind(value) if value and current_session() is None else None


def session_needed() -> SessionNeeded:
    """That a form's person has to log in, with the page it stood on: the nearest one above its address."""
    pages = current_app.create_url_adapter(request)
    path = request.path
    while path and (pages is None or not pages.test(path, "GET")):
        path = path.rpartition("/")[0]
    return SessionNeeded(path or url_for("login.direct"))


def login_required(view: Callable[P, Any]) -> Callable[P, Any]:
    """Let only somebody who is logged in see a page of ours; others log in first and come back to it."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        live = current_session()
        if live is not None:
            i18n.prefer(live.locale)
            return view(*args, **kwargs)
        if request.method != "GET":
            raise session_needed()
        return log_in_first(return_endpoint=request.endpoint or "account.index", kept={})

    return guarded


def log_in_first(*, return_endpoint: str, kept: dict[str, Any]) -> BaseResponse:
    """Ask for a login; whoever it is comes to `return_endpoint` with the `uid` of an interaction whose
    `request` is `kept`. That is stored as it is: nothing secret goes in it.
    """
    return _to_login(AuthnRequirement(), return_endpoint, kept)


def log_in_as(person: UUID, *, return_endpoint: str, kept: dict[str, Any]) -> BaseResponse:
    """Ask for a login of this person, as `log_in_first` does. The page does not say who it is."""
    return _to_login(AuthnRequirement(user_id=person), return_endpoint, kept)


def _to_login(requirement: AuthnRequirement, return_endpoint: str, kept: dict[str, Any]) -> BaseResponse:
    uid = interactions.begin(
        requirement,
        return_endpoint=return_endpoint,
        request=kept,
        client_id=None,
        browser=browser(),
        lifetime=interaction_lifetime(),
        now=utcnow(),
    )
    return redirect(url_for("login.choose", uid=uid), 303)


def is_fresh(live: LiveSession) -> bool:
    """Whether the login is recent enough to change how its person logs in."""
    return live.event.auth_time >= utcnow() - FRESH_LOGIN


def log_in_again(live: LiveSession, *, return_endpoint: str, kept: dict[str, Any]) -> BaseResponse:
    """Ask the same person to log in once more; they come back to `return_endpoint` with the `uid` of an
    interaction whose `request` holds `kept`. That is stored as it is: nothing secret goes in it.
    """
    requirement = AuthnRequirement(not_before=utcnow(), user_id=live.event.user_id)
    return _to_login(requirement, return_endpoint, {"login_hint": live.email, **kept})


# The way through a login page


def interaction_lifetime() -> timedelta:
    return timedelta(minutes=settings().session.interaction_minutes)


def login_page(view: Callable[[Waiting], Any]) -> Callable[..., Any]:
    """Give a login page the interaction in its URL (none: a direct login) instead of the URL's `uid`.

    An interaction that is over gets a page with the way back; one of another browser begins anew here.
    """

    @wraps(view)
    def with_interaction(uid: str | None = None) -> Any:
        if uid is None:
            return view(direct_login())
        try:
            interaction = interactions.load(uid, browser=browser(), now=utcnow())
        except interactions.ForeignBrowser:
            return copy_here(uid, "login.choose")
        except interactions.InteractionOver as over:
            return over_page(over)
        waiting = interactions.waiting(interaction)
        i18n.prefer(waiting.ui_locales)
        if waiting.leads_to:
            web.allow_form_to(waiting.leads_to)
        return view(waiting)

    return with_interaction


def direct_login() -> Waiting:
    """Somebody came to `/login` by themselves."""
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
    """Begin another browser's interaction anew in this one, and go to it at `endpoint`.

    A browser that has just been given one and still is foreign keeps no cookies: it is told so
    (`CookiesNeeded`), or it would be sent round for ever.
    """
    if "copied" in request.args:
        raise CookiesNeeded("the browser sends no cookies back")
    copy = interactions.copy_to_browser(uid, browser=browser(), lifetime=interaction_lifetime(), now=utcnow())
    return redirect(url_for(endpoint, uid=copy, copied=1), 303)


def over_page(over: interactions.InteractionOver) -> Response:
    """The page for an interaction that is over: what happened and the way back."""
    log.info("login_over", client_id=over.client_id, reason=over.reason)
    asker = describe_asker(over.client_id)
    page = render_template(
        "login/over.html",
        reference=reference(),
        reason="answered" if over.reason == "answered" else "expired",
        client_name=asker.name if asker else None,
        restart_url=asker.restart_url if asker else None,
    )
    return make_response(page, 404 if over.reason == "unknown" else 400)


def offers(waiting: Waiting, method: str) -> bool:
    """Whether a login by `method` could be what is waited for."""
    return any(offered.name == method for offered in methods.offered(waiting.requirement))


def page_facts(waiting: Waiting, active: str) -> dict[str, Any]:
    """What `login/base.html` needs: who waits, and the tabs."""
    asker = describe_asker(waiting.client_id)
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
    cancel_url = url_for(waiting.return_endpoint, cancel=1, **arguments) if asker else None
    return {"client_name": asker.name if asker else None, "tabs": tabs, "cancel_url": cancel_url}


def complete(waiting: Waiting, event: AuthenticationEvent) -> BaseResponse:
    """Log the browser in and send it on to whoever waited. Raises `sessions.LoginRefused`.

    Where that ends the session of somebody else, a page in between tells the relying apps of theirs that
    want to hear of it in the browser.
    """
    before = current_session()
    value = sessions.log_in(
        waiting.requirement,
        event,
        client_id=waiting.client_id,
        old_handle=handle(),
        user_agent=request.user_agent.string,
        address=request.remote_addr,
        settings=settings().session,
        now=utcnow(),
    )
    session["method"] = event.method
    take_to(waiting, event.method)
    arguments: dict[str, Any] = {"uid": waiting.uid} if waiting.uid else {}
    # A page that a method still has to show to whoever has just logged in, or none.
    stop: Callable[..., str | None] = current_app.extensions["idp.stop_after_login"]
    url = url_for(stop(waiting, event) or waiting.return_endpoint, **arguments)
    if before is not None and before.event.user_id != event.user_id and logout_frames(before.id):
        session["taken_over"] = {"session": str(before.id), "url": url}
        url = url_for("login.taken_over")
    response = redirect(url, 303)
    remember(response, value)
    return response


def take_to(waiting: Waiting, method: str) -> None:
    """Tell the other methods that the person has taken to this one."""
    if waiting.uid is not None:
        interactions.moved_on.send(uid=waiting.uid, method=method, now=utcnow())


def account_key(account: str) -> str:
    """What stands for an account in counters and in the browser's cookie: tells nothing without the key."""
    return sha256_hex(f"{settings().secret_key.get_secret_value()}:account:{account}")[:24]


def refusal_text(refused: sessions.LoginRefused) -> str:
    """What to tell somebody whose login was genuine but not what was asked for."""
    if refused.lacks == "user":
        return str(
            gettext("Inloggningen gäller ett annat konto. Logga in med det konto som tjänsten bad om.")
        )
    return str(gettext("Tjänsten godtar inte den här inloggningen. Välj ett annat sätt att logga in."))
