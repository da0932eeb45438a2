"""What a relying app demands of its BankID logins."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from idp.bankid.api.client import Requirement


@dataclass(frozen=True)
class Terms:
    """One app's demands. The defaults demand nothing beyond BankID's own.

    `kinds` are the accepted kinds of BankID ("mobile", "card", …; empty: all). `certificate` is the name of
    our certificate that starts the orders (None: the first). `high_risk` is what a high risk leads to (None:
    what the settings say). `user_message`: the app shows the message that a request brings.
    """

    kinds: tuple[str, ...] = ()
    pin_code: bool = False
    mrtd: bool = False
    card_reader: Literal["class1", "class2"] | None = None
    certificate: str | None = None
    high_risk: Literal["refuse", "allow"] | None = None
    user_message: bool = True

    def accepted(self, policies: Mapping[str, str]) -> Mapping[str, str]:
        """The accepted ones of an environment's kinds and policy OIDs."""
        return {kind: oid for kind, oid in policies.items() if not self.kinds or kind in self.kinds}

    def requirement(self, policies: Mapping[str, str], personal_number: str | None = None) -> Requirement:
        """The demands as `requirement` of an order (RP API v6.0), in an environment of these policies."""
        return Requirement(
            pin_code=self.pin_code,
            mrtd=self.mrtd,
            card_reader=self.card_reader,
            certificate_policies=tuple(self.accepted(policies).values()) if self.kinds else (),
            personal_number=personal_number,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Terms":
        return cls(**{**value, "kinds": tuple(value["kinds"])})


NO_DEMANDS = Terms()


def demanded_by(client: Any) -> Terms:
    """What a client of clients.yaml demands of its BankID logins, as its field `bankid` says."""
    asked = client.bankid
    return Terms(
        kinds=asked.requirement.certificate_policies or (),
        pin_code=asked.requirement.pin_code,
        mrtd=asked.requirement.mrtd,
        card_reader=asked.requirement.card_reader,
        certificate=asked.certificate,
        high_risk=asked.high_risk,
        user_message=asked.user_message,
    )
