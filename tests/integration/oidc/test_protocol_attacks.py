"""Valid requests with one thing turned against the protocol get an attacker nowhere (RFC 9700 §4)."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from joserfc.jwk import RSAKey
from werkzeug.test import TestResponse

from idp.clock import utcnow
from idp.oidc.provider import PROVIDER
from idp.users import accounts
from tests.conftest import ISSUER
from tests.factories import PASSWORD, make_client, make_public_client
from tests.fakes import assertions, request_objects
from tests.fakes.relying_party import HTTPS, RelyingParty

SCOPE = "openid email offline_access"
GRANTS = ["authorization_code", "refresh_token", "client_credentials"]
LOOPBACK = "http://127.0.0.1/cb"
URN = "urn:ietf:params:oauth:request_uri:"

on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    common: dict[str, Any] = {"scope": "openid profile email offline_access", "grant_types": GRANTS}
    return {
        "portal": make_client(jwks=request_objects.JWKS, **common),
        "jwt": make_client(access_token_format="jwt", redirect_uris=["https://jwt.example.se/cb"], **common),
        "signer": make_client(
            token_endpoint_auth_method="private_key_jwt", client_secrets=None, jwks=assertions.public("ES256")
        ),
        "native": make_public_client(application_type="native", redirect_uris=[LOOPBACK]),
    }


def signed(rp: RelyingParty, **changes: Any) -> str:
    """A valid request object; a change to None leaves a member out."""
    facts = {"iss": rp.client_id, "aud": ISSUER, **rp.parameters(), **changes}
    return request_objects.sign({name: value for name, value in facts.items() if value is not None})


def arrive(rp: RelyingParty, request: str) -> TestResponse:
    return rp.browser.get("/authorize", query_string={"client_id": rp.client_id, "request": request}, **HTTPS)


# One kind of token for another


@pytest.fixture
def kinds(app: Flask, rp: RelyingParty, anna: str) -> dict[str, str]:
    """One of everything that the provider hands out, all of it good for something."""
    jwt = RelyingParty(app, rp.browser, "jwt", "https://jwt.example.se/cb")
    tokens = rp.tokens(scope=SCOPE)
    return {
        "access token": tokens.access_token,
        "access token in JWT format": jwt.tokens(scope=SCOPE).access_token,
        "refresh token": tokens.refresh_token,
        "ID token": tokens.id_token,
        "code": rp.code(scope=SCOPE),
        "client's own token": rp.client_token().access_token,
        "request_uri": rp.post("/par", rp.parameters()).get_json()["request_uri"],
    }


def test_a_token_is_good_for_what_it_is_and_for_nothing_else(
    rp: RelyingParty, kinds: dict[str, str], subtests: pytest.Subtests
) -> None:
    for kind, token in kinds.items():
        uses = {
            "opens userinfo": rp.userinfo(token).status_code == 200,
            "is introspected": rp.introspect(token).get_json()["active"],
            "is refreshed": rp.refresh(token).status == 200,
            "authenticates": rp.exchange("x" * 43, **assertions.form(token)).error != "invalid_client",
            "hints": rp.answer(rp.authorize(prompt="none", id_token_hint=token)).get("error") is None,
            "is a request": "code" in rp.answer(rp.authorize(request=token)),
            "is a request_uri": rp.authorize(request_uri=URN + token.removeprefix(URN)).status_code != 400,
            "is exchanged": rp.exchange(token).status == 200,
        }
        expected = {
            "access token": {"opens userinfo", "is introspected"},
            "access token in JWT format": {"opens userinfo"},  # introspected by its own client alone
            "refresh token": {"is introspected", "is refreshed"},
            "ID token": {"hints"},
            "code": {"is exchanged"},
            "client's own token": {"is introspected"},
            "request_uri": {"is a request_uri"},
        }
        with subtests.test(kind):
            assert {use for use, works in uses.items() if works} == expected[kind]


@on_sqlite_only
def test_an_assertion_and_a_request_object_do_not_pass_for_each_other(
    app: Flask, rp: RelyingParty, browser: FlaskClient
) -> None:
    signer = RelyingParty(app, browser, "signer", secret=None)
    valid = assertions.claims("signer")
    found = signer.exchange("x" * 43, **assertions.form(assertions.sign(valid)))
    assert found.error == "invalid_grant", "it authenticates: only the code is wrong"
    request = assertions.sign({**assertions.claims("signer", sub=None), **signer.parameters()})
    assert arrive(signer, request).headers["Location"].startswith("/login/")
    assert signer.exchange("x" * 43, **assertions.form(request)).error == "invalid_client"
    both = assertions.sign({**assertions.claims("signer"), **signer.parameters()})
    assert (arrive(signer, both).status_code, arrive(signer, request).status_code) == (400, 303)


@on_sqlite_only
def test_a_request_object_signed_by_another_client_is_refused(app: Flask, rp: RelyingParty) -> None:
    changes: dict[str, Any]
    for changes in ({"iss": "signer"}, {"client_id": "signer"}, {"aud": "https://other.example"}):
        answer = arrive(rp, signed(rp, **changes))
        assert "Location" not in answer.headers or not answer.headers["Location"].startswith("/login/")
    stranger = RSAKey.generate_key(2048, {"kid": "rsa"})
    facts = {"iss": "portal", "aud": ISSUER, **rp.parameters()}
    forged = request_objects.sign(facts, alg="RS256", key=stranger)
    assert "/login/" not in arrive(rp, forged).headers.get("Location", "")
    assert "/login/" in arrive(rp, request_objects.sign(facts, alg="RS256")).headers["Location"]


# Redirects


@on_sqlite_only
def test_a_native_clients_redirect_varies_in_its_port_and_in_nothing_else(
    app: Flask, browser: FlaskClient, subtests: pytest.Subtests
) -> None:
    native = RelyingParty(app, browser, "native", LOOPBACK, None)
    for uri in (LOOPBACK, "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb"):
        assert native.authorize(redirect_uri=uri, scope="openid").status_code == 303
    for uri in (
        *("http://localhost/cb", "http://[::1]/cb", "http://127.0.0.2/cb", "http://127.1/cb"),
        *("http://2130706433/cb", "http://127.0.0.1./cb", "https://127.0.0.1/cb", "HTTP://127.0.0.1/cb"),
        *("http://127.0.0.1:65536/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:+1/cb"),
        *(
            "http://127.0.0.1:１/cb",
            "http://127.0.0.1:1@evil.example/cb",
            "http://127.0.0.1:1.evil.example/cb",
        ),
        *(
            "http://127.0.0.1/./cb",
            "http://127.0.0.1/x/../cb",
            "http://127.0.0.1//cb",
            "http://127.0.0.1/cb/",
        ),
        *("http://127.0.0.1/%63b", "http://127.0.0.1/cb?", "http://127.0.0.1/cb?a=b", "http://127.0.0.1/cb#"),
        *("http://127.0.0.1/cb\n", " http://127.0.0.1/cb", "http://127.0.0.1\\@evil.example/cb"),
    ):
        with subtests.test(uri):
            answer = native.authorize(redirect_uri=uri, scope="openid")
            assert answer.status_code == 400
            assert "Location" not in answer.headers


@on_sqlite_only
def test_an_answer_goes_by_query_or_form_and_in_no_other_way(
    rp: RelyingParty, anna: str, subtests: pytest.Subtests
) -> None:
    rp.log_in()
    for mode in ("fragment", "web_message", "jwt", "query.jwt", "QUERY", "query form_post", "form_post.jwt"):
        with subtests.test(mode):
            answer = rp.answer(rp.authorize(response_mode=mode))
            assert (answer["error"], answer["iss"]) == ("invalid_request", ISSUER)


@on_sqlite_only
def test_the_issuer_is_ours_whatever_name_we_are_called_by(app: Flask, rp: RelyingParty, anna: str) -> None:
    called = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "host=evil.example;proto=http",
    }
    client = app.test_client()
    discovery = client.get("/.well-known/openid-configuration", headers=called)
    assert discovery.get_json()["issuer"] == ISSUER
    for response in (
        discovery,
        client.get("/authorize", query_string=rp.parameters(), headers=called),
        client.post("/authorize", data=rp.parameters(), headers=called),
        client.get("/authorize", query_string=rp.parameters(prompt="none"), headers=called),
        client.get("/userinfo", headers=called),
        client.get("/end_session", headers=called),
        client.get("/.well-known/change-password", headers=called),
    ):
        assert "evil" not in response.text + str(response.headers)


# PKCE


@on_sqlite_only
def test_pkce_cannot_be_talked_down(rp: RelyingParty, anna: str, subtests: pytest.Subtests) -> None:
    rp.log_in()
    changes: dict[str, Any]
    for changes in (
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": "", "code_challenge_method": "S256"},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge_method": "s256"},
        {"code_challenge_method": "none"},
        {"code_challenge": "x" * 42},
        {"code_challenge": "x" * 42 + "="},
    ):
        with subtests.test(str(changes)):
            assert rp.answer(rp.authorize(**changes))["error"] == "invalid_request"


# What changes between two steps


def change(app: Flask, clients_file: Path, client_id: str, **fields: Any) -> None:
    """Change a client's entry, on the running server."""
    file = yaml.safe_load(clients_file.read_text())
    file["clients"][client_id].update(fields)
    clients_file.write_text(yaml.safe_dump(file))
    PROVIDER.of(app).clients.refresh()


