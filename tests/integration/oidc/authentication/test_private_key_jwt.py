"""Clients authenticate by a signed assertion (RFC 7523 §3, OpenID Connect Core §9)."""

import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
import sqlalchemy as sa
import time_machine
from authlib.oauth2 import ClientAuth
from authlib.oauth2.rfc7523 import PrivateKeyJWT, private_key_jwt_sign
from flask import Flask
from flask.testing import FlaskClient
from joserfc.jwk import ECKey, RSAKey

from idp.audit import Event, newest
from idp.clock import utcnow
from idp.db import db
from idp.oidc import retention
from idp.oidc.models import UsedAssertion
from idp.oidc.provider import PROVIDER
from idp.tokens import base64url
from tests.factories import SECRET, make_client
from tests.fakes import assertions
from tests.fakes.assertions import ISSUER, KEYS, claims, form, public, sign
from tests.fakes.key_server import KeyServer, key_server
from tests.fakes.relying_party import HTTPS, RelyingParty

on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def make_key_client(**changes: Any) -> dict[str, Any]:
    return make_client(**{"token_endpoint_auth_method": "private_key_jwt", "client_secrets": None, **changes})


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with key_server() as server:
        yield server


@pytest.fixture
def clients(server: KeyServer) -> dict[str, dict[str, Any]]:
    return {
        "portal": make_key_client(jwks=public("RS256", "ES256", "EdDSA")),
        "pinned": make_key_client(jwks=public("RS256", kid=None), token_endpoint_auth_signing_alg="PS256"),
        "fetched": make_key_client(jwks_uri=server.http_url),
        "by-secret": make_client(),
    }


def relying_party(app: Flask, client_id: str) -> RelyingParty:
    return RelyingParty(app, app.test_client(), client_id, secret=None)


@on_sqlite_only
@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_every_announced_alg_authenticates(rp: RelyingParty, anna: str, alg: str) -> None:
    answer = rp.exchange(rp.code(), **form(sign(claims(), alg=alg)))
    assert answer.status == 200, answer
    facts = rp.browser.get("/.well-known/openid-configuration", **HTTPS).get_json()
    assert alg in facts["token_endpoint_auth_signing_alg_values_supported"]
    assert "private_key_jwt" in facts["token_endpoint_auth_methods_supported"]


@on_sqlite_only
def test_an_assertion_signed_by_authlib_authenticates(rp: RelyingParty, anna: str) -> None:
    class Assertion(PrivateKeyJWT):  # type: ignore[misc]
        """As docs/relying-apps.md shows it."""

        def sign(self, auth: Any, token_endpoint: str) -> str:
            key = auth.client_secret
            signed: str = private_key_jwt_sign(
                key, auth.client_id, token_endpoint, alg="ES256", header={"kid": key.kid}, expires_in=60
            )
            return signed

    auth = ClientAuth("portal", KEYS["ES256"], Assertion())
    _, _, body = auth.prepare("POST", f"{ISSUER}/token", {}, "")
    assert rp.exchange(rp.code(), basic=None, **dict(parse_qsl(body))).status == 200


@on_sqlite_only
def test_a_valid_assertion_authenticates(
    app: Flask, rp: RelyingParty, anna: str, subtests: pytest.Subtests
) -> None:
    now = int(utcnow().timestamp())
    pinned = relying_party(app, "pinned")
    cases: dict[str, dict[str, Any]] = {
        "the token endpoint as aud": form(sign(claims(aud=f"{ISSUER}/token"))),
        "a list of one aud": form(sign(claims(aud=[ISSUER]))),
        "two auds, both ours": form(sign(claims(aud=[ISSUER, f"{ISSUER}/token"]))),
        "the client_id beside it": form(client_id="portal"),
        "ten minutes": form(sign(claims(exp=now + 600))),
        "a fraction of a second": form(sign(claims(exp=now + 60.5))),
        "no iat": form(sign(claims(iat=None))),
        "nbf": form(sign(claims(nbf=now))),
        "clocks half a minute apart": form(sign(claims(iat=now + 30, nbf=now + 30, exp=now + 90))),
        "no typ": form(sign(claims(), header={"typ": None})),
        "the typ of RFC 7523bis": form(sign(claims(), header={"typ": "client-authentication+jwt"})),
        "no kid where one key suits": form(sign(claims(), header={"kid": None})),
        "keys in the header, which nobody looks at": form(
            sign(claims(), header={"jwk": ECKey.generate_key("P-256").as_dict(private=False)})
        ),
        "other claims": form(sign(claims(client="x", scope="openid"))),
    }
    for name, sent in cases.items():
        with subtests.test(name):
            answer = rp.exchange(rp.code(), **sent)
            assert answer.status == 200, answer
    assert pinned.exchange(pinned.code(), **form(_pinned())).status == 200


