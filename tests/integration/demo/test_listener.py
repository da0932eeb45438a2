"""The demo portal believes the provider's logout tokens and nothing else."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, session
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from idp.demo import listener
from idp.demo.sessions import MemorySessions

ISSUER = "http://127.0.0.1:8000"
EVENTS: dict[str, Any] = {listener.LOGOUT_EVENT: {}}


class Provider:
    """What the portal asks of its Authlib client; its keys are those of `published` when asked anew."""

    client_id = "demo-portal"

    def __init__(self) -> None:
        self.kept = KeySet([RSAKey.generate_key(2048, {"kid": "old"})])
        self.published = KeySet([*self.kept.keys, RSAKey.generate_key(2048, {"kid": "new"})])

    def fetch_jwk_set(self, force: bool = False) -> Any:
        return (self.published if force else self.kept).as_dict(private=False)

    def token(self, *, kid: str = "old", typ: str = "logout+jwt", **changes: Any) -> str:
        now = int(time.time())
        valid = {
            "iss": ISSUER,
            "aud": "demo-portal",
            "sub": "anna",
            "sid": "s1",
            "jti": "j",
            "events": EVENTS,
        }
        claims = {**valid, "iat": now, "exp": now + 120, **changes}
        sent = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": kid, "typ": typ}, sent, self.published.get_by_kid(kid))


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


@pytest.fixture
def browser(provider: Provider) -> FlaskClient:
    """Logged in to the portal by session s1 and to the app `spa` by the same."""
    app = Flask("portal")
    app.config.update(SESSION_COOKIE_NAME="portal_session")
    app.session_interface = MemorySessions()
    app.register_blueprint(listener.blueprint)
    app.extensions["portal"] = SimpleNamespace(
        issuer=ISSUER, apps={key: SimpleNamespace(client=provider) for key in ("portal", "spa")}
    )

    @app.get("/log-in")
    def log_in() -> str:
        session["login:portal"] = session["login:spa"] = {"claims": {"sid": "s1"}}
        return ""

    @app.get("/logins")
    def logins() -> list[str]:
        return sorted(session)

    browser = app.test_client()
    browser.get("/log-in")
    return browser


def logins(browser: FlaskClient) -> Any:
    return browser.get("/logins").get_json()


@pytest.mark.parametrize("kid", ["old", "new"])
def test_the_providers_logout_tokens_end_logins(browser: FlaskClient, provider: Provider, kid: str) -> None:
    stranger = browser.application.test_client()
    answer = stranger.post("/backchannel-logout", data={"logout_token": provider.token(kid=kid)})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (204, "no-store")
    assert logins(browser) == ["login:spa"]
    assert (
        stranger.post("/backchannel-logout/spa", data={"logout_token": provider.token()}).status_code == 204
    )
    assert logins(browser) == []


def test_a_token_for_another_session_ends_none(browser: FlaskClient, provider: Provider) -> None:
    answer = browser.post("/backchannel-logout", data={"logout_token": provider.token(sid="s2")})
    assert answer.status_code == 204
    assert logins(browser) == ["login:portal", "login:spa"]


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": "JWT"},
        {"iss": "http://127.0.0.1:9000"},
        {"aud": "demo-spa"},
        {"exp": 1},
        {"exp": None},
        {"events": {}},
        {"events": None},
        {"sid": None},
        {"nonce": "n"},
    ],
    ids=str,
)
def test_a_logout_token_with_one_thing_wrong_ends_nothing(
    browser: FlaskClient, provider: Provider, changes: dict[str, Any]
) -> None:
    answer = browser.post("/backchannel-logout", data={"logout_token": provider.token(**changes)})
    assert answer.status_code == 400
    assert logins(browser) == ["login:portal", "login:spa"]


@pytest.mark.parametrize("text", ["", "x", "a.b.c"])
def test_a_text_that_is_not_a_token_is_refused(browser: FlaskClient, text: str) -> None:
    assert browser.post("/backchannel-logout", data={"logout_token": text}).status_code == 400


def test_a_strangers_signature_is_refused(browser: FlaskClient, provider: Provider) -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "old"})
    claims = jwt.decode(provider.token(), provider.kept).claims
    forged = jwt.encode({"alg": "RS256", "kid": "old", "typ": "logout+jwt"}, claims, stranger)
    assert browser.post("/backchannel-logout", data={"logout_token": forged}).status_code == 400
    assert logins(browser) == ["login:portal", "login:spa"]
