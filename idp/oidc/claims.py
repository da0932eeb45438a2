"""Which claims say what about a person, and which scope releases them."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from flask_babel import LazyString, lazy_gettext

from idp.oidc.clients import Client
from idp.tokens import base64url

SCOPE_CLAIMS: dict[str, tuple[str, ...]] = {
    "openid": (),
    "profile": ("name", "given_name", "family_name", "preferred_username", "locale", "updated_at"),
    "email": ("email", "email_verified"),
    "phone": ("phone_number", "phone_number_verified"),
}
"""Scopes and their claims at the userinfo endpoint (OIDC Core §5.4)."""

SCOPE_TEXTS: dict[str, LazyString] = {
    "openid": lazy_gettext("Vem du är hos oss (ett kontonummer)"),
    "profile": lazy_gettext("Ditt namn och språk"),
    "email": lazy_gettext("Din e-postadress"),
    "phone": lazy_gettext("Ditt telefonnummer"),
}
"""What each scope means to the person who is asked to consent."""


@dataclass(frozen=True)
class Person:
    """What tokens can say about somebody."""

    id: UUID
    name: str
    email: str
    email_verified: bool
    phone: str | None
    locale: str
    updated_at: datetime


def subject(client: Client, user_id: UUID, key: bytes) -> str:
    """The `sub` by which `client` knows the account (OIDC Core §8): its UUID, or a keyed hash per sector."""
    if client.subject_type == "public":
        return str(user_id)
    message = f"pairwise:{client.sector}:{user_id}".encode()
    return base64url(hmac.new(key, message, hashlib.sha256).digest())


def userinfo(person: Person, scope: str) -> dict[str, Any]:
    """The claims that `scope` releases, without `sub`; empty ones are left out (OIDC Core §5.3.2)."""
    given, family = _split(person.name)
    every: dict[str, Any] = {
        "name": person.name,
        "given_name": given,
        "family_name": family,
        "preferred_username": person.email,
        "locale": person.locale,
        "updated_at": int(person.updated_at.timestamp()),
        "email": person.email,
        "email_verified": person.email_verified,
        "phone_number": person.phone,
        "phone_number_verified": False if person.phone else None,
    }
    released: dict[str, Any] = {}
    for name in scope.split():
        for claim in SCOPE_CLAIMS[name]:
            if every[claim] is not None:
                released[claim] = every[claim]
    return released


def _split(name: str) -> tuple[str | None, str | None]:
    """Given and family name of a full name: the last word is the family's. One word alone is neither."""
    given, _, family = name.rpartition(" ")
    return (given, family) if given else (None, None)
