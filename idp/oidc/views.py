"""The protocol's endpoints, as HTTP."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from authlib.oauth2.base import OAuth2Error
from flask import (
    Response,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wrappers import Response as BaseResponse

from idp import i18n, web
from idp.clock import utcnow
from idp.login import guard, methods
from idp.login import service as login
from idp.login.models import Interaction
from idp.login.service import LiveSession
from idp.login.views import logged_out, sign_logout_state
from idp.oidc import claims, metadata, service
from idp.oidc.authentication import client_auth, dpop
from idp.oidc.authorization import authorize, decision, par, request_object
from idp.oidc.authorization.authorize import (
    AuthorizationError,
    AuthorizationRequest,
    BadAuthorizationRequest,
    BadRedirectUri,
    Environment,
    Pushed,
    ReturnTo,
)
from idp.oidc.authorization.requested_login import UUID_TEXT, Hint
from idp.oidc.blueprint import blueprint, provider
from idp.oidc.clients import entry_notes
from idp.oidc.clients.client import Client
from idp.oidc.keys.ring import JWKS_MAX_AGE_SECONDS
from idp.oidc.logout import rp_initiated as logout
from idp.oidc.tokens.server import NO_STORE, TokenServer
from idp.oidc.tokens.token_request import read_form

log = structlog.get_logger("idp.oidc")
DISCOVERY_SECONDS = 600
LOGGED_OUT = "logged out by a relying app"
POSTED_SECONDS = 600
PUSHED = "pushed"  # where an interaction keeps the hash of the pushed request that it answers
ACTING_ENDPOINTS = frozenset({"oidc.resume", "oidc.consent", "oidc.end_session", "oidc.end_posted"})
CORS_ENDPOINTS = frozenset({"oidc.discovery", "oidc.jwks", "oidc.token", "oidc.userinfo", "oidc.revoke"})
DISCOVERY_PATHS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
MACHINE_PATHS = frozenset(
    {*DISCOVERY_PATHS, "/jwks", "/par", "/token", "/userinfo", "/introspect", "/revoke"}
)


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
        decryption_algs=provider().keys.decryption_algs,
        acrs=tuple(method.acr for method in methods.registered()),
        languages=tuple(i18n.LANGUAGES),
        numbers=provider().person_number is not None,
        evidence=bool(provider().event_claims),
        messages=any(method.shows_messages for method in methods.registered()),
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


# What a person's browser brings


@blueprint.before_request
def act_on_get_and_post_alone() -> None:
    """A HEAD, which a link checker may send, answers no request and ends no session."""
    if request.method == "HEAD" and request.endpoint in ACTING_ENDPOINTS:
        raise MethodNotAllowed(valid_methods=["GET", "POST"])


# Authorization endpoint


@blueprint.route("/authorize", methods=["GET", "POST"], endpoint="authorize")
def authorize_endpoint() -> BaseResponse:
    """Answer at once when the browser's session suffices, else store the request and ask."""
    sent = request.form if request.method == "POST" else request.args
    try:
        asked = authorize.parse(sent.items(multi=True), _environment(utcnow()))
    except login.InteractionOver as over:
        return guard.over_page(over)
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
    try:
        interaction = login.load(uid, browser=guard.browser(), now=utcnow())
        asked = _stored(interaction)
    except login.ForeignBrowser:
        return guard.copy_here(uid, "oidc.resume")
    except login.InteractionOver as over:
        return guard.over_page(over)
    except AuthorizationError as error:
        return _refuse(error)
    login.ask(interaction, asked.requirement)  # the client's entry may take other logins by now
    if "cancel" in request.args:
        cancelled = AuthorizationError(asked.to, "access_denied", "the person cancelled the login")
        return _refuse(cancelled, interaction=uid)
    return _answer(asked, interaction=uid)


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
                code = service.issue_code(asked, live, interaction=interaction, now=utcnow())
            except service.SessionOver:
                guard.session_has_ended()
                return _answer(asked, interaction=interaction)  # as one whom nobody is logged in for
            if code is None:
                return guard.over_page(login.InteractionOver("answered", asked.client.client_id))
            return _respond(asked.to, decision.success(asked.to, code, provider().issuer))
        case decision.Refuse(error, description):
            refused = AuthorizationError(asked.to, error, description)
            if error == "access_denied" and live is not None:
                entry_notes.about(refused, asked.client, "companies", live.company)
            return _refuse(refused, interaction=interaction)
        case decision.AskConsent():
            return redirect(
                url_for("oidc.consent", uid=interaction or _store(asked, browser=guard.browser())), 303
            )
        case _:
            return redirect(
                url_for("login.choose", uid=interaction or _store(asked, browser=guard.browser())), 303
            )


