"""Client authentication at every endpoint that clients call: by the registered method, by one only."""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import unquote_plus

import structlog
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError

from idp import audit
from idp.db import db
from idp.errors import TooManyTries
from idp.oidc.authentication import client_assertion
from idp.oidc.clients import entry_notes
from idp.oidc.clients import jws as client_jws
from idp.oidc.clients.client import Client
from idp.oidc.clients.jws import Unverified
from idp.oidc.clients.keys import KeysUnavailable
from idp.oidc.provider import Provider

log = structlog.get_logger("idp.oidc")

METHODS = ("private_key_jwt", "client_secret_basic", "client_secret_post", "none")
ASSERTION_FIELDS = ("client_assertion", "client_assertion_type")
TOKEN_ENDPOINT = "/token"  # noqa: S105 - a path
RETRY_SECONDS = 10


class InvalidClient(InvalidClientError):  # type: ignore[misc]
    """The client could not be authenticated: always 401 (RFC 6749 §5.2)."""

    is_logged = False  # `authenticate` sets this where it logs the failure

    def __init__(self, description: str) -> None:
        super().__init__(description=description, status_code=401)


class _RetryLater(OAuth2Error):  # type: ignore[misc]
    """The client may try again after a time.

    RFC 6749 has no code of its own for this at the token endpoint; the one of §4.1.2.1 says it.
    """

    error = "temporarily_unavailable"

    def __init__(self, description: str, wait_seconds: int) -> None:
        super().__init__(description=description)
        self.wait_seconds = wait_seconds

    def get_headers(self) -> list[tuple[str, str]]:
        """Authlib asks for the headers of the response."""
        return [("Content-Type", "application/json"), ("Retry-After", str(self.wait_seconds))]


class TooManyClientTries(_RetryLater):
    """Too many failures from this address: 429 with Retry-After (RFC 6749 §2.3.1 asks for a limit)."""

    status_code = 429

    def __init__(self, wait_seconds: int) -> None:
        super().__init__("too many failed client authentications: wait before the next one", wait_seconds)


class ClientKeysUnavailable(_RetryLater):
    """The keys at the client's jwks_uri cannot be fetched now: 503 with Retry-After (OIDC Core §10.1.1)."""

    status_code = 503

    def __init__(self) -> None:
        super().__init__("the keys at the client's jwks_uri cannot be fetched", RETRY_SECONDS)


def authenticate(
    provider: Provider,
    form: Mapping[str, str],
    authorization: str | None,
    address: str,
    now: datetime,
    *,
    endpoint: str = TOKEN_ENDPOINT,
) -> tuple[Client, str]:
    """The client and the method it authenticated by, from the form and the Authorization header.

    Exactly one method, the registered one, is taken (RFC 6749 §2.3, OIDC Core §9). `address` is what failures
    are counted by, `endpoint` the path that was called: an assertion may be addressed to it.

    Raises `InvalidClient`, `InvalidRequestError` for several methods at once, `ClientKeysUnavailable`, and
    `TooManyClientTries`: past the limit failures are not even audited. Successes are not slowed by somebody
    else's failures; machine-made secrets cannot be guessed.
    """
    try:
        if any(name in form for name in ASSERTION_FIELDS):
            return _by_assertion(provider, form, authorization, now, endpoint)
        return _by_secret(provider, form, authorization, now)
    except InvalidClient as error:
        try:
            provider.limiter.hit("client_authentication", address)
        except TooManyTries as limited:
            raise TooManyClientTries(limited.wait_seconds) from None
        client_id = _claimed_id(form, authorization)
        known = client_id if provider.clients.get(client_id) else None
        log.warning(
            "client_authentication_failed",
            client_id=client_id[:100],
            reason=error.description,
            entry=entry_notes.of(error),
        )
        error.is_logged = True
        audit.record(audit.Event.CLIENT_AUTHENTICATION_FAILED, now=now, client_id=known, actor="client")
        db.session.commit()
        raise


