"""Claims about a person and their login, and the scopes that release them."""

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from flask_babel import LazyString, lazy_gettext

from idp.oidc.claims_request import ClaimsRequest
from idp.oidc.clients.client import Client
from idp.tokens import base64url
from idp.users.personal_number import PersonalNumber

SWEDISH = "https://id.oidc.se/claim/"
INFO_SCOPE = "https://id.oidc.se/scope/naturalPersonInfo"
NUMBER_SCOPE = "https://id.oidc.se/scope/naturalPersonNumber"
ORG_SCOPE = "https://id.oidc.se/scope/naturalPersonOrgId"
PERSONAL_IDENTITY_NUMBER = f"{SWEDISH}personalIdentityNumber"
COORDINATION_NUMBER = f"{SWEDISH}coordinationNumber"
NUMBER_CLAIMS = (PERSONAL_IDENTITY_NUMBER, COORDINATION_NUMBER)
BIRTHDATE = "birthdate"
CLAIMS_OF_A_NUMBER = frozenset({*NUMBER_CLAIMS, BIRTHDATE})
ORG_AFFILIATION = f"{SWEDISH}orgAffiliation"
ORG_NAME = f"{SWEDISH}orgName"
ORG_NUMBER = f"{SWEDISH}orgNumber"

SCOPE_CLAIMS: dict[str, tuple[str, ...]] = {
    "openid": (),
    "profile": (
        *("name", "given_name", "family_name", "preferred_username", "locale", "updated_at"),
        BIRTHDATE,
    ),
    "email": ("email", "email_verified"),
    "phone": ("phone_number", "phone_number_verified"),
    "offline_access": (),
    INFO_SCOPE: ("name", "given_name", "family_name", BIRTHDATE),
    NUMBER_SCOPE: NUMBER_CLAIMS,
    ORG_SCOPE: ("name", ORG_AFFILIATION, ORG_NAME, ORG_NUMBER),
}
"""Scopes and their claims at the userinfo endpoint (OIDC Core §5.4, Swedish claims specification §3)."""

SCOPE_CLAIMS_IN_ID_TOKEN = {NUMBER_SCOPE: NUMBER_CLAIMS, ORG_SCOPE: (ORG_AFFILIATION,)}
"""Scopes that put claims in the ID token too, and which (Swedish claims specification §3.2, §3.3)."""

AUTHN_PROVIDER = f"{SWEDISH}authnProvider"
CREDENTIAL_VALID_FROM = f"{SWEDISH}credentialValidFrom"
CREDENTIAL_VALID_TO = f"{SWEDISH}credentialValidTo"
DEVICE_IP = f"{SWEDISH}deviceIp"
TXN = "txn"
IDENTIFYING_EVIDENCE = (f"{SWEDISH}userSignature", f"{SWEDISH}userCertificate", f"{SWEDISH}authnEvidence")
EVIDENCE_CLAIMS = (
    *IDENTIFYING_EVIDENCE,
    CREDENTIAL_VALID_FROM,
    CREDENTIAL_VALID_TO,
    DEVICE_IP,
    TXN,
)
"""Claims of a login that leaves evidence: requested by the `claims` parameter, in the ID token alone."""

SCOPE_TEXTS: dict[str, LazyString] = {
    "openid": lazy_gettext("Ditt användar-id hos oss"),
    "profile": lazy_gettext("Ditt namn, språk och födelsedatum"),
    "email": lazy_gettext("Din e-postadress"),
    "phone": lazy_gettext("Ditt telefonnummer"),
    "offline_access": lazy_gettext("Tillgång även när du inte är inloggad"),
    INFO_SCOPE: lazy_gettext("Ditt namn och födelsedatum"),
    NUMBER_SCOPE: lazy_gettext("Ditt personnummer"),
    ORG_SCOPE: lazy_gettext("Ditt namn och ditt företag"),
    AUTHN_PROVIDER: lazy_gettext("På vilket sätt du loggade in"),
    CREDENTIAL_VALID_FROM: lazy_gettext("Startdatum för ditt BankID"),
    CREDENTIAL_VALID_TO: lazy_gettext("Slutdatum för ditt BankID"),
    DEVICE_IP: lazy_gettext("Den IP-adress som du loggade in från"),
    TXN: lazy_gettext("Ett referensnummer för din inloggning"),
}
"""The meaning of each scope, and of each claim without a scope, for a person who is asked to consent."""

_SCOPES_OF = {
    claim: tuple(scope for scope, claims in SCOPE_CLAIMS.items() if claim in claims)
    for names in SCOPE_CLAIMS.values()
    for claim in names
}
ACCOUNT_CLAIMS = frozenset(_SCOPES_OF) - CLAIMS_OF_A_NUMBER
"""The claims that are made of the account alone."""

