"""A valid authorization request, and changes of it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest

from idp.login.interactions import InteractionOver
from idp.oidc.authorization import authorize
from idp.oidc.authorization.authorize import (
    AuthorizationError,
    AuthorizationRequest,
    Pushed,
    RequestContext,
)
from idp.oidc.authorization.parameters import RequestError
from idp.oidc.authorization.requested_login import Hint
from idp.oidc.clients.client import Client
from idp.tokens import s256_challenge
from tests.factories import NOON, make_client

ISSUER = "https://login.example.se"
ANNA = UUID("11111111-1111-4111-8111-111111111111")
ACR = f"{ISSUER}/acr/password"
LOA3 = "urn:acr:loa3"
VALID = {
    "client_id": "portal",
    "redirect_uri": "https://portal.example.se/cb",
    "response_type": "code",
    "scope": "openid profile email",
    "state": "the-state",
    "nonce": "the-nonce",
    "code_challenge": s256_challenge("v" * 43),
    "code_challenge_method": "S256",
}
PUSHED_URI = f"{authorize.PUSHED_URN}one"
HINTS = {
    "annas": Hint(str(ANNA), ANNA),
    "nobodys": Hint(str(ANNA), ANNA, active=False),
    "forgotten": Hint("pairwise-anna", None),
}


def client(**changes: Any) -> Client:
    return Client.model_validate({"client_id": "portal", **make_client(**changes)})


def read_hint(token: str, _client: Client) -> Hint:
    if token not in HINTS:
        raise ValueError("not one of ours")
    return HINTS[token]


def open_request(text: str, _client: Client) -> Mapping[str, str]:
    """Request objects here are their parameters, urlencoded."""
    if text == "broken":
        raise RequestError("invalid_request_object", "the request object is broken")
    return dict(parse_qsl(text))


def find_pushed(request_uri: str, _client: Client) -> Pushed:
    if request_uri != PUSHED_URI:
        raise InteractionOver("expired")
    return Pushed("the-hash", VALID)


def context(known: Client | None = None) -> RequestContext:
    clients: Mapping[str, Client] = {"portal": known or client()}
    return RequestContext(
        find_client=clients.get,
        acrs={"password": ACR, "bankid": LOA3},
        read_hint=read_hint,
        open_request=open_request,
        find_pushed=find_pushed,
        now=NOON,
    )


def parse(
    *extra: tuple[str, str], known: Client | None = None, **changes: str | None
) -> AuthorizationRequest:
    sent = {name: value for name, value in {**VALID, **changes}.items() if value is not None}
    return authorize.parse([*sent.items(), *extra], context(known))


def refused(
    *extra: tuple[str, str], known: Client | None = None, **changes: str | None
) -> AuthorizationError:
    with pytest.raises(AuthorizationError) as caught:
        parse(*extra, known=known, **changes)
    return caught.value