def _by_secret(
    provider: Provider, form: Mapping[str, str], authorization: str | None, now: datetime
) -> tuple[Client, str]:
    """The client of a secret in the header or in the form, or a public client by its client_id."""
    if authorization is not None:
        if "client_secret" in form:
            raise InvalidRequestError("the client authenticates by more than one method")
        client_id, secret = _basic(authorization)
        if form.get("client_id", client_id) != client_id:
            raise InvalidRequestError("client_id differs from the one in the Authorization header")
        method = "client_secret_basic"
    else:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        method = "client_secret_post" if secret else "none"
    client = _registered(provider, client_id, method)
    if method != "none" and not client.check_secret(secret, now):
        raise entry_notes.about(InvalidClient("client authentication failed"), client, "client_secrets")
    return client, method


def _by_assertion(
    provider: Provider, form: Mapping[str, str], authorization: str | None, now: datetime, endpoint: str
) -> tuple[Client, str]:
    """The client that signed the form's assertion (RFC 7523 §2.2)."""
    if authorization is not None or "client_secret" in form:
        raise InvalidRequestError("the client authenticates by more than one method")
    for name in ASSERTION_FIELDS:
        if name not in form:
            raise InvalidRequestError(f"{name} is missing")
    if form["client_assertion_type"] != client_assertion.TYPE:
        raise InvalidRequestError(f"client_assertion_type must be {client_assertion.TYPE}")
    try:
        found = _read(form)
        client_id = client_assertion.issuer_of(found.claims)
        if form.get("client_id", client_id) != client_id:
            raise InvalidRequestError("client_id differs from the one in the assertion")
        client = _registered(provider, client_id, "private_key_jwt")
        if client.token_endpoint_auth_signing_alg not in (None, found.alg):
            wrong = ValueError(f"must have the alg {client.token_endpoint_auth_signing_alg}")
            raise entry_notes.about(wrong, client, "token_endpoint_auth_signing_alg", found.alg)
        audiences = {provider.issuer, *(provider.issuer + path for path in (TOKEN_ENDPOINT, endpoint))}
        # The claims first, which cost nothing: with wrong ones no keys are fetched.
        assertion = client_assertion.check_assertion(found.claims, audiences=audiences, now=now)
        _verify(provider, client, found, now)
    except ValueError as error:
        raise entry_notes.carry(error, InvalidClient(f"the client assertion {error}")) from None
    except KeysUnavailable:
        raise ClientKeysUnavailable from None
    if not client_assertion.claim_assertion(assertion):
        raise InvalidClient("the client assertion has been used before")
    return client, "private_key_jwt"


def _verify(provider: Provider, client: Client, found: Unverified, now: datetime) -> None:
    try:
        provider.client_keys.verify(client, found, now)
    except ValueError as error:
        raise entry_notes.about_keys(error, client) from None


def _read(form: Mapping[str, str]) -> Unverified:
    return client_jws.read(form["client_assertion"], algs=client_assertion.ALGS, typs=client_assertion.TYPS)


def _registered(provider: Provider, client_id: str, method: str) -> Client:
    client = provider.clients.get(client_id)
    if client is None:
        raise InvalidClient("client authentication failed")
    if client.token_endpoint_auth_method != method:
        error = InvalidClient(f"this client must authenticate by {client.token_endpoint_auth_method}")
        raise entry_notes.about(error, client, "token_endpoint_auth_method", method)
    return client


def _basic(authorization: str) -> tuple[str, str]:
    """Client id and secret of HTTP Basic, each form-urlencoded (RFC 6749 §2.3.1)."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient("the Authorization header must be Basic")
    try:
        client_id, separator, secret = b64decode(value.strip(), validate=True).decode().partition(":")
    except (Base64Error, UnicodeDecodeError, ValueError):
        raise InvalidClient("the Authorization header is malformed") from None
    if not separator or not secret:
        raise InvalidClient("the Authorization header is malformed")
    return unquote_plus(client_id), unquote_plus(secret)


def _claimed_id(form: Mapping[str, str], authorization: str | None) -> str:
    """The client_id that a failed client named, for the log and the audit trail; empty without one."""
    try:
        if "client_assertion" in form:
            claimed = client_assertion.issuer_of(_read(form).claims)
        elif authorization is not None:
            claimed = _basic(authorization)[0]
        else:
            claimed = form.get("client_id", "")
    except (InvalidClient, ValueError):
        return ""
    return claimed.encode(errors="replace").decode()
