"""Mina inloggningar and its neighbours, read and used as a browser does."""

import re
from html import unescape

from flask import Flask
from werkzeug.test import TestResponse

from idp import audit
from tests.fakes.relying_party import HTTPS, RelyingParty

END = re.compile(r'action="(/account/sessions/[0-9a-f-]{36}/end)"')
ENTRY = re.compile(r"<li>\s*<div>(.*?)</li>", re.DOTALL)


def get(rp: RelyingParty, path: str = "/account") -> TestResponse:
    return rp.browser.get(path, **HTTPS)


def entries(page: TestResponse) -> list[str]:
    """The entries of the page's list, each as its words."""
    assert page.status_code == 200, page.text[:500]
    return [words(entry) for entry in ENTRY.findall(page.text)]


def session_entries(page: TestResponse) -> list[str]:
    """The sessions of Mina inloggningar, each as its words."""
    assert page.status_code == 200, page.text[:500]
    found = page.text.split('<h2 id="sessions">')[1]
    return [words(entry) for entry in ENTRY.findall(found)]


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def end_paths(rp: RelyingParty) -> list[str]:
    """Where the sessions in the list are ended, in the list's order: this one first."""
    return END.findall(get(rp).text)


def post(rp: RelyingParty, path: str, *, page: str = "/logout", **fields: str) -> TestResponse:
    """The direct answer to one of the page's forms."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', get(rp, page).text)
    data = {"csrf_token": found[1] if found else "", **fields}
    return rp.browser.post(path, data=data, **HTTPS)


def is_logged_in(rp: RelyingParty) -> bool:
    return get(rp).status_code == 200


def events(app: Flask, event: audit.Event) -> list[dict[str, object]]:
    """The details of every such event, oldest first."""
    with app.app_context():
        return [row.detail for row in reversed(audit.newest(100, event=event))]
