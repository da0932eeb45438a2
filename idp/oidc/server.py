"""The token endpoint: Authlib's authorization server with our clients, codes and tokens."""

import hashlib
import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

import structlog
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from flask import Response

from idp import audit
from idp.clock import utcnow
from idp.db import db
from idp.errors import TooManyTries
from idp.oidc import claims, service
from idp.oidc.client_registry import ClientRegistry
from idp.oidc.clients import Client
from idp.oidc.keys import KeyRing
from idp.oidc.service import ClaimedCode
from idp.ratelimit import RateLimiter
from idp.tokens import base64url
from idp.users.personal_number import PersonalNumber

log = structlog.get_logger("idp.oidc")

TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")
CODE_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class FormPayload(OAuth2Payload):  # type: ignore[misc]
    """The token request's form; the query counts for nothing (RFC 6749 §2.3.1, §3.2)."""

    def __init__(self, form: Mapping[str, str]) -> None:
        self._form = form

    @property
    def data(self) -> Mapping[str, str]:
        return self._form


class TokenRequest(OAuth2Request):  # type: ignore[misc]
    """A token request as Authlib wants it.

    TLS is the proxy's and the settings' matter (https, or loopback), so Authlib's own check of the
    address it sees is given one that passes.
    """

    def __init__(self, form: Mapping[str, str], authorization: str | None, address: str) -> None:
        super().__init__("POST", "https://provider/token")
        self.payload = FormPayload(form)
        self.authorization = authorization
        self.address = address
        self._parameters = form

    @property
    def form(self) -> Mapping[str, str]:
        return self._parameters


class InvalidClient(InvalidClientError):  # type: ignore[misc]
    """Always 401: the client could not be authenticated (RFC 6749 §5.2)."""

    def __init__(self, description: str) -> None:
        super().__init__(description=description, status_code=401)


@dataclass(frozen=True)
class Provider:
    """What issuing tokens needs beside the request.

    `person_number` tells an account's personal number, None where none are kept. `event_claims` tells, by
    login method, what its evidence of a login says: from the login's reference and the claims wanted.
    """

    issuer: str
    clients: ClientRegistry
    keys: KeyRing
    limiter: RateLimiter
    subject_key: bytes
    person_number: Callable[[UUID], PersonalNumber | None] | None = None
    event_claims: Mapping[str, Callable[[str, Collection[str]], dict[str, Any]]] = field(default_factory=dict)


