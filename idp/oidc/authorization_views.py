"""The authorization endpoint, and what follows it in the browser: the way on after a login, the consent."""

from datetime import datetime
from typing import Any

import structlog
from flask import Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from idp import i18n
from idp.clock import utcnow
from idp.extensions import current_settings
from idp.login import guard, interactions, journey, this_browser
from idp.login.models import Interaction
from idp.login.sessions import LiveSession
from idp.oidc import claims, consents
from idp.oidc.authorization import authorize, decision, par
from idp.oidc.authorization.authorize import AuthorizationError, AuthorizationRequest, ReturnTo
from idp.oidc.blueprint import blueprint, provider
from idp.oidc.clients import entry_notes
from idp.oidc.request_context import request_context
from idp.oidc.tokens import codes
from idp.web.headers import allow_form_to

log = structlog.get_logger("idp.oidc")
PUSHED = "pushed"  # where an interaction keeps the hash of the pushed request that it answers


@blueprint.route("/authorize", methods=["GET", "POST"], endpoint="authorize")
def authorize_endpoint() -> BaseResponse:
    """The authorization endpoint (OIDC Core §3.1.2).

    It answers at once when the browser's session suffices; otherwise it stores the request and asks for a
    login.
    """
    sent = request.form if request.method == "POST" else request.args
    try:
        auth_request = authorize.parse(sent.items(multi=True), request_context(utcnow()))
    except interactions.InteractionOver as over:
        return journey.over_page(over)
    except AuthorizationError as error:
        return _refuse(error)
    if request.method != "GET":
        # A POST from another site comes without our SameSite cookies; the redirected GET has them. A HEAD,
        # which a link checker may send, is stored too: answering it would use the request up.
        return redirect(url_for("oidc.resume", uid=_store_request(auth_request, browser=None)), 303)
    return _proceed(auth_request, interaction=None)


@blueprint.get("/authorize/<uid>")
def resume(uid: str) -> BaseResponse:
    """Go on with a stored request after a login, a consent or a POST (OIDC Core §3.1.2.3).

    With `cancel` the person gives up, which the client gets as `access_denied` (§3.1.2.6).
    """
    loaded = _load_request(uid)
    if isinstance(loaded, BaseResponse):
        return loaded
    interaction, auth_request = loaded
    # The client may be registered for other logins by now.
    interactions.update_requirement(interaction, auth_request.requirement)
    if "cancel" in request.args:
        cancelled = AuthorizationError(auth_request.to, "access_denied", "the person cancelled the login")
        return _refuse(cancelled, interaction=uid)
    return _proceed(auth_request, interaction=uid)


@blueprint.route("/consent/<uid>", methods=["GET", "POST"])
def consent(uid: str) -> BaseResponse:
    """Ask the person what the client may know; on POST store the answer and go on (OIDC Core §3.1.2.4)."""
    loaded = _load_request(uid)
    if isinstance(loaded, BaseResponse):
        return loaded
    _, auth_request = loaded
    live = guard.current_session()
    if (
        live is None
        or not auth_request.requirement.satisfied_by(live.event)
        or not decision.may_use(auth_request.client, live.company)
    ):
        return redirect(url_for("oidc.resume", uid=uid), 303)
    client, user_id = auth_request.client, live.event.user_id
    i18n.prefer(auth_request.parameters.get("ui_locales") or live.locale)
    if request.method == "POST" and request.form.get("answer") == "allow":
        consents.give_consent(user_id, client.client_id, auth_request.shared, now=utcnow())
        return redirect(url_for("oidc.resume", uid=uid), 303)
    if request.method == "POST" and request.form.get("answer") == "deny":
        if not consents.deny_consent(user_id, client.client_id, uid, now=utcnow()):
            return journey.over_page(interactions.InteractionOver("answered", client.client_id))
        return _refuse(AuthorizationError(auth_request.to, "access_denied", "the person declined"))
    allow_form_to(auth_request.to.redirect_uri)
    page = render_template(
        "oidc/consent.html",
        client={
            "name": client.name(i18n.current_language()),
            "policy_uri": client.policy_uri,
            "tos_uri": client.tos_uri,
        },
        user={"name": live.name, "email": live.email},
        items=[claims.SCOPE_TEXTS[name] for name in auth_request.shared.split()],
    )
    return make_response(page)


def _load_request(uid: str) -> tuple[Interaction, AuthorizationRequest] | BaseResponse:
    """The interaction and its request, or the response when the request cannot go on."""
    try:
        interaction = interactions.load(uid, browser=this_browser.value(), now=utcnow())
        auth_request = _read_stored(interaction)
    except interactions.ForeignBrowser:
        return journey.copy_here(uid, "oidc.resume")
    except interactions.InteractionOver as over:
        return journey.over_page(over)
    except AuthorizationError as error:
        return _refuse(error)
    return interaction, auth_request


