"""What a client, or a page of our own, needs from a login."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from idp.login.event import AuthenticationEvent


@dataclass(frozen=True)
class AuthnRequirement:
    """What is needed from a login (OIDC Core §3.1.2.1). Times are UTC; an empty tuple asks nothing."""

    acr_values: tuple[str, ...] = ()  # most wanted first
    methods: tuple[str, ...] = ()  # names of login methods that are accepted
    not_before: datetime | None = None  # an older login does not count
    user_id: UUID | None = None  # must be this person

    def satisfied_by(self, event: AuthenticationEvent | None) -> bool:
        return event is not None and self.unmet_by(event) is None

    def unmet_by(self, event: AuthenticationEvent) -> str | None:
        """The first thing that `event` lacks: `method`, `acr`, `age` or `user`; None when all is met."""
        if self.methods and event.method not in self.methods:
            return "method"
        if self.acr_values and event.acr not in self.acr_values:
            return "acr"
        if self.not_before is not None and event.auth_time < self.not_before:
            return "age"
        if self.user_id is not None and event.user_id != self.user_id:
            return "user"
        return None

    def allows(self, method: str, acr: str) -> bool:
        """Whether a login by `method`, which reaches `acr`, can meet this."""
        return (not self.methods or method in self.methods) and (
            not self.acr_values or acr in self.acr_values
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "acr_values": list(self.acr_values),
            "methods": list(self.methods),
            "not_before": self.not_before.isoformat() if self.not_before else None,
            "user_id": str(self.user_id) if self.user_id else None,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "AuthnRequirement":
        return cls(
            acr_values=tuple(value["acr_values"]),
            methods=tuple(value["methods"]),
            not_before=datetime.fromisoformat(value["not_before"]) if value["not_before"] else None,
            user_id=UUID(value["user_id"]) if value["user_id"] else None,
        )
