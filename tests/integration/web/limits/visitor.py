"""A browser that guesses passwords from an address of its own."""

import re
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.fakes.relying_party import HTTPS

EMAIL = "anna@example.se"
MINUTE = 60
SETTINGS = {
    "IDP_LIMIT_LOGIN_PER_ACCOUNT": "3/15 minutes",
    "IDP_LIMIT_LOGIN_PER_ADDRESS": "6/minute",
    "IDP_LIMIT_LOGIN_OVERALL": "12/minute",
}


class Visitor:
    """A browser that logs in directly, from an address of its own."""

    def __init__(self, app: Flask, address: str = "192.0.2.1", **headers: str) -> None:
        self.browser: FlaskClient = app.test_client()
        self.request: dict[str, Any] = {
            **HTTPS,
            "environ_base": {"REMOTE_ADDR": address},
            "headers": headers,
        }

    def tries(self, password: str, email: str = EMAIL) -> TestResponse:
        page = self.browser.get("/login/password", **self.request)
        token = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)[0]
        fields = {"email": email, "password": password, "csrf_token": token}
        return self.browser.post("/login/password", data=fields, **self.request)

    def guesses(self, number: int, email: str = EMAIL) -> list[int]:
        """The statuses of wrong passwords."""
        return [self.tries(f"gissning {index}", email).status_code for index in range(number)]
