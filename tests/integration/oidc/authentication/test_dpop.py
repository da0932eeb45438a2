"""Tokens bound to a key are worth nothing without it (RFC 9449)."""

import json
from base64 import urlsafe_b64decode
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from idp.db import db
from idp.oidc.authentication import dpop
from idp.oidc.models import AccessToken
from tests.factories import make_client, make_public_client
from tests.fakes.proofs import JKT, claims, proof, sign, with_token
from tests.fakes.relying_party import HTTPS, RelyingParty, Tokens, basic_value

on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
OFFLINE = "openid profile email offline_access"
GRANTS = ["authorization_code", "refresh_token"]


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    offline: dict[str, Any] = {"scope": OFFLINE, "grant_types": GRANTS}
    return {
        "portal": make_client(**offline | {"grant_types": [*GRANTS, "client_credentials"]}),
        "jwt": make_client(access_token_format="jwt", redirect_uris=["https://jwt.example.se/cb"]),
        "strict": make_client(dpop_bound_access_tokens=True, redirect_uris=["https://strict.example.se/cb"]),
        "spa": make_public_client(**offline, redirect_uris=["https://spa.example.se/cb"]),
    }


@pytest.fixture
def spa(app: Flask) -> RelyingParty:
    return RelyingParty(app, app.test_client(), "spa", "https://spa.example.se/cb", None)


def log_in(rp: RelyingParty, **changes: Any) -> Tokens:
    """Tokens that are bound to the key for ES256."""
    answer = rp.exchange(rp.code(**{"scope": OFFLINE, **changes}), headers=proof())
    assert answer.status == 200, answer
    return answer


def ask(rp: RelyingParty, headers: dict[str, str]) -> TestResponse:
    return rp.app.test_client().get("/userinfo", headers=headers, **HTTPS)


def push(rp: RelyingParty, headers: dict[str, str], **changes: Any) -> TestResponse:
    sent = {"Authorization": "Basic " + basic_value(rp.client_id, rp.secret or ""), **headers}
    return rp.app.test_client().post("/par", data=rp.parameters(**changes), headers=sent, **HTTPS)


def arrive(rp: RelyingParty, pushed: TestResponse) -> str:
    """The code that a pushed request gives to somebody who is logged in."""
    query = {"client_id": rp.client_id, "request_uri": pushed.get_json()["request_uri"]}
    return rp.answer(rp.browser.get("/authorize", query_string=query, **HTTPS))["code"]


def test_a_bound_token_needs_its_key(rp: RelyingParty, anna: str) -> None:
    tokens = log_in(rp)
    assert tokens.body["token_type"] == "DPoP"
    answer = ask(rp, with_token(tokens.access_token))
    assert answer.get_json()["email"] == "anna@example.se"
    for refused, error in (
        (rp.userinfo(tokens.access_token), "invalid_token"),
        (ask(rp, {**proof("/userinfo"), "Authorization": f"Bearer {tokens.access_token}"}), "invalid_token"),
        (ask(rp, with_token(tokens.access_token, alg="EdDSA")), "invalid_token"),
        (ask(rp, {"Authorization": f"DPoP {tokens.access_token}"}), "invalid_dpop_proof"),
        (ask(rp, with_token(tokens.access_token, ath="x")), "invalid_dpop_proof"),
        (ask(rp, with_token(tokens.access_token, htm="POST")), "invalid_dpop_proof"),
        (
            ask(rp, with_token(tokens.access_token, htu="https://login.example.se/token")),
            "invalid_dpop_proof",
        ),
        (ask(rp, with_token(tokens.access_token, nonce="old")), "use_dpop_nonce"),
        (ask(rp, with_token("unknown")), "invalid_token"),
    ):
        assert (refused.status_code, refused.get_json()["error"]) == (401, error)
        challenge = refused.headers["WWW-Authenticate"]
        assert challenge.startswith(f'DPoP algs="{" ".join(dpop.ALGS)}", error="{error}"')
        assert refused.headers["Cache-Control"] == "no-store"


def test_an_unbound_token_is_no_bound_one(rp: RelyingParty, anna: str) -> None:
    token = rp.tokens().access_token
    assert rp.userinfo(token).status_code == 200
    assert ask(rp, with_token(token)).get_json()["error"] == "invalid_token"


@on_sqlite_only
def test_a_request_without_a_token_gets_both_challenges(rp: RelyingParty) -> None:
    challenges = ask(rp, {}).headers.getlist("WWW-Authenticate")
    assert [challenge.split()[0] for challenge in challenges] == ["Bearer", "DPoP"]