def _environment(now: datetime) -> Environment:
    return Environment(
        find_client=provider().clients.get,
        acrs=current_app.extensions["idp.acrs"],
        read_hint=_read_hint,
        open_request=_open_request,
        find_pushed=_find_pushed,
        now=now,
    )


def _stored(interaction: Interaction) -> AuthorizationRequest:
    return authorize.read_stored(
        interaction.request, _environment(interaction.created_at), pushed=interaction.request.get(PUSHED)
    )


def _store(asked: AuthorizationRequest, *, browser: str | None) -> str:
    return login.begin(
        asked.requirement,
        return_endpoint="oidc.resume",
        request=_kept(asked),
        client_id=asked.client.client_id,
        browser=browser,
        lifetime=guard.interaction_lifetime(),
        now=asked.received_at,
    )


def _kept(asked: AuthorizationRequest) -> dict[str, Any]:
    """What an interaction keeps of a request: its parameters, and ours by names that they cannot have."""
    kept: dict[str, Any] = dict(asked.parameters)
    if asked.to.pushed is not None:
        kept[PUSHED] = asked.to.pushed
    if asked.user_message is not None:
        kept[login.USER_MESSAGE] = asked.user_message.to_json()
    return kept


def _consented_at(asked: AuthorizationRequest, live: LiveSession | None) -> Any:
    if live is None or (asked.client.consent == "implicit" and "consent" not in asked.prompt):
        return None
    return service.consented_at(live.event.user_id, asked.client.client_id, asked.shared)


def _read_hint(token: str, client: Client) -> Hint:
    """Whom an ID token of ours, issued to this client, speaks of; its age does not matter.

    A pairwise subject tells no account; its session does, as long as it is remembered.
    """
    found = _verify_id_token(token)
    if found.get("iss") != provider().issuer or found.get("aud") != client.client_id:
        raise ValueError("issued by or to somebody else")
    subject = str(found["sub"])
    user_id = UUID(subject) if UUID_TEXT.fullmatch(subject) else login.person_of(str(found["sid"]))
    return Hint(subject, user_id, active=user_id is None or service.find_person(user_id) is not None)


def _find_pushed(request_uri: str, client: Client) -> Pushed:
    return par.find(request_uri, client.client_id, now=utcnow())


def _open_request(text: str, client: Client) -> dict[str, str]:
    return request_object.read(
        text,
        client=client,
        decrypt=provider().keys.decrypt,
        verify=lambda found: provider().client_keys.verify(client, found, utcnow()),
        audiences=(provider().issuer, provider().issuer + metadata.ENDPOINTS["authorization_endpoint"]),
        now=utcnow(),
    )


def _verify_id_token(token: str) -> dict[str, Any]:
    """The claims of an ID token of ours, however old. Raises `ValueError` for anything else."""
    found = provider().keys.verify_hint(token)
    if "sid" not in found:
        raise ValueError("is a signed userinfo answer")
    return found


def _refuse(error: AuthorizationError, *, interaction: str | None = None) -> BaseResponse:
    log.info(
        "authorization_refused",
        client_id=error.to.client.client_id,
        error=error.error,
        description=error.description,
        entry=entry_notes.of(error),
    )
    if interaction is not None:
        login.close(interaction, now=utcnow())
    if error.to.pushed is not None and not par.use_alone(error.to.pushed, now=utcnow()):
        return guard.over_page(login.InteractionOver("answered", error.to.client.client_id))
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


