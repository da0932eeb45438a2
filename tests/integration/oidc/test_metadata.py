"""Discovery describes the provider exactly and is readable for browser apps (OIDC Discovery 1.0 §4)."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.oidc.authorization import requested_login
from idp.oidc.claims import NUMBER_SCOPE, SCOPE_CLAIMS
from tests.factories import make_client
from tests.fakes.relying_party import HTTPS, RelyingParty

ISSUER = "https://login.example.se"
OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
ORIGIN = {"Origin": "https://spa.example.se"}
on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    every = {
        "scope": " ".join(name for name in SCOPE_CLAIMS if name != NUMBER_SCOPE),
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
    }
    return {
        "portal": make_client(**every),
        "post": make_client(token_endpoint_auth_method="client_secret_post"),
    }


@pytest.fixture
def facts(browser: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = browser.get(OPENID, **HTTPS).get_json()
    return found


@on_sqlite_only
def test_the_openid_and_oauth_documents_are_the_same(browser: FlaskClient) -> None:
    first, second = browser.get(OPENID, **HTTPS), browser.get(OAUTH, **HTTPS)
    assert first.status_code == second.status_code == 200
    assert first.data == second.data
    assert first.content_type == "application/json"
    assert first.headers["Cache-Control"].startswith("public, max-age=")


@on_sqlite_only
def test_the_document_holds_what_discovery_requires(facts: dict[str, Any]) -> None:
    assert facts["issuer"] == ISSUER
    for required in (
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "response_types_supported",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
    ):
        assert facts[required]
    assert "RS256" in facts["id_token_signing_alg_values_supported"]
    assert "none" not in facts["id_token_signing_alg_values_supported"]
    assert facts["authorization_response_iss_parameter_supported"] is True
    assert facts["code_challenge_methods_supported"] == ["S256"]
    assert facts["request_parameter_supported"] is True
    assert facts["https://id.oidc.se/disco/authnProviderSupported"] is True
    for flow in ("back", "front"):
        assert facts[f"{flow}channel_logout_supported"] is True
        assert facts[f"{flow}channel_logout_session_supported"] is True
    # what is true by default must be denied when it is not so (Discovery §3)
    assert facts["request_uri_parameter_supported"] is False
    assert facts["grant_types_supported"] == ["authorization_code", "refresh_token", "client_credentials"]
    assert facts["response_modes_supported"] == ["query", "form_post"]


@on_sqlite_only
def test_every_advertised_endpoint_answers(facts: dict[str, Any], browser: FlaskClient) -> None:
    endpoints = {name: value for name, value in facts.items() if name.endswith(("_endpoint", "jwks_uri"))}
    assert set(endpoints) == {
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "jwks_uri",
        "end_session_endpoint",
        "pushed_authorization_request_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
    }
    for url in endpoints.values():
        assert url.startswith(f"{ISSUER}/")
        assert browser.options(url.removeprefix(ISSUER), **HTTPS).status_code == 200
        assert browser.get(url.removeprefix(ISSUER), **HTTPS).status_code != 404
    with_public = facts["token_endpoint_auth_methods_supported"]
    assert facts["revocation_endpoint_auth_methods_supported"] == with_public
    confidential = [method for method in with_public if method != "none"]
    assert facts["introspection_endpoint_auth_methods_supported"] == confidential


def test_every_advertised_fact_holds(facts: dict[str, Any], rp: RelyingParty, app: Flask, anna: str) -> None:
    for mode in facts["response_modes_supported"]:
        assert rp.log_in(response_mode=mode).status_code in (200, 303)
    for prompt in facts["prompt_values_supported"]:
        assert rp.authorize(prompt=prompt).headers["Location"].find("error=invalid_request") == -1
    for acr in facts["acr_values_supported"]:
        assert "code" in rp.answer(rp.authorize(acr_values=acr, prompt="none"))
    for scope in facts["scopes_supported"]:
        assert rp.tokens(scope=f"openid {scope}").body["scope"].split()[-1] == scope
    for locale in facts["ui_locales_supported"]:
        page = rp.follow(RelyingParty(app, app.test_client()).authorize(ui_locales=locale))
        assert f'<html lang="{locale}">' in page.text
    post = RelyingParty(app, rp.browser, "post")
    answer = post.exchange(post.code(), basic=None, client_id="post", client_secret=post.secret)
    assert answer.status == 200
    for endpoint in ("token", "introspection", "revocation"):  # RFC 8414 §2: required with private_key_jwt
        signing_algs = facts[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert signing_algs == ["RS256", "PS256", "ES256", "EdDSA"]
    assert set(facts["token_endpoint_auth_methods_supported"]) == {
        "private_key_jwt",
        "client_secret_basic",
        "client_secret_post",
        "none",
    }
    jwks = rp.browser.get("/jwks", **HTTPS).get_json()
    assert set(facts["id_token_signing_alg_values_supported"]) <= {key["alg"] for key in jwks["keys"]}


@on_sqlite_only
def test_features_not_advertised_are_refused(facts: dict[str, Any], rp: RelyingParty) -> None:
    assert facts["response_types_supported"] == ["code"]
    for alg in ("none", "HS256"):
        assert alg not in facts["request_object_signing_alg_values_supported"]
    assert facts["https://id.oidc.se/disco/userMessageSupported"] is False  # no method here shows any
    assert rp.answer(rp.authorize(request_uri="urn:x"))["error"] == "request_uri_not_supported"
    assert set(facts["prompt_values_supported"]) == set(requested_login.PROMPTS)
    assert facts["display_values_supported"] == ["page"]
    assert set(facts["scopes_supported"]) == set(SCOPE_CLAIMS) - {NUMBER_SCOPE}  # only where BankID is on
    released = {claim for scope in facts["scopes_supported"] for claim in SCOPE_CLAIMS[scope]}
    assert released - {"birthdate"} <= set(facts["claims_supported"])  # of a personal number, as that scope
    assert "request_object_encryption_alg_values_supported" not in facts  # there is no key to encrypt to
    for answer in ("id_token", "userinfo"):
        algs = facts[f"{answer}_encryption_alg_values_supported"]
        assert algs == ["RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW"]
        encs = facts[f"{answer}_encryption_enc_values_supported"]
        assert encs == ["A128CBC-HS256", "A128GCM", "A256GCM"]
    assert facts["userinfo_signing_alg_values_supported"] == facts["id_token_signing_alg_values_supported"]
    for absent in ("registration_endpoint",):
        assert absent not in facts


@on_sqlite_only
def test_the_issuer_is_the_configured_one_whatever_the_request_says(
    browser: FlaskClient, rp: RelyingParty, subtests: pytest.Subtests
) -> None:
    plain = browser.get(OPENID, **HTTPS).data
    for name, value in (
        ("Host", "evil.example"),
        ("Host", "login.example.se:8443"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "host=evil.example;proto=http"),
        ("X-Original-URL", "/evil"),
    ):
        with subtests.test(f"{name}: {value}"):
            headers = {name: value}
            assert browser.get(OPENID, headers=headers, **HTTPS).data == plain
            query = {**rp.parameters(prompt="none")}
            answer = browser.get("/authorize", query_string=query, headers=headers, **HTTPS)
            assert rp.answer(answer)["iss"] == ISSUER
            for path in ("/login", "//login", "/login/", "/login//x", "/static//style.css", "/authorize/"):
                raw = {"PATH_INFO": path}  # a doubled slash as it would come over the wire
                moved = browser.get("/", environ_overrides=raw, headers=headers, **HTTPS)
                assert "evil" not in moved.headers.get("Location", "")
                assert "evil" not in moved.text
    assert json.loads(plain)["issuer"] == ISSUER


@on_sqlite_only
def test_the_key_set_holds_public_halves_alone(browser: FlaskClient) -> None:
    answer = browser.get("/jwks", **HTTPS)
    assert answer.headers["Cache-Control"].startswith("public, max-age=")
    keys = answer.get_json()["keys"]
    assert {key["alg"] for key in keys} == {"RS256", "ES256"}
    for key in keys:
        assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
        assert {"kid", "use", "alg", "kty"} <= key.keys()
        assert key["use"] == "sig"
    assert len({key["kid"] for key in keys}) == len(keys)


@on_sqlite_only
def test_browser_apps_may_read_what_is_listed(browser: FlaskClient, subtests: pytest.Subtests) -> None:
    for path in (OPENID, OAUTH, "/jwks", "/token", "/userinfo", "/revoke"):
        with subtests.test(path):
            method = "POST" if path in ("/token", "/revoke") else "GET"
            answer = browser.open(path, method=method, headers=ORIGIN, **HTTPS)
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in answer.headers
            asking = {
                **ORIGIN,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "authorization",
            }
            preflight = browser.options(path, headers=asking, **HTTPS)
            assert preflight.status_code == 200
            assert preflight.headers["Access-Control-Allow-Origin"] == "*"
            assert method in preflight.headers["Access-Control-Allow-Methods"].split(", ")
            assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"].split(", ")
            assert int(preflight.headers["Access-Control-Max-Age"]) > 0
            assert "Access-Control-Allow-Credentials" not in preflight.headers
    refused = browser.get("/userinfo", headers=ORIGIN, **HTTPS)
    assert "WWW-Authenticate" in refused.headers["Access-Control-Expose-Headers"]


@on_sqlite_only
def test_the_document_holds_nothing_else(browser: FlaskClient) -> None:
    asking = {**ORIGIN, "Access-Control-Request-Method": "GET"}
    pages = ("/authorize", "/end_session", "/login", "/logout", "/account", "/nowhere")
    for path in (*pages, "/healthz", "/introspect"):
        for answer in (
            browser.get(path, headers=ORIGIN, **HTTPS),
            browser.options(path, headers=asking, **HTTPS),
        ):
            assert not [name for name in answer.headers.keys() if name.startswith("Access-Control")]  # noqa: SIM118


@on_sqlite_only
def test_only_get_reads_the_documents(browser: FlaskClient) -> None:
    for path in (OPENID, OAUTH, "/jwks"):
        answer = browser.post(path, **HTTPS)
        assert answer.status_code == 405
        assert "GET" in answer.headers["Allow"]
        assert answer.get_json()["error"] == "invalid_request"