def _pinned(alg: str = "PS256") -> str:
    return sign(claims("pinned"), alg=alg, header={"kid": None})


@on_sqlite_only
def test_an_assertion_with_one_thing_wrong_is_refused_and_spends_nothing(
    clock: time_machine.Traveller, app: Flask, rp: RelyingParty, anna: str, subtests: pytest.Subtests
) -> None:
    code, now = rp.code(), int(utcnow().timestamp())
    stranger = ECKey.generate_key("P-256", {"kid": "p256"})
    own_key = {"jwk": stranger.as_dict(private=False), "jku": "https://evil.example/jwks"}
    valid = sign(claims())
    cases: dict[str, str] = {
        "another key": sign(claims(), key=stranger),
        "a key in the header": sign(claims(), key=stranger, header=own_key),
        "alg none": sign(claims(), header={"alg": "none"}).rpartition(".")[0] + ".",
        "alg none, signed": sign(claims(), header={"alg": "none"}),
        "HS256 keyed by the public key": _keyed_by_the_public_key(),
        "RS384": sign(claims(), alg="RS384", key=KEYS["RS256"]),
        "ES256 said to be RS256": sign(claims(), header={"alg": "RS256"}),
        "alg that is a list": sign(claims(), header={"alg": ["ES256"]}),
        "no alg": sign(claims(), header={"alg": None}),
        "unknown kid": sign(claims(), header={"kid": "p257"}),
        "kid of another key": sign(claims(), header={"kid": "rsa"}),
        "kid that is a number": sign(claims(), header={"kid": 1}),
        "crit": sign(claims(), header={"crit": ["exp"]}),
        "b64": sign(claims(), header={"b64": False}),
        "typ of an ID token for logout": sign(claims(), header={"typ": "logout+jwt"}),
        "typ of a request object": sign(claims(), header={"typ": "oauth-authz-req+jwt"}),
        "no iss": sign(claims(iss=None)),
        "no sub": sign(claims(sub=None)),
        "iss of another client": sign(claims(iss="pinned")),
        "sub of another client": sign(claims(sub="pinned")),
        "iss and sub of another client": sign(claims("pinned")),
        "unknown client": sign(claims("nobody")),
        "iss that is a list": sign(claims(iss=["portal"], sub=["portal"])),
        "half a surrogate as the client": sign(claims("\ud800")),
        "client of another method": sign(claims("by-secret")),
        "no aud": sign(claims(aud=None)),
        "aud of another provider": sign(claims(aud="https://login.example.com")),
        "issuer with a slash": sign(claims(aud=f"{ISSUER}/")),
        "another endpoint": sign(claims(aud=f"{ISSUER}/par")),
        "also for another provider": sign(claims(aud=[ISSUER, "https://login.example.com"])),
        "empty aud": sign(claims(aud=[])),
        "a list in the list": sign(claims(aud=[[ISSUER]])),
        "aud that is an object": sign(claims(aud={"0": ISSUER})),
        "no exp": sign(claims(exp=None)),
        "expired": sign(claims(exp=now - 60, iat=now - 120)),
        "too far ahead": sign(claims(exp=now + 661, iat=None)),
        "too long-lived": sign(claims(exp=now + 301, iat=now - 300)),
        "exp in words": sign(claims(exp=str(now + 60))),
        "exp true": sign(claims(exp=True)),
        "exp null": sign({**claims(), "exp": None}),
        "endless": sign(claims(exp=float("inf"))),
        "exp not a number": sign(claims(exp=float("nan"))),
        "exp in milliseconds": sign(claims(exp=(now + 60) * 1000)),
        "negative exp": sign(claims(exp=-1)),
        "iat of the future": sign(claims(iat=now + 61, exp=now + 120)),
        "not yet valid": sign(claims(nbf=now + 61)),
        "iat in words": sign(claims(iat="now")),
        "no jti": sign(claims(jti=None)),
        "empty jti": sign(claims(jti="")),
        "jti that is a number": sign(claims(jti=1)),
        "claims that are a list": sign([claims()]),
        "claims nested too deeply": _nested(),
        "another signature": valid.rpartition(".")[0] + "." + sign(claims()).rpartition(".")[2],
        "no signature": valid.rpartition(".")[0] + ".",
        "two parts": valid.rpartition(".")[0],
        "five parts": valid + ".x.y",
        "padding": valid + "=",
        "a space": " " + valid,
        "not ASCII": "å" + valid,
        "not JSON": "eA." + valid.partition(".")[2],
        "very long": sign(claims(filling="x" * 20_000)),
    }
    PROVIDER.of(app).limiter.hit = lambda *_: None  # the throttle has a test of its own
    for name, assertion in cases.items():
        with subtests.test(name):
            answer = rp.exchange(code, **form(assertion))
            assert (answer.status, answer.error) == (401, "invalid_client"), answer
            assert answer.body["error_description"].isascii()
    pinned = relying_party(app, "pinned").exchange(code, **form(_pinned("RS256")))
    assert (pinned.error, pinned.status) == ("invalid_client", 401)
    assert rp.exchange(code, **form()).status == 200


