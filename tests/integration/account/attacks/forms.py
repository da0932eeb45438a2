"""Forms and links of Mina uppgifter as an attacker uses them."""

import re
from typing import Any
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from idp.db import db
from idp.users import accounts
from idp.users.models import User
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import csrf, text_of

KEYS = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ANNA, BERIT = "anna@example.se", "berit@example.se"
NEW = "ny@example.se"
OWN_BLUEPRINTS = {"account", "email_change", "activity", "linking", "admin", "login", "password"}


def details(**changes: Any) -> dict[str, Any]:
    """Anna's form at Mina uppgifter, with changes."""
    kept = {"version": "0", "email": ANNA, "name": "Anna Åsén", "locale": "sv", "notices": "y"}
    return kept | {"start_page": "", "title": "", "phone": "", "personal_number": ""} | changes


def new_user(**changes: Any) -> dict[str, Any]:
    """A new user's form, with changes."""
    return {"name": "Nils Ny", "email": NEW, "locale": "sv", "role": "user"} | changes


def stored(app: Flask, user_id: str) -> User:
    with app.app_context():
        user = db.session.get_one(User, UUID(user_id))
        db.session.expunge(user)
        return user


def rules(app: Flask, method: str) -> list[Rule]:
    found = [rule for rule in app.url_map.iter_rules() if method in (rule.methods or ())]
    return [rule for rule in found if rule.endpoint.split(".")[0] in OWN_BLUEPRINTS]


def path_of(app: Flask, rule: Rule, user_id: str) -> str:
    values = {"uid": "x" * 43, "token": "0" * 64, "user_id": UUID(user_id), "session_id": UUID(user_id)}
    named = {name: value for name, value in values.items() if name in rule.arguments}
    return app.url_map.bind("login.example.se").build(rule.endpoint, named)


def confirm_link(app: Flask) -> list[str]:
    """The paths of the links that confirm an address, in the order they were mailed."""
    texts = [text_of(mail) for mail in queued(app, "email_change")]
    return re.findall(r"https://login\.example\.se(/account/email/[0-9a-f]{64})\s", "\n".join(texts))


def confirm(browser: FlaskClient, path: str) -> int:
    page = browser.get(path, **HTTPS)
    return browser.post(path, data={"csrf_token": csrf(page)}, **HTTPS).status_code


def users_id(app: Flask, email: str) -> UUID:
    with app.app_context():
        user = accounts.find_by_email(email)
        assert user is not None
        return user.id
