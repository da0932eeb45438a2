"""The requests of the RP API v6.0, checked as BankID checks them.

Field names are those of the wire. All length limits count the encoded string (RP API v6.0).
"""

import base64
import binascii
import ipaddress
import json
import re
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from idp.bankid.simulator.pki import POLICIES

MAX_BODY_BYTES = 512 * 1024

BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
DOMAIN = r"^[0-9a-z.-]{3,253}$"
PERSONAL_NUMBER = r"^[0-9]{12}$"
POLICY = re.compile(r"[0-9]+(?:\.[0-9]+)+")
WILDCARD_POSITION = 5
"""The number of the first component of a policy that may be `*`, from one."""


class InvalidParametersError(Exception):
    """A request that BankID answers with 400 invalidParameters; `details` names the field."""

    def __init__(self, details: str) -> None:
        super().__init__(details)
        self.details = details


def _base64(value: str) -> str:
    if len(value) < 4 or not BASE64.fullmatch(value):
        raise ValueError("not standard base64 with padding")
    return value


def _base64_text(value: str) -> str:
    _base64(value)
    try:
        base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("not base64 of UTF-8") from None
    return value


def _ip_address(value: str) -> str:
    if "%" in value:
        raise ValueError("a zone id has no meaning to others")
    ipaddress.ip_address(value)
    return value


def _policy(value: str) -> str:
    parts = value.split(".")
    if parts.count("*") > 1 or "*" in parts[: WILDCARD_POSITION - 1]:
        raise ValueError("a wildcard in the wrong place")
    if not POLICY.fullmatch(".".join("0" if part == "*" else part for part in parts)):
        raise ValueError("not an object identifier")
    return value


def matches_policy(policy: str, wanted: list[str] | None) -> bool:
    """Whether a certificate policy is accepted; every one is if none was asked for."""
    return wanted is None or any(
        re.fullmatch(re.escape(pattern).replace(r"\*", r"[0-9.]+"), policy) for pattern in wanted
    )


IpAddress = Annotated[str, AfterValidator(_ip_address)]
Policy = Annotated[str, AfterValidator(_policy)]
PersonalNumber = Annotated[str, Field(pattern=PERSONAL_NUMBER)]
ShortText = Annotated[str, Field(max_length=1500), AfterValidator(_base64_text)]
LongText = Annotated[str, Field(max_length=40_000), AfterValidator(_base64_text)]
ShortData = Annotated[str, Field(max_length=1500), AfterValidator(_base64)]
LongData = Annotated[str, Field(max_length=200_000), AfterValidator(_base64)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
DeviceIdentifier = Annotated[str, Field(min_length=1, max_length=64)]


class Message(BaseModel):
    """A JSON object with these members only, each of exactly its type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Requirement(Message):
    """How the order must be carried out (RP API, `requirement`)."""

    pinCode: bool = False
    mrtd: bool = False
    cardReader: Literal["class1", "class2"] | None = None
    certificatePolicies: Annotated[list[Policy], Field(min_length=1)] | None = None
    personalNumber: PersonalNumber | None = None

    @model_validator(mode="after")
    def _reader_goes_with_card(self) -> Self:
        card = self.certificatePolicies is not None and matches_policy(
            POLICIES["card"], self.certificatePolicies
        )
        if self.cardReader is not None and not card:
            raise ValueError("cardReader without a smart-card policy")
        return self


class SomeMember(Message):
    """An object that must not be empty."""

    @model_validator(mode="after")
    def _has_a_member(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("no member")
        return self


class Web(SomeMember):
    """The browser that asks (RP API, `web`)."""

    referringDomain: Annotated[str, Field(pattern=DOMAIN)] | None = None
    userAgent: Name | None = None
    deviceIdentifier: DeviceIdentifier | None = None


class App(SomeMember):
    """The app that asks (RP API, `app`)."""

    appIdentifier: Name | None = None
    deviceOS: Name | None = None
    deviceModelName: Name | None = None
    deviceIdentifier: DeviceIdentifier | None = None


class StartRequest(Message):
    """The members that every start of an order has."""

    userVisibleData: str | None = None
    userNonVisibleData: str | None = None
    userVisibleDataFormat: Literal["plaintext", "simpleMarkdownV1"] | None = None
    requirement: Requirement = Requirement()

    @property
    def is_signature(self) -> bool:
        """Whether the person signs, rather than identifies."""
        return isinstance(self, SignRequest | PhoneSignRequest)

    @property
    def visible_text(self) -> str:
        """The text that the person sees, decoded."""
        return base64.b64decode(self.userVisibleData or "").decode()


class AuthRequest(StartRequest):
    """`/auth`."""

    userVisibleData: ShortText | None = None
    userNonVisibleData: ShortData | None = None
    endUserIp: IpAddress
    returnUrl: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    returnRisk: bool = False
    web: Web | None = None
    app: App | None = None

    @model_validator(mode="after")
    def _web_or_app(self) -> Self:
        if self.web is not None and self.app is not None:
            raise ValueError("both web and app")
        return self


class SignRequest(AuthRequest):
    """`/sign`."""

    userVisibleData: LongText
    userNonVisibleData: LongData | None = None


class PhoneAuthRequest(StartRequest):
    """`/phone/auth`: an order during a call, without a device that starts the app."""

    userVisibleData: ShortText | None = None
    userNonVisibleData: ShortData | None = None
    personalNumber: PersonalNumber
    callInitiator: Literal["user", "RP"]


class PhoneSignRequest(PhoneAuthRequest):
    """`/phone/sign`."""

    userVisibleData: LongText
    userNonVisibleData: LongData | None = None


class OrderRequest(Message):
    """`/collect` and `/cancel`."""

    orderRef: str


AnyMessage = TypeVar("AnyMessage", bound=Message)


def parse(body: bytes, kind: type[AnyMessage]) -> AnyMessage:
    """The request in `body`.

    Raises `InvalidParametersError` for the first field at fault: unknown fields first, since a misspelt
    name is the likelier reason for a missing one.
    """
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidParametersError("Invalid request: the body is not JSON") from None
    if not isinstance(data, dict):
        raise InvalidParametersError("Invalid request: the body is not a JSON object")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        found = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")[0]
        raise InvalidParametersError(_details(found["type"], found["loc"], found["msg"])) from None


def _details(kind: str, place: tuple[int | str, ...], message: str) -> str:
    field = ".".join(str(part) for part in place if isinstance(part, str))
    if kind == "extra_forbidden":
        return f"Invalid parameter: {field} is not known"
    if kind == "missing":
        return f"Invalid parameter: {field} is missing"
    reason = message.removeprefix("Value error, ")
    return f"Invalid parameter: {field}: {reason}" if field else f"Invalid parameter: {reason}"
