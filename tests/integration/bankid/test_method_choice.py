"""Only the methods that client and request allow are offered, whichever address is tried."""

import json
import re
from base64 import b64encode
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.db import db
from idp.login import interactions
from idp.login.models import Interaction
from idp.login.user_message import UserMessage
from idp.oidc.authorization.parameters import AUTHN_PROVIDER, USER_MESSAGE
from idp.oidc.provider import PROVIDER
from tests.factories import PASSWORD
from tests.fakes.relying_party import HTTPS, RelyingParty

FIELDS = {"email": "anna@example.se", "password": PASSWORD}
MESSAGE = json.dumps({"message#sv": b64encode("Hej på dig".encode()).decode()})


def uid_of(rp: RelyingParty, **changes: Any) -> str:
    location: str = rp.authorize(**changes).headers["Location"]
    return location.split("?", maxsplit=1)[0].rsplit("/", 1)[1]


@pytest.mark.parametrize(
    ("client_id", "changes"),
    [
        ("portal", {AUTHN_PROVIDER: "bankid"}),
        ("bankid-only", {}),
        ("portal", {"claims": '{"id_token": {"acr": {"essential": true, "value": "%s"}}}'}),
    ],
)
def test_a_password_does_not_count_where_bankid_is_asked_for(
    app: Flask, browser: FlaskClient, anna: str, client_id: str, changes: dict[str, str]
) -> None:
    acr = PROVIDER.of(app).methods["bankid"].acr
    changes = {name: value.replace("%s", acr) for name, value in changes.items()}
    rp = RelyingParty(app, browser, client_id)
    uid = uid_of(rp, **changes)
    token = re.findall(r'name="csrf_token" value="([^"]+)"', browser.get("/login/password", **HTTPS).text)[0]
    posted = browser.post(f"/login/{uid}/password", data={**FIELDS, "csrf_token": token}, **HTTPS)
    assert posted.headers["Location"] == f"/login/{uid}"
    # nor does a session that a password has begun elsewhere
    direct = browser.post("/login/password", data={**FIELDS, "csrf_token": token}, **HTTPS)
    assert direct.headers["Location"].startswith("/account")
    assert browser.get(f"/authorize/{uid}", **HTTPS).headers["Location"] == f"/login/{uid}"
    assert rp.answer(rp.authorize(prompt="none", **changes))["error"] == "login_required"


def test_bankid_does_not_count_where_a_password_is_asked_for(rp: RelyingParty, anna: str) -> None:
    uid = uid_of(rp, **{AUTHN_PROVIDER: "password"})
    answer = rp.browser.get(f"/login/{uid}/bankid", **HTTPS)
    assert answer.headers["Location"] == f"/login/{uid}"
    assert rp.follow(answer).request.path == f"/login/{uid}/password"


@pytest.mark.parametrize("prompt", [None, "login", "select_account consent"])
def test_login_pages_are_given_the_message(rp: RelyingParty, prompt: str | None) -> None:
    uid = uid_of(rp, prompt=prompt, **{USER_MESSAGE: MESSAGE})
    with rp.app.app_context():
        waiting = interactions.waiting(db.session.get_one(Interaction, uid))
    assert waiting.user_message == UserMessage({"sv": "Hej på dig"})


def test_a_browser_cannot_bypass_the_check_of_a_message(rp: RelyingParty) -> None:
    uid = uid_of(rp, user_message='{"texts": {"": "<b>"}, "mime_type": "text/html"}')
    with rp.app.app_context():
        assert interactions.waiting(db.session.get_one(Interaction, uid)).user_message is None
