"""What was granted: the value that a code or refresh token is exchanged for, and tokens are made of."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from idp.oidc.claims import AskedClaims

OFFLINE = "offline_access"  # the scope that lets a grant outlive its session (OIDC Core §11)


@dataclass(frozen=True)
class Granted:
    """What a grant stands for, as tokens tell it."""

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
    claims: AskedClaims