ASKED = json.dumps({"userinfo": {"email": None, "name": None}, "id_token": {"email": None}})


@pytest.mark.parametrize("client_id", ["portal", "jwt"])
def test_a_scope_taken_from_a_client_is_taken_from_what_it_was_granted_too(
    app: Flask, browser: FlaskClient, anna: str, clients_file: Path, client_id: str
) -> None:
    rp = RelyingParty(app, browser, client_id, f"https://{client_id}.example.se/cb")
    tokens, code = rp.tokens(scope=SCOPE, claims=ASKED), rp.code(scope=SCOPE, claims=ASKED)
    assert {"email", "name"} <= rp.userinfo(tokens.access_token).get_json().keys()
    assert "email" in claims_of(app, rp.refresh(tokens.refresh_token).id_token)
    change(app, clients_file, client_id, scope="openid offline_access")
    for now in (rp.refresh(tokens.refresh_token), rp.exchange(code)):
        assert "email" not in claims_of(app, now.id_token)
        assert rp.userinfo(now.access_token).get_json() == {"sub": anna}
    assert rp.userinfo(tokens.access_token).get_json() == {"sub": anna}


def claims_of(app: Flask, token: str) -> dict[str, Any]:
    found: dict[str, Any] = PROVIDER.of(app).keys.verify(token, typ="JWT")
    return found