class TokenServer(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server, told how clients authenticate and how answers are written."""

    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self.provider = provider
        self.register_grant(CodeGrant)

    def respond(self, request: TokenRequest) -> Response:
        """The answer to a token request."""
        response: Response = self.create_token_response(request)
        return response

    def create_oauth2_request(self, request: TokenRequest) -> TokenRequest:
        return request

    def query_client(self, client_id: str) -> Client | None:
        return self.provider.clients.get(client_id)

    def authenticate_client(
        self, request: TokenRequest, methods: list[str], endpoint: str = "token"
    ) -> Client:
        """The client, by its registered method and by exactly one (RFC 6749 §2.3).

        Failures are throttled: past the limit they are neither looked into nor audited. Successes are
        not slowed by somebody else's failures; machine-made secrets cannot be guessed.
        """
        try:
            return self._authenticate(request)
        except InvalidClient as error:
            limiter = self.provider.limiter
            try:
                limiter.hit("client_authentication", request.address)
            except TooManyTries as limited:
                raise TooManyClientTries(limited.wait_seconds) from None
            client_id = _claimed_id(request)
            known = client_id if self.provider.clients.get(client_id) else None
            log.warning("client_authentication_failed", client_id=client_id[:100], reason=error.description)
            audit.record(
                audit.Event.CLIENT_AUTHENTICATION_FAILED, now=utcnow(), client_id=known, actor="client"
            )
            db.session.commit()
            raise

    def _authenticate(self, request: TokenRequest) -> Client:
        form = request.form
        if request.authorization is not None:
            if "client_secret" in form:
                raise InvalidRequestError("the client authenticates in more than one way")
            client_id, secret = _basic(request.authorization)
            if form.get("client_id", client_id) != client_id:
                raise InvalidRequestError("client_id differs from the one in the Authorization header")
            method = "client_secret_basic"
        else:
            client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
            method = "client_secret_post" if secret else "none"
        client = self.provider.clients.get(client_id)
        if client is None:
            raise InvalidClient("client authentication failed")
        if client.token_endpoint_auth_method != method:
            raise InvalidClient(f"this client must authenticate by {client.token_endpoint_auth_method}")
        if method != "none" and not client.check_secret(secret, utcnow()):
            raise InvalidClient("client authentication failed")
        request.auth_method = method
        return client

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens to Authlib's signals."""

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        payload = json.dumps(body) if isinstance(body, dict) else body
        response = Response(payload, status=status, mimetype="application/json", headers=NO_STORE)
        if status == 401:
            response.headers["WWW-Authenticate"] = f'Basic realm="{self.provider.issuer}"'
        for name, value in headers:
            if name == "Retry-After":
                response.headers[name] = value
        return response


class TooManyClientTries(OAuth2Error):  # type: ignore[misc]
    """429 with Retry-After; RFC 6749 has no code of its own for it."""

    error = "temporarily_unavailable"
    status_code = 429

    def __init__(self, wait_seconds: int) -> None:
        super().__init__(description="too many failed client authentications, wait before the next")
        self.wait_seconds = wait_seconds

    def get_headers(self) -> list[tuple[str, str]]:
        return [("Content-Type", "application/json"), ("Retry-After", str(self.wait_seconds))]


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """Exchange of an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.5)."""

    server: TokenServer
    request: TokenRequest

    def query_authorization_code(self, code: str, client: Client) -> "Exchanged":
        """The code, claimed with every binding in one statement. Raises `InvalidGrantError`."""
        form = self.request.form
        redirect_uri = form.get("redirect_uri")
        if redirect_uri is None:
            raise InvalidRequestError("redirect_uri is missing")
        verifier = form.get("code_verifier")
        if verifier is not None and not CODE_VERIFIER.fullmatch(verifier):
            raise InvalidRequestError("code_verifier is malformed")
        if verifier is None and client.require_pkce:
            raise InvalidRequestError("code_verifier is missing")
        now = utcnow()
        exchanged = service.exchange_code(
            code,
            client_id=client.client_id,
            redirect_uri=redirect_uri,
            code_verifier=verifier,
            access_token_lifetime=timedelta(minutes=client.access_token_minutes),
            now=now,
        )
        if exchanged is None:
            replayed = service.revoke_if_replayed(code, client_id=client.client_id, now=now)
            log.warning("code_refused", client_id=client.client_id, replayed=replayed)
            raise InvalidGrantError(
                "the code is unknown, expired, used, or was issued for another client, "
                "redirect_uri or code_verifier"
            )
        return Exchanged(*exchanged, redirect_uri=redirect_uri, at=now)

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Access token and ID token (OIDC Core §3.1.3.3)."""
        exchanged: Exchanged = self.request.authorization_code
        return 200, token_response(self.server.provider, self.request.client, exchanged), []


@dataclass(frozen=True)
class Exchanged:
    """An exchanged code, as Authlib's checks want to see it."""

    code: ClaimedCode
    access_token: str
    redirect_uri: str
    at: datetime

    def get_redirect_uri(self) -> str:
        return self.redirect_uri


def token_response(provider: Provider, client: Client, exchanged: Exchanged) -> dict[str, Any]:
    """Access token and ID token of an exchanged code (OIDC Core §2, §3.1.3.3)."""
    code, issued_at = exchanged.code, int(exchanged.at.timestamp())
    alg = client.id_token_signed_response_alg
    id_token: dict[str, Any] = {
        "iss": provider.issuer,
        "sub": claims.subject(client, code.user_id, provider.subject_key),
        "aud": client.client_id,
        "exp": issued_at + client.id_token_minutes * 60,
        "iat": issued_at,
        "auth_time": int(code.auth_time.timestamp()),
        "acr": code.acr,
        "amr": list(code.amr),
        "sid": str(code.session_id),
        "at_hash": at_hash(exchanged.access_token, alg),
    }
    if code.nonce is not None:
        id_token["nonce"] = code.nonce
    id_token |= _asked_claims(provider, code)
    return {
        "access_token": exchanged.access_token,
        "token_type": "Bearer",
        "expires_in": client.access_token_minutes * 60,
        "scope": code.scope,
        "id_token": provider.keys.sign(id_token, alg=alg, now=exchanged.at),
    }


def _asked_claims(provider: Provider, code: ClaimedCode) -> dict[str, Any]:
    """What the scope and the `claims` parameter add to the ID token."""
    by_scope = [scope for scope in code.scope.split() if scope in claims.ID_TOKEN_SCOPES]
    names = {*claims.of_scopes(by_scope), *code.claims.id_token}
    added: dict[str, Any] = {}
    if names & claims.PERSON_CLAIMS:
        person = service.find_person(code.user_id)
        added |= claims.about(person, names) if person else {}
    added |= number_claims(provider, code.user_id, names)
    if claims.AUTHN_PROVIDER in names and code.method is not None:
        added[claims.AUTHN_PROVIDER] = code.method
    tell = provider.event_claims.get(code.method or "")
    evidence = names.intersection(claims.EVIDENCE_CLAIMS)
    if tell is not None and code.reference is not None and evidence:
        added |= tell(code.reference, evidence)
    return added


def number_claims(provider: Provider, user_id: UUID, names: Collection[str]) -> dict[str, str]:
    """The account's personal number, if `names` has a claim for it; looked up for that alone."""
    if provider.person_number is None or not set(names) & set(claims.NUMBER_CLAIMS):
        return {}
    return claims.number(provider.person_number(user_id), names)


def at_hash(access_token: str, alg: str) -> str:
    """Half of the access token's hash (OIDC Core §3.1.3.6); Ed25519 signatures hash with SHA-512."""
    make_digest = hashlib.sha512 if alg == "EdDSA" else hashlib.sha256
    digest = make_digest(access_token.encode()).digest()
    return base64url(digest[: len(digest) // 2])


def read_form(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The parameters of a token request; raises Authlib's errors for a malformed one (RFC 6749 §3.2)."""
    form: dict[str, str] = {}
    for name, value in pairs:
        if name in form:
            raise InvalidRequestError("a parameter is given more than once")
        if CONTROL.search(value):
            raise InvalidRequestError("a parameter holds control characters")
        form[name] = value
    form = {name: value for name, value in form.items() if value}
    if "grant_type" not in form:
        raise InvalidRequestError("grant_type is missing")
    if form["grant_type"] != CodeGrant.GRANT_TYPE:
        raise OAuth2Error("this grant_type is not supported", error="unsupported_grant_type")
    return form


def _basic(authorization: str) -> tuple[str, str]:
    """Client id and secret of HTTP Basic, each form-urlencoded (RFC 6749 §2.3.1)."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient("the Authorization header is not Basic")
    try:
        client_id, separator, secret = b64decode(value.strip(), validate=True).decode().partition(":")
    except (Base64Error, UnicodeDecodeError, ValueError):
        raise InvalidClient("the Authorization header is malformed") from None
    if not separator or not secret:
        raise InvalidClient("the Authorization header is malformed")
    return unquote_plus(client_id), unquote_plus(secret)


def _claimed_id(request: TokenRequest) -> str:
    if request.authorization is not None:
        try:
            return _basic(request.authorization)[0]
        except InvalidClient:
            return ""
    return request.form.get("client_id", "")