def _keyed_by_the_public_key() -> str:
    """HS256 with the public key's PEM as the secret, which everybody knows (RFC 8725 §2.1)."""
    signed = sign(claims(), alg="RS256", header={"alg": "HS256"}).rpartition(".")[0]
    digest = hmac.digest(KEYS["RS256"].as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64url(digest)}"


def _nested() -> str:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    text = sign(deep)
    return text[: text.index(".")] + "." + "WyJb" * 3000 + text[text.rindex(".") :]


@on_sqlite_only
def test_a_form_that_does_not_authenticate_in_exactly_one_way_is_refused(
    app: Flask, rp: RelyingParty, anna: str, subtests: pytest.Subtests
) -> None:
    code = rp.code()
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "another client_id": (form(client_id="pinned"), "invalid_request"),
        "Basic too": (form(basic=("portal", SECRET)), "invalid_request"),
        "a secret too": (form(client_secret=SECRET), "invalid_request"),
        "no type": (form(client_assertion_type=None), "invalid_request"),
        "the type of SAML": (
            form(client_assertion_type="urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
            "invalid_request",
        ),
        "the type in capitals": (form(client_assertion_type=assertions.TYPE.upper()), "invalid_request"),
        "no assertion": ({**form(), "client_assertion": None}, "invalid_request"),
        "nothing but the client_id": ({"basic": None, "client_id": "portal"}, "invalid_client"),
        "a secret instead": ({"basic": ("portal", SECRET)}, "invalid_client"),
    }
    for name, (sent, error) in cases.items():
        with subtests.test(name):
            assert rp.exchange(code, **sent).error == error
    by_secret = relying_party(app, "by-secret")
    answer = by_secret.exchange(code, **form(sign(claims("by-secret"))))
    assert answer.body["error_description"] == "this client must authenticate by client_secret_basic"
    assert rp.exchange(code, **form()).status == 200


def test_an_assertion_works_once(
    clock: time_machine.Traveller, app: Flask, rp: RelyingParty, anna: str
) -> None:
    assertion = sign(claims(jti="one"))
    assert rp.exchange(rp.code(), **form(assertion)).status == 200
    again = rp.exchange(rp.code(), **form(assertion))
    assert (again.error, again.body["error_description"]) == (
        "invalid_client",
        "the client assertion has been used before",
    )
    assert rp.exchange(rp.code(), **form(sign(claims(jti="one", exp=claims()["exp"] + 5)))).status == 401
    assert rp.exchange(rp.code(), **form(sign(claims(jti="two")))).status == 200
    pinned = relying_party(app, "pinned")
    theirs = sign(claims("pinned", jti="one"), alg="PS256", header={"kid": None})
    assert pinned.exchange(pinned.code(), **form(theirs)).status == 200
    with app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(UsedAssertion)) == 3
        stored = db.session.scalars(sa.select(UsedAssertion)).all()
        assert all(len(row.assertion_hash) == 64 for row in stored)
        assert max(row.expires_at for row in stored) == utcnow() + timedelta(seconds=120)


def test_an_assertion_is_kept_as_long_as_it_counts(
    clock: time_machine.Traveller, app: Flask, rp: RelyingParty, anna: str
) -> None:
    assertion = sign(claims())
    assert rp.exchange(rp.code(), **form(assertion)).status == 200
    rows = next(rows for rows in retention.EXPIRED_ROWS if rows.model is UsedAssertion)
    for seconds, is_expired, refusal in (
        (119, False, "used before"),
        (2, False, "expired"),
        (3600, True, "expired"),
    ):
        clock.shift(seconds)
        with app.app_context():
            found = db.session.scalars(
                sa.select(UsedAssertion.assertion_hash).where(rows.are_expired(utcnow()))
            )
            assert bool(found.all()) is is_expired
        assert refusal in rp.exchange(rp.code(), **form(assertion)).body["error_description"]


@on_postgresql_only
def test_one_of_parallel_replays_wins(app: Flask, rp: RelyingParty, anna: str) -> None:
    assertion, codes = sign(claims()), [rp.code() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda code: rp.exchange(code, **form(assertion)), codes))
    assert sorted(answer.status for answer in answers) == [200, *[401] * 7]


