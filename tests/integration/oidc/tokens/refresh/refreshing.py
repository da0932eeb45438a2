"""Logging in for a refresh token, and what is stored of it."""

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from idp.db import db
from idp.oidc.models import AccessToken
from tests.fakes.relying_party import HTTPS, RelyingParty, Tokens

SCOPE = "openid profile email offline_access"
GRANTS = ["authorization_code", "refresh_token"]
DAY = 24 * 3600
on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def log_in(rp: RelyingParty, **changes: Any) -> Tokens:
    return rp.tokens(**{"scope": SCOPE, **changes})


def claims_of(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def access_tokens(app: Flask) -> list[tuple[str, str]]:
    """Hash and scope of each that is stored, in order."""
    with app.app_context():
        rows = db.session.execute(sa.select(AccessToken.token_hash, AccessToken.scope))
        return sorted((row.token_hash, row.scope) for row in rows)


def log_out(rp: RelyingParty) -> None:
    page = rp.browser.get("/logout", **HTTPS)
    assert rp.submit(page).status_code == 200
