"""Choosing how to log in, and logging out."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, make_response, redirect, render_template, request, session, url_for
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.wrappers import Response as BaseResponse

from idp.clock import utcnow
from idp.errors import IdpError
from idp.extensions import current_settings
from idp.login import guard, journey, methods, sessions, waiting_client
from idp.login.interactions import Waiting
from idp.web.headers import allow_form_to, allow_frames

blueprint = Blueprint("login", __name__)
LOGOUT_STATE_SECONDS = 3600


class NoMethod(IdpError):
    code = "no_login_method"
    status = 400


@blueprint.get("/login")
def direct() -> BaseResponse:
    if guard.current_session() is not None:
        return redirect(url_for("account.landing"), 303)
    return _to_tab(journey.direct_login())


@blueprint.get("/login/<uid>")
@journey.login_page
def choose(waiting: Waiting) -> BaseResponse:
    """Redirect to the method asked for, or used last in this browser, else to the first."""
    return _to_tab(waiting)


@blueprint.get("/login/taken-over")
def taken_over() -> BaseResponse:
    """Load the logout pages of the session that was replaced, then go on (Front-Channel Logout 1.0 §3)."""
    takeover = session.pop("taken_over", None)
    if takeover is None:
        return redirect(url_for("login.direct"), 303)
    frames = guard.logout_frames(UUID(takeover["session"]))
    allow_frames(frames)
    return make_response(render_template("login/taken_over.html", frames=frames, url=takeover["url"]))


@blueprint.route("/logout", methods=["GET", "POST"])
def logout() -> BaseResponse:
    """Ask for confirmation, then end this browser's session. A relying app's request has a signed `state`."""
    live = guard.current_session()
    state = _logout_state()
    try:
        client = waiting_client.describe_client(state.get("client_id"))
    except waiting_client.ClientGone:
        state, client = {}, None  # the client is gone; the logout goes on
    if request.method == "POST":
        if live is not None:
            sessions.end(live.id, now=utcnow(), reason="logged out")
        return logged_out(state, ended=live.id if live else None)
    if live is None:
        return logged_out(state)
    if state.get("return_to"):
        allow_form_to(state["return_to"])
    page = render_template(
        "login/logout.html",
        client_name=client.name if client else None,
        user={"name": live.name, "email": live.email},
        state=request.args.get("state", ""),
    )
    return make_response(page)


def logged_out(state: dict[str, Any], *, ended: UUID | None = None) -> BaseResponse:
    """Redirect to the address that a relying app asked for, else show that the logout is done.

    That page is shown in between when it has to load logout pages of relying apps that the session `ended`
    had reached.
    """
    guard.treat_as_logged_out()
    return_to = state.get("return_to")
    frames = guard.logout_frames(ended) if ended else []
    if return_to and not frames:
        response: BaseResponse = redirect(return_to, 303)
    else:
        allow_frames(frames)
        client = waiting_client.describe_client(state.get("client_id"))
        response = make_response(
            render_template(
                "login/logged_out.html",
                return_url=return_to or (client.restart_url if client else None),
                goes_on=bool(return_to),
                client_name=client.name if client else None,
                frames=frames,
            )
        )
    guard.delete_session_cookie(response)
    return response


def sign_logout_state(state: dict[str, Any]) -> str:
    """A checked logout request as a signed value, which the confirmation page sends back."""
    return _serializer().dumps(state)


def _logout_state() -> dict[str, Any]:
    value = request.values.get("state", "")
    try:
        state: dict[str, Any] = _serializer().loads(value, max_age=LOGOUT_STATE_SECONDS) if value else {}
    except BadData:
        return {}
    return state


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_settings().secret_key.get_secret_value(), salt="logout")


def _to_tab(waiting: Waiting) -> Response | BaseResponse:
    offered = methods.offered(waiting.requirement)
    if not offered:
        raise NoMethod("no registered login method meets what the relying app asks for")
    last = request.args.get("method") or session.get("method")
    method = next((method for method in offered if method.name == last), offered[0])
    arguments: dict[str, Any] = {"uid": waiting.uid} if waiting.uid else {}
    return redirect(url_for(method.start_endpoint, **arguments), 303)
