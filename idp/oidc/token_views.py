"""The endpoints that relying apps call themselves: with or about tokens, and to push requests."""

import json
from collections.abc import Mapping

import structlog
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from flask import Response, request

from idp.addresses import address_key
from idp.clock import utcnow
from idp.oidc.authentication import client_auth, dpop
from idp.oidc.authentication.client_auth import InvalidClient
from idp.oidc.authorization import authorize, par
from idp.oidc.authorization.authorize import AuthorizationError, BadAuthorizationRequest, BadRedirectUri
from idp.oidc.blueprint import blueprint, provider
from idp.oidc.clients import entry_notes
from idp.oidc.clients.client import Client
from idp.oidc.request_context import request_context
from idp.oidc.tokens import access_tokens, introspection
from idp.oidc.tokens import content as tokens
from idp.oidc.tokens import userinfo as userinfo_answer
from idp.oidc.tokens.server import NO_STORE, TOKEN_SERVER, TokenServer
from idp.oidc.tokens.token_request import TokenRequest, read_form
from idp.web.forms import form_pairs

log = structlog.get_logger("idp.oidc")
DPOP_PATHS = frozenset({"/token", "/userinfo", "/par"})
DPOP_CHALLENGE = f'DPoP algs="{" ".join(dpop.ALGS)}"'


@blueprint.post("/token")
def token() -> Response:
    """The token endpoint (RFC 6749 §3.2)."""
    try:
        form = read_form(form_pairs())
    except OAuth2Error as error:
        return _server().refuse(error)
    return _server().respond(
        TokenRequest(
            form,
            request.headers.get("Authorization"),
            address_key(request.remote_addr),
            request.headers.get(dpop.HEADER),
        )
    )


@blueprint.route("/userinfo", methods=["GET", "POST"])
def userinfo() -> Response:
    """The claims about the person of an access token (OIDC Core §5.3, RFC 6750 §2, RFC 9449 §7)."""
    header = request.headers.get("Authorization", "")
    scheme, _, value = header.partition(" ")
    in_form = request.form.get("access_token") if request.method == "POST" else None
    repeated = len(request.form.getlist("access_token")) > 1
    if "access_token" in request.args or repeated or (header and in_form):
        return _bearer_error(400, "invalid_request", "send the access token once, in the header or the form")
    token = value.strip() if scheme.lower() in ("bearer", "dpop") else in_form
    if not token:
        return _no_token()
    refuse = _dpop_error if scheme.lower() == "dpop" else _bearer_error
    try:
        proof = _check_proof(token) if scheme.lower() == "dpop" else None
        found = access_tokens.find_holder(tokens.stored_hash(provider(), token), now=utcnow())
        client = provider().clients.get(found.client_id) if found else None
        if found is None or client is None:
            return refuse(401, "invalid_token", "the access token is unknown, expired or revoked")
        if found.dpop_jkt != (proof.jkt if proof else None):
            return _dpop_error(401, "invalid_token", "the access token is not bound to this key")
        if proof is not None:
            dpop.claim_proof(proof)
    except OAuth2Error as error:
        return _dpop_error(401, error.error, error.description)
    if "openid" not in found.scope.split():
        return refuse(403, "insufficient_scope", "the access token lacks the scope openid")
    try:
        body, mimetype = userinfo_answer.userinfo_response(provider(), client, found, now=utcnow())
    except OAuth2Error as error:  # the token is good; the client's keys are not
        return _server().refuse(error, client)
    return Response(body, mimetype=mimetype, headers=NO_STORE)


def _check_proof(access_token: str) -> dpop.Proof:
    """The request's proof, checked against request and token. Raises `InvalidProof` and `NonceNeeded`."""
    header = request.headers.get(dpop.HEADER)
    if header is None:
        raise dpop.InvalidProof("is missing")
    return dpop.check_proof(
        header,
        method=request.method,
        url=provider().issuer + request.path,
        nonce_key=provider().nonce_key,
        now=utcnow(),
        access_token=access_token,
    )


def _no_token() -> Response:
    """The answer without a token: both ways to send one, and no error code (RFC 6750 §3, RFC 9449 §7.2)."""
    return _challenge_response(401, {}, f'Bearer realm="{provider().issuer}"', DPOP_CHALLENGE)


def _bearer_error(status: int, error: str, description: str) -> Response:
    body = {"error": error, "error_description": description}
    return _challenge_response(status, body, f'Bearer realm="{provider().issuer}", {_quoted(body)}')


