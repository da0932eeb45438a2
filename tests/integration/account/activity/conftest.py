"""A portal that asks for consent and one that does not, both used by Anna on two devices."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.factories import make_client, make_public_client, make_user
from tests.fakes.relying_party import RelyingParty

MAC_SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Safari/605.1.15"
)
PHONE = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 "
    "Mobile Safari/537.36"
)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(),
        "asking": make_client(
            client_name="Frågande appen",
            consent="explicit",
            redirect_uris=["https://asking.example.se/cb"],
        ),
        "spa": make_public_client(client_name="Appen", redirect_uris=["https://spa.example.se/cb"]),
    }


@pytest.fixture
def device(app: Flask) -> Callable[..., FlaskClient]:
    """Another device: `device(user_agent, address)`."""

    def make(user_agent: str = PHONE, address: str = "198.51.100.7") -> FlaskClient:
        browser = app.test_client()
        browser.environ_base.update({"HTTP_USER_AGENT": user_agent, "REMOTE_ADDR": address})
        return browser

    return make


@pytest.fixture
def phone(app: Flask, device: Callable[..., FlaskClient]) -> RelyingParty:
    """The portal, used on Anna's telephone."""
    return RelyingParty(app, device())


@pytest.fixture
def asking(app: Flask, browser: FlaskClient) -> RelyingParty:
    """The app that asks for consent, in the same browser as `rp`."""
    return RelyingParty(app, browser, "asking", "https://asking.example.se/cb")


@pytest.fixture
def bertil(app: Flask) -> RelyingParty:
    """Bertil, logged in on a browser of his own."""
    with app.app_context():
        make_user(email="bertil@example.se", name="Bertil Ek")
    his = RelyingParty(app, app.test_client())
    his.log_in(email="bertil@example.se")
    return his
