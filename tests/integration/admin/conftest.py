"""A company with an administrator who is logged in, a colleague, and another company."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from time_machine import Traveller
from werkzeug.test import TestResponse

from idp.db import db
from idp.users.models import Role, User
from tests.factories import PASSWORD, make_user
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.fakes.reset_pages import FORM, csrf

ADMIN = "berit@example.se"
COLLEAGUE = "anna@example.se"


@dataclass
class Company:
    """The ids of who there is."""

    admin: str
    colleague: str
    second_admin: str
    stranger: str  # of another company


@pytest.fixture
def company(app: Flask) -> Company:
    with app.app_context():
        return Company(
            admin=_add(email=ADMIN, name="Berit Öst", role=Role.COMPANY_ADMIN),
            colleague=_add(title="Ekonom"),
            second_admin=_add(email="cesar@example.se", name="César Ek", role=Role.COMPANY_ADMIN),
            stranger=_add(email="sven@annat.se", name="Sven Annan", company="Annat AB"),
        )


def _add(**facts: Any) -> str:
    return str(make_user(**facts).id)


class Person:
    """Somebody's browser on the pages for administrators."""

    def __init__(self, app: Flask, browser: FlaskClient) -> None:
        self.app = app
        self.browser = browser

    def log_in(self, email: str = ADMIN) -> "Person":
        rp = RelyingParty(self.app, self.browser)
        assert rp.submit(self.get("/login/password"), email=email, password=PASSWORD).status_code == 303
        return self

    def get(self, path: str) -> TestResponse:
        return self.browser.get(path, **HTTPS)

    def follow(self, response: TestResponse) -> TestResponse:
        return RelyingParty(self.app, self.browser).follow(response)

    def post(self, path: str, **fields: Any) -> TestResponse:
        """What the server says to these fields, with the CSRF token of a page of this browser's."""
        token = csrf(self.get("/login/password"))
        body = urlencode({"csrf_token": token, **fields}, doseq=True)
        return self.browser.post(path, data=body, content_type=FORM, **HTTPS)

    def filled(self, user_id: str, **changes: Any) -> dict[str, Any]:
        """The fields of a user's page as they are filled in, with changes; None leaves one out."""
        fields = {**fields_of(self.get(f"/admin/users/{user_id}")), **changes}
        return {name: value for name, value in fields.items() if value is not None}

    def save(self, user_id: str, **changes: Any) -> TestResponse:
        return self.post(f"/admin/users/{user_id}", **self.filled(user_id, **changes))


def fields_of(page: TestResponse) -> dict[str, str]:
    """The fields of the page's user form."""
    form = page.text.partition('id="user-form"')[2].partition("</form>")[0]
    inputs = re.findall(r"<input[^>]*>", form)
    found = {name(tag): value(tag) for tag in inputs if name(tag) != "csrf_token"}
    for select in re.findall(r"<select.*?</select>", form, re.DOTALL):
        chosen = re.search(r'<option selected value="([^"]*)"', select)
        found[name(select)] = chosen[1] if chosen else ""
    return found


def name(tag: str) -> str:
    found = re.search(r'name="([^"]*)"', tag)
    return found[1] if found else ""


def value(tag: str) -> str:
    found = re.search(r'value="([^"]*)"', tag)
    return found[1] if found else ""


@pytest.fixture
def admin(app: Flask, company: Company, clock: Traveller) -> Person:
    """The administrator Berit, logged in at noon."""
    return Person(app, app.test_client()).log_in()


def stored(app: Flask, user_id: str) -> dict[str, Any]:
    """The account's row."""
    with app.app_context():
        user = db.session.get_one(User, UUID(user_id))
        return {column.name: getattr(user, column.name) for column in User.__table__.columns}


NEW = {
    "name": "Nils Ny",
    "title": "",
    "email": "nils@example.se",
    "phone": "",
    "locale": "sv",
    "role": "user",
}
