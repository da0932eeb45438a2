"""What happened when somebody logged in."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class AuthenticationEvent:
    """A completed login: who, how strongly (`acr`, `amr`), by which method, when (UTC).

    `reference` is the method's own name for it, where it keeps more about its logins.
    """

    user_id: UUID
    method: str
    acr: str
    amr: tuple[str, ...]
    auth_time: datetime
    reference: str | None = None
