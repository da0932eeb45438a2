"""The authorization request: read it and check it (OIDC Core §3.1.2, RFC 9101, RFC 9126). No I/O, no clock.

A request arrives in one of three ways: sent with the browser (`parse`), pushed beforehand (`parse_pushed`,
which `parse` then finds again), or, in the midst of a login, stored (`read_stored`).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from idp.errors import IdpError
from idp.login.requirement import AuthnRequirement
from idp.login.user_message import UserMessage
from idp.oidc import claims_request
from idp.oidc.authentication import dpop
from idp.oidc.authorization import parameters, requested_login, user_message
from idp.oidc.authorization.parameters import USER_MESSAGE, RequestError, Sent
from idp.oidc.authorization.requested_login import Hint
from idp.oidc.authorization.user_message import MalformedMessage
from idp.oidc.claims import SCOPE_CLAIMS, AllowedClaims
from idp.oidc.claims_request import ClaimsRequest, MalformedClaims
from idp.oidc.clients import entry_notes
from idp.oidc.clients.client import Client

RESPONSE_MODES = ("query", "form_post")
PUSHED_URN = "urn:ietf:params:oauth:request_uri:"
CODE_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class ReturnTo:
    """The client, address and form of the response (RFC 6749 §4.1.2): known once the redirect_uri holds.

    `pushed` is the hash of the pushed request that the response uses up, None when it was not pushed.
    """

    client: Client
    redirect_uri: str
    response_mode: str
    state: str | None
    pushed: str | None = None


@dataclass(frozen=True)
class AuthorizationRequest:
    """A checked request (OIDC Core §3.1.2.1). `parameters` is what was sent, to be stored and read again.

    A person whom the client knows by one of `subjects` must answer it; empty: anybody.
    """

    to: ReturnTo
    scope: str
    claims: AllowedClaims
    subjects: tuple[str, ...]
    nonce: str | None
    code_challenge: str | None
    dpop_jkt: str | None
    prompt: frozenset[str]
    requirement: AuthnRequirement
    user_message: UserMessage | None
    parameters: Mapping[str, str]
    received_at: datetime

    @property
    def client(self) -> Client:
        """The client that sent the request."""
        return self.to.client

    @property
    def shared(self) -> str:
        """What a consent must cover: the requested scopes, and what stands for the requested claims."""
        return " ".join(dict.fromkeys([*self.scope.split(), *self.claims.consent_items(self.client)]))


class UnknownClient(IdpError):
    """No client has this client_id: shown on a page of ours, never redirected (RFC 6749 §4.1.2.1)."""

    code = "unknown_client"
    status = 400


class BadRedirectUri(IdpError):
    """The redirect_uri is not registered: shown on a page of ours, never redirected (RFC 6749 §4.1.2.1)."""

    code = "bad_redirect_uri"
    status = 400


class BadAuthorizationRequest(IdpError):
    """The request is wrong before it is known where errors go: a page of ours (RFC 6749 §4.1.2.1).

    `error` is the code for a client that pushes the request and sees no page (RFC 9126 §2.3).
    """

    code = "bad_authorization_request"
    status = 400

    def __init__(self, detail: str, *, error: str = "invalid_request") -> None:
        super().__init__(detail)
        self.error = error


class AuthorizationError(Exception):
    """An error that goes back to the client (RFC 6749 §4.1.2.1). `description` is ASCII without quotes."""

    def __init__(self, to: ReturnTo, error: str, description: str) -> None:
        super().__init__(error)
        self.to = to
        self.error = error
        self.description = description


@dataclass(frozen=True)
class Pushed:
    """A pushed request that was found (RFC 9126 §4): its hash, and its parameters as they were checked."""

    hash: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class RequestContext:
    """What a request is compared against (OIDC Core §3.1.2.2): clients, methods, tokens, stored requests."""

    find_client: Callable[[str], Client | None]
    acrs: Mapping[str, str]  # login method → the acr it reaches
    read_hint: Callable[[str, Client], Hint]  # raises ValueError for a token that is not ours
    open_request: Callable[[str, Client], Mapping[str, str]]  # raises RequestError for a bad request object
    find_pushed: Callable[[str, Client], Pushed]  # raises when this client has none that it may use
    now: datetime


def parse(sent: Iterable[tuple[str, str]], context: RequestContext) -> AuthorizationRequest:
    """The request that a browser brings (OIDC Core §3.1.2.2): client first, then redirect_uri, then the rest.

    Raises `UnknownClient`, `BadRedirectUri` or `BadAuthorizationRequest` (shown on our own page) before the
    first two hold, `AuthorizationError` (sent to the client) after, and what `find_pushed` raises.
    """
    found = parameters.collect(sent)
    client = _client(found, context)
    request_uri = found.parameters.get("request_uri", "")
    if request_uri.startswith(PUSHED_URN):
        # The client_id beside it is required, all else is ignored (RFC 9126 §4).
        if "request_uri" in found.repeated or "request" in found.parameters:
            raise BadAuthorizationRequest("request_uri must be given once, without a request object")
        pushed = context.find_pushed(request_uri, client)
        return _read(Sent(pushed.parameters), client, context, pushed=pushed.hash)
    request = _read_sent(found, client, context)
    if client.require_pushed_authorization_requests:
        error = AuthorizationError(
            request.to, "invalid_request", "this client must push its requests (RFC 9126)"
        )
        raise entry_notes.about(error, client, "require_pushed_authorization_requests")
    return request


def parse_pushed(
    sent: Iterable[tuple[str, str]], client: Client, context: RequestContext
) -> AuthorizationRequest:
    """The request that an authenticated client pushes (RFC 9126 §2.1), checked as `parse` does."""
    found = parameters.collect(sent)
    if "request_uri" in found.parameters:
        raise BadAuthorizationRequest("a pushed request must not contain request_uri")
    # A request object holds the client_id itself: it need not be beside it too (RFC 9126 §3).
    left_out = client.client_id if "request" in found.parameters else None
    if found.parameters.get("client_id", left_out) != client.client_id or "client_id" in found.repeated:
        raise BadAuthorizationRequest("client_id is missing, or is not that of the authenticated client")
    return _read_sent(found, client, context)


def read_stored(
    stored: Mapping[str, str], context: RequestContext, *, pushed: str | None
) -> AuthorizationRequest:
    """A request's stored `parameters`, checked again as OIDC Core §3.1.2.2 asks.

    In the midst of a login the client's metadata may have changed. `pushed` is the hash of the pushed request
    that the parameters came from. Raises as `parse` does.
    """
    found = parameters.collect(stored.items())
    return _read(found, _client(found, context), context, pushed=pushed)


def _client(sent: Sent, context: RequestContext) -> Client:
    client_id = sent.parameters.get("client_id")
    if client_id is None:
        raise BadAuthorizationRequest("client_id is missing")
    if "client_id" in sent.repeated:
        raise BadAuthorizationRequest("client_id is given more than once")
    client = context.find_client(client_id)
    if client is None:
        raise UnknownClient(f"clients.yaml has no client {client_id[:100]!r}")
    return client


def _read_sent(sent: Sent, client: Client, context: RequestContext) -> AuthorizationRequest:
    """A request that has just been sent: by a request object, if there is one (RFC 9101 §6)."""
    if "request" not in sent.parameters:
        request = _read(sent, client, context)
        if client.require_signed_request_object:
            error = AuthorizationError(
                request.to, "invalid_request", "this client must send a signed request object (RFC 9101)"
            )
            raise entry_notes.about(error, client, "require_signed_request_object")
        return request
    try:
        sent.check()
        if "request_uri" in sent.parameters:
            raise RequestError("invalid_request", "request and request_uri must not be given together")
        opened = context.open_request(sent.parameters["request"], client)
        for name in ("client_id", "response_type"):
            if sent.parameters.get(name, opened.get(name)) != opened.get(name):
                raise RequestError("invalid_request", f"{name} differs from the one in the request object")
    except RequestError as error:
        try:
            to = _return_to(sent, client)
        except BadRedirectUri:
            bad = BadAuthorizationRequest(f"request: {error.description}", error=error.error)
            raise entry_notes.carry(error, bad) from None
        raise _with_return(error, to) from None
    return _read(parameters.collect(opened.items()), client, context)


def _read(
    sent: Sent, client: Client, context: RequestContext, *, pushed: str | None = None
) -> AuthorizationRequest:
    to = _return_to(sent, client, pushed)
    try:
        sent.check()
        return _read_checked(to, sent.parameters, context)
    except RequestError as error:
        raise _with_return(error, to) from None


def _with_return(error: RequestError, to: ReturnTo) -> AuthorizationError:
    return entry_notes.carry(error, AuthorizationError(to, error.error, error.description))


def _return_to(sent: Sent, client: Client, pushed: str | None = None) -> ReturnTo:
    mode = sent.parameters.get("response_mode", "query")
    return ReturnTo(
        client=client,
        redirect_uri=_redirect_uri(client, sent),
        response_mode=mode if mode in RESPONSE_MODES else "query",
        state=sent.state(),
        pushed=pushed,
    )


def _redirect_uri(client: Client, sent: Sent) -> str:
    redirect_uri = sent.parameters.get("redirect_uri")
    if redirect_uri is None:
        raise BadRedirectUri("redirect_uri is missing: OpenID Connect requires it (Core §3.1.2.1)")
    if "redirect_uri" in sent.repeated:
        raise BadRedirectUri("redirect_uri is given more than once")
    if not client.redirect_uri_matches(redirect_uri):
        registered = ", ".join(client.redirect_uris)
        raise BadRedirectUri(
            f"redirect_uri {redirect_uri[:300]!r} is not among clients.{client.client_id}.redirect_uris: "
            f"{registered}"
        )
    return redirect_uri


def _read_checked(to: ReturnTo, given: Mapping[str, str], context: RequestContext) -> AuthorizationRequest:
    """The request, once everything after client and redirect_uri is checked. Raises `RequestError`."""
    client = to.client
    if "request_uri" in given:
        raise RequestError("request_uri_not_supported", "request_uri is for pushed requests only")
    if "registration" in given:
        raise RequestError("registration_not_supported", "registration is not supported")
    if not client.check_grant_type("authorization_code"):
        error = RequestError(
            "unauthorized_client", "this client is not registered for the grant authorization_code"
        )
        raise entry_notes.about(error, client, "grant_types", "authorization_code")
    if "response_type" not in given:
        raise RequestError("invalid_request", "response_type is missing")
    if given["response_type"] != "code":
        raise RequestError("unsupported_response_type", "response_type must be code")
    if given.get("response_mode", "query") not in RESPONSE_MODES:
        raise RequestError("invalid_request", "response_mode must be query or form_post")
    requested_claims = _claims(given)
    person = requested_login.requested_person(
        client, given, requested_claims=requested_claims, read_hint=context.read_hint
    )
    prompt = requested_login.prompt(given)
    return AuthorizationRequest(
        to=to,
        scope=_scope(client, given),
        claims=AllowedClaims.of(requested_claims, client),
        subjects=person.subjects,
        nonce=given.get("nonce"),
        code_challenge=_code_challenge(client, given),
        dpop_jkt=_dpop_jkt(given),
        prompt=prompt,
        requirement=requested_login.requirement(
            client,
            given,
            requested_claims=requested_claims,
            user_id=person.user_id,
            acrs=context.acrs,
            now=context.now,
        ),
        user_message=_user_message(given, prompt),
        parameters=given,
        received_at=context.now,
    )


def _scope(client: Client, given: Mapping[str, str]) -> str:
    """The known scopes among those requested, in their order; others are ignored (OIDC Core §3.1.2.1)."""
    requested = list(dict.fromkeys(given.get("scope", "").split()))
    if "openid" not in requested:
        raise RequestError("invalid_scope", "scope must contain openid")
    known = [name for name in requested if name in SCOPE_CLAIMS]
    for name in known:
        if name not in client.scopes:
            error = RequestError("invalid_scope", f"this client is not registered for the scope {name}")
            raise entry_notes.about(error, client, "scope", name)
    if not client.check_grant_type(
        "refresh_token"
    ):  # there will be no refresh token: ignored (OIDC Core §11)
        known = [name for name in known if name != "offline_access"]
    return " ".join(known)


def _code_challenge(client: Client, given: Mapping[str, str]) -> str | None:
    """The PKCE challenge (RFC 7636 §4.3); only S256, for a plain one protects nothing (RFC 9700 §2.1.1)."""
    challenge = given.get("code_challenge")
    method = given.get("code_challenge_method")
    if challenge is None:
        if method is not None:
            raise RequestError("invalid_request", "code_challenge_method is given without code_challenge")
        if client.require_pkce:
            error = RequestError("invalid_request", "PKCE is required: send code_challenge with method S256")
            raise entry_notes.about(error, client, "require_pkce")
        return None
    if method != "S256":
        raise RequestError("invalid_request", "code_challenge_method must be S256")
    if not CODE_CHALLENGE.fullmatch(challenge):
        raise RequestError("invalid_request", "code_challenge is not the base64url form of a SHA-256 value")
    return challenge


def _dpop_jkt(given: Mapping[str, str]) -> str | None:
    """The thumbprint of the key that the code is to be bound to (RFC 9449 §10)."""
    jkt = given.get("dpop_jkt")
    if jkt is not None and not dpop.THUMBPRINT.fullmatch(jkt):
        raise RequestError("invalid_request", "dpop_jkt is not the SHA-256 thumbprint of a key")
    return jkt


def _claims(given: Mapping[str, str]) -> ClaimsRequest:
    if "claims" not in given:
        return ClaimsRequest()
    try:
        return claims_request.parse(given["claims"])
    except MalformedClaims as error:
        raise RequestError("invalid_request", f"claims {error}") from None


def _user_message(given: Mapping[str, str], prompt: frozenset[str]) -> UserMessage | None:
    """The message to show at the login (Swedish request parameter extensions §2.1); never without a login."""
    if USER_MESSAGE not in given:
        return None
    try:
        message = user_message.parse(given[USER_MESSAGE])
    except MalformedMessage as error:
        raise RequestError("invalid_request", f"userMessage {error}") from None
    return None if "none" in prompt else message
