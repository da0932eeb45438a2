"""The event of a completed login."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class AuthenticationEvent:
    """A completed login: who, how strongly (`acr`, `amr`), by which method, when (UTC).

    `evidence_id` names the evidence that the method keeps of the login; None where it keeps none.
    """

    user_id: UUID
    method: str
    acr: str
    amr: tuple[str, ...]
    auth_time: datetime
    evidence_id: str | None = None
