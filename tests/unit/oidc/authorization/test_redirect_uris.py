"""Errors leave only for a registered redirect URI, and responses are added to it."""

import pytest

from idp.oidc.authorization import decision
from idp.oidc.authorization.authorize import (
    AuthorizationError,
    BadAuthorizationRequest,
    BadRedirectUri,
    UnknownClient,
)
from tests.unit.oidc.authorization.valid_request import ISSUER, client, parse


@pytest.mark.parametrize(
    ("changes", "extra", "kind"),
    [
        ({"client_id": None}, (), BadAuthorizationRequest),
        ({"client_id": ""}, (), BadAuthorizationRequest),
        ({}, (("client_id", "portal"),), BadAuthorizationRequest),
        ({"client_id": "nobody"}, (), UnknownClient),
        ({"client_id": "Portal"}, (), UnknownClient),
        ({"client_id": "portal\x00"}, (), UnknownClient),
        ({"redirect_uri": None}, (), BadRedirectUri),
        ({"redirect_uri": ""}, (), BadRedirectUri),
        ({}, (("redirect_uri", "https://portal.example.se/cb"),), BadRedirectUri),
        ({}, (("redirect_uri", "https://evil.example/"),), BadRedirectUri),
    ],
)
def test_errors_before_client_and_redirect_uri_hold_are_not_redirected(
    changes: dict[str, str | None], extra: tuple[tuple[str, str], ...], kind: type[Exception]
) -> None:
    # response_type is wrong too: the order of checks decides
    with pytest.raises(kind):
        parse(*extra, **changes, response_type="token")


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://portal.example.se/cb/",
        "https://portal.example.se/CB",
        "https://PORTAL.example.se/cb",
        "HTTPS://portal.example.se/cb",
        "http://portal.example.se/cb",
        "https://portal.example.se:443/cb",
        "https://portal.example.se:8443/cb",
        "https://portal.example.se/cb?next=1",
        "https://portal.example.se/cb?",
        "https://portal.example.se/cb#",
        "https://portal.example.se/cb#fragment",
        "https://portal.example.se/cb%2F..",
        "https://portal.example.se/a/../cb",
        "https://portal.example.se/%63b",
        "https://portal%2Eexample.se/cb",
        "https://portal.example.se@evil.example/cb",
        "https://user@portal.example.se/cb",
        "https://portal.example.se.evil.example/cb",
        "https://evil.example/https://portal.example.se/cb",
        "https://evil.example\\@portal.example.se/cb",
        " https://portal.example.se/cb",
        "https://portal.example.se/cb ",
        "https://portal.example.se/cb\x00",
        "//portal.example.se/cb",
        "/cb",
        "javascript:alert(1)",
        "https://portal.example.se/c",
    ],
)
def test_the_redirect_uri_is_compared_byte_for_byte(redirect_uri: str) -> None:
    with pytest.raises(BadRedirectUri):
        parse(redirect_uri=redirect_uri)


NATIVE = {
    "application_type": "native",
    "redirect_uris": ["http://127.0.0.1/cb", "http://[::1]/cb", "com.example.app:/cb"],
    "token_endpoint_auth_method": "none",
    "client_secrets": None,
}


@pytest.mark.parametrize(
    "redirect_uri",
    ["http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", "http://[::1]:1/cb", "com.example.app:/cb"],
)
def test_a_native_client_picks_its_loopback_port(redirect_uri: str) -> None:
    assert parse(known=client(**NATIVE), redirect_uri=redirect_uri).to.redirect_uri == redirect_uri


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://127.0.0.1:49152/other",
        "http://127.0.0.1:49152/cb?x=1",
        "https://127.0.0.1:49152/cb",
        "http://localhost:49152/cb",
        "http://127.0.0.2:49152/cb",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:80@evil.example/cb",
        "http://127.0.0.1.evil.example:80/cb",
        "com.example.app:/cb2",
        "com.example.app://cb",
    ],
)
def test_a_native_client_varies_nothing_but_that_port(redirect_uri: str) -> None:
    with pytest.raises(BadRedirectUri):
        parse(known=client(**NATIVE), redirect_uri=redirect_uri)


def test_a_web_client_on_loopback_has_a_fixed_port() -> None:
    web = client(redirect_uris=["http://127.0.0.1:8001/cb"])
    assert parse(known=web, redirect_uri="http://127.0.0.1:8001/cb").client is web
    with pytest.raises(BadRedirectUri):
        parse(known=web, redirect_uri="http://127.0.0.1:8002/cb")


def test_responses_carry_state_and_issuer() -> None:
    to = parse().to
    assert decision.success_parameters(to, "the-code", ISSUER) == [
        ("code", "the-code"),
        ("state", "the-state"),
        ("iss", ISSUER),
    ]
    error = AuthorizationError(to, "access_denied", "no")
    assert decision.error_parameters(error, ISSUER) == [
        ("error", "access_denied"),
        ("error_description", "no"),
        ("state", "the-state"),
        ("iss", ISSUER),
    ]
    assert decision.success_parameters(parse(state=None).to, "c", ISSUER) == [("code", "c"), ("iss", ISSUER)]


@pytest.mark.parametrize(
    ("redirect_uri", "url"),
    [
        ("https://a.se/cb", "https://a.se/cb?state=%C3%A5+%26%22%27%3C"),
        ("https://a.se/cb?x=1", "https://a.se/cb?x=1&state=%C3%A5+%26%22%27%3C"),
        ("com.example.app:/cb", "com.example.app:/cb?state=%C3%A5+%26%22%27%3C"),
    ],
)
def test_the_response_is_added_to_the_redirect_uri(redirect_uri: str, url: str) -> None:
    assert decision.response_url(redirect_uri, [("state", "å &\"'<")]) == url
