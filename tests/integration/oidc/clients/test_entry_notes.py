"""The log names the field of clients.yaml that a refused request would need changed."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from joserfc.jwk import ECKey
from structlog.testing import capture_logs

from tests.factories import SECRET, make_client, make_public_client
from tests.fakes.relying_party import HTTPS, RelyingParty

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
KEY = ECKey.generate_key("P-256", {"kid": "app-1", "alg": "ES256"}, auto_kid=False)
JWKS = {"keys": [KEY.as_dict(private=False)]}
ENTRIES: dict[str, dict[str, Any]] = {
    "portal": {},
    "pushing": {"require_pushed_authorization_requests": True},
    "signing": {"require_signed_request_object": True, "jwks": JWKS, "request_object_signing_alg": "ES256"},
    "service": {"grant_types": ["client_credentials"]},
    "bound": {"grant_types": ["authorization_code", "client_credentials"], "dpop_bound_access_tokens": True},
    "closed": {"companies": ["Annat AB"]},
    "expired": {"client_secrets": [{"sha256": "5f2b" + "0123456789ab" * 5, "not_after": "2026-01-01"}]},
}
REFUSALS: dict[str, tuple[str, Callable[[RelyingParty], Any], str]] = {
    "scope": (
        "portal",
        lambda rp: rp.authorize(scope="openid offline_access"),
        "clients.portal.scope: openid profile email phone, received offline_access",
    ),
    "no PKCE": (
        "portal",
        lambda rp: rp.authorize(code_challenge=None, code_challenge_method=None),
        "clients.portal.require_pkce: true",
    ),
    "another login method": (
        "portal",
        lambda rp: rp.authorize(**{"https://id.oidc.se/param/authnProvider": "bankid"}),
        'clients.portal.login_methods: ["password"], received bankid',
    ),
    "an acr that nothing reaches": (
        "portal",
        lambda rp: rp.authorize(
            claims=json.dumps({"id_token": {"acr": {"essential": True, "value": "urn:x"}}})
        ),
        'clients.portal.login_methods: ["password"], received ["urn:x"]',
    ),
    "not pushed": (
        "pushing",
        lambda rp: rp.authorize(),
        "clients.pushing.require_pushed_authorization_requests: true",
    ),
    "pushed for another scope": (
        "portal",
        lambda rp: rp.post("/par", rp.parameters(scope="openid offline_access")),
        "clients.portal.scope: openid profile email phone, received offline_access",
    ),
    "not signed": (
        "signing",
        lambda rp: rp.authorize(),
        "clients.signing.require_signed_request_object: true",
    ),
    "signed by another alg": (
        "signing",
        lambda rp: rp.authorize(request="eyJhbGciOiJSUzI1NiJ9.e30.AAAA"),
        "clients.signing.request_object_signing_alg: ES256",
    ),
    "signed by another key": (
        "signing",
        lambda rp: rp.authorize(request="eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.e30.AAAA"),
        'clients.signing.jwks: kids ["app-1"]',
    ),
    "no logins for it": (
        "service",
        lambda rp: rp.authorize(),
        'clients.service.grant_types: ["client_credentials"], received authorization_code',
    ),
    "people of another company": (
        "closed",
        lambda rp: rp.log_in(),
        'clients.closed.companies: ["Annat AB"], received Exempel AB',
    ),
    "another grant": (
        "portal",
        lambda rp: rp.client_token(),
        'clients.portal.grant_types: ["authorization_code"], received client_credentials',
    ),
    "no verifier": (
        "portal",
        lambda rp: rp.exchange(rp.code(), code_verifier=None),
        "clients.portal.require_pkce: true",
    ),
    "no proof": (
        "bound",
        lambda rp: rp.client_token(),
        "clients.bound.dpop_bound_access_tokens: true",
    ),
    "another authentication": (
        "portal",
        lambda rp: rp.client_token(basic=None, client_id="portal", client_secret=SECRET),
        "clients.portal.token_endpoint_auth_method: client_secret_basic, received client_secret_post",
    ),
    "another secret": (
        "portal",
        lambda rp: rp.client_token(basic=("portal", "x")),
        "clients.portal.client_secrets: 1 registered",
    ),
    "an expired secret": (
        "expired",
        lambda rp: rp.client_token(),
        "clients.expired.client_secrets: 1 registered, not_after 2026-01-01",
    ),
    "introspection by a public client": (
        "spa",
        lambda rp: rp.post("/introspect", {"token": "x"}, basic=None, client_id="spa"),
        "clients.spa.token_endpoint_auth_method: none",
    ),
    "an address to go to after the logout": (
        "portal",
        lambda rp: rp.browser.get(
            "/end_session?client_id=portal&post_logout_redirect_uri=https://portal.example.se/x", **HTTPS
        ),
        'clients.portal.post_logout_redirect_uris: ["https://portal.example.se/"],'
        " received https://portal.example.se/x",
    ),
}


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    confidential = {
        name: make_client(redirect_uris=[f"https://{name}.example.se/cb"], **entry)
        for name, entry in ENTRIES.items()
    }
    return {**confidential, "spa": make_public_client(redirect_uris=["https://spa.example.se/cb"])}


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_names_the_field_of_the_entry(app: Flask, case: str) -> None:
    client_id, refuse, words = REFUSALS[case]
    rp = RelyingParty(app, app.test_client(), client_id, f"https://{client_id}.example.se/cb")
    with capture_logs() as lines:
        refuse(rp)
    found = [line for line in lines if line.get("entry")]
    assert [(line["client_id"], line["entry"]) for line in found] == [(client_id, words)]
    assert SECRET not in str(lines)


def test_a_clients_parameters_cannot_forge_a_note(app: Flask) -> None:
    rp = RelyingParty(app, app.test_client())
    with capture_logs() as lines:
        rp.authorize(**{"https://id.oidc.se/param/authnProvider": "x" * 400})
    assert len(str(lines[-1]["entry"])) < 400


@pytest.mark.usefixtures("anna")
def test_a_request_that_holds_has_no_note(app: Flask) -> None:
    rp = RelyingParty(app, app.test_client())
    with capture_logs() as lines:
        assert rp.tokens().status == 200
    assert not [line for line in lines if line.get("entry")]
