"""RP-initiated logout, as HTTP."""

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
from idp.oidc.environment import verify_id_token
from idp.oidc.logout import rp_initiated as logout

log = structlog.get_logger("idp.oidc")
LOGGED_OUT = "logged out by a relying app"
POSTED_SECONDS = 600


@blueprint.route("/end_session", methods=["GET", "POST"])
def end_session() -> BaseResponse:
    """RP-Initiated Logout 1.0 §2: at once with a hint of this browser's session, else the person is asked."""
    form = request.form if request.method == "POST" else request.args
    asked = logout.parse(
        form.to_dict(),
        find_client=provider().clients.get,
        verify=verify_id_token,
        issuer=provider().issuer,
        repeated=[name for name in logout.PARAMETERS if len(form.getlist(name)) > 1],
    )
    if asked.problem:
        log.warning(
            "logout_request",
            problem=asked.problem,
            client_id=asked.client and asked.client.client_id,
            entry=asked.entry,
        )
    if request.method == "POST" and guard.handle() is None:
        # A POST from another site comes without our SameSite cookies; the redirected GET has them.
        return redirect(url_for("oidc.end_posted", request=_posted().dumps(asked.to_json())), 303)
    return _end_session(asked)


@blueprint.get("/end_session/posted")
def end_posted() -> BaseResponse:
    """Go on with a logout request that was posted from another site."""
    try:
        kept = _posted().loads(request.args.get("request", ""), max_age=POSTED_SECONDS)
    except BadData:
        return redirect(url_for("login.logout"), 303)
    asked = logout.LogoutRequest.from_json(kept, provider().clients.get)
    if guard.handle() is None and asked.session_id is not None:
        # No cookie here either: the hint alone names the session.
        sessions.end(asked.session_id, now=utcnow(), reason=LOGGED_OUT)
        i18n.prefer(asked.ui_locales)
        return logged_out(_logout_state(asked), ended=asked.session_id)
    return _end_session(asked)


def _posted() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_settings().secret_key.get_secret_value(), salt="posted logout")


def _logout_state(asked: logout.LogoutRequest) -> dict[str, Any]:
    """What of a logout request comes along to the question to the person, and past it."""
    return {"client_id": asked.client.client_id if asked.client else None, "return_to": asked.return_to}


def _end_session(asked: logout.LogoutRequest) -> BaseResponse:
    state = _logout_state(asked)
    i18n.prefer(asked.ui_locales)
    live, handle = guard.current_session(), guard.handle()
    if live is not None and _is_of(asked, live):
        sessions.end(live.id, now=utcnow(), reason=LOGGED_OUT)
        return logged_out(state, ended=live.id)
    if (
        live is None
        and handle is not None
        and asked.session_id is not None
        and sessions.end_held(asked.session_id, handle, now=utcnow(), reason=LOGGED_OUT)
    ):
        # It had run out while the app went on: the other apps had yet to hear that this is over.
        return logged_out(state, ended=asked.session_id)
    if live is None and request.method == "GET":
        return logged_out(state)
    return redirect(url_for("login.logout", state=sign_logout_state(state)), 303)


def _is_of(asked: logout.LogoutRequest, live: LiveSession) -> bool:
    """Whether the hint names this browser's session, or another one of its person."""
    if asked.client is None or asked.subject is None:
        return False
    return live.id == asked.session_id or asked.subject == claims.subject(
        asked.client, live.event.user_id, provider().subject_key
    )
