"""Relying apps that may refresh, and some that may not."""

from typing import Any

import pytest
from flask import Flask

from tests.factories import make_client, make_public_client
from tests.fakes.relying_party import RelyingParty
from tests.integration.oidc.tokens.refresh.refreshing import GRANTS, SCOPE


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    offline = {"scope": SCOPE, "grant_types": GRANTS}
    return {
        "portal": make_client(**offline),
        "other": make_client(**offline),
        "strict": make_client(**offline, redirect_uris=["https://strict.example.se/cb"], consent="explicit"),
        "spa": make_public_client(**offline, redirect_uris=["https://spa.example.se/cb"]),
        "spa2": make_public_client(**offline, redirect_uris=["https://spa2.example.se/cb"]),
        "bare": make_client(scope=SCOPE, redirect_uris=["https://bare.example.se/cb"]),
        "brief": make_client(
            **offline,
            redirect_uris=["https://brief.example.se/cb"],
            refresh_token_idle_minutes=10,
            refresh_token_hours=1,
        ),
    }


@pytest.fixture
def spa(app: Flask) -> RelyingParty:
    return RelyingParty(app, app.test_client(), "spa", "https://spa.example.se/cb", None)
