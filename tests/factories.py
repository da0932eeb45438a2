"""Plain functions that make what a test needs; every fact can be changed by name."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from idp.clock import utcnow
from idp.db import db
from idp.password.hashing import HASHER
from idp.users import accounts, companies
from idp.users.models import Company, User

PASSWORD = "korrekt häst batteri klammer"
SECRET = "a-secret-made-by-a-machine-0123456789abcdef"
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def make_company(name: str = "Exempel AB") -> Company:
    """The company of this name, added if it is not there."""
    found = db.session.scalar(sa.select(Company).where(Company.name == name))
    return found or companies.add(name, None, now=utcnow())


def make_user(*, password: str | None = PASSWORD, **changes: Any) -> User:
    """An active user of Exempel AB who can log in with PASSWORD."""
    facts: dict[str, Any] = {"email": "anna@example.se", "name": "Anna Åsén", "company": "Exempel AB"}
    facts.update(changes)
    make_company(facts["company"])
    if password is not None and "password_hash" not in facts:
        facts["password_hash"] = HASHER.current().hash(password)
    return accounts.add(accounts.NewUser(**facts), now=utcnow())


def make_client(**changes: Any) -> dict[str, Any]:
    """A confidential client's entry in clients.yaml, authenticating by client_secret_basic with SECRET.

    A change to None leaves the field out.
    """
    entry: dict[str, Any] = {
        "client_name": "Portalen",
        "client_name#en": "The portal",
        "redirect_uris": ["https://portal.example.se/cb"],
        "post_logout_redirect_uris": ["https://portal.example.se/"],
        "token_endpoint_auth_method": "client_secret_basic",
        "client_secrets": [{"sha256": hashlib.sha256(SECRET.encode()).hexdigest()}],
        "scope": "openid profile email phone",
        "login_methods": ["password"],
        "initiate_login_uri": "https://portal.example.se/login",
    }
    entry.update(changes)
    return {name: value for name, value in entry.items() if value is not None}


def make_public_client(**changes: Any) -> dict[str, Any]:
    """A public client's entry: no secret, PKCE."""
    return make_client(token_endpoint_auth_method="none", client_secrets=None, **changes)
