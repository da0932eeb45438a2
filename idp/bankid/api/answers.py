"""The answers of the RP API v6.0 as typed values: orders, progress, results and errors.

BankID adds keys and codes without notice: unknown keys are ignored, and unknown hint codes, statuses and
error codes are kept as strings. No repr() shows a token, secret, person or signature.
"""

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

import httpx2
import structlog

from idp.bankid.api import messages
from idp.bankid.api.messages import RfaId

log = structlog.get_logger("idp.bankid")

MAX_DETAILS = 300


class ErrorCode(StrEnum):
    """The error codes of the RP API v6.0 and, from UNREACHABLE on, ours for calls without a usable answer."""

    ALREADY_IN_PROGRESS = "alreadyInProgress"
    INVALID_PARAMETERS = "invalidParameters"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "notFound"
    METHOD_NOT_ALLOWED = "methodNotAllowed"
    REQUEST_TIMEOUT = "requestTimeout"
    UNSUPPORTED_MEDIA_TYPE = "unsupportedMediaType"
    TOO_MANY_REQUESTS = "tooManyRequests"
    INTERNAL_ERROR = "internalError"
    MAINTENANCE = "maintenance"
    UNREACHABLE = "unreachable"  # no connection: BankID has not seen the call
    UNTRUSTED_SERVER = "untrustedServer"  # its certificate does not lead to the pinned root
    NO_ANSWER = "noAnswer"  # BankID may have seen the call
    UNREADABLE_ANSWER = "unreadableAnswer"


_BY_NAME = {code.lower(): code for code in ErrorCode}
_BY_STATUS = {
    401: ErrorCode.UNAUTHORIZED,
    403: ErrorCode.UNAUTHORIZED,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    408: ErrorCode.REQUEST_TIMEOUT,
    415: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    429: ErrorCode.TOO_MANY_REQUESTS,
    503: ErrorCode.MAINTENANCE,
}
_OUTAGES = frozenset(
    {
        ErrorCode.UNAUTHORIZED,
        ErrorCode.REQUEST_TIMEOUT,
        ErrorCode.TOO_MANY_REQUESTS,
        ErrorCode.INTERNAL_ERROR,
        ErrorCode.MAINTENANCE,
        ErrorCode.UNREACHABLE,
        ErrorCode.UNTRUSTED_SERVER,
        ErrorCode.NO_ANSWER,
        ErrorCode.UNREADABLE_ANSWER,
    }
)
# These happen now and then. All others, new codes included, need an operator.
_NO_ALARM = frozenset(
    {
        ErrorCode.ALREADY_IN_PROGRESS,
        ErrorCode.REQUEST_TIMEOUT,
        ErrorCode.INTERNAL_ERROR,
        ErrorCode.MAINTENANCE,
        ErrorCode.UNREACHABLE,
        ErrorCode.NO_ANSWER,
    }
)


class BankIdError(Exception):
    """BankID refused a call, or gave no usable answer.

    `code` is an `ErrorCode`, or a string for a code that is new. `http_status` is None without an answer.
    `details` is for the log, never for the user; personal numbers and order references are masked in it.
    """

    def __init__(self, code: str, http_status: int | None, details: str = "") -> None:
        self.code: ErrorCode | str = _BY_NAME.get(code.lower(), code)
        self.http_status = http_status
        self.details = _masked(details)[:MAX_DETAILS]
        super().__init__(f"{self.code} (HTTP {http_status}): {self.details}")

    @property
    def rfa(self) -> RfaId:
        """The message to show the user."""
        return messages.for_error(self.code)

    @property
    def is_outage(self) -> bool:
        """Whether the whole of BankID is out of reach, not only this order."""
        return self.code in _OUTAGES

    @property
    def order_is_lost(self) -> bool:
        """Whether /collect will never report more: the order is unknown, cancelled, too old or collected."""
        return self.code == ErrorCode.INVALID_PARAMETERS

    @property
    def alarms_operators(self) -> bool:
        """Whether an operator must act: BankID refuses our certificate, or our call is wrong."""
        return self.code not in _NO_ALARM


def report(event: str, error: BankIdError) -> None:
    """Log `error`: as an error if an operator must act, else as a warning."""
    level = log.error if error.alarms_operators else log.warning
    level(event, code=str(error.code), status=error.http_status, details=error.details)


@dataclass(frozen=True)
class OrderStarted:
    """A new order. Its values are secret: a browser gets the autostart token or QR codes, nothing more."""

    order_ref: str = field(repr=False)
    auto_start_token: str = field(repr=False)
    qr_start_token: str = field(repr=False)
    qr_start_secret: str = field(repr=False)


@dataclass(frozen=True)
class Pending:
    """The order is not over. An unknown status counts as this one: the order's own time limit ends it."""

    hint_code: str


@dataclass(frozen=True)
class Failed:
    """The order is over without a result."""

    hint_code: str