@blueprint.post("/par", endpoint="par")
def push() -> Response:
    """Check a request and keep it for the browser that will bring its request_uri (RFC 9126)."""
    server: TokenServer = current_app.extensions["idp.token_server"]
    sent, now = web.form_pairs(), utcnow()
    try:
        client, _ = client_auth.authenticate(
            provider(),
            read_form([(name, value) for name, value in sent if name in par.CREDENTIALS]),
            request.headers.get("Authorization"),
            web.address_key(request.remote_addr),
            now,
            endpoint="/par",
        )
        proof = request.headers.get(dpop.HEADER)
        jkt = dpop.proven_key(provider(), proof, method="POST", path="/par", now=now)
        asked = authorize.parse_pushed(sent, client, _environment(now))
        parameters = par.with_key(asked.parameters, jkt)
    except OAuth2Error as error:
        return server.refuse(error)
    except AuthorizationError as error:
        return _refuse_push(client, error.error, error.description, entry_notes.of(error))
    except BadAuthorizationRequest as error:
        return _refuse_push(client, error.error, error.detail, entry_notes.of(error))
    except BadRedirectUri as error:
        log.warning("redirect_uri_refused", client_id=client.client_id, detail=str(error))
        return _refuse_push(client, "invalid_request", "redirect_uri is not a registered one, given once")
    request_uri = par.push(client.client_id, parameters, now=now)
    answer = {"request_uri": request_uri, "expires_in": par.LIFETIME_SECONDS}
    return Response(json.dumps(answer), status=201, mimetype="application/json", headers=NO_STORE)


def _refuse_push(client: Client, error: str, description: str, entry: str | None = None) -> Response:
    log.info("push_refused", client_id=client.client_id, error=error, description=description, entry=entry)
    body = {"error": error, "error_description": description}
    return Response(json.dumps(body), status=400, mimetype="application/json", headers=NO_STORE)


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
    if (
        live is None
        or not asked.requirement.satisfied_by(live.event)
        or not decision.may_use(asked.client, live.company)
    ):
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


# Logout


@blueprint.route("/end_session", methods=["GET", "POST"])
def end_session() -> BaseResponse:
    """RP-Initiated Logout 1.0 §2: at once with a hint of this browser's session, else the person is asked."""
    form = request.form if request.method == "POST" else request.args
    asked = logout.parse(
        form.to_dict(),
        find_client=provider().clients.get,
        verify=_verify_id_token,
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
        login.end(asked.session_id, now=utcnow(), reason=LOGGED_OUT)
        i18n.prefer(asked.ui_locales)
        return logged_out(_logout_state(asked), ended=asked.session_id)
    return _end_session(asked)


def _posted() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(guard.settings().secret_key.get_secret_value(), salt="posted logout")


def _logout_state(asked: logout.LogoutRequest) -> dict[str, Any]:
    """What of a logout request comes along to the question to the person, and past it."""
    return {"client_id": asked.client.client_id if asked.client else None, "return_to": asked.return_to}


def _end_session(asked: logout.LogoutRequest) -> BaseResponse:
    state = _logout_state(asked)
    i18n.prefer(asked.ui_locales)
    live, handle = guard.current_session(), guard.handle()
    if live is not None and _is_of(asked, live):
        login.end(live.id, now=utcnow(), reason=LOGGED_OUT)
        return logged_out(state, ended=live.id)
    if (
        live is None
        and handle is not None
        and asked.session_id is not None
        and login.end_held(asked.session_id, handle, now=utcnow(), reason=LOGGED_OUT)
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


# Cross-origin reads


@blueprint.after_app_request
def allow_cross_origin(response: Response) -> Response:
    """CORS for what browser apps call, without credentials."""
    if request.endpoint in CORS_ENDPOINTS and "Origin" in request.headers:
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = f"WWW-Authenticate, {dpop.NONCE_HEADER}"
        if request.method == "OPTIONS":
            allowed = request.url_rule.methods if request.url_rule else None
            response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(allowed or ()))
            response.headers["Access-Control-Allow-Headers"] = f"Authorization, Content-Type, {dpop.HEADER}"
            response.headers["Access-Control-Max-Age"] = "3600"
    return response


def is_machine_endpoint() -> bool:
    """Whether errors of this request are answered in JSON."""
    return request.path in MACHINE_PATHS  # a wrong method has no endpoint
