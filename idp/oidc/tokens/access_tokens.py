"""Access tokens in the database: store a client's own, find the person whom a token is about."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa

from idp.db import execute_alone, write_alone
from idp.oidc.claims import AllowedClaims, Person
from idp.oidc.models import AccessToken, Grant
from idp.oidc.people import PERSON_COLUMNS
from idp.tokens import new_token, sha256_hex
from idp.users.models import IS_ACTIVE, Company, User


@dataclass(frozen=True)
class TokenHolder:
    """The person and client of an access token, and the key that it is bound to, if any (RFC 9449 §6)."""

    person: Person
    client_id: str
    scope: str
    claims: AllowedClaims
    dpop_jkt: str | None
    method: str | None  # the login's, which decides what the person's number releases


@dataclass(frozen=True)
class _HolderRow(Person):
    scope: str
    dpop_jkt: str | None
    client_id: str
    claims: dict[str, Any] | None
    method: str | None


_GRANTS, _TOKENS = cast(sa.Table, Grant.__table__), cast(sa.Table, AccessToken.__table__)
_grant, _token, _user, _company = _GRANTS.c, _TOKENS.c, User.__table__.c, Company.__table__.c
_STORE = sa.insert(_TOKENS)
_HOLDER = (
    sa.select(*PERSON_COLUMNS, _token.scope, _token.dpop_jkt, _grant.client_id, _grant.claims, _grant.method)
    .select_from(_TOKENS)
    .join(_GRANTS, _grant.id == _token.grant_id)
    .join(User.__table__, _user.id == _grant.user_id)
    .join(Company.__table__, _company.id == _user.company_id)
    .where(
        _token.token_hash == sa.bindparam("token_hash"),
        _token.expires_at > sa.bindparam("now"),
        _grant.revoked_at.is_(None),
        IS_ACTIVE,
    )
)


def issue_client_token(client_id: str, *, jkt: str | None, lifetime: timedelta, now: datetime) -> str:
    """A new access token of the client itself (RFC 6749 §4.4), bound to the key `jkt` if any: its secret."""
    secret = new_token()
    store(secret, client_id=client_id, scope="", jkt=jkt, now=now, expires_at=now + lifetime)
    return secret


def store(
    secret: str,
    *,
    grant_id: UUID | None = None,
    client_id: str | None = None,
    scope: str,
    jkt: str | None,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Keep an access token, of a grant or of a client itself, under its hash (RFC 6749 §1.4)."""
    values = {
        "token_hash": sha256_hex(secret),
        "grant_id": grant_id,
        "client_id": client_id,
        "scope": scope,
        "dpop_jkt": jkt,
        "issued_at": now,
        "expires_at": expires_at,
    }
    write_alone(_STORE, values)


def find_holder(token_hash: str, *, now: datetime) -> TokenHolder | None:
    """The person and client of an access token; None when it does not count (OIDC Core §5.3.1)."""
    rows = execute_alone(_HOLDER, {"token_hash": token_hash, "now": now}, _HolderRow)
    if not rows:
        return None
    row = rows[0]
    asked = AllowedClaims.from_json(row.claims)
    return TokenHolder(row, row.client_id, row.scope, asked, row.dpop_jkt, row.method)
