"""Relying apps that listen for logout tokens."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.app import logout_delivery
from idp.extensions import SETTINGS
from idp.outbound import Outbound
from tests.conftest import DATABASES
from tests.factories import make_client
from tests.fakes import encrypted
from tests.fakes.listening_app import ListeningApp, listening_app
from tests.fakes.relying_party import RelyingParty
from tests.integration.oidc.logout.backchannel.post import Post


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One that threads and commands share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/idp.sqlite3"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def portal() -> Iterator[ListeningApp]:
    with listening_app() as found:
        yield found


@pytest.fixture
def other() -> Iterator[ListeningApp]:
    with listening_app() as found:
        yield found


@pytest.fixture
def clients(portal: ListeningApp, other: ListeningApp) -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(backchannel_logout_uri=portal.uri),
        "other": make_client(
            redirect_uris=["https://other.example.se/cb"],
            backchannel_logout_uri=other.uri,
            backchannel_logout_session_required=True,
            subject_type="pairwise",
            id_token_signed_response_alg="ES256",
        ),
        "silent": make_client(redirect_uris=["https://silent.example.se/cb"]),
        "sealed": make_client(
            redirect_uris=["https://sealed.example.se/cb"],
            backchannel_logout_uri=portal.uri,
            jwks=encrypted.JWKS,
            id_token_encrypted_response_alg="RSA-OAEP-256",
            id_token_encrypted_response_enc="A256GCM",
        ),
    }


@pytest.fixture
def rp(app: Flask, browser: FlaskClient, anna: str) -> RelyingParty:
    """The portal, with anna at her browser."""
    return RelyingParty(app, browser)


@pytest.fixture
def parties(rp: RelyingParty, app: Flask) -> dict[str, RelyingParty]:
    """The three relying apps with one browser; none of them has logged anybody in yet."""
    return {
        "portal": rp,
        "other": RelyingParty(app, rp.browser, "other", "https://other.example.se/cb"),
        "silent": RelyingParty(app, rp.browser, "silent", "https://silent.example.se/cb"),
    }


@pytest.fixture
def post(app: Flask) -> Post:
    made = logout_delivery(SETTINGS.of(app))
    return Post(app, dataclasses.replace(made, outbound=Outbound(allow_loopback=True)))
