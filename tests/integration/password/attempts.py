"""Logins with a password, and what is stored and audited of them."""

import bcrypt
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp import audit
from idp.users import accounts
from tests.fakes.relying_party import HTTPS, RelyingParty


def attempt(rp: RelyingParty, email: str, password: str) -> TestResponse:
    """The direct answer to a filled-in login form."""
    return rp.submit(rp.follow(rp.authorize()), email=email, password=password)


def stored_hash(app: Flask, email: str = "anna@example.se") -> str | None:
    with app.app_context():
        user = accounts.find_by_email(email)
        assert user is not None
        return user.password_hash


def events(app: Flask) -> list[str]:
    """What was audited, oldest first, without the making of companies and users."""
    with app.app_context():
        return [row.event for row in reversed(audit.newest(100)) if not row.event.endswith(".created")]


def bcrypt_2y(password: str) -> str:
    """What PHP's password_hash() makes: the first 72 bytes count."""
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")


def is_logged_in(browser: FlaskClient) -> bool:
    return browser.get("/account", **HTTPS).status_code == 200
