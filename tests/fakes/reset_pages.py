"""Asking for a new password and choosing one, as a browser does; the mails are read from the outbox."""

import re
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlencode

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp import audit
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS, RelyingParty

FORM = "application/x-www-form-urlencoded"
NEW = "vinterlig saxofon trampar gräs"
ANNA = "anna@example.se"


def csrf(page: TestResponse) -> str:
    """The page's CSRF token."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found, page.text[:500]
    return found[1]


def ask(browser: FlaskClient, email: Any = ANNA, *, query: str = "", **options: Any) -> TestResponse:
    """The direct answer to the forgotten-password form."""
    page = browser.get("/password/reset" + query, **HTTPS)
    data = encoded(csrf_token=csrf(page), email=email)
    return browser.post("/password/reset" + query, data=data, content_type=FORM, **HTTPS, **options)


def encoded(**fields: Any) -> str:
    """A form's body; bytes are sent as they are, several values one after the other."""
    return urlencode(fields, doseq=True)


def link(app: Flask, browser: FlaskClient, email: str = ANNA) -> str:
    """Path and query of the link that is mailed to `email` when it is asked for."""
    assert ask(browser, email).status_code == 303
    return newest_link(app)


def newest_link(app: Flask) -> str:
    found = re.findall(
        r"https://login\.example\.se(/password/reset/\S+)", text_of(queued(app, "password_reset")[-1])
    )
    assert len(found) == 1
    return str(found[0])


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def choose(browser: FlaskClient, path: str, password: Any = NEW, confirm: Any = None) -> TestResponse:
    """The direct answer to the new-password form at `path`."""
    page = browser.get(path, **HTTPS)
    assert page.status_code == 200, page.text
    confirm = password if confirm is None else confirm
    data = encoded(csrf_token=csrf(page), password=password, confirm=confirm)
    return browser.post(path, data=data, content_type=FORM, **HTTPS)


def logs_in(app: Flask, password: str, email: str = ANNA) -> bool:
    """Whether a fresh browser gets in."""
    rp = RelyingParty(app, app.test_client())
    return rp.log_in(email=email, password=password).status_code == 303


def events(app: Flask, prefix: str = "password.") -> list[str]:
    with app.app_context():
        return [row.event for row in reversed(audit.newest(100)) if row.event.startswith(prefix)]
