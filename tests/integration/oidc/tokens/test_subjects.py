"""A client knows a person by the account's id, or by a sub for its sector alone (OIDC Core §8)."""

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from flask import Flask

from idp.app import create_app
from idp.config import Settings
from idp.oidc.provider import PROVIDER
from tests.factories import make_client, make_user
from tests.fakes.relying_party import RelyingParty

# Nothing here depends on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    def pairwise(uri: str, **more: Any) -> dict[str, Any]:
        return make_client(redirect_uris=[uri], subject_type="pairwise", **more)

    return {
        "portal": make_client(),
        "public": make_client(redirect_uris=["https://public.example.se/cb"]),
        "a": pairwise("https://a.example.se/cb"),
        "a-too": pairwise("https://a.example.se/second"),
        "b": pairwise("https://b.example.se/cb"),
        "c-of-a": pairwise("https://c.example.se/cb", sector_identifier="a.example.se"),
    }


def subjects(app: Flask, rp: RelyingParty, email: str = "anna@example.se") -> dict[str, str]:
    """Each client's `sub` in the ID token, which userinfo repeats."""
    found = {}
    registered = PROVIDER.of(app).clients
    for client_id in ("portal", "public", "a", "a-too", "b", "c-of-a"):
        relying = RelyingParty(app, rp.browser, client_id, registered.get(client_id).redirect_uris[0])
        tokens = relying.exchange(relying.code(email=email))
        payload = tokens.id_token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert relying.userinfo(tokens.access_token).get_json()["sub"] == claims["sub"]
        found[client_id] = claims["sub"]
    return found


def test_a_public_sub_is_the_accounts_id_and_a_pairwise_one_is_each_sectors(
    rp: RelyingParty, app: Flask, anna: str
) -> None:
    found = subjects(app, rp)
    assert found["portal"] == found["public"] == anna
    assert found["a"] == found["a-too"] == found["c-of-a"]
    assert len({anna, found["a"], found["b"]}) == 3
    for name in ("a", "b"):
        assert anna not in found[name]
        assert found[name].isascii()
        assert len(found[name]) <= 255
    assert subjects(app, RelyingParty(app, app.test_client())) == found  # a later login, another browser


def test_two_people_have_two_subjects(rp: RelyingParty, app: Flask, anna: str) -> None:
    with app.app_context():
        make_user(email="bertil@example.se", name="Bertil Ek")
    theirs = subjects(app, RelyingParty(app, app.test_client()), "bertil@example.se")
    assert not set(theirs.values()) & set(subjects(app, rp).values())


def test_subjects_survive_a_restart_and_hang_on_the_secret(app: Flask, environ: dict[str, str]) -> None:
    def key(**changes: str) -> bytes:
        made: bytes = PROVIDER.of(create_app(Settings.from_environ({**environ, **changes}))).subject_key
        return made

    assert key() == PROVIDER.of(app).subject_key
    assert key(IDP_SECRET_KEY="fedcba9876543210fedcba9876543210") != key()


def test_a_pairwise_clients_logout_hint_is_understood(rp: RelyingParty, app: Flask, anna: str) -> None:
    relying = RelyingParty(app, rp.browser, "a", "https://a.example.se/cb")
    hint = relying.tokens().id_token
    assert "code" in relying.answer(relying.authorize(prompt="none", id_token_hint=hint))
    done = rp.browser.get(f"/end_session?id_token_hint={hint}", base_url="https://login.example.se")
    assert 'id="logged-out"' in done.text
    assert relying.answer(relying.authorize(prompt="none"))["error"] == "login_required"
