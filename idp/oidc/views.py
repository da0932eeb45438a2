"""The protocol's endpoints, as HTTP."""

import json
from collections.abc import Iterable
from typing import Any

import structlog
from authlib.oauth2.base import OAuth2Error
from flask import (
    Blueprint,
    Response,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as BaseResponse

from idp import i18n, web
from idp.clock import utcnow
from idp.login import guard, methods
from idp.login import service as login
from idp.login.models import Interaction
from idp.login.service import LiveSession
from idp.login.views import logged_out, sign_logout_state
from idp.oidc import authorize, claims, logout, metadata, service
from idp.oidc.authorize import AuthorizationError, AuthorizationRequest, ReturnTo
from idp.oidc.clients import Client
from idp.oidc.keys import JWKS_MAX_AGE_SECONDS
from idp.oidc.server import NO_STORE, Provider, TokenRequest, TokenServer, number_claims, read_form

log = structlog.get_logger("idp.oidc")
blueprint = Blueprint("oidc", __name__)
DISCOVERY_SECONDS = 600
CORS_ENDPOINTS = frozenset({"oidc.discovery", "oidc.jwks", "oidc.token", "oidc.userinfo"})
DISCOVERY_PATHS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
MACHINE_PATHS = frozenset({*DISCOVERY_PATHS, "/jwks", "/token", "/userinfo"})


def provider() -> Provider:
    found: Provider = current_app.extensions["idp.provider"]
    return found


# Facts


@blueprint.get(DISCOVERY_PATHS[0])
@blueprint.get(DISCOVERY_PATHS[1], endpoint="discovery")
def discovery() -> Response:
    return _cacheable(_prepared("discovery", _discovery_document), DISCOVERY_SECONDS)


@blueprint.get("/jwks")
def jwks() -> Response:
    return _cacheable(provider().keys.jwks(), JWKS_MAX_AGE_SECONDS)


def _discovery_document() -> bytes:
    made = metadata.document(
        provider().issuer,
        algs=provider().keys.algs,
        acrs=tuple(method.acr for method in methods.registered()),
        languages=tuple(i18n.LANGUAGES),
        numbers=provider().person_number is not None,
        evidence=bool(provider().event_claims),
    )
    return json.dumps(made).encode()


def _prepared(name: str, make: Any) -> bytes:
    """A document made once for each state of the key ring."""
    generation = provider().keys.generation
    kept: dict[str, tuple[int, bytes]] = current_app.extensions["idp.documents"]
    if name not in kept or kept[name][0] != generation:
        kept[name] = (generation, make())
    return kept[name][1]


def _cacheable(body: bytes, seconds: int) -> Response:
    return Response(
        body,
        mimetype="application/json",
        headers={"Cache-Control": f"public, max-age={seconds}", "Access-Control-Allow-Origin": "*"},
    )


# Authorization endpoint


@blueprint.route("/authorize", methods=["GET", "POST"], endpoint="authorize")
def authorize_endpoint() -> BaseResponse:
    """Answer at once when the browser's session suffices, else store the request and ask."""
    sent = request.form if request.method == "POST" else request.args
    try:
        asked = _parse(sent.items(multi=True))
    except AuthorizationError as error:
        return _refuse(error)
    if request.method == "POST":
        # A POST from another site comes without our SameSite cookies; the redirected GET has them.
        return redirect(url_for("oidc.resume", uid=_store(asked, browser=None)), 303)
    return _answer(asked, interaction=None)


@blueprint.get("/authorize/<uid>")
def resume(uid: str) -> BaseResponse:
    """Go on with a stored request: after a login, a consent, a POST, or with `cancel` when it was enough."""
    try:
        interaction = login.load(uid, browser=guard.browser(), now=utcnow())
        asked = _stored(interaction)
    except login.ForeignBrowser:
        return guard.copy_here(uid, "oidc.resume")
    except login.InteractionOver as over:
        return guard.over_page(over)
    except AuthorizationError as error:
        return _refuse(error)
    if "cancel" in request.args:
        cancelled = AuthorizationError(asked.to, "access_denied", "the person cancelled the login")
        return _refuse(cancelled, interaction=uid)
    return _answer(asked, interaction=uid)


def _answer(asked: AuthorizationRequest, *, interaction: str | None) -> BaseResponse:
    live = guard.current_session()
    decision = authorize.decide(
        asked,
        live.event if live else None,
        company=live.company if live else None,
        consented_at=_consented_at(asked, live),
        subject=claims.subject(asked.client, live.event.user_id, provider().subject_key) if live else None,
    )
    match decision:
        case authorize.Issue() if live is not None:
            code = service.issue_code(asked, live, interaction=interaction, now=utcnow())
            if code is None:
                return guard.over_page(login.InteractionOver("answered", asked.client.client_id))
            return _respond(asked.to, authorize.success(asked.to, code, provider().issuer))
        case authorize.Refuse(error, description):
            return _refuse(AuthorizationError(asked.to, error, description), interaction=interaction)
        case authorize.AskConsent():
            return redirect(
                url_for("oidc.consent", uid=interaction or _store(asked, browser=guard.browser())), 303
            )
        case _:
            return redirect(
                url_for("login.choose", uid=interaction or _store(asked, browser=guard.browser())), 303
            )


def _parse(sent: Iterable[tuple[str, str]], *, received_at: Any = None) -> AuthorizationRequest:
    return authorize.parse(
        sent,
        authorize.Environment(
            find_client=provider().clients.get,
            acrs=current_app.extensions["idp.acrs"],
            read_hint=_read_hint,
            now=received_at or utcnow(),
        ),
    )


def _stored(interaction: Interaction) -> AuthorizationRequest:
    return _parse(interaction.request.items(), received_at=interaction.created_at)


def _store(asked: AuthorizationRequest, *, browser: str | None) -> str:
    return login.begin(
        asked.requirement,
        return_endpoint="oidc.resume",
        request=dict(asked.parameters),
        client_id=asked.client.client_id,
        browser=browser,
        lifetime=guard.interaction_lifetime(),
        now=asked.received_at,
    )


def _consented_at(asked: AuthorizationRequest, live: LiveSession | None) -> Any:
    if live is None or (asked.client.consent == "implicit" and "consent" not in asked.prompt):
        return None
    return service.consented_at(live.event.user_id, asked.client.client_id, asked.shared)


def _read_hint(token: str, client: Client) -> authorize.Hint:
    """Whom an ID token of ours, issued to this client, speaks of; its age does not matter."""
    found = _verify_id_token(token)
    if found.get("iss") != provider().issuer or found.get("aud") != client.client_id:
        raise ValueError("issued by or to somebody else")
    return authorize.Hint(login.person_of(str(found.get("sid", ""))))


def _verify_id_token(token: str) -> dict[str, Any]:
    """The claims of an ID token of ours, however old. Raises `ValueError` for anything else."""
    return provider().keys.verify(token, typ="JWT")


def _refuse(error: AuthorizationError, *, interaction: str | None = None) -> BaseResponse:
    log.info(
        "authorization_refused",
        client_id=error.to.client.client_id,
        error=error.error,
        description=error.description,
    )
    if interaction is not None:
        login.close(interaction, now=utcnow())
    return _respond(error.to, authorize.failure(error, provider().issuer))


def _respond(to: ReturnTo, fields: list[tuple[str, str]]) -> BaseResponse:
    """Send the response to the client: by redirect, or by a form that posts itself."""
    if to.response_mode == "form_post":
        web.allow_form_to(to.redirect_uri)
        return make_response(
            render_template("oidc/form_post.html", action=to.redirect_uri, fields=dict(fields))
        )
    # Not flask.redirect(): its little page for browsers of old would only cost time.
    location = authorize.response_url(to.redirect_uri, fields)
    return Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})


