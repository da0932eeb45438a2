"""The value of a grant, which codes and refresh tokens stand for and tokens are made of."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from idp.oidc.claims import AllowedClaims
from idp.oidc.models import Grant

OFFLINE = "offline_access"  # the scope by which a grant outlives its session (OIDC Core §11)


_grant = Grant.__table__.c
GRANT_COLUMNS = (
    _grant.id,
    _grant.user_id,
    _grant.session_id,
    _grant.scope,
    _grant.nonce,
    _grant.acr,
    _grant.amr,
    _grant.auth_time,
    _grant.method,
    _grant.reference,
    _grant.claims,
)
"""What a statement asks of a grant: a `GrantRow`."""


@dataclass(frozen=True)
class GrantRow:
    """A grant as it is stored (RFC 6749 §1.3)."""

    id: UUID
    user_id: UUID
    session_id: UUID
    scope: str
    nonce: str | None
    acr: str
    amr: list[str]
    auth_time: datetime
    method: str | None
    reference: str | None
    claims: dict[str, Any] | None


@dataclass(frozen=True)
class Granted:
    """The grant behind a code or refresh token (RFC 6749 §1.3): person, scope, login and requested claims."""

    grant_id: UUID
    user_id: UUID
    session_id: UUID
    scope: str
    nonce: str | None
    acr: str
    amr: tuple[str, ...]
    auth_time: datetime
    method: str | None
    evidence_id: str | None
    claims: AllowedClaims

    @classmethod
    def from_row(cls, row: GrantRow) -> "Granted":
        """What the stored grant stands for."""
        return cls(
            grant_id=row.id,
            user_id=row.user_id,
            session_id=row.session_id,
            scope=row.scope,
            nonce=row.nonce,
            acr=row.acr,
            amr=tuple(row.amr),
            auth_time=row.auth_time,
            method=row.method,
            evidence_id=row.reference,
            claims=AllowedClaims.from_json(row.claims),
        )