def test_a_proof_works_once(rp: RelyingParty, anna: str) -> None:
    headers = proof()
    assert rp.client_token(headers=headers).status == 200
    again = rp.client_token(headers=headers)
    assert (again.status, again.error) == (400, "invalid_dpop_proof")
    sent = with_token(log_in(rp).access_token)
    assert [ask(rp, sent).status_code for _ in range(2)] == [200, 401]


def test_one_of_many_parallel_proofs_wins(rp: RelyingParty, anna: str, database_url: str) -> None:
    workers = 1 if database_url == "sqlite://" else 4  # one memory, one connection
    headers = proof()
    with ThreadPoolExecutor(workers) as pool:
        statuses = list(pool.map(lambda _: rp.client_token(headers=headers).status, range(6)))
    assert sorted(statuses) == [200, 400, 400, 400, 400, 400]


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"DPoP": ""}, "invalid_dpop_proof"),
        ({"DPoP": "x.y.z"}, "invalid_dpop_proof"),
        (lambda: {"DPoP": f"{sign(claims())},{sign(claims())}"}, "invalid_dpop_proof"),
        (lambda: proof(htm="GET"), "invalid_dpop_proof"),
        (lambda: proof("/par"), "invalid_dpop_proof"),
        (lambda: proof(iat=1), "invalid_dpop_proof"),
        (lambda: proof(nonce="x"), "use_dpop_nonce"),
    ],
    ids=["empty", "garbage", "two", "htm", "htu", "iat", "nonce"],
)
@on_sqlite_only
def test_a_wrong_proof_costs_no_code(rp: RelyingParty, anna: str, headers: Any, error: str) -> None:
    code = rp.code()
    answer = rp.exchange(code, headers=headers() if callable(headers) else headers)
    assert (answer.status, answer.error) == (400, error)
    assert answer.body["error_description"].isascii()
    assert len(answer.headers["DPoP-Nonce"]) == 43
    assert rp.exchange(code, headers=proof()).status == 200


@on_sqlite_only
def test_the_host_header_counts_for_nothing(rp: RelyingParty) -> None:
    headers = {**proof(htu="https://evil.example/token"), "Host": "evil.example"}
    assert rp.client_token(headers=headers).error == "invalid_dpop_proof"


def test_answers_bring_the_next_nonce(rp: RelyingParty, anna: str, clock: time_machine.Traveller) -> None:
    assert "DPoP-Nonce" not in rp.client_token().headers
    given = rp.client_token(headers=proof()).headers["DPoP-Nonce"]
    assert rp.client_token(headers=proof(nonce=given)).status == 200
    clock.shift(2 * dpop.NONCE_SECONDS)
    late = rp.client_token(headers=proof(nonce=given))
    assert late.error == "use_dpop_nonce"
    assert rp.client_token(headers=proof(nonce=late.headers["DPoP-Nonce"])).status == 200
    answer = ask(rp, with_token(log_in(rp).access_token))
    assert "DPoP-Nonce" in answer.headers


def test_a_code_is_bound_by_dpop_jkt(rp: RelyingParty, anna: str) -> None:
    code = rp.code(dpop_jkt=JKT["ES256"])
    assert rp.exchange(code).error == "invalid_grant"
    assert rp.exchange(code, headers=proof(alg="EdDSA")).error == "invalid_grant"
    assert rp.exchange(code, headers=proof()).body["token_type"] == "DPoP"


@on_sqlite_only
@pytest.mark.parametrize("jkt", ["x", "A" * 42, "A" * 44, "A" * 42 + "+"])
def test_a_malformed_dpop_jkt_is_refused(rp: RelyingParty, jkt: str) -> None:
    assert rp.answer(rp.authorize(dpop_jkt=jkt))["error"] == "invalid_request"


