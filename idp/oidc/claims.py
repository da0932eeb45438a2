"""Which claims say what about a person and their login, and what releases them."""

import hashlib
import hmac
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from flask_babel import LazyString, lazy_gettext

from idp.oidc.claims_request import ClaimsRequest
from idp.oidc.clients import Client
from idp.tokens import base64url
from idp.users.personal_number import PersonalNumber

SWEDISH = "https://id.oidc.se/claim/"
NUMBER_SCOPE = "https://id.oidc.se/scope/naturalPersonNumber"
PERSONAL_IDENTITY_NUMBER = f"{SWEDISH}personalIdentityNumber"
COORDINATION_NUMBER = f"{SWEDISH}coordinationNumber"
NUMBER_CLAIMS = (PERSONAL_IDENTITY_NUMBER, COORDINATION_NUMBER)

SCOPE_CLAIMS: dict[str, tuple[str, ...]] = {
    "openid": (),
    "profile": ("name", "given_name", "family_name", "preferred_username", "locale", "updated_at"),
    "email": ("email", "email_verified"),
    "phone": ("phone_number", "phone_number_verified"),
    NUMBER_SCOPE: NUMBER_CLAIMS,
}
"""Scopes and their claims at the userinfo endpoint (OIDC Core §5.4, Swedish claims specification §3)."""

ID_TOKEN_SCOPES = (NUMBER_SCOPE,)
"""Scopes that put their claims in the ID token too."""

SCOPE_TEXTS: dict[str, LazyString] = {
    "openid": lazy_gettext("Vem du är hos oss (ett kontonummer)"),
    "profile": lazy_gettext("Ditt namn och språk"),
    "email": lazy_gettext("Din e-postadress"),
    "phone": lazy_gettext("Ditt telefonnummer"),
    NUMBER_SCOPE: lazy_gettext("Ditt personnummer"),
}
"""What each scope means to the person who is asked to consent."""

AUTHN_PROVIDER = f"{SWEDISH}authnProvider"
IDENTIFYING_EVIDENCE = (f"{SWEDISH}userSignature", f"{SWEDISH}userCertificate", f"{SWEDISH}authnEvidence")
EVIDENCE_CLAIMS = (
    *IDENTIFYING_EVIDENCE,
    f"{SWEDISH}credentialValidFrom",
    f"{SWEDISH}credentialValidTo",
    f"{SWEDISH}deviceIp",
    "txn",
)
"""What a login that leaves evidence tells, by the `claims` parameter and in the ID token alone."""

PERSON_CLAIMS = frozenset(SCOPE_CLAIMS["profile"] + SCOPE_CLAIMS["email"] + SCOPE_CLAIMS["phone"])

_SCOPE_OF = {claim: scope for scope, names in SCOPE_CLAIMS.items() for claim in names}
# Whoever reads a signature or a certificate reads the personal number in it.
_SCOPE_OF_EVENT = dict.fromkeys((AUTHN_PROVIDER, *EVIDENCE_CLAIMS), "openid") | dict.fromkeys(
    IDENTIFYING_EVIDENCE, NUMBER_SCOPE
)


@dataclass(frozen=True)
class AskedClaims:
    """Names of the claims that a request asks for one by one and its client may have, by place."""

    id_token: tuple[str, ...] = ()
    userinfo: tuple[str, ...] = ()

    @classmethod
    def allowed(cls, asked: ClaimsRequest, client: Client) -> "AskedClaims":
        """Those whose scope the client's entry lists. Others are left out, essential or not (§5.5.1)."""
        anywhere = _SCOPE_OF | _SCOPE_OF_EVENT
        return cls(
            id_token=tuple(name for name in asked.id_token if anywhere.get(name) in client.scopes),
            userinfo=tuple(name for name in asked.userinfo if _SCOPE_OF.get(name) in client.scopes),
        )

    @property
    def scopes(self) -> list[str]:
        """The scopes that stand for these claims when a person is asked to consent."""
        return [(_SCOPE_OF | _SCOPE_OF_EVENT)[name] for name in self.id_token + self.userinfo]

    def to_json(self) -> dict[str, Any] | None:
        """As a grant keeps it; None when nothing is asked for."""
        if not self.id_token and not self.userinfo:
            return None
        return {"id_token": list(self.id_token), "userinfo": list(self.userinfo)}

    @classmethod
    def from_json(cls, value: dict[str, Any] | None) -> "AskedClaims":
        if value is None:
            return cls()
        return cls(id_token=tuple(value["id_token"]), userinfo=tuple(value["userinfo"]))


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


def of_scopes(scopes: Iterable[str]) -> list[str]:
    """The claims that the scopes release."""
    return [claim for scope in scopes for claim in SCOPE_CLAIMS[scope]]


def about(person: Person, names: Collection[str]) -> dict[str, Any]:
    """Those of `names` that the account tells; empty ones are left out (OIDC Core §5.3.2)."""
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
    return {name: every[name] for name in names if every.get(name) is not None}


def number(found: PersonalNumber | None, names: Collection[str]) -> dict[str, str]:
    """The personal number under the name of its kind, if that is one of `names`; never both kinds."""
    if found is None:
        return {}
    name = COORDINATION_NUMBER if found.is_coordination else PERSONAL_IDENTITY_NUMBER
    return {name: found.digits} if name in names else {}


def _split(name: str) -> tuple[str | None, str | None]:
    """Given and family name of a full name: the last word is the family's. One word alone is neither."""
    given, _, family = name.rpartition(" ")
    return (given, family) if given else (None, None)