# A signature or a certificate holds the personal number: these claims need the scope of the number.
_ANY = ("openid",)  # every client is registered for it
_SCOPES_OF_EVENT = dict.fromkeys((AUTHN_PROVIDER, *EVIDENCE_CLAIMS), _ANY) | dict.fromkeys(
    IDENTIFYING_EVIDENCE, (NUMBER_SCOPE,)
)


@dataclass(frozen=True)
class AllowedClaims:
    """The requested claims (OIDC Core §5.5) that the client may have, by name, for ID token and userinfo."""

    id_token: tuple[str, ...] = ()
    userinfo: tuple[str, ...] = ()

    @classmethod
    def of(cls, requested: "ClaimsRequest | AllowedClaims", client: Client) -> "AllowedClaims":
        """The requested claims of a scope that the client is registered for (OIDC Core §5.5.1).

        Others are left out, essential or not. The same holds for granted claims: the client may have lost the
        scope since.
        """
        anywhere = _SCOPES_OF | _SCOPES_OF_EVENT
        return cls(
            id_token=tuple(name for name in requested.id_token if _listed(anywhere, name, client)),
            userinfo=tuple(name for name in requested.userinfo if _listed(_SCOPES_OF, name, client)),
        )

    def consent_items(self, client: Client) -> list[str]:
        """What a consent must hold for these claims.

        Of each claim that is the first scope that the client is registered for, else the claim itself.
        """
        anywhere = _SCOPES_OF | _SCOPES_OF_EVENT
        return [
            name if anywhere[name] == _ANY else _listed(anywhere, name, client)[0]
            for name in self.id_token + self.userinfo
        ]

    def to_json(self) -> dict[str, Any] | None:
        """The JSON that a grant stores; None when no claim is requested."""
        if not self.id_token and not self.userinfo:
            return None
        return {"id_token": list(self.id_token), "userinfo": list(self.userinfo)}

    @classmethod
    def from_json(cls, value: dict[str, Any] | None) -> "AllowedClaims":
        """The requested claims in the JSON of a grant."""
        if value is None:
            return cls()
        return cls(id_token=tuple(value["id_token"]), userinfo=tuple(value["userinfo"]))


@dataclass(frozen=True)
class Person:
    """The facts about an account that standard claims are made of (OIDC Core §5.1)."""

    id: UUID
    name: str
    email: str
    email_verified: bool
    phone: str | None
    locale: str
    updated_at: datetime
    company: str
    org_number: str | None


def subject(client: Client, user_id: UUID, key: bytes) -> str:
    """The `sub` by which `client` knows the account (OIDC Core §8): its UUID, or a keyed hash per sector."""
    if client.subject_type == "public":
        return str(user_id)
    message = f"pairwise:{client.sector}:{user_id}".encode()
    return base64url(hmac.new(key, message, hashlib.sha256).digest())


def claims_of_scopes(scopes: Iterable[str]) -> list[str]:
    """The claims that the scopes release (OIDC Core §5.4)."""
    return list(dict.fromkeys(claim for scope in scopes for claim in SCOPE_CLAIMS[scope]))


def person_claims(person: Person, names: Collection[str], *, sub: str) -> dict[str, Any]:
    """The claims among `names` that the account has; empty ones are left out (OIDC Core §5.3.2).

    The affiliation is made of the `sub` by which the client knows the person, so apps cannot compare it.
    """
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
        ORG_AFFILIATION: f"{sub}@{person.org_number}" if person.org_number else None,
        ORG_NAME: person.company,
        ORG_NUMBER: person.org_number,
    }
    return {name: every[name] for name in names if every.get(name) is not None}


def number_claims(found: PersonalNumber, names: Collection[str]) -> dict[str, str]:
    """The claims among `names` that a personal number has (Swedish claims specification §2.1).

    They are the number itself under the name of its kind, and the birthdate.
    """
    name = COORDINATION_NUMBER if found.is_coordination else PERSONAL_IDENTITY_NUMBER
    every = {name: found.digits}
    if found.birthdate is not None:
        every[BIRTHDATE] = found.birthdate.isoformat()
    return {name: value for name, value in every.items() if name in names}


def _listed(scopes_of: Mapping[str, tuple[str, ...]], claim: str, client: Client) -> list[str]:
    """The claim's scopes that the client is registered for."""
    return [scope for scope in scopes_of.get(claim, ()) if scope in client.scopes]


def _split(name: str) -> tuple[str | None, str | None]:
    """Given and family name of a full name: the last word is the family's. A single word is neither."""
    given, _, family = name.rpartition(" ")
    return (given, family) if given else (None, None)
