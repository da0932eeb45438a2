"""The demands of a client's entry in clients.yaml on BankID logins."""

import re
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from idp.oidc.clients.problems import nearest, quoted

KINDS = ("mobile", "file", "card", "nordea")
"""The kinds of BankID. Their policy OIDs differ between BankID's environments, so entries name the kinds."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")


class BankIdRequirement(BaseModel):
    """BankID's own `requirement` (RP API v6.0), where `certificatePolicies` names kinds of BankID."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    pin_code: Annotated[StrictBool, Field(alias="pinCode")] = False
    mrtd: StrictBool = False
    certificate_policies: Annotated[tuple[StrictStr, ...] | None, Field(alias="certificatePolicies")] = None
    card_reader: Annotated[Literal["class1", "class2"] | None, Field(alias="cardReader")] = None

    @field_validator("certificate_policies")
    @classmethod
    def _check_kinds(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value == ():
            raise ValueError("must not be empty")
        for kind in value or ():
            if kind not in KINDS:
                raise ValueError(
                    f"{quoted(kind)} is not one of {', '.join(KINDS)}{nearest(kind, KINDS)};"
                    " the OIDs follow from the environment"
                )
        return value

    @model_validator(mode="after")
    def _check_reader(self) -> "BankIdRequirement":
        if self.card_reader and "card" not in (self.certificate_policies or ()):
            raise ValueError("cardReader needs card among certificatePolicies")
        return self


class ClientBankId(BaseModel):
    """BankID for one client: the demands on its logins, the certificate that asks, the accepted risk.

    `user_message` says whether the app shows the messages that requests bring (`userMessage`). `certificate`
    names one in IDP_BANKID_CERTIFICATES_DIR; left out, it is IDP_BANKID_CERTIFICATE. `high_risk` left out is
    as IDP_BANKID_HIGH_RISK says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    requirement: BankIdRequirement = BankIdRequirement()
    certificate: StrictStr | None = None
    high_risk: Literal["refuse", "allow"] | None = None
    user_message: StrictBool = True

    @field_validator("certificate")
    @classmethod
    def _check_certificate(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if not _NAME.fullmatch(value):
            raise ValueError("must be a name of lower-case letters, digits and hyphens")
        known = (info.context or {}).get("bankid_certificates")
        if known is not None and value not in known:
            there = ", ".join(sorted(known)) or "none"
            raise ValueError(f"IDP_BANKID_CERTIFICATES_DIR has no certificate of this name; it has: {there}")
        return value