@on_sqlite_only
@pytest.mark.parametrize(
    "fields",
    [
        {"redirect_uris": ["https://portal.example.se/elsewhere"]},
        {"login_methods": ["bankid"]},
        {"companies": ["Annan AB"]},
        {"scope": "openid"},
    ],
)
def test_a_login_ends_by_what_the_entry_says_when_it_ends(
    app: Flask, rp: RelyingParty, anna: str, clients_file: Path, fields: dict[str, Any]
) -> None:
    page = rp.follow(rp.authorize())
    change(app, clients_file, "portal", **fields)
    answer = rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD))
    assert "code=" not in answer.headers.get("Location", "")
    assert answer.status_code < 500


def test_a_user_disabled_at_any_step_gets_no_further(app: Flask, rp: RelyingParty, anna: str) -> None:
    tokens, code = rp.tokens(scope=SCOPE), rp.code(scope=SCOPE)
    with app.app_context():
        accounts.disable(UUID(anna), now=utcnow())
    assert rp.exchange(code).error == "invalid_grant"
    assert rp.refresh(tokens.refresh_token).error == "invalid_grant"
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert rp.answer(rp.authorize(prompt="none"))["error"] == "login_required"
    assert rp.introspect(tokens.refresh_token).get_json() == {"active": False}


# Odd but well-formed


def test_a_pushed_request_object_needs_no_client_id_beside_it(rp: RelyingParty, anna: str) -> None:
    pushed = rp.post("/par", {"request": signed(rp)})
    assert pushed.status_code == 201, pushed.text
    answer = rp.log_in(request_uri=pushed.get_json()["request_uri"])
    assert rp.exchange(rp.answer(answer)["code"]).status == 200
    for other in ("signer", "nobody"):
        assert rp.post("/par", {"request": signed(rp), "client_id": other}).status_code in (400, 401)
    assert rp.post("/par", {"request": signed(rp, client_id="signer")}).status_code == 400
    assert rp.post("/par", {"request": signed(rp, client_id=None)}).status_code == 400
    assert rp.post("/par", rp.parameters(client_id=None)).status_code == 400


@pytest.mark.parametrize("letter", ["\ud800", "\x00", "\uffff"])
def test_letters_that_no_text_holds_are_kept_or_refused_without_harm(
    rp: RelyingParty, anna: str, letter: str, subtests: pytest.Subtests
) -> None:
    asked = {"userinfo": {letter: None}, "id_token": {"acr": {"value": letter}}}
    for claims in (asked, json.dumps(asked), json.dumps(asked, ensure_ascii=False)):
        with subtests.test(repr(claims)):
            pushed = rp.post("/par", {"client_id": "portal", "request": signed(rp, claims=claims)})
            assert pushed.status_code in (201, 400)
            assert rp.follow(arrive(rp, signed(rp, claims=claims))).status_code in (200, 303)
            if pushed.status_code == 201:
                page = rp.authorize(request_uri=pushed.get_json()["request_uri"])
                assert rp.follow(page).status_code == 200