@dataclass(frozen=True)
class CompletionData:
    """The person who identified or signed, with the evidence (RP API v6.0, completionData). Not verified.

    `step_up_mrtd` is None unless an ID document was asked for and checked. `risk` is "low", "moderate" or
    "high"; None when it was not asked for or is not known.
    """

    personal_number: str = field(repr=False)
    name: str = field(repr=False)
    given_name: str = field(repr=False)
    surname: str = field(repr=False)
    device_ip: str | None = field(repr=False)
    device_uhi: str | None = field(repr=False)
    bank_id_issue_date: date | None
    step_up_mrtd: bool | None
    signature: str = field(repr=False)
    ocsp_response: str = field(repr=False)
    risk: str | None


@dataclass(frozen=True)
class Complete:
    """The order is over, with its result. BankID hands it out once."""

    completion_data: CompletionData


Collected = Pending | Failed | Complete


def read_order(response: httpx2.Response) -> OrderStarted:
    """The new order in an answer of /auth or /sign. Raises `BankIdError`."""
    body = _json_object(response)
    return OrderStarted(
        order_ref=_text(body, "orderRef"),
        auto_start_token=_text(body, "autoStartToken"),
        qr_start_token=_text(body, "qrStartToken"),
        qr_start_secret=_text(body, "qrStartSecret"),
    )


def read_collected(response: httpx2.Response) -> Collected:
    """The status in an answer of /collect. Raises `BankIdError`, also when person or evidence is missing."""
    body = _json_object(response)
    status = _text(body, "status").lower()
    if status == "complete":
        return Complete(_completion(_object(body, "completionData")))
    hint_code = _optional_text(body, "hintCode") or ""
    return Failed(hint_code) if status == "failed" else Pending(hint_code)


def error_answered(response: httpx2.Response) -> BankIdError:
    """The error of an answer that is not 200: BankID's code, or the one that its HTTP status stands for."""
    status = response.status_code
    try:
        body = _json_object(response)
    except BankIdError as unreadable:
        body, details = {}, unreadable.details
    else:
        details = _optional_text(body, "details") or ""
    code = _optional_text(body, "errorCode") or _BY_STATUS.get(status)
    if code is None:
        code = ErrorCode.INTERNAL_ERROR if status >= 500 else ErrorCode.UNREADABLE_ANSWER
    return BankIdError(code, status, details)


def error_without_answer(error: httpx2.RequestError) -> BankIdError:
    """The error of a call without an answer: a refused certificate, an untrusted server, or silence."""
    code = ErrorCode.NO_ANSWER
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
        code = ErrorCode.UNREACHABLE
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            code = ErrorCode.UNTRUSTED_SERVER
        elif isinstance(cause, ssl.SSLError) and _tls_refusal(cause):
            code = ErrorCode.UNAUTHORIZED
        cause = cause.__cause__ or cause.__context__
    return BankIdError(code, None, f"{type(error).__name__}: {error}")


def _tls_refusal(error: ssl.SSLError) -> bool:
    """Whether the server ended the handshake because of our certificate (alerts of RFC 8446 §6.2)."""
    reason = error.reason or ""
    return "ALERT" in reason and any(
        word in reason for word in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
    )


def _completion(data: Mapping[str, Any]) -> CompletionData:
    user, device, step_up = _object(data, "user"), _object(data, "device"), _object(data, "stepUp")
    mrtd = step_up.get("mrtd")
    return CompletionData(
        personal_number=_text(user, "personalNumber"),
        name=_optional_text(user, "name") or "",
        given_name=_optional_text(user, "givenName") or "",
        surname=_optional_text(user, "surname") or "",
        device_ip=_optional_text(device, "ipAddress"),
        device_uhi=_optional_text(device, "uhi"),
        bank_id_issue_date=_date(_optional_text(data, "bankIdIssueDate") or ""),
        step_up_mrtd=mrtd if isinstance(mrtd, bool) else None,
        signature=_text(data, "signature"),
        ocsp_response=_text(data, "ocspResponse"),
        risk=(_optional_text(data, "risk") or "").lower() or None,
    )


def _date(value: str) -> date | None:
    """A date with or without offset: `2023-04-01Z`, `2025-08-09+00:00`, `2025-08-09`."""
    found = re.match(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?![0-9])", value)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def _json_object(response: httpx2.Response) -> Mapping[str, Any]:
    """The JSON object of an answer. Servers in front of BankID can answer with HTML or nothing."""
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        kind = f"of {media_type}" if media_type else "without a type"
        raise _unreadable(response, f"{len(response.content)} bytes {kind}, not JSON")
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        raise _unreadable(response, "not JSON, although its Content-Type says so") from None
    if not isinstance(body, dict):
        raise _unreadable(response, "JSON, but not an object")
    return body


def _unreadable(response: httpx2.Response, details: str) -> BankIdError:
    return BankIdError(ErrorCode.UNREADABLE_ANSWER, response.status_code, details)


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _text(body: Mapping[str, Any], name: str) -> str:
    value = _optional_text(body, name)
    if value is None:
        raise BankIdError(ErrorCode.UNREADABLE_ANSWER, 200, f"the answer lacks {name}")
    return value


def _optional_text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) and value else None


def _masked(details: str) -> str:
    """`details` without personal numbers and order references, for the log."""
    return re.sub(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9]{6,8}[-+]?[0-9]{4}", "…", details)