def test_a_push_with_a_proof_binds_the_code(rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    code = arrive(rp, push(rp, proof("/par")))
    assert rp.exchange(code).error == "invalid_grant"
    assert rp.exchange(code, headers=proof(alg="EdDSA")).error == "invalid_grant"
    assert rp.exchange(code, headers=proof()).status == 200
    both = push(rp, proof("/par"), dpop_jkt=JKT["ES256"])
    assert rp.exchange(arrive(rp, both)).error == "invalid_grant"


@on_sqlite_only
def test_a_push_with_a_wrong_proof_is_refused(rp: RelyingParty) -> None:
    used = proof("/par")
    assert push(rp, used).status_code == 201
    for headers, changes in (
        (used, {}),
        (proof("/token"), {}),
        (proof("/par"), {"dpop_jkt": JKT["EdDSA"]}),
    ):
        answer = push(rp, headers, **changes)
        assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_dpop_proof")
        assert "DPoP-Nonce" in answer.headers


def test_a_public_clients_refresh_token_is_bound(spa: RelyingParty, app: Flask, anna: str) -> None:
    first = log_in(spa)
    for headers in ({}, proof(alg="EdDSA")):
        assert spa.refresh(first.refresh_token, headers=headers).error == "invalid_grant"
        with app.app_context():
            assert db.session.scalar(sa.select(sa.func.count()).select_from(AccessToken)) == 1, "the first"
    second = spa.refresh(first.refresh_token, headers=proof())
    assert second.body["token_type"] == "DPoP"
    assert ask(spa, with_token(second.access_token)).status_code == 200
    # Whoever has the old one alone neither gets the lost answer nor ends anything by it.
    assert spa.refresh(first.refresh_token).error == "invalid_grant"
    again = spa.refresh(first.refresh_token, headers=proof())
    assert again.refresh_token == second.refresh_token
    assert spa.refresh(second.refresh_token).error == "invalid_grant"
    assert spa.refresh(second.refresh_token, headers=proof()).status == 200


def test_without_the_key_an_old_refresh_token_ends_nothing(
    spa: RelyingParty, anna: str, clock: time_machine.Traveller
) -> None:
    first = log_in(spa)
    second = spa.refresh(first.refresh_token, headers=proof())
    clock.shift(60)
    assert spa.refresh(first.refresh_token).error == "invalid_grant"
    assert spa.refresh(second.refresh_token, headers=proof()).status == 200
    assert spa.refresh(first.refresh_token, headers=proof()).error == "invalid_grant"  # reused by its holder
    assert ask(spa, with_token(second.access_token)).status_code == 401


def test_a_public_client_may_begin_to_prove(spa: RelyingParty, anna: str) -> None:
    bound = spa.refresh(spa.tokens(scope=OFFLINE).refresh_token, headers=proof())
    assert bound.body["token_type"] == "DPoP"
    assert spa.refresh(bound.refresh_token).error == "invalid_grant"
    assert spa.refresh(bound.refresh_token, headers=proof()).status == 200


def test_a_confidential_clients_refresh_token_is_bound_to_the_client(rp: RelyingParty, anna: str) -> None:
    token = log_in(rp).refresh_token
    assert rp.refresh(token).body["token_type"] == "Bearer"
    other = rp.refresh(token, headers=proof(alg="EdDSA"))
    assert ask(rp, with_token(other.access_token, alg="EdDSA")).status_code == 200


def test_a_client_with_required_dpop_must_prove(app: Flask, rp: RelyingParty, anna: str) -> None:
    strict = RelyingParty(app, rp.browser, "strict", "https://strict.example.se/cb")
    code = strict.code()
    assert strict.exchange(code).error == "invalid_request"
    assert strict.exchange(code, headers=proof()).body["token_type"] == "DPoP"


def test_introspection_and_claims_of_a_bound_token(app: Flask, rp: RelyingParty, anna: str) -> None:
    told = rp.introspect(log_in(rp).access_token).get_json()
    assert (told["token_type"], told["cnf"]) == ("DPoP", {"jkt": JKT["ES256"]})
    own = rp.introspect(rp.client_token(headers=proof(alg="EdDSA")).access_token).get_json()
    assert (own["token_type"], own["cnf"]) == ("DPoP", {"jkt": JKT["EdDSA"]})
    assert "cnf" not in rp.introspect(rp.client_token().access_token).get_json()
    reader = RelyingParty(app, rp.browser, "jwt", "https://jwt.example.se/cb")
    token = log_in(reader, scope="openid").access_token
    body = token.split(".")[1]
    assert json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))["cnf"] == {"jkt": JKT["ES256"]}
    assert ask(reader, with_token(token)).status_code == 200
    assert reader.userinfo(token).status_code == 401


@on_sqlite_only
def test_dpop_in_discovery_and_for_browsers(rp: RelyingParty, anna: str) -> None:
    facts = rp.browser.get("/.well-known/openid-configuration", **HTTPS).get_json()
    assert facts["dpop_signing_alg_values_supported"] == list(dpop.ALGS)
    origin = {"Origin": "https://spa.example.se"}
    preflight = rp.browser.options("/token", headers=origin, **HTTPS)
    assert "DPoP" in preflight.headers["Access-Control-Allow-Headers"].split(", ")
    assert "DPoP-Nonce" in preflight.headers["Access-Control-Expose-Headers"].split(", ")