def _dpop_error(status: int, error: str, description: str) -> Response:
    body = {"error": error, "error_description": description}
    return _challenge_response(status, body, f"{DPOP_CHALLENGE}, {_quoted(body)}")


def _quoted(body: Mapping[str, str]) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in body.items())


def _challenge_response(status: int, body: Mapping[str, str], *challenges: str) -> Response:
    response = Response(json.dumps(body), status=status, mimetype="application/json", headers=NO_STORE)
    for challenge in challenges:
        response.headers.add("WWW-Authenticate", challenge)
    return response


@blueprint.after_request
def give_nonce(response: Response) -> Response:
    """Add the nonce for the next proof to the answer to a proof (RFC 9449 §8.2)."""
    if dpop.HEADER in request.headers and request.path in DPOP_PATHS:
        response.headers[dpop.NONCE_HEADER] = dpop.current_nonce(provider().nonce_key, utcnow())
    return response


@blueprint.post("/introspect", endpoint="introspect")
def introspect() -> Response:
    """The state of a token of the client's (RFC 7662 §2), for clients that can prove who they are."""
    try:
        client, token, method = _authenticate_and_read_token("/introspect")
    except OAuth2Error as error:
        return _server().refuse(error)
    if method == "none":
        refused = InvalidClient("a public client may not introspect tokens")
        return _server().refuse(entry_notes.about(refused, client, "token_endpoint_auth_method"), client)
    facts = introspection.introspect(provider(), client, token, now=utcnow())
    return Response(json.dumps(facts), mimetype="application/json", headers=NO_STORE)


@blueprint.post("/revoke", endpoint="revoke")
def revoke() -> Response:
    """End a token of the client's (RFC 7009 §2); the answer is the same when there was none."""
    try:
        client, token, _ = _authenticate_and_read_token("/revoke")
    except OAuth2Error as error:
        return _server().refuse(error)
    introspection.revoke(provider(), client, token, now=utcnow())
    response = Response(status=200, headers=NO_STORE)
    response.headers.remove("Content-Type")  # there is no content; browser apps' libraries refuse text/html
    return response


def _authenticate_and_read_token(endpoint: str) -> tuple[Client, str, str]:
    """The client, the token that it asks about, and how it authenticated. Raises Authlib's errors."""
    form = read_form(form_pairs())
    client, method = client_auth.authenticate(
        provider(),
        form,
        request.headers.get("Authorization"),
        address_key(request.remote_addr),
        utcnow(),
        endpoint=endpoint,
    )
    if "token" not in form:
        raise InvalidRequestError("token is missing")
    return client, form["token"], method


@blueprint.post("/par", endpoint="par")
def push() -> Response:
    """Check a request and store it for the browser that will bring its request_uri (RFC 9126 §2)."""
    sent, now = form_pairs(), utcnow()
    try:
        client, _ = client_auth.authenticate(
            provider(),
            read_form([(name, value) for name, value in sent if name in par.CREDENTIALS]),
            request.headers.get("Authorization"),
            address_key(request.remote_addr),
            now,
            endpoint="/par",
        )
        proof = request.headers.get(dpop.HEADER)
        jkt = dpop.claim_proven_key(provider(), proof, method="POST", path="/par", now=now)
        auth_request = authorize.parse_pushed(sent, client, request_context(now))
        parameters = par.bind_to_key(auth_request.parameters, jkt)
    except OAuth2Error as error:
        return _server().refuse(error)
    except AuthorizationError as error:
        return _refuse_push(client, error.error, error.description, entry_notes.of(error))
    except BadAuthorizationRequest as error:
        return _refuse_push(client, error.error, error.detail, entry_notes.of(error))
    except BadRedirectUri as error:
        log.warning("redirect_uri_refused", client_id=client.client_id, detail=str(error))
        return _refuse_push(client, "invalid_request", "redirect_uri must be a registered one, given once")
    request_uri = par.push(client.client_id, parameters, now=now)
    answer = {"request_uri": request_uri, "expires_in": par.LIFETIME_SECONDS}
    return Response(json.dumps(answer), status=201, mimetype="application/json", headers=NO_STORE)


def _refuse_push(client: Client, error: str, description: str, entry: str | None = None) -> Response:
    log.info("push_refused", client_id=client.client_id, error=error, description=description, entry=entry)
    body = {"error": error, "error_description": description}
    return Response(json.dumps(body), status=400, mimetype="application/json", headers=NO_STORE)


def _server() -> TokenServer:
    return TOKEN_SERVER.current()