@on_sqlite_only
def test_an_assertion_may_be_addressed_to_the_endpoint_that_is_called(rp: RelyingParty, anna: str) -> None:
    def push(aud: str) -> int:
        sent = {**rp.parameters(), **form(sign(claims(aud=aud)))}
        del sent["basic"]
        return rp.browser.post("/par", data=sent, **HTTPS).status_code

    assert push(ISSUER) == push(f"{ISSUER}/token") == push(f"{ISSUER}/par") == 201
    assert push(f"{ISSUER}/introspect") == 401


@on_sqlite_only
def test_failures_are_audited_and_throttled_and_do_not_stop_others(
    clock: time_machine.Traveller, app: Flask, rp: RelyingParty, anna: str, caplog: pytest.LogCaptureFixture
) -> None:
    code, wrong = rp.code(), sign(claims(), key=ECKey.generate_key("P-256", {"kid": "p256"}))
    for _ in range(20):
        assert rp.exchange(code, **form(wrong)).status == 401
    limited = rp.exchange(code, **form(wrong))
    assert (limited.status, limited.error) == (429, "temporarily_unavailable")
    assert int(limited.headers["Retry-After"]) <= 60
    assert rp.exchange(code, **form()).status == 200
    with app.app_context():
        rows = newest(100, event=Event.CLIENT_AUTHENTICATION_FAILED.value)
    assert [(row.client_id, row.detail) for row in rows] == [("portal", {})] * 20
    assert wrong.rpartition(".")[2] not in caplog.text


# Keys of a jwks_uri


@pytest.fixture
def loopback(environ: dict[str, str], app_on_loopback: Flask) -> RelyingParty:
    return relying_party(app_on_loopback, "fetched")


@pytest.fixture
def app_on_loopback(environ: dict[str, str], request: pytest.FixtureRequest) -> Flask:
    environ["IDP_ISSUER"] = "http://localhost:8000"
    app: Flask = request.getfixturevalue("app")
    return app


def fetched(alg: str = "ES256", **changes: Any) -> dict[str, Any]:
    return form(sign(claims("fetched", **{"aud": "http://localhost:8000", **changes}), alg=alg))


@on_sqlite_only
def test_keys_are_fetched_and_kept_and_a_new_one_is_found(
    clock: time_machine.Traveller, loopback: RelyingParty, server: KeyServer, anna: str
) -> None:
    server.serve_keys(*public("ES256")["keys"])
    assert loopback.exchange(loopback.code(), **fetched()).status == 200
    assert loopback.exchange(loopback.code(), **fetched()).status == 200
    assert len(server.requests) == 1
    server.serve_keys(*public("RS256")["keys"])
    assert loopback.exchange(loopback.code(), **fetched("RS256")).status == 401  # asked a moment ago
    clock.shift(60)
    assert loopback.exchange(loopback.code(), **fetched("RS256")).status == 200
    assert loopback.exchange(loopback.code(), **fetched()).status == 401
    assert len(server.requests) == 2


@on_sqlite_only
def test_a_client_without_reachable_keys_is_told_to_try_again(
    clock: time_machine.Traveller,
    app_on_loopback: Flask,
    loopback: RelyingParty,
    server: KeyServer,
    anna: str,
) -> None:
    server.status = 500
    code = loopback.code()
    for _ in range(3):
        answer = loopback.exchange(code, **fetched())
        assert (answer.status, answer.error) == (503, "temporarily_unavailable")
        assert answer.headers["Retry-After"] == "10"
    assert len(server.requests) == 1
    server.status = 200
    server.serve_keys(*public("ES256")["keys"])
    clock.shift(10)
    assert loopback.exchange(code, **fetched()).status == 200
    with app_on_loopback.app_context():
        assert newest(10, event=Event.CLIENT_AUTHENTICATION_FAILED.value) == []


@on_sqlite_only
def test_a_stranger_without_valid_claims_makes_us_fetch_nothing(
    app_on_loopback: Flask, server: KeyServer, browser: FlaskClient
) -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "x"})
    wrong: list[dict[str, Any]] = [{"exp": 1}, {"aud": "https://elsewhere.example"}, {"jti": ""}]
    for changes in wrong:
        sent = {"grant_type": "authorization_code", "code": "x", **fetched(**changes)}
        del sent["basic"]
        assert browser.post("/token", data=sent).status_code == 401
    sent["client_assertion"] = sign(claims("fetched", aud="http://localhost:8000"), alg="RS256", key=stranger)
    for _ in range(3):
        assert browser.post("/token", data=sent).status_code == 401
    assert len(server.requests) == 1


@on_sqlite_only
def test_a_loopback_jwks_uri_is_nothing_to_a_public_issuer(app: Flask, server: KeyServer, anna: str) -> None:
    rp = relying_party(app, "fetched")
    answer = rp.exchange(rp.code(), **form(sign(claims("fetched"))))
    assert (answer.status, server.requests) == (503, [])
