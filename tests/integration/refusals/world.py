"""One provider for all cases of a group; each case takes a browser, and often a person, of its own."""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import yaml
from flask import Flask
from flask.testing import FlaskClient
from time_machine import Traveller
from werkzeug.test import TestResponse

from idp.clock import utcnow
from idp.db import db
from idp.oidc.provider import PROVIDER
from idp.password.hashing import HASHER
from idp.users import accounts
from tests.factories import PASSWORD, SECRET, make_user
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS, RelyingParty, Tokens
from tests.fakes.reset_pages import csrf, text_of

ANNA = "anna@example.se"
LIMITS = (
    *("LOGIN_PER_ACCOUNT", "LOGIN_PER_ADDRESS", "LOGIN_OVERALL", "CLIENT_AUTHENTICATION"),
    *("RESET_PER_ACCOUNT", "RESET_PER_ADDRESS", "EMAIL_CHANGE", "USERS_PER_COMPANY", "BANKID_PER_ADDRESS"),
)
MANY = {f"IDP_LIMIT_{name}": "1000000/hour" for name in LIMITS}
"""Settings that let one address make every request of a group."""


@dataclass
class World:
    """The provider in `app`, where anna@example.se can log in; time stands still unless `later` moves it."""

    app: Flask
    clock: Traveller
    clients_file: Path
    clients: Mapping[str, dict[str, Any]]
    phone: Any = None  # the BankID app, in groups that have one
    _numbers: Iterator[int] = field(default_factory=count)

    def browser(self) -> FlaskClient:
        return self.app.test_client()

    def rp(self, client_id: str = "portal", browser: FlaskClient | None = None) -> RelyingParty:
        """The relying app, with a browser that nobody has used."""
        entry = self.clients[client_id]
        secret = SECRET if "client_secrets" in entry else None
        redirect_uri = entry.get("redirect_uris", [""])[0]
        return RelyingParty(self.app, browser or self.browser(), client_id, redirect_uri, secret)

    def logged_in(self, client_id: str = "portal", email: str = ANNA) -> RelyingParty:
        """The relying app, with a browser on which somebody has logged in."""
        rp = self.rp(client_id)
        log_in(rp.browser, email)
        return rp

    def code(self, client_id: str = "portal", email: str = ANNA, **changes: Any) -> tuple[RelyingParty, str]:
        """The relying app and a code that it may exchange."""
        rp = self.logged_in(client_id, email)
        return rp, rp.answer(rp.authorize(**changes))["code"]

    def tokens(
        self, client_id: str = "portal", email: str = ANNA, **changes: Any
    ) -> tuple[RelyingParty, Tokens]:
        """The relying app and tokens that it may use."""
        rp, code = self.code(client_id, email, **changes)
        tokens = rp.exchange(code)
        assert tokens.status == 200, tokens
        return rp, tokens

    def person(self, **facts: Any) -> str:
        """The address of somebody whom no other case knows."""
        email = f"person{next(self._numbers)}@example.se"
        with self.app.app_context():
            make_user(**{"email": email, "name": "Bo Ek", **facts})
        return email

    def csrf_of_another_browser(self) -> str:
        return csrf(self.browser().get("/login/password", **HTTPS))

    def user_id(self, email: str) -> UUID:
        with self.app.app_context():
            user = accounts.find_by_email(email)
            assert user is not None
            return user.id

    def disable(self, email: str) -> None:
        """Shut somebody out."""
        with self.app.app_context():
            accounts.disable(self.user_id(email), now=utcnow())

    def demote_administrators(self) -> None:
        with self.app.app_context():
            db.session.execute(sa.text("UPDATE users SET role = 'user'"))
            db.session.commit()

    def empty(self, *tables: str) -> None:
        """Remove every row, as in time a purge does."""
        with self.app.app_context():
            for table in tables:
                db.session.execute(sa.text(f"DELETE FROM {table}"))
            db.session.commit()

    @contextmanager
    def later(self, seconds: float) -> Iterator[None]:
        """Let so much time pass, and come back."""
        self.clock.shift(seconds)
        try:
            yield
        finally:
            self.clock.shift(-seconds)

    @contextmanager
    def entry(self, client_id: str, **changes: Any) -> Iterator[None]:
        """Let clients.yaml say something else of a client meanwhile; without changes: nothing."""
        before = self.clients_file.read_text()
        file = yaml.load(before, Loader=yaml.CSafeLoader)
        changed = {**file["clients"].pop(client_id), **changes}
        if changes:
            file["clients"][client_id] = {name: value for name, value in changed.items() if value is not None}
        self._clients_are(yaml.dump(file, Dumper=yaml.CSafeDumper))
        try:
            yield
        finally:
            self._clients_are(before)

    def _clients_are(self, text: str) -> None:
        self.clients_file.write_text(text)
        self.registry.refresh()
        assert self.registry.problems == []

    @property
    def registry(self) -> Any:
        """What the provider knows of its clients."""
        return PROVIDER.of(self.app).clients

    @property
    def hasher(self) -> Any:
        """What the provider hashes passwords with."""
        return HASHER.of(self.app)


def log_in(browser: FlaskClient, email: str = ANNA) -> None:
    """Log in directly, by e-mail and password."""
    assert post(browser, "/login/password", email=email, password=PASSWORD).status_code == 303


def post(browser: FlaskClient, path: str, **fields: Any) -> TestResponse:
    """The answer to a form of a page of ours, sent with the browser's CSRF token."""
    token = csrf(browser.get("/login/password", **HTTPS))
    data = {name: value for name, value in fields.items() if value is not None}
    return browser.post(path, data={"csrf_token": token, **data}, **HTTPS)


def subject_of(tokens: Tokens) -> str:
    """Whom an ID token speaks of."""
    payload = tokens.id_token.split(".")[1]
    return str(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])


def fields_of(page: TestResponse, form_id: str) -> dict[str, str]:
    """What a browser would send of the page's form as it is shown."""
    form = page.text.partition(f'id="{form_id}"')[2].partition("</form>")[0]
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        marks = {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        if "name" in marks and (marks.get("type") != "checkbox" or re.search(r"\bchecked\b", tag)):
            found[marks["name"]] = marks.get("value", "")
    for name, options in re.findall(r'<select[^>]*name="(\w+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'<option selected value="([^"]*)"', options)
        found[name] = chosen[1] if chosen else ""
    return found


def mailed_path(world: World, kind: str, beginning: str) -> str:
    """Path of the newest link in this kind of mail."""
    text = text_of(queued(world.app, kind)[-1])
    return re.findall(rf"https://login\.example\.se({re.escape(beginning)}[0-9a-f]+)", text)[-1]