# Consent


@blueprint.route("/consent/<uid>", methods=["GET", "POST"])
def consent(uid: str) -> BaseResponse:
    """Ask the person what the client may know; on POST remember the answer and go on."""
    try:
        interaction = login.load(uid, browser=guard.browser(), now=utcnow())
        asked = _stored(interaction)
    except login.ForeignBrowser:
        return guard.copy_here(uid, "oidc.resume")
    except login.InteractionOver as over:
        return guard.over_page(over)
    except AuthorizationError as error:
        return _refuse(error)
    live = guard.current_session()
    if live is None or not asked.requirement.satisfied_by(live.event):
        return redirect(url_for("oidc.resume", uid=uid), 303)
    client, user_id = asked.client, live.event.user_id
    i18n.prefer(asked.parameters.get("ui_locales") or live.locale)
    if request.method == "POST" and request.form.get("answer") == "allow":
        service.give_consent(user_id, client.client_id, asked.shared, now=utcnow())
        return redirect(url_for("oidc.resume", uid=uid), 303)
    if request.method == "POST" and request.form.get("answer") == "deny":
        if not service.deny_consent(user_id, client.client_id, uid, now=utcnow()):
            return guard.over_page(login.InteractionOver("answered", client.client_id))
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


# Token and userinfo


@blueprint.post("/token")
def token() -> Response:
    server: TokenServer = current_app.extensions["idp.token_server"]
    try:
        form = read_form(list(request.form.items(multi=True)))
    except OAuth2Error as error:
        return server.handle_response(*error())
    return server.respond(
        TokenRequest(form, request.headers.get("Authorization"), web.address_key(request.remote_addr))
    )


