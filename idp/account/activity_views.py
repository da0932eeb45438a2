"""Mina inloggningar, the security history, and the apps with the person's consent."""

from uuid import UUID

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from idp.account import activity
from idp.clock import utcnow
from idp.i18n import moment
from idp.login import guard
from idp.login.sessions import LiveSession
from idp.oidc import consents
from idp.oidc.claims import SCOPE_TEXTS

blueprint = Blueprint("activity", __name__, url_prefix="/account")


@blueprint.post("/sessions/<uuid:session_id>/end")
@guard.login_required
def end_session(live: LiveSession, session_id: UUID) -> Response:
    activity.end_session(live, session_id, now=utcnow())
    if session_id != live.id:
        return redirect(url_for("account.index", _anchor="sessions"), 303)
    guard.treat_as_logged_out()
    response = redirect(url_for("login.logout"), 303)  # without a session it shows that the logout is done
    guard.delete_session_cookie(response)
    return response


@blueprint.post("/sessions/end-others")
@guard.login_required
def end_others(live: LiveSession) -> Response:
    activity.end_others(live, now=utcnow())
    return redirect(url_for("account.index", _anchor="sessions"), 303)


@blueprint.get("/history")
@guard.login_required
def history(live: LiveSession) -> Response:
    happenings = [
        {
            "at": moment(one.at),
            "text": one.text,
            "times": one.times,
            "in_a_row": one.in_a_row,
            "where": [fact for fact in (one.device, one.place) if fact],
            "app": activity.app_name(one.client_id) if one.client_id else None,
        }
        for one in activity.history(live.event.user_id)
    ]
    return make_response(render_template("account/history.html", happenings=happenings))


@blueprint.get("/apps")
@guard.login_required
def apps(live: LiveSession) -> Response:
    shared = [
        {
            "client_id": one.client_id,
            "name": activity.app_name(one.client_id),
            "texts": [SCOPE_TEXTS.get(scope, scope) for scope in one.scopes],
            "since": moment(one.given_at),
        }
        for one in consents.consents_of(live.event.user_id)
    ]
    return make_response(render_template("account/apps.html", shared=shared))


@blueprint.post("/apps/revoke")
@guard.login_required
def revoke(live: LiveSession) -> Response:
    client_id = request.form.get("client_id", "").replace("\0", "")  # PostgreSQL refuses a query for a NUL
    consents.revoke_consent(live.event.user_id, client_id, now=utcnow())
    return redirect(url_for("activity.apps"), 303)