def _proceed(auth_request: AuthorizationRequest, *, interaction: str | None) -> BaseResponse:
    """The response, or the way to a page that comes before it (OIDC Core §3.1.2.3, §3.1.2.4)."""
    live, subject = guard.current_session(), None
    if live is not None:
        subject = claims.subject(auth_request.client, live.event.user_id, provider().subject_key)
    decided = decision.decide(
        auth_request,
        live.event if live else None,
        company=live.company if live else None,
        consented_at=_consented_at(auth_request, live),
        subject=subject,
    )
    match decided:
        case decision.Issue() if live is not None:
            return _redirect_with_code(auth_request, live, interaction=interaction)
        case decision.Refuse(error, description):
            refused = AuthorizationError(auth_request.to, error, description)
            if error == "access_denied" and live is not None:
                entry_notes.about(refused, auth_request.client, "companies", live.company)
            return _refuse(refused, interaction=interaction)
        case decision.AskConsent():
            return _redirect_to_page("oidc.consent", auth_request, interaction=interaction)
        case _:
            return _redirect_to_page("login.choose", auth_request, interaction=interaction)


def _redirect_with_code(
    auth_request: AuthorizationRequest, live: LiveSession, *, interaction: str | None
) -> BaseResponse:
    """The successful response (OIDC Core §3.1.2.5), unless the session ends or another one comes first."""
    try:
        code = codes.issue_code(auth_request, live, interaction=interaction, now=utcnow())
    except codes.SessionOver:
        guard.treat_as_logged_out()
        return _proceed(auth_request, interaction=interaction)  # this time without a session
    if code is None:
        return journey.over_page(interactions.InteractionOver("answered", auth_request.client.client_id))
    parameters = decision.success_parameters(auth_request.to, code, provider().issuer)
    return _send_response(auth_request.to, parameters)


def _redirect_to_page(
    endpoint: str, auth_request: AuthorizationRequest, *, interaction: str | None
) -> BaseResponse:
    """Lead the person to a page that comes before the response; the request is stored if it was not yet."""
    uid = interaction or _store_request(auth_request, browser=this_browser.value())
    return redirect(url_for(endpoint, uid=uid), 303)


def _read_stored(interaction: Interaction) -> AuthorizationRequest:
    return authorize.read_stored(
        interaction.request, request_context(interaction.created_at), pushed=interaction.request.get(PUSHED)
    )


def _store_request(auth_request: AuthorizationRequest, *, browser: str | None) -> str:
    return interactions.begin(
        auth_request.requirement,
        return_endpoint="oidc.resume",
        request=_stored_values(auth_request),
        client_id=auth_request.client.client_id,
        browser=browser,
        lifetime=current_settings().session.interaction_lifetime,
        now=auth_request.received_at,
    )


def _stored_values(auth_request: AuthorizationRequest) -> dict[str, Any]:
    """An interaction's copy of a request: its parameters, and ours by names that they cannot have."""
    values: dict[str, Any] = dict(auth_request.parameters)
    if auth_request.to.pushed is not None:
        values[PUSHED] = auth_request.to.pushed
    if auth_request.user_message is not None:
        values[interactions.USER_MESSAGE] = auth_request.user_message.to_json()
    return values


def _consented_at(auth_request: AuthorizationRequest, live: LiveSession | None) -> datetime | None:
    if live is None or (auth_request.client.consent == "implicit" and "consent" not in auth_request.prompt):
        return None
    return consents.consented_at(live.event.user_id, auth_request.client.client_id, auth_request.shared)


def _refuse(error: AuthorizationError, *, interaction: str | None = None) -> BaseResponse:
    log.info(
        "authorization_refused",
        client_id=error.to.client.client_id,
        error=error.error,
        description=error.description,
        entry=entry_notes.of(error),
    )
    if interaction is not None:
        interactions.close(interaction, now=utcnow())
    if error.to.pushed is not None and not par.claim_request_and_commit(error.to.pushed, now=utcnow()):
        return journey.over_page(interactions.InteractionOver("answered", error.to.client.client_id))
    return _send_response(error.to, decision.error_parameters(error, provider().issuer))


def _send_response(to: ReturnTo, fields: list[tuple[str, str]]) -> BaseResponse:
    """Send the response to the client: by redirect, or by a form that posts itself.

    OIDC Core §3.1.2.5, Form Post Response Mode §2.
    """
    if to.response_mode == "form_post":
        allow_form_to(to.redirect_uri)
        return make_response(
            render_template("oidc/form_post.html", action=to.redirect_uri, fields=dict(fields))
        )
    # Not flask.redirect(): its page for old browsers only costs time.
    location = decision.response_url(to.redirect_uri, fields)
    return Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})
