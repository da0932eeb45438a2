"""A client introspects (RFC 7662) and revokes (RFC 7009) its own tokens and nobody else's."""

from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.audit import Event, newest
from idp.clock import utcnow
from idp.db import db
from idp.oidc.models import AccessToken
from idp.users import accounts
from tests.factories import NOON, SECRET, make_client, make_public_client
from tests.fakes.relying_party import HTTPS, RelyingParty, Tokens

ISSUER = "https://login.example.se"
SCOPE = "openid email offline_access"
OFFLINE = {"scope": SCOPE, "grant_types": ["authorization_code", "refresh_token", "client_credentials"]}
INACTIVE = {"active": False}
on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    public = {**OFFLINE, "grant_types": ["authorization_code", "refresh_token"]}
    return {
        "portal": make_client(**OFFLINE),
        "other": make_client(**OFFLINE),
        "jwt": make_client(**OFFLINE, access_token_format="jwt"),
        "pair": make_client(**OFFLINE, subject_type="pairwise"),
        "spa": make_public_client(**public, redirect_uris=["https://spa.example.se/cb"]),
    }


@pytest.fixture
def tokens(clock: time_machine.Traveller, rp: RelyingParty, anna: str) -> Tokens:
    """The portal's, issued at noon."""
    return rp.tokens(scope=SCOPE)


def told(rp: RelyingParty, token: str, **changes: Any) -> dict[str, Any]:
    answer = rp.introspect(token, **changes)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.content_type == "application/json"
    found: dict[str, Any] = answer.get_json()
    return found


def disable(app: Flask) -> None:
    with app.app_context():
        user = accounts.find_by_email("anna@example.se")
        assert user is not None
        accounts.disable(user.id, now=utcnow())


@pytest.mark.parametrize("client_id", ["portal", "jwt"])
def test_introspection_of_an_access_token(
    clock: time_machine.Traveller, app: Flask, anna: str, client_id: str
) -> None:
    rp = RelyingParty(app, app.test_client(), client_id)
    noon = int(NOON.timestamp())
    assert told(rp, rp.tokens(scope=SCOPE).access_token) == {
        "active": True,
        "iss": ISSUER,
        "aud": ISSUER,
        "client_id": client_id,
        "sub": anna,
        "scope": SCOPE,
        "token_type": "Bearer",
        "iat": noon,
        "exp": noon + 600,
    }


def test_introspection_of_a_refresh_token(rp: RelyingParty, tokens: Tokens, anna: str) -> None:
    noon = int(NOON.timestamp())
    assert told(rp, tokens.refresh_token) == {
        "active": True,
        "iss": ISSUER,
        "client_id": "portal",
        "sub": anna,
        "scope": SCOPE,
        "iat": noon,
        "exp": noon + 30 * 24 * 3600,
    }


def test_the_sub_is_the_one_that_the_client_knows(app: Flask, anna: str) -> None:
    pair = RelyingParty(app, app.test_client(), "pair")
    token = pair.tokens(scope=SCOPE).access_token
    assert told(pair, token)["sub"] == pair.userinfo(token).get_json()["sub"] != anna


def test_a_token_type_hint_is_a_hint_only(rp: RelyingParty, tokens: Tokens) -> None:
    for token in (tokens.access_token, tokens.refresh_token):
        for hint in ("access_token", "refresh_token", "something", ""):
            assert told(rp, token, token_type_hint=hint)["active"] is True


def test_every_other_text_is_inactive(
    rp: RelyingParty, tokens: Tokens, app: Flask, subtests: pytest.Subtests
) -> None:
    code = rp.code(scope=SCOPE)
    for name, token in {
        "unknown": "x" * 43,
        "cut": tokens.access_token[:-1],
        "an ID token": tokens.id_token,
        "a code": code,
        "not ASCII": "å" * 43,
        "dots": "..",
        "long": "x" * 20_000,
    }.items():
        with subtests.test(name):
            assert told(rp, token) == INACTIVE
    other = RelyingParty(app, app.test_client(), "other")
    for token in (tokens.access_token, tokens.refresh_token):
        assert told(other, token) == INACTIVE
        assert told(rp, token)["active"] is True


def test_expired_and_revoked_tokens_are_inactive(
    clock: time_machine.Traveller, rp: RelyingParty, tokens: Tokens, app: Flask
) -> None:
    clock.shift(600)
    assert told(rp, tokens.access_token) == INACTIVE
    assert told(rp, tokens.refresh_token)["active"] is True
    access = rp.refresh(tokens.refresh_token).access_token
    assert told(rp, access)["active"] is True
    disable(app)
    assert told(rp, access) == told(rp, tokens.refresh_token) == INACTIVE


@pytest.mark.parametrize("path", ["/introspect", "/revoke"])
@on_sqlite_only
def test_a_request_with_one_thing_wrong_is_refused(
    rp: RelyingParty, tokens: Tokens, path: str, subtests: pytest.Subtests
) -> None:
    cases: dict[str, tuple[dict[str, Any], int, str]] = {
        "no token": ({"token": None}, 400, "invalid_request"),
        "empty token": ({"token": ""}, 400, "invalid_request"),
        "NUL": ({"token": "x\x00"}, 400, "invalid_request"),
        "wrong secret": ({"basic": ("portal", "wrong")}, 401, "invalid_client"),
        "unknown client": ({"basic": ("nobody", SECRET)}, 401, "invalid_client"),
        "nobody": ({"basic": None}, 401, "invalid_client"),
        "two ways": ({"client_secret": SECRET}, 400, "invalid_request"),
        "a bearer": (
            {"basic": None, "headers": {"Authorization": f"Bearer {tokens.access_token}"}},
            401,
            "invalid_client",
        ),
    }
    for name, (changes, status, error) in cases.items():
        with subtests.test(name):
            answer = rp.post(path, {"token": tokens.access_token}, **changes)
            assert (answer.status_code, answer.get_json()["error"]) == (status, error)
            assert answer.headers["Cache-Control"] == "no-store"
    assert told(rp, tokens.access_token)["active"] is True


