"""The token endpoint: Authlib's authorization server with our clients, codes and tokens."""

import json
from typing import Any

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from flask import Response

from idp.clock import utcnow
from idp.oidc import client_auth, dpop
from idp.oidc.clients import Client
from idp.oidc.grants import GRANTS
from idp.oidc.provider import Provider
from idp.oidc.token_request import TokenRequest

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenServer(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server, told how clients authenticate and how answers are written."""

    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self.provider = provider

    def respond(self, request: TokenRequest) -> Response:
        """The answer to a token request."""
        try:
            response: Response = self.create_token_response(request)
        except OAuth2Error as error:  # there is no such grant
            response = self.handle_response(*error())
        return response

    def get_token_grant(self, request: TokenRequest) -> Any:
        """The grant asked for; Authlib's own error for none would repeat what was sent."""
        if "grant_type" not in request.form:
            raise InvalidRequestError("grant_type is missing")
        for grant in GRANTS:
            if request.form["grant_type"] == grant.GRANT_TYPE:
                return grant(request, self)
        raise OAuth2Error("this grant_type is not supported", error="unsupported_grant_type")

    def create_oauth2_request(self, request: TokenRequest) -> TokenRequest:
        return request

    def query_client(self, client_id: str) -> Client | None:
        return self.provider.clients.get(client_id)

    def authenticate_client(
        self, request: TokenRequest, methods: list[str], endpoint: str = "token"
    ) -> Client:
        now = utcnow()
        client, request.auth_method = client_auth.authenticate(
            self.provider, request.form, request.authorization, request.address, now
        )
        request.jkt = dpop.proven_key(
            self.provider, request.proof, method="POST", path=client_auth.TOKEN_ENDPOINT, now=now
        )
        if request.jkt is None and client.dpop_bound_access_tokens:
            raise InvalidRequestError("this client must send a DPoP proof (RFC 9449)")
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
