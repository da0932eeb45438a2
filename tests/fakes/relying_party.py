"""A relying app over WSGI: makes valid requests, and lets a test change one thing."""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote_plus, urlencode, urlsplit

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.tokens import s256_challenge
from tests.factories import PASSWORD, SECRET

VERIFIER = "verifier-verifier-verifier-verifier-verifier-43"
HTTPS = {"base_url": "https://login.example.se"}
UNSET = object()


@dataclass
class Tokens:
    """What the token endpoint answered: `error` or tokens."""

    status: int
    body: dict[str, Any]
    headers: Any = field(repr=False)

    @property
    def error(self) -> str | None:
        return self.body.get("error")

    @property
    def access_token(self) -> str:
        return str(self.body["access_token"])

    @property
    def refresh_token(self) -> str:
        return str(self.body["refresh_token"])

    @property
    def id_token(self) -> str:
        return str(self.body["id_token"])


class RelyingParty:
    """`client_id` at the provider in `app`, with `browser` as its user's browser."""

    def __init__(
        self,
        app: Flask,
        browser: FlaskClient,
        client_id: str = "portal",
        redirect_uri: str = "https://portal.example.se/cb",
        secret: str | None = SECRET,
    ) -> None:
        self.app = app
        self.browser = browser
        self.client_id = client_id
        self.redirect_uri = redirect_uri
        self.secret = secret

    # The authorization endpoint

    def parameters(self, **changes: Any) -> dict[str, str]:
        """A valid request's parameters; a change to None leaves one out."""
        valid = {
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "response_type": "code",
            "scope": "openid profile email",
            "state": "the-state",
            "nonce": "the-nonce",
            "code_challenge": s256_challenge(VERIFIER),
            "code_challenge_method": "S256",
        }
        valid.update(changes)
        return {name: value for name, value in valid.items() if value is not None}

    def authorize(self, method: str = "GET", **changes: Any) -> TestResponse:
        """The provider's direct answer to an authorization request."""
        parameters = self.parameters(**changes)
        if method == "POST":
            return self.browser.post("/authorize", data=parameters, **HTTPS)
        return self.browser.get(f"/authorize?{urlencode(parameters)}", **HTTPS)

    def follow(self, response: TestResponse) -> TestResponse:
        """Follow redirects as long as they stay at the provider."""
        for _ in range(10):
            location = response.headers.get("Location", "")
            if response.status_code not in (302, 303) or not location.startswith("/"):
                return response
            response = self.browser.get(location, **HTTPS)
        raise AssertionError("redirected round and round")

    def submit(self, page: TestResponse, **fields: str) -> TestResponse:
        """Submit the page's form, its hidden fields as found; gives the direct answer."""
        data = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page.text))
        return self.browser.post(page.request.path, data={**data, **fields}, **HTTPS)

    def log_in(
        self, *, email: str = "anna@example.se", password: str = PASSWORD, **changes: Any
    ) -> TestResponse:
        """The answer that leaves the provider after a login by e-mail and password (or at once with SSO)."""
        page = self.follow(self.authorize(**changes))
        if 'id="login-form"' not in page.text:
            return page
        return self.follow(self.submit(page, email=email, password=password))

    def code(self, **changes: Any) -> str:
        """A code, after a login if need be."""
        return self.answer(self.log_in(**changes))["code"]

    @staticmethod
    def answer(response: TestResponse) -> dict[str, str]:
        """The authorization response in a redirect to the client."""
        assert response.status_code == 303, response.text[:2000]
        return dict(parse_qsl(urlsplit(response.headers["Location"]).query, keep_blank_values=True))

    # The other endpoints

    def exchange(self, code: str, *, basic: Any = UNSET, headers: Any = None, **changes: Any) -> Tokens:
        """Exchange a code, authenticating by Basic when there is a secret; `basic` replaces (id, secret)."""
        valid = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": VERIFIER,
        }
        response = self.post("/token", valid, basic=basic, headers=headers, **changes)
        return Tokens(response.status_code, response.get_json(), response.headers)

    def refresh(self, refresh_token: str, **changes: Any) -> Tokens:
        """New tokens for a refresh token."""
        valid = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        response = self.post("/token", valid, **changes)
        return Tokens(response.status_code, response.get_json(), response.headers)

    def client_token(self, **changes: Any) -> Tokens:
        """An access token for the client itself."""
        response = self.post("/token", {"grant_type": "client_credentials"}, **changes)
        return Tokens(response.status_code, response.get_json(), response.headers)

    def introspect(self, token: str, **changes: Any) -> TestResponse:
        return self.post("/introspect", {"token": token}, **changes)

    def revoke(self, token: str, **changes: Any) -> TestResponse:
        return self.post("/revoke", {"token": token}, **changes)

    def post(
        self, path: str, valid: dict[str, str], *, basic: Any = UNSET, headers: Any = None, **changes: Any
    ) -> TestResponse:
        """The answer to a form of the app's, authenticated as `exchange` does."""
        if self.secret is None:
            valid = {**valid, "client_id": self.client_id}
        form = {name: value for name, value in (valid | changes).items() if value is not None}
        credentials = (self.client_id, self.secret) if basic is UNSET else basic
        sent = dict(headers or {})
        if credentials and credentials[1] is not None:
            sent["Authorization"] = "Basic " + basic_value(*credentials)
        return self.app.test_client().post(path, data=form, headers=sent, **HTTPS)

    def tokens(self, **changes: Any) -> Tokens:
        """Tokens, after a login if need be."""
        answer = self.exchange(self.code(**changes))
        assert answer.status == 200, answer
        return answer

    def userinfo(self, access_token: str) -> TestResponse:
        return self.app.test_client().get(
            "/userinfo", headers={"Authorization": f"Bearer {access_token}"}, **HTTPS
        )


def basic_value(client_id: str, secret: str) -> str:
    """HTTP Basic as RFC 6749 §2.3.1 wants it: both parts form-urlencoded."""
    return b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()


def query_of(response: TestResponse) -> dict[str, list[str]]:
    """The query of a redirect, values in lists."""
    return parse_qs(urlsplit(response.headers["Location"]).query, keep_blank_values=True)