@pytest.mark.parametrize("path", ["/introspect", "/revoke"])
@on_sqlite_only
def test_only_a_posted_form_is_read(browser: FlaskClient, path: str) -> None:
    assert browser.get(f"{path}?token=x", **HTTPS).status_code == 405
    doubled = browser.post(
        path, data="token=x&token=x", content_type="application/x-www-form-urlencoded", **HTTPS
    )
    assert (doubled.status_code, doubled.get_json()["error"]) == (400, "invalid_request")
    in_json = browser.post(path, json={"token": "x"}, **HTTPS)
    assert in_json.get_json()["error"] == "invalid_client"


@on_sqlite_only
def test_a_public_client_may_revoke_and_not_introspect(app: Flask, anna: str) -> None:
    spa = RelyingParty(app, app.test_client(), "spa", "https://spa.example.se/cb", None)
    tokens = spa.tokens(scope=SCOPE)
    answer = spa.introspect(tokens.access_token)
    assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_client")
    assert spa.revoke(tokens.refresh_token).status_code == 200
    assert spa.refresh(tokens.refresh_token).error == "invalid_grant"


# Revocation


@pytest.mark.parametrize("client_id", ["portal", "jwt"])
def test_an_access_token_is_revoked_by_itself(app: Flask, anna: str, client_id: str) -> None:
    rp = RelyingParty(app, app.test_client(), client_id)
    tokens = rp.tokens(scope=SCOPE)
    answer = rp.revoke(tokens.access_token, token_type_hint="refresh_token")
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert told(rp, tokens.access_token) == INACTIVE
    assert rp.refresh(tokens.refresh_token).status == 200
    assert rp.revoke(tokens.access_token).status_code == 200  # once more is no error


def test_a_refresh_token_is_revoked_with_all_of_its_grant(
    rp: RelyingParty, tokens: Tokens, app: Flask
) -> None:
    bystander = rp.tokens(scope=SCOPE)
    assert rp.revoke(tokens.refresh_token).status_code == 200
    assert rp.refresh(tokens.refresh_token).error == "invalid_grant"
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert rp.refresh(bystander.refresh_token).status == 200
    assert rp.revoke(tokens.refresh_token).status_code == 200
    with app.app_context():
        [row] = newest(10, event=Event.TOKEN_REVOKED)
        assert (row.client_id, row.actor, row.detail) == ("portal", "client", {})


def test_a_foreign_or_unknown_token_is_left_alone(rp: RelyingParty, tokens: Tokens, app: Flask) -> None:
    other = RelyingParty(app, app.test_client(), "other")
    for token in (tokens.access_token, tokens.refresh_token, tokens.id_token, "x" * 43):
        answer = other.revoke(token)
        assert (answer.status_code, answer.data) == (200, b"")
    assert rp.userinfo(tokens.access_token).status_code == 200
    assert rp.refresh(tokens.refresh_token).status == 200


# Clients for themselves (RFC 6749 §4.4)


def test_a_client_gets_a_token_for_itself(clock: time_machine.Traveller, rp: RelyingParty) -> None:
    answer = rp.client_token()
    assert set(answer.body) == {"access_token", "token_type", "expires_in"}
    assert (answer.status, answer.body["expires_in"]) == (200, 600)
    assert answer.headers["Cache-Control"] == "no-store"
    noon = int(NOON.timestamp())
    assert told(rp, answer.access_token) == {
        "active": True,
        "iss": ISSUER,
        "aud": ISSUER,
        "client_id": "portal",
        "sub": "portal",
        "token_type": "Bearer",
        "iat": noon,
        "exp": noon + 600,
    }
    refused = rp.userinfo(answer.access_token)
    assert (refused.status_code, refused.get_json()["error"]) == (401, "invalid_token")
    assert rp.revoke(answer.access_token).status_code == 200
    assert told(rp, answer.access_token) == INACTIVE


def test_a_clients_own_token_is_nobody_elses(rp: RelyingParty, app: Flask) -> None:
    token = rp.client_token().access_token
    other = RelyingParty(app, app.test_client(), "other")
    assert told(other, token) == INACTIVE
    assert other.revoke(token).status_code == 200
    assert told(rp, token)["active"] is True


@on_sqlite_only
def test_a_client_gets_no_scope_for_itself(rp: RelyingParty, app: Flask) -> None:
    for scope in ("openid", "email", "offline_access", "nonsense"):
        assert rp.client_token(scope=scope).error == "invalid_scope"
    spa = RelyingParty(app, app.test_client(), "spa", "https://spa.example.se/cb", None)
    assert spa.client_token().error == "unauthorized_client"
    assert rp.client_token(basic=("portal", "wrong")).error == "invalid_client"
    with app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(AccessToken)) == 0
