"""The authorization endpoint and what follows from it in the browser: going on after a login, consent."""

from typing import Any

import structlog
from flask import Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from idp import i18n, web
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
from idp.oidc.environment import environment
from idp.oidc.tokens import codes

log = structlog.get_logger("idp.oidc")
PUSHED = "pushed"  # where an interaction keeps the hash of the pushed request that it answers


@blueprint.route("/authorize", methods=["GET", "POST"], endpoint="authorize")
def authorize_endpoint() -> BaseResponse:
    """Answer at once when the browser's session suffices, else store the request and ask."""
    sent = request.form if request.method == "POST" else request.args
    try:
        asked = authorize.parse(sent.items(multi=True), environment(utcnow()))
    except interactions.InteractionOver as over:
        return journey.over_page(over)
    except AuthorizationError as error:
        return _refuse(error)
    if request.method != "GET":
        # A POST from another site comes without our SameSite cookies; the redirected GET has them. A HEAD,
        # which a link checker may send, uses nothing up: that GET would answer the request.
        return redirect(url_for("oidc.resume", uid=_store(asked, browser=None)), 303)
    return _answer(asked, interaction=None)


@blueprint.get("/authorize/<uid>")
def resume(uid: str) -> BaseResponse:
    """Go on with a stored request: after a login, a consent, a POST, or with `cancel` when it was enough."""
    loaded = _load(uid)
    if isinstance(loaded, BaseResponse):
        return loaded
    interaction, asked = loaded
    # The client's entry may take other logins by now.
    interactions.update_requirement(interaction, asked.requirement)
    if "cancel" in request.args:
        cancelled = AuthorizationError(asked.to, "access_denied", "the person cancelled the login")
        return _refuse(cancelled, interaction=uid)
    return _answer(asked, interaction=uid)


@blueprint.route("/consent/<uid>", methods=["GET", "POST"])
def consent(uid: str) -> BaseResponse:
    """Ask the person what the client may know; on POST remember the answer and go on."""
    loaded = _load(uid)
    if isinstance(loaded, BaseResponse):
        return loaded
    _, asked = loaded
    live = guard.current_session()
    if (
        live is None
        or not asked.requirement.satisfied_by(live.event)
        or not decision.may_use(asked.client, live.company)
    ):
        return redirect(url_for("oidc.resume", uid=uid), 303)
    client, user_id = asked.client, live.event.user_id
    i18n.prefer(asked.parameters.get("ui_locales") or live.locale)
    if request.method == "POST" and request.form.get("answer") == "allow":
        consents.give_consent(user_id, client.client_id, asked.shared, now=utcnow())
        return redirect(url_for("oidc.resume", uid=uid), 303)
    if request.method == "POST" and request.form.get("answer") == "deny":
        if not consents.deny_consent(user_id, client.client_id, uid, now=utcnow()):
            return journey.over_page(interactions.InteractionOver("answered", client.client_id))
        return _refuse(AuthorizationError(asked.to, "access_denied", "the person said no"))
    web.allow_form_to(asked.to.redirect_uri)
    page = render_template(
        "oidc/consent.html",
        client={
            "name": client.name(i18n.current_language()),
            "policy_uri": client.policy_uri,
            "tos_uri": client.tos_uri,
        },
        user={"name": live.name, "email": live.email},
        items=[claims.SCOPE_TEXTS[name] for name in asked.shared.split()],
    )
    return make_response(page)


def _load(uid: str) -> tuple[Interaction, AuthorizationRequest] | BaseResponse:
    """The interaction and the request that it stores; or what to answer where they cannot be gone on with."""
    try:
        interaction = interactions.load(uid, browser=this_browser.value(), now=utcnow())
        asked = _stored(interaction)
    except interactions.ForeignBrowser:
        return journey.copy_here(uid, "oidc.resume")
    except interactions.InteractionOver as over:
        return journey.over_page(over)
    except AuthorizationError as error:
        return _refuse(error)
    return interaction, asked


def _answer(asked: AuthorizationRequest, *, interaction: str | None) -> BaseResponse:
    live = guard.current_session()
    decided = decision.decide(
        asked,
        live.event if live else None,
        company=live.company if live else None,
        consented_at=_consented_at(asked, live),
        subject=claims.subject(asked.client, live.event.user_id, provider().subject_key) if live else None,
    )
    match decided:
        case decision.Issue() if live is not None:
            try:
                code = codes.issue_code(asked, live, interaction=interaction, now=utcnow())
            except codes.SessionOver:
                guard.session_has_ended()
                return _answer(asked, interaction=interaction)  # as one whom nobody is logged in for
            if code is None:
                return journey.over_page(interactions.InteractionOver("answered", asked.client.client_id))
            return _respond(asked.to, decision.success(asked.to, code, provider().issuer))
        case decision.Refuse(error, description):
            refused = AuthorizationError(asked.to, error, description)
            if error == "access_denied" and live is not None:
                entry_notes.about(refused, asked.client, "companies", live.company)
            return _refuse(refused, interaction=interaction)
        case decision.AskConsent():
            return redirect(
                url_for("oidc.consent", uid=interaction or _store(asked, browser=this_browser.value())), 303
            )
        case _:
            return redirect(
                url_for("login.choose", uid=interaction or _store(asked, browser=this_browser.value())), 303
            )


def _stored(interaction: Interaction) -> AuthorizationRequest:
    return authorize.read_stored(
        interaction.request, environment(interaction.created_at), pushed=interaction.request.get(PUSHED)
    )


def _store(asked: AuthorizationRequest, *, browser: str | None) -> str:
    return interactions.begin(
        asked.requirement,
        return_endpoint="oidc.resume",
        request=_kept(asked),
        client_id=asked.client.client_id,
        browser=browser,
        lifetime=current_settings().session.interaction_lifetime,
        now=asked.received_at,
    )


def _kept(asked: AuthorizationRequest) -> dict[str, Any]:
    """What an interaction keeps of a request: its parameters, and ours by names that they cannot have."""
    kept: dict[str, Any] = dict(asked.parameters)
    if asked.to.pushed is not None:
        kept[PUSHED] = asked.to.pushed
    if asked.user_message is not None:
        kept[interactions.USER_MESSAGE] = asked.user_message.to_json()
    return kept


def _consented_at(asked: AuthorizationRequest, live: LiveSession | None) -> Any:
    if live is None or (asked.client.consent == "implicit" and "consent" not in asked.prompt):
        return None
    return consents.consented_at(live.event.user_id, asked.client.client_id, asked.shared)


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
    if error.to.pushed is not None and not par.use_alone(error.to.pushed, now=utcnow()):
        return journey.over_page(interactions.InteractionOver("answered", error.to.client.client_id))
    return _respond(error.to, decision.failure(error, provider().issuer))


def _respond(to: ReturnTo, fields: list[tuple[str, str]]) -> BaseResponse:
    """Send the response to the client: by redirect, or by a form that posts itself."""
    if to.response_mode == "form_post":
        web.allow_form_to(to.redirect_uri)
        return make_response(
            render_template("oidc/form_post.html", action=to.redirect_uri, fields=dict(fields))
        )
    # Not flask.redirect(): its little page for browsers of old would only cost time.
    location = decision.response_url(to.redirect_uri, fields)
    return Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})
