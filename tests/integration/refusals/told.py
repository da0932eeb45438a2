"""What counts of the answer to a refused request: codes, places and marks, no words."""

import html
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import parse_qs, urlsplit

from flask import Flask
from werkzeug.test import TestResponse

from idp.errors import TEXTS
from tests.conftest import ISSUER
from tests.integration.refusals.table import Told

STATE = "the-state"  # what `RelyingParty.parameters` sends

Case = tuple[str, Callable[[], TestResponse]]
"""What is wrong, in words, and the request with it."""

Cases = Iterator[Case]

_OF_ONE_RUN = re.compile(r"[0-9a-f]{64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=/)[\w-]{43}(?=/|$)")
_RESPONSE = ("code", "error", "error_description", "state", "iss")
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


def titles_of_errors(app: Flask) -> dict[str, str]:
    """The code of each error that has a page, by the page's title."""
    with app.test_request_context():
        return {str(text.title): code for code, text in TEXTS.items()}


def of(answer: TestResponse, titles: Mapping[str, str]) -> Told:
    """What counts of an answer; `titles` are those of error pages."""
    found: Told = {"status": answer.status_code}
    if "Location" in answer.headers:
        found |= _redirect(answer.headers["Location"])
    elif answer.mimetype == "application/json" and isinstance(answer.get_json(silent=True), dict):
        body = answer.get_json()
        found |= {name: body[name] for name in ("error", "active", "state", "ready") if name in body}
    elif answer.mimetype == "text/html" and answer.text:
        found |= _page(answer.text, titles)
    return found | _headers(answer)


def _redirect(location: str) -> Told:
    parts = urlsplit(location)
    query = parse_qs(parts.query, keep_blank_values=True)
    to = _OF_ONE_RUN.sub("*", location.partition("?")[0].partition("#")[0])
    if "error" in query or "code" in query:
        fields = {name: query.pop(name)[0] for name in _RESPONSE if name in query}
    else:
        fields = {}
    asked = "?" + "&".join(query) if query else ""
    place = "#" + parts.fragment if parts.fragment else ""
    return {"to": to + asked + place, **(_response(fields) if fields else {})}


def _response(fields: Mapping[str, str]) -> Told:
    """An authorization response; what should be in it and is as it should be is True."""
    found: Told = {"error": fields["error"]} if "error" in fields else {"code": "code" in fields}
    expected = {"state": STATE, "iss": ISSUER}
    return found | {
        name: fields[name] == value or fields[name] for name, value in expected.items() if name in fields
    }


def _page(text: str, titles: Mapping[str, str]) -> Told:
    content = text.partition("<main")[2]
    if 'id="form-post"' in text:
        form = re.search(r'action="([^"]*)"', text)
        fields = {html.unescape(name): html.unescape(value) for name, value in _HIDDEN.findall(text)}
        return {"form_post": html.unescape(form[1]) if form else None, **_response(fields)}
    title = re.search(r"<title>(.*?) – [^–<]*</title>", text)
    words = html.unescape(title[1]) if title else ""
    name = re.search(r'<(?:section|form)\b[^>]* id="([^"]+)"', content) or re.search(
        r'<div\b[^>]*? id="([^"]+)"', content
    )
    page = name[1] if name else None
    if page == "error-page" and words in titles:
        return {"page": titles[words]}
    found: Told = {"page": page or words}
    if page in ("error-page", "link-over"):
        found["title"] = words  # these have no code
    if state := re.search(r'\bdata-state="([^"]*)"', content):
        found["state"] = state[1]
    if alerts := re.findall(r'role="alert" id="([^"]*)"', content):
        found["alert"] = ", ".join(alerts)
    if invalid := re.findall(r'name="([^"]*)"[^>]*aria-invalid="true"', content):
        found["invalid"] = ", ".join(invalid)
    return found


def _headers(answer: TestResponse) -> Told:
    found: Told = {}
    if challenges := answer.headers.getlist("WWW-Authenticate"):
        found["www_authenticate"] = ", ".join(map(_challenge, challenges))
    if "Allow" in answer.headers:
        found["allow"] = ", ".join(sorted(answer.headers["Allow"].replace(" ", "").split(",")))
    if "Retry-After" in answer.headers:
        found["retry_after"] = int(answer.headers["Retry-After"])
    if "DPoP-Nonce" in answer.headers:
        found["dpop_nonce"] = True
    return found


def _challenge(value: str) -> str:
    """The scheme of a challenge, and its error if it names one."""
    error = re.search(r'\berror="([^"]*)"', value)
    return value.partition(" ")[0] + (f" {error[1]}" if error else "")
