"""The session's cookie and its guards: the login of this browser, and which pages ask for one first."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from uuid import UUID

from flask import current_app, g, redirect, request, url_for
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response as BaseResponse

from idp import audit, i18n
from idp.clock import utcnow
from idp.db import db
from idp.errors import SessionNeeded
from idp.extensions import Slot, current_settings
from idp.login import interactions, methods, sessions, this_browser
from idp.login.credential_change import BY_ANY_LOGIN, RECENT_LOGIN, Answer, Change, Login, needed_for
from idp.login.requirement import AuthnRequirement
from idp.login.sessions import LiveSession
from idp.web.cookies import cookie_name

P = ParamSpec("P")


LOGOUT_FRAMES: Slot[Callable[[UUID], list[str]]] = Slot("logout_frames")


def logout_frames(session_id: UUID) -> list[str]:
    """The URLs of relying apps' pages that a browser loads when this session ends."""
    return LOGOUT_FRAMES.current()(session_id)


def _cookie() -> str:
    return cookie_name("idp_session", current_settings())


def session_cookie() -> str | None:
    """The value of this browser's session cookie, of a session that has ended too; None without one."""
    return request.cookies.get(_cookie())


def current_session() -> LiveSession | None:
    """The session in force on this browser, None when there is none; one database query a request."""
    if "live_session" not in g:
        value, limits = session_cookie(), current_settings().session
        g.live_session = sessions.current(value, settings=limits, now=utcnow()) if value else None
    live: LiveSession | None = g.live_session
    return live


def page_session() -> LiveSession | None:
    """The session in force, for a page's header; None also while the database does not answer."""
    if "database_down" in g:
        return None
    try:
        return current_session()
    except SQLAlchemyError:
        return None


def set_session_cookie(response: BaseResponse, value: str) -> None:
    """Set the session's cookie. It ends with the browser, and on the server by its own limits."""
    response.set_cookie(
        _cookie(), value, path="/", secure=current_settings().is_https, httponly=True, samesite="Lax"
    )


def treat_as_logged_out() -> None:
    """Treat the rest of this request, its page's header too, as one without a session."""
    g.live_session = None


def delete_session_cookie(response: BaseResponse) -> None:
    response.delete_cookie(
        _cookie(), path="/", secure=current_settings().is_https, httponly=True, samesite="Lax"
    )


def user_of_ended_session() -> UUID | None:
    """The active user whose session this browser had until it ended; None while one is in force.

    The form that the browser sends belongs to that user.
    """
    value = session_cookie()
    return sessions.user_of_cookie(value) if value and current_session() is None else None


def session_needed() -> SessionNeeded:
    """The error for a form sent without a session, and the form's page: the nearest above its address."""
    pages = current_app.create_url_adapter(request)
    path = request.path
    while path and (pages is None or not pages.test(path, "GET")):
        path = path.rpartition("/")[0]
    return SessionNeeded(path or url_for("login.direct"))


def login_required(view: Callable[Concatenate[LiveSession, P], Any]) -> Callable[P, Any]:
    """Show a page of ours to people who are logged in; everybody else logs in first and comes back to it.

    The view gets the session in force as its first argument. Raises `SessionNeeded` for a form that was sent
    after the session had ended.
    """

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        live = current_session()
        if live is not None:
            i18n.prefer(live.locale)
            return view(live, *args, **kwargs)
        if request.method != "GET":
            raise session_needed()
        return log_in_first(return_endpoint=request.endpoint or "account.index", page_state={})

    return guarded


def log_in_first(*, return_endpoint: str, page_state: dict[str, Any]) -> BaseResponse:
    """Redirect to a login, by any user, that leads to `return_endpoint`.

    That endpoint gets the `uid` of an interaction whose `request` is `page_state`, which is stored in plain
    text: put no secret in it.
    """
    return _to_login(AuthnRequirement(), return_endpoint, page_state)


def log_in_as(person: UUID, *, return_endpoint: str, page_state: dict[str, Any]) -> BaseResponse:
    """Redirect to a login by this user, as `log_in_first` does. The login page does not name the user."""
    return _to_login(AuthnRequirement(user_id=person), return_endpoint, page_state)


def _to_login(
    requirement: AuthnRequirement, return_endpoint: str, page_state: dict[str, Any]
) -> BaseResponse:
    uid = interactions.begin(
        requirement,
        return_endpoint=return_endpoint,
        request=page_state,
        client_id=None,
        browser=this_browser.value(),
        lifetime=current_settings().session.interaction_lifetime,
        now=utcnow(),
    )
    return redirect(url_for("login.choose", uid=uid), 303)


def is_fresh(live: LiveSession) -> bool:
    """Whether the login is recent enough to change who may do what."""
    return live.event.auth_time >= utcnow() - RECENT_LOGIN


def may_change(live: LiveSession, *changes: Change) -> bool:
    """Whether the login lets its person make these changes at once."""
    return all(_needed_for(change, live) is Answer.YES for change in changes)


def log_in_to_change(
    live: LiveSession, *changes: Change, return_endpoint: str, page_state: dict[str, Any]
) -> BaseResponse:
    """Redirect to a login that allows these changes, which the present one does not (`may_change`).

    It leads back as `log_in_again` does. A change that was refused for the login's method is audited.
    """
    refused = [change for change in changes if _needed_for(change, live) is Answer.OWN_LOGIN]
    for change in refused:
        audit.record(
            audit.Event.CREDENTIAL_CHANGE_REFUSED,
            now=utcnow(),
            user_id=live.event.user_id,
            session_id=live.id,
            change=change.value,
            method=live.event.method,
        )
    if refused:
        db.session.commit()
    if all(change in BY_ANY_LOGIN for change in changes):
        return log_in_again(live, return_endpoint=return_endpoint, page_state=page_state)
    requirement = AuthnRequirement(
        methods=methods.own_names(), not_before=utcnow(), user_id=live.event.user_id
    )
    asked = {"login_hint": live.email, interactions.OWN_ONLY: True, **page_state}
    return _to_login(requirement, return_endpoint, asked)


def _needed_for(change: Change, live: LiveSession) -> Answer:
    method = methods.find(live.event.method)
    login = Login(live.event.auth_time, is_own=method is not None and method.is_own)
    return needed_for(change, login, now=utcnow())


def log_in_again(live: LiveSession, *, return_endpoint: str, page_state: dict[str, Any]) -> BaseResponse:
    """Redirect to a new login by the same user that leads to `return_endpoint`.

    `page_state` is part of the interaction's `request`, as in `log_in_first`: put no secret in it.
    """
    requirement = AuthnRequirement(not_before=utcnow(), user_id=live.event.user_id)
    return _to_login(requirement, return_endpoint, {"login_hint": live.email, **page_state})
