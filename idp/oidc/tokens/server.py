"""The token endpoint: Authlib's authorization server with our clients, codes and tokens."""

import json
from typing import Any

import structlog
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from flask import Response

from idp.clock import utcnow
from idp.extensions import Slot
from idp.oidc.authentication import client_auth, dpop
from idp.oidc.clients import entry_notes
from idp.oidc.clients.client import Client
from idp.oidc.provider import Provider
from idp.oidc.tokens.grants import GRANTS
from idp.oidc.tokens.token_request import TokenRequest

log = structlog.get_logger("idp.oidc")
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenServer(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server (RFC 6749 §3.2) with our client authentication and our responses."""

    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self.provider = provider

    def respond(self, request: TokenRequest) -> Response:
        """The response to a token request."""
        try:
            response: Response = self.create_token_response(request)
        except OAuth2Error as error:  # the grant type is unknown
            response = self.handle_error_response(request, error)
        return response

    def get_token_grant(self, request: TokenRequest) -> Any:
        """The requested grant type. Authlib's own error for none would repeat what was sent."""
        if "grant_type" not in request.form:
            raise InvalidRequestError("grant_type is missing")
        for grant in GRANTS:
            if request.form["grant_type"] == grant.GRANT_TYPE:
                return grant(request, self)
        raise OAuth2Error("this grant_type is not supported", error="unsupported_grant_type")

    def create_oauth2_request(self, request: TokenRequest) -> TokenRequest:
        """The request unchanged: it has the shape that Authlib wants."""
        return request

    def query_client(self, client_id: str) -> Client | None:
        """The registered client, None when there is none."""
        return self.provider.clients.get(client_id)

    def authenticate_client(
        self, request: TokenRequest, methods: list[str], endpoint: str = "token"
    ) -> Client:
        """The authenticated client; the key of its DPoP proof goes to `request.jkt`.

        Raises as `client_auth.authenticate` and `dpop.claim_proven_key` do, and when a required proof is
        missing.
        """
        now = utcnow()
        client, request.auth_method = client_auth.authenticate(
            self.provider, request.form, request.authorization, request.address, now
        )
        request.client = client  # for the log too, if the proof is refused
        request.jkt = dpop.claim_proven_key(
            self.provider, request.proof, method="POST", path=client_auth.TOKEN_ENDPOINT, now=now
        )
        if request.jkt is None and client.dpop_bound_access_tokens:
            missing = InvalidRequestError("this client must send a DPoP proof (RFC 9449)")
            raise entry_notes.about(missing, client, "dpop_bound_access_tokens")
        return client

    def handle_error_response(self, request: TokenRequest, error: OAuth2Error) -> Response:
        """The response to a refused request, which Authlib asks for."""
        client: Client | None = request.client
        return self.refuse(error, client)

    def refuse(self, error: OAuth2Error, client: Client | None = None) -> Response:
        """The response to a refused request (RFC 6749 §5.2), and its log line."""
        if not getattr(error, "is_logged", False):
            log.info(
                "token_request_refused",
                client_id=client.client_id if client else None,
                error=error.error,
                description=error.description,
                entry=entry_notes.of(error),
            )
        return self.handle_response(*error())

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing: nobody listens to Authlib's signals."""

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        """The response in JSON, never stored (RFC 6749 §5.1), with the headers that the errors need."""
        payload = json.dumps(body) if isinstance(body, dict) else body
        response = Response(payload, status=status, mimetype="application/json", headers=NO_STORE)
        if status == 401:
            response.headers["WWW-Authenticate"] = f'Basic realm="{self.provider.issuer}"'
        for name, value in headers:
            if name == "Retry-After":
                response.headers[name] = value
        return response


TOKEN_SERVER: Slot[TokenServer] = Slot("token_server")
