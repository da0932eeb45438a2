"""A relying app that uses the token endpoint again and again: refresh, introspection, its own tokens, PAR."""

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from bench.visitor import FlowError, Visitor, ok, s256
from bench.wire import Answer

CLIENT_ID = "bench-service"  # of the relying app that may do all this
SCOPE = "openid profile email offline_access"


class ServiceVisitor(Visitor):
    """Somebody's tokens in the hands of that app."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.provider = replace(self.provider, client=replace(self.provider.client, client_id=CLIENT_ID))
        self.scope = SCOPE

    async def refresh(self) -> None:
        """New tokens for the refresh token (RFC 6749 §6)."""
        answer = await self._ask(
            "token_endpoint", grant_type="refresh_token", refresh_token=self.refresh_token
        )
        tokens = ok(answer).json()
        if not tokens["access_token"] or tokens["access_token"] == self.access_token:
            raise FlowError("refresh: no new access token")
        self.access_token = tokens["access_token"]
        self.refresh_token = tokens.get("refresh_token", self.refresh_token)

    async def introspect(self) -> None:
        """What the refresh token is (RFC 7662): it outlives any run, an access token need not."""
        if (
            ok(await self._ask("introspection_endpoint", token=self.refresh_token)).json()["active"]
            is not True
        ):
            raise FlowError("introspection: not active")

    async def get_own_token(self) -> None:
        """An access token of the app's own (RFC 6749 §4.4)."""
        if not ok(await self._ask("token_endpoint", grant_type="client_credentials")).json()["access_token"]:
            raise FlowError("client_credentials: no access token")

    async def push(self) -> None:
        """A pushed authorization request (RFC 9126 §2)."""
        answer = await self._ask(
            "pushed_authorization_request_endpoint",
            response_type="code",
            client_id=CLIENT_ID,
            redirect_uri=self.provider.client.redirect_uri,
            scope=SCOPE,
            state="s",
            nonce="n",
            code_challenge=s256("v" * 43),
            code_challenge_method="S256",
        )
        if answer.status != 201 or not answer.json()["request_uri"]:
            raise FlowError(f"PAR: {answer.status}")

    async def _ask(self, endpoint: str, **form: str) -> Answer:
        client = self.provider.client
        pair = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
        headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        return await self.browser.post(self.provider.metadata[endpoint], form, headers)