@blueprint.route("/userinfo", methods=["GET", "POST"])
def userinfo() -> Response:
    """Claims about the person of an access token (OIDC Core §5.3, RFC 6750)."""
    header = request.headers.get("Authorization", "")
    scheme, _, value = header.partition(" ")
    in_form = request.form.get("access_token") if request.method == "POST" else None
    repeated = len(request.form.getlist("access_token")) > 1
    if "access_token" in request.args or repeated or (header and in_form):
        return _bearer_error(400, "invalid_request", "send the access token once, in the header or the form")
    bearer = value.strip() if scheme.lower() == "bearer" else in_form
    if not bearer:
        return _bearer_error(401, None, None)
    found = service.find_holder(bearer, now=utcnow())
    client = provider().clients.get(found.client_id) if found else None
    if found is None or client is None:
        return _bearer_error(401, "invalid_token", "the access token is unknown, expired or revoked")
    names = [*claims.of_scopes(found.scope.split()), *found.claims.userinfo]
    told = {
        "sub": claims.subject(client, found.person.id, provider().subject_key),
        **claims.about(found.person, names),
        **number_claims(provider(), found.person.id, names),
    }
    return Response(json.dumps(told), mimetype="application/json", headers=NO_STORE)


def _bearer_error(status: int, error: str | None, description: str | None) -> Response:
    """RFC 6750 §3: no error code when no token was sent."""
    challenge = f'Bearer realm="{provider().issuer}"'
    body: dict[str, str] = {}
    if error and description:
        challenge += f', error="{error}", error_description="{description}"'
        body = {"error": error, "error_description": description}
    response = Response(json.dumps(body), status=status, mimetype="application/json", headers=NO_STORE)
    response.headers["WWW-Authenticate"] = challenge
    return response


# Logout


@blueprint.route("/end_session", methods=["GET", "POST"])
def end_session() -> BaseResponse:
    """RP-Initiated Logout 1.0 §2: at once with a hint of this browser's session, else the person is asked."""
    sent = (request.form if request.method == "POST" else request.args).to_dict()
    asked = logout.parse(
        sent, find_client=provider().clients.get, verify=_verify_id_token, issuer=provider().issuer
    )
    if asked.problem:
        log.warning(
            "logout_request", problem=asked.problem, client_id=asked.client and asked.client.client_id
        )
    state = {
        "client_id": asked.client.client_id if asked.client else None,
        "return_to": asked.return_to,
    }
    i18n.prefer(sent.get("ui_locales"))
    live = guard.current_session()
    if request.method == "POST" and guard.handle() is None and asked.session_id is not None:
        # A POST from another site, without our cookies: the hint alone names the session.
        login.end(asked.session_id, now=utcnow(), reason="logged out by a relying app")
        return logged_out(state)
    if live is not None and _is_of(asked, live):
        login.end(live.id, now=utcnow(), reason="logged out by a relying app")
        return logged_out(state)
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


# Cross-origin reads


@blueprint.after_app_request
def allow_cross_origin(response: Response) -> Response:
    """CORS for what browser apps call, without credentials."""
    if request.endpoint in CORS_ENDPOINTS and "Origin" in request.headers:
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = "WWW-Authenticate"
        if request.method == "OPTIONS":
            allowed = request.url_rule.methods if request.url_rule else None
            response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(allowed or ()))
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
            response.headers["Access-Control-Max-Age"] = "3600"
    return response


def is_machine_endpoint() -> bool:
    """Whether errors of this request are answered in JSON."""
    return request.path in MACHINE_PATHS  # a wrong method has no endpoint
