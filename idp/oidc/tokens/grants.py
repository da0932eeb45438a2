"""The grant types of the token endpoint: what each exchanges for tokens."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from authlib.oauth2.rfc6749.errors import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, BaseGrant, TokenEndpointMixin

from idp.clock import utcnow
from idp.oidc import encryption, people
from idp.oidc.clients import entry_notes
from idp.oidc.clients.client import Client
from idp.oidc.provider import Provider
from idp.oidc.tokens import access_tokens, codes, refresh
from idp.oidc.tokens import content as tokens
from idp.oidc.tokens.granted import OFFLINE, Granted
from idp.oidc.tokens.refresh import Lifetime, Presented
from idp.oidc.tokens.token_request import TokenRequest

log = structlog.get_logger("idp.oidc")

CODE_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
IDLE = timedelta(days=30)  # of a refresh token, unless its client or the login method has another
TokenResponse = tuple[int, dict[str, Any], list[tuple[str, str]]]


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """The exchange of an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.5)."""

    server: Any  # TokenServer, which knows this module
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
            missing = InvalidRequestError("code_verifier is missing")
            raise entry_notes.about(missing, client, "require_pkce")
        now = utcnow()
        # No code is spent on an answer that cannot be written.
        encryption.find_id_token_key(self.server.provider.client_keys, client, now)
        exchanged = codes.exchange_code(
            code,
            client_id=client.client_id,
            redirect_uri=redirect_uri,
            code_verifier=verifier,
            jkt=self.request.jkt,
            access_token_lifetime=timedelta(minutes=client.access_token_minutes),
            now=now,
        )
        if exchanged is None:
            replayed = codes.revoke_if_replayed(code, client_id=client.client_id, now=now)
            log.warning("code_refused", client_id=client.client_id, replayed=replayed)
            raise InvalidGrantError(
                "the code is unknown, expired, used, or was issued for another client, "
                "redirect_uri, code_verifier or DPoP key"
            )
        granted, secret = exchanged
        person = people.find_person(granted.user_id) if client.companies else None
        _refuse_if_over(client, granted, person.company if person else None)
        return Exchanged(
            refresh.with_scope(granted, _registered_scope(client, granted)), secret, redirect_uri, now
        )

    def create_token_response(self) -> TokenResponse:
        """Access token, ID token, and a refresh token where one is allowed (OIDC Core §3.1.3.3, §11)."""
        provider: Provider = self.server.provider
        client: Client = self.request.client
        exchanged: Exchanged = self.request.authorization_code
        granted, refresh_token = exchanged.granted, None
        if OFFLINE in granted.scope.split() and client.check_grant_type(RefreshGrant.GRANT_TYPE):
            lifetime = Lifetime(
                idle=idle_limit(provider, client, granted),
                absolute=timedelta(hours=client.refresh_token_hours),
            )
            # A confidential client's is bound to the client by its authentication (RFC 9449 §5).
            jkt = self.request.jkt if _is_public(client) else None
            refresh_token = refresh.issue(granted.grant_id, lifetime, jkt=jkt, now=exchanged.at)
        body = tokens.token_response(
            provider,
            client,
            granted,
            secret=exchanged.secret,
            refresh_token=refresh_token,
            jkt=self.request.jkt,
            now=exchanged.at,
        )
        return 200, body, []


@dataclass(frozen=True)
class Exchanged:
    """An exchanged code in the shape that Authlib checks (RFC 6749 §4.1.3)."""

    granted: Granted
    secret: str
    redirect_uri: str
    at: datetime

    def get_redirect_uri(self) -> str:
        """The redirect_uri that the code was bound to, which Authlib compares."""
        return self.redirect_uri


class RefreshGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """New tokens for a refresh token (RFC 6749 §6), which rotates for public clients (RFC 9700 §4.14.2)."""

    GRANT_TYPE = "refresh_token"
    server: Any
    request: TokenRequest

    def validate_token_request(self) -> None:
        """Authenticate the client. The token itself is checked when it is used."""
        self.request.client = _client_for(self)
        if "refresh_token" not in self.request.form:
            raise InvalidRequestError("refresh_token is missing")

    def create_token_response(self) -> TokenResponse:
        """Access token, ID token and the next refresh token (OIDC Core §12.2). Raises `InvalidGrantError`."""
        provider: Provider = self.server.provider
        client: Client = self.request.client
        now, used = utcnow(), None
        encryption.find_id_token_key(provider.client_keys, client, now)  # before anything is used up
        while used is None:  # again when a parallel request used the token between our query and our claim
            presented = self._present(now)
            granted = refresh.with_scope(presented.granted, self._scope(presented))
            used = refresh.rotate_or_extend(
                presented,
                scope=granted.scope,
                rotate=_is_public(client),
                jkt=self.request.jkt,
                idle=idle_limit(provider, client, granted),
                access_token_lifetime=timedelta(minutes=client.access_token_minutes),
                now=now,
            )
        secret, refresh_token = used
        body = tokens.token_response(
            provider,
            client,
            granted,
            secret=secret,
            refresh_token=refresh_token,
            jkt=self.request.jkt,
            now=now,
        )
        return 200, body, []

    def _present(self, now: datetime) -> Presented:
        provider: Provider = self.server.provider
        client: Client = self.request.client
        found = refresh.present(
            self.request.form["refresh_token"],
            client_id=client.client_id,
            key=provider.successor_key,
            jkt=self.request.jkt,
            now=now,
        )
        if found is None:
            log.warning("refresh_refused", client_id=client.client_id)
            raise InvalidGrantError(
                "the refresh token is unknown, expired, used, revoked, or another client's or DPoP key's"
            )
        return found

    def _scope(self, presented: Presented) -> str:
        """The scope of this response: what was granted and is still registered, or the requested part.

        Raises `InvalidGrantError` where the client is not registered for the login any more,
        `InvalidScopeError`.
        """
        client: Client = self.request.client
        _refuse_if_over(client, presented.granted, presented.company)
        if not {"openid", OFFLINE} <= client.scopes:
            over = InvalidGrantError("this client may no longer have refresh tokens")
            raise entry_notes.about(over, client, "scope", f"openid {OFFLINE}")
        granted = _registered_scope(client, presented.granted).split()
        requested = self.request.form.get("scope", "").split()
        if not set(requested) <= set(granted):
            more = InvalidScopeError("scope contains more than was granted")
            raise entry_notes.about(more, client, "scope", " ".join(requested))
        return " ".join(scope for scope in granted if not requested or scope in requested)


class ClientGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """An access token for the client itself (RFC 6749 §4.4): no person, no refresh token."""

    GRANT_TYPE = "client_credentials"
    server: Any
    request: TokenRequest

    def validate_token_request(self) -> None:
        """Authenticate the client. Each scope is about a person, so none can be requested."""
        self.request.client = _client_for(self)
        if "scope" in self.request.form:
            raise InvalidScopeError("a client without a person must not ask for a scope")

    def create_token_response(self) -> TokenResponse:
        """The access token alone (RFC 6749 §4.4.3)."""
        client: Client = self.request.client
        now, jkt = utcnow(), self.request.jkt
        lifetime = timedelta(minutes=client.access_token_minutes)
        secret = access_tokens.issue_client_token(client.client_id, jkt=jkt, lifetime=lifetime, now=now)
        return 200, tokens.client_token_response(self.server.provider, client, secret, jkt=jkt, now=now), []


GRANTS = (CodeGrant, RefreshGrant, ClientGrant)
"""Every grant type; a client may use those that it is registered for."""


def idle_limit(provider: Provider, client: Client, granted: Granted) -> timedelta:
    """How long a refresh token may lie unused (RFC 9700 §4.14.2), by the client or the login's method."""
    if client.refresh_token_idle_minutes is not None:
        return timedelta(minutes=client.refresh_token_idle_minutes)
    method = provider.methods.get(granted.method or "")
    return method.refresh_idle if method is not None and method.refresh_idle is not None else IDLE


