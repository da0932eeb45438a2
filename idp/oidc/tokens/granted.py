"""The value of a grant, which codes and refresh tokens stand for and tokens are made of."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from idp.oidc.claims import AllowedClaims

OFFLINE = "offline_access"  # the scope by which a grant outlives its session (OIDC Core §11)


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
