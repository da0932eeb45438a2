"""A person logged in by e-mail links a BankID to the account."""

import re
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS, PersonalNumberKeys
from idp.users import accounts, bankid_links
from tests.factories import PASSWORD
from tests.fakes.relying_party import HTTPS
from tests.integration.bankid.conftest import Phone
from tests.integration.bankid.orders import scan_and_approve


class Account:
    """A browser that uses the pages of its person's account."""

    def __init__(self, app: Flask, browser: FlaskClient | None = None) -> None:
        self.app = app
        self.browser = browser or app.test_client()
        self.uid = ""

    def get(self, path: str, **headers: str) -> TestResponse:
        """The page at `path`, wherever that leads on this site."""
        for _ in range(8):
            response = self.browser.get(path, headers=headers, **HTTPS)
            path = response.headers.get("Location", "")
            if response.status_code not in (302, 303) or not path.startswith("/"):
                return response
        raise AssertionError("redirected round and round")

    def post(self, page: TestResponse, path: str, **fields: str) -> TestResponse:
        """The direct answer to a form of `page`, sent to `path` with its CSRF token."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found is not None, page.text[:3000]
        return self.browser.post(path, data={"csrf_token": found[1], **fields}, **HTTPS)

    def log_in(self, email: str = "anna@example.se", page: TestResponse | None = None) -> TestResponse:
        page = page or self.get("/login/password")
        assert 'id="login-form"' in page.text, page.text[:3000]
        return self.post(page, page.request.path, email=email, password=PASSWORD)

    def begin(self, device: str = "other", **headers: str) -> TestResponse:
        """The page of a new order that links."""
        answer = self.post(self.get("/account"), "/account/bankid", device=device)
        assert answer.status_code == 303, answer.text[:3000]
        self.uid = answer.headers["Location"].split("/")[3].split("?")[0]
        return self.get(answer.headers["Location"], **headers)

    def poll(self, browser: FlaskClient | None = None) -> dict[str, Any]:
        answer = (browser or self.browser).get(f"/account/bankid/{self.uid}/poll", **HTTPS)
        found: dict[str, Any] = answer.get_json()
        return found

    def prove(self, phone: Phone) -> TestResponse:
        """What the person sees who has begun and used the app."""
        self.begin()
        scan_and_approve(self.app, phone)
        done = self.poll()
        assert done["state"] == "complete", done
        return self.get(done["url"])

    def answer(self, page: TestResponse, answer: str = "link") -> TestResponse:
        return self.post(page, f"/account/bankid/{self.uid}/confirm", answer=answer)

    def unlink(self) -> TestResponse:
        page = self.get("/account/bankid/unlink")
        return self.post(page, "/account/bankid/unlink")


def linked_number(app: Flask, email: str = "anna@example.se") -> str | None:
    """The digits of the BankID that opens the account."""
    keys: PersonalNumberKeys = NUMBER_KEYS.of(app)
    with app.app_context():
        user = accounts.find_by_email(email)
        assert user is not None
        number = bankid_links.number_of(user.id, keys=keys)
        return number.digits if number else None


def disable(app: Flask, email: str = "anna@example.se") -> None:
    with app.app_context():
        user = accounts.find_by_email(email)
        assert user is not None
        accounts.disable(user.id, now=utcnow())