def _refuse_if_over(client: Client, granted: Granted, company: str | None) -> None:
    """Raise when the client is not registered for this login any more.

    clients.yaml as it is now counts, not as it was when the person logged in.
    """
    if client.companies and company not in client.companies:
        over = InvalidGrantError("this person may no longer use this client")
        raise entry_notes.about(over, client, "companies", company)
    if granted.method is not None and granted.method not in client.login_methods:
        over = InvalidGrantError("the login was by a method that this client no longer accepts")
        raise entry_notes.about(over, client, "login_methods", granted.method)


def _registered_scope(client: Client, granted: Granted) -> str:
    """The part of the granted scope that the client is still registered for."""
    return " ".join(scope for scope in granted.scope.split() if scope in client.scopes)


def _is_public(client: Client) -> bool:
    return client.token_endpoint_auth_method == "none"  # noqa: S105


def _client_for(grant: RefreshGrant | ClientGrant) -> Client:
    """The authenticated client, when it is registered for the grant type."""
    client: Client = grant.authenticate_token_endpoint_client()
    if not client.check_grant_type(grant.GRANT_TYPE):
        error = UnauthorizedClientError(f"this client is not registered for the grant {grant.GRANT_TYPE}")
        raise entry_notes.about(error, client, "grant_types", grant.GRANT_TYPE)
    return client
