"""Mina uppgifter, as a browser uses it."""

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from time_machine import Traveller
from werkzeug.test import TestResponse

from idp import audit
from idp.account import linking_views
from idp.crypto import NUMBER_KEYS, PersonalNumberKeys
from idp.db import db
from idp.users.models import User
from tests.factories import PASSWORD, make_client, make_company
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.fakes.reset_pages import csrf, encoded

FORM = "application/x-www-form-urlencoded"
KEYS = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
TITLE = "Inköpare"


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    """Two apps to begin at, one of them for another company only, and one that cannot begin."""
    return {
        "portal": make_client(initiate_login_uri="https://portal.example.se/login?tenant=1"),
        "other": make_client(client_name="De andras", companies=["Annan AB"]),
        "api": make_client(client_name="Utan sida", initiate_login_uri=None),
    }


@dataclass
class Account:
    """Anna's account, with her browser, logged in."""

    app: Flask
    browser: FlaskClient
    user_id: str
    rp: RelyingParty

    def log_in(self, password: str = PASSWORD, email: str = "anna@example.se") -> TestResponse:
        """The answer to a direct login."""
        page = self.rp.follow(self.browser.get("/login", **HTTPS))
        return self.rp.submit(page, email=email, password=password)

    def page(self) -> TestResponse:
        return self.browser.get("/account", **HTTPS)

    def fields(self, page: TestResponse | None = None) -> dict[str, Any]:
        """What a browser would send of the form as it is shown."""
        page = page or self.page()
        form = page.text.split('id="account-form"')[1].split("</form>")[0]
        found: dict[str, Any] = {}
        for tag in re.findall(r"<input[^>]*>", form):
            marks = {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
            if marks.get("type") == "checkbox":
                if re.search(r"\bchecked\b", tag):
                    found[marks["name"]] = "y"
            elif "name" in marks:
                found[marks["name"]] = marks.get("value", "")
        for name, options in re.findall(r'<select[^>]*name="(\w+)"[^>]*>(.*?)</select>', form, re.DOTALL):
            chosen = re.findall(r'<option[^>]*\bselected\b[^>]*value="([^"]*)"', options)
            first = re.findall(r'value="([^"]*)"', options)
            found[name] = (chosen or first)[0]
        return found

    def send(self, fields: dict[str, Any]) -> TestResponse:
        sent = {name: value for name, value in fields.items() if value is not None}
        return self.browser.post("/account", data=encoded(**sent), content_type=FORM, **HTTPS)

    def save(self, **changes: Any) -> TestResponse:
        """The direct answer to the form with these changes; None leaves a field out."""
        return self.send(self.fields() | changes)

    def stored(self) -> User:
        with self.app.app_context():
            user = db.session.scalars(sa.select(User).where(User.email != "berit@example.se")).one()
            db.session.expunge(user)
            return user

    def events(self) -> list[str]:
        with self.app.app_context():
            return [row.event for row in reversed(audit.newest(100))]

    def csrf(self) -> str:
        return csrf(self.page())


@pytest.fixture
def account(app: Flask, browser: FlaskClient, anna: str, rp: RelyingParty, clock: Traveller) -> Account:
    # As where BankID is on, which needs a BankID to talk to.
    NUMBER_KEYS.put(app, PersonalNumberKeys(KEYS))
    app.register_blueprint(linking_views.blueprint)
    with app.app_context():
        make_company("Annan AB")
    found = Account(app, browser, anna, rp)
    found.log_in()
    return found
