"""The logout endpoint (RP-Initiated Logout 1.0)."""

from typing import Any

import structlog
from flask import redirect, request, url_for
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.wrappers import Response as BaseResponse

from idp import i18n
from idp.clock import utcnow
from idp.extensions import current_settings
from idp.login import guard, sessions
from idp.login.sessions import LiveSession
from idp.login.views import logged_out, sign_logout_state
from idp.oidc import claims
from idp.oidc.blueprint import blueprint, provider
from idp.oidc.logout import rp_initiated
from idp.oidc.logout.rp_initiated import LogoutRequest
from idp.oidc.request_context import verify_id_token

log = structlog.get_logger("idp.oidc")
LOGGED_OUT = "logged out by a relying app"
POSTED_SECONDS = 600


@blueprint.route("/end_session", methods=["GET", "POST"])
def end_session() -> BaseResponse:
    """The logout endpoint (RP-Initiated Logout 1.0 §2).

    It logs out at once with a hint of this browser's session; otherwise it asks the person.
    """
    form = request.form if request.method == "POST" else request.args
    logout_request = rp_initiated.parse(
        form.to_dict(),
        find_client=provider().clients.get,
        verify=verify_id_token,
        issuer=provider().issuer,
        repeated=[name for name in rp_initiated.PARAMETERS if len(form.getlist(name)) > 1],
    )
    if logout_request.problem:
        log.warning(
            "logout_request",
            problem=logout_request.problem,
            client_id=logout_request.client and logout_request.client.client_id,
            entry=logout_request.entry,
        )
    if request.method == "POST" and guard.session_cookie() is None:
        # A POST from another site comes without our SameSite cookies; the redirected GET has them.
        return redirect(
            url_for("oidc.end_posted", request=_serializer().dumps(logout_request.to_json())), 303
        )
    return _end_or_ask(logout_request)


@blueprint.get("/end_session/posted")
def end_posted() -> BaseResponse:
    """Go on with a logout request that another site posted (RP-Initiated Logout 1.0 §2)."""
    try:
        stored = _serializer().loads(request.args.get("request", ""), max_age=POSTED_SECONDS)
    except BadData:
        return redirect(url_for("login.logout"), 303)
    logout_request = LogoutRequest.from_json(stored, provider().clients.get)
    if guard.session_cookie() is None and logout_request.session_id is not None:
        # No cookie here either: the hint alone names the session.
        sessions.end(logout_request.session_id, now=utcnow(), reason=LOGGED_OUT)
        i18n.prefer(logout_request.ui_locales)
        return logged_out(_logout_state(logout_request), ended=logout_request.session_id)
    return _end_or_ask(logout_request)


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_settings().secret_key.get_secret_value(), salt="posted logout")


def _logout_state(logout_request: LogoutRequest) -> dict[str, Any]:
    """The part of a logout request that goes along to the question to the person, and past it."""
    return {
        "client_id": logout_request.client.client_id if logout_request.client else None,
        "return_to": logout_request.return_to,
    }


def _end_or_ask(logout_request: LogoutRequest) -> BaseResponse:
    state = _logout_state(logout_request)
    i18n.prefer(logout_request.ui_locales)
    live, handle = guard.current_session(), guard.session_cookie()
    if live is not None and _names_the_person_of(logout_request, live):
        sessions.end(live.id, now=utcnow(), reason=LOGGED_OUT)
        return logged_out(state, ended=live.id)
    if (
        live is None
        and handle is not None
        and logout_request.session_id is not None
        and sessions.end_with_cookie(logout_request.session_id, handle, now=utcnow(), reason=LOGGED_OUT)
    ):
        # The session had run out while the app went on: the other apps have yet to hear that it is over.
        return logged_out(state, ended=logout_request.session_id)
    if live is None and request.method == "GET":
        return logged_out(state)
    return redirect(url_for("login.logout", state=sign_logout_state(state)), 303)


def _names_the_person_of(logout_request: LogoutRequest, live: LiveSession) -> bool:
    """Whether the hint names this browser's session, or another session of its person."""
    if logout_request.client is None or logout_request.subject is None:
        return False
    return live.id == logout_request.session_id or logout_request.subject == claims.subject(
        logout_request.client, live.event.user_id, provider().subject_key
    )
