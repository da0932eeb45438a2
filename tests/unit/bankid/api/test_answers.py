"""BankID's answers are read tolerantly and shown without secrets."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import httpx2
import pytest

from idp.bankid.api.answers import (
    BankIdError,
    Complete,
    ErrorCode,
    Failed,
    OrderStarted,
    Pending,
    error_answered,
    error_without_answer,
    read_collected,
    read_order,
)

ORDER = {
    "orderRef": "131daac9-16c6-4618-beb0-365768f37288",
    "autoStartToken": "7c40b5c9-fa74-49cf-b98c-bfe651f9a7c6",
    "qrStartToken": "67df3917-fa0d-44e5-b327-edcc928297f8",
    "qrStartSecret": "d28db9a7-4cde-429e-a983-359be676944c",
}
COMPLETE: dict[str, Any] = {
    "orderRef": ORDER["orderRef"],
    "status": "complete",
    "completionData": {
        "user": {
            "personalNumber": "199001012385",
            "name": "KARIN TESTSSON",
            "givenName": "KARIN",
            "surname": "TESTSSON",
        },
        "device": {"ipAddress": "192.0.2.7", "uhi": "OZvYM9VvyiAmG7NA5jU5zqGcVpo="},
        "bankIdIssueDate": "2023-04-01Z",
        "stepUp": {"mrtd": True},
        "signature": "PD94bWw+",
        "ocspResponse": "MIIHfgoBAKCCB3cw",
        "risk": "low",
    },
}


def answer(body: object, status: int = 200, content_type: str = "application/json") -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx2.Response(status, headers={"Content-Type": content_type}, content=content)


def without(body: dict[str, Any], *path: str) -> dict[str, Any]:
    """A copy of `body` that lacks the member at `path`."""
    changed: dict[str, Any] = json.loads(json.dumps(body))
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return changed


def changed(value: object, *path: str) -> dict[str, Any]:
    """A copy of COMPLETE with another value in the completion data."""
    copy: dict[str, Any] = json.loads(json.dumps(COMPLETE))
    inner = copy["completionData"]
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return copy


def completed(body: object) -> Complete:
    read = read_collected(answer(body))
    assert isinstance(read, Complete)
    return read


def test_a_new_order() -> None:
    assert read_order(answer(ORDER)) == OrderStarted(
        order_ref=ORDER["orderRef"],
        auto_start_token=ORDER["autoStartToken"],
        qr_start_token=ORDER["qrStartToken"],
        qr_start_secret=ORDER["qrStartSecret"],
    )


def test_a_result_with_everything() -> None:
    data = completed(COMPLETE).completion_data
    assert (data.personal_number, data.name) == ("199001012385", "KARIN TESTSSON")
    assert (data.given_name, data.surname) == ("KARIN", "TESTSSON")
    assert (data.device_ip, data.device_uhi) == ("192.0.2.7", "OZvYM9VvyiAmG7NA5jU5zqGcVpo=")
    assert data.bank_id_issue_date == date(2023, 4, 1)
    assert (data.step_up_mrtd, data.risk) == (True, "low")
    assert (data.signature, data.ocsp_response) == ("PD94bWw+", "MIIHfgoBAKCCB3cw")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (("device", "uhi"), "device_uhi"),
        (("device", "ipAddress"), "device_ip"),
        (("device",), "device_uhi"),
        (("bankIdIssueDate",), "bank_id_issue_date"),
        (("stepUp", "mrtd"), "step_up_mrtd"),
        (("stepUp",), "step_up_mrtd"),
        (("risk",), "risk"),
    ],
)
def test_a_field_that_may_be_missing_is_none(path: tuple[str, ...], field: str) -> None:
    assert getattr(completed(COMPLETE).completion_data, field) is not None
    lacking = completed(without(COMPLETE, "completionData", *path)).completion_data
    assert getattr(lacking, field) is None


@pytest.mark.parametrize(
    "path",
    [
        ("completionData",),
        ("completionData", "user"),
        ("completionData", "user", "personalNumber"),
        ("completionData", "signature"),
        ("completionData", "ocspResponse"),
        ("status",),
    ],
)
def test_a_result_without_person_or_evidence_is_none(path: tuple[str, ...]) -> None:
    assert completed(COMPLETE)
    with pytest.raises(BankIdError) as refusal:
        read_collected(answer(without(COMPLETE, *path)))
    assert refusal.value.code is ErrorCode.UNREADABLE_ANSWER


@pytest.mark.parametrize("name", list(ORDER))
def test_an_order_without_one_of_its_values_is_none(name: str) -> None:
    assert read_order(answer(ORDER))
    with pytest.raises(BankIdError, match=f"lacks {name}"):
        read_order(answer(without(ORDER, name)))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2023-04-01Z", date(2023, 4, 1)),
        ("2025-08-09+00:00", date(2025, 8, 9)),
        ("2025-08-09+02:00", date(2025, 8, 9)),
        ("2025-08-09-01:00", date(2025, 8, 9)),
        ("2025-08-09", date(2025, 8, 9)),
        ("2025-08-09T10:11:12Z", date(2025, 8, 9)),
        ("2025-13-09", None),
        ("2025-08-091", None),
        ("1581231600000", None),
        ("", None),
        (1581231600000, None),
    ],
)
def test_the_ways_an_issue_date_is_written(written: object, meant: date | None) -> None:
    read = completed(changed(written, "bankIdIssueDate"))
    assert read.completion_data.bank_id_issue_date == meant


@pytest.mark.parametrize(
    ("step_up", "meant"),
    [({"mrtd": True}, True), ({"mrtd": False}, False), ({}, None), ({"mrtd": "true"}, None), (True, None)],
)
def test_a_step_up_counts_only_when_it_says_so(step_up: object, meant: bool | None) -> None:
    assert completed(changed(step_up, "stepUp")).completion_data.step_up_mrtd is meant


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ({"status": "pending", "hintCode": "userSign"}, Pending("userSign")),
        ({"status": "pending", "hintCode": "somethingNew", "more": {"new": []}}, Pending("somethingNew")),
        ({"status": "pending"}, Pending("")),
        ({"hintCode": "userSign", "status": "Pending"}, Pending("userSign")),
        ({"status": "somethingNew", "hintCode": "userSign"}, Pending("userSign")),
        ({"status": "failed", "hintCode": "userCancel"}, Failed("userCancel")),
        ({"status": "FAILED", "hintCode": "somethingNew"}, Failed("somethingNew")),
        ({"status": "failed", "hintCode": None}, Failed("")),
    ],
)
def test_progress(body: dict[str, object], read: Pending | Failed) -> None:
    assert read_collected(answer(body)) == read


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json;charset=utf-8", "Application/JSON"]
)
def test_the_ways_json_is_labelled(content_type: str) -> None:
    assert read_collected(answer(COMPLETE, content_type=content_type)) == completed(COMPLETE)


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"<html>", "text/html", "of text/html, not JSON"),
        (json.dumps(COMPLETE).encode(), "text/plain", "of text/plain, not JSON"),
        (b"", "", "0 bytes without a type"),
        (b"", "application/json", "not JSON, although"),
        (b"[" * 100_000, "application/json", "not JSON, although"),
        (b'"\xff"', "application/json", "not JSON, although"),
        (b"[]", "application/json", "not an object"),
    ],
)
def test_an_unreadable_answer_is_an_error(body: bytes, content_type: str, words: str) -> None:
    assert completed(COMPLETE)
    with pytest.raises(BankIdError, match=words) as refusal:
        read_collected(answer(body, content_type=content_type))
    assert refusal.value.code is ErrorCode.UNREADABLE_ANSWER


@pytest.mark.parametrize(
    ("status", "code", "asks"),
    [
        (400, "alreadyInProgress", "RFA4"),
        (400, "invalidParameters", "RFA22 alarm lost"),
        (400, "somethingNew", "RFA22 alarm"),
        (401, "unauthorized", "RFA22 alarm outage"),
        (404, "notFound", "RFA22 alarm"),
        (405, "methodNotAllowed", "RFA22 alarm"),
        (408, "requestTimeout", "RFA5 outage"),
        (415, "unsupportedMediaType", "RFA22 alarm"),
        (429, "tooManyRequests", "RFA22 alarm outage"),
        (500, "internalError", "RFA5 outage"),
        (503, "maintenance", "RFA5 outage"),
        (503, "Maintenance", "RFA5 outage"),
    ],
)
def test_an_errors_consequences(status: int, code: str, asks: str) -> None:
    error = error_answered(answer({"errorCode": code, "details": "Why"}, status))
    assert str(error.code).lower() == code.lower()
    assert (error.http_status, error.details) == (status, "Why")
    asked = {
        "alarm": error.alarms_operators,
        "lost": error.order_is_lost,
        "outage": error.is_outage,
    }
    assert " ".join([error.rfa, *(name for name, yes in asked.items() if yes)]) == asks


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ErrorCode.UNREADABLE_ANSWER),
        (401, ErrorCode.UNAUTHORIZED),
        (403, ErrorCode.UNAUTHORIZED),
        (404, ErrorCode.NOT_FOUND),
        (405, ErrorCode.METHOD_NOT_ALLOWED),
        (408, ErrorCode.REQUEST_TIMEOUT),
        (415, ErrorCode.UNSUPPORTED_MEDIA_TYPE),
        (429, ErrorCode.TOO_MANY_REQUESTS),
        (500, ErrorCode.INTERNAL_ERROR),
        (502, ErrorCode.INTERNAL_ERROR),
        (503, ErrorCode.MAINTENANCE),
        (302, ErrorCode.UNREADABLE_ANSWER),
    ],
)
@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"<html>no</html>", "text/html"), (b"", ""), (b"{}", "application/json"), (b"{", "application/json")],
)
def test_an_error_without_code_is_known_by_its_status(
    status: int, code: ErrorCode, body: bytes, content_type: str
) -> None:
    assert error_answered(answer(body, status, content_type)).code is code


def test_details_reach_the_log_without_numbers_of_persons_and_orders() -> None:
    details = f"Order {ORDER['orderRef']} already in progress for 199001012385, 900101-2385"
    error = error_answered(answer({"errorCode": "alreadyInProgress", "details": details}, 400))
    assert error.details == "Order … already in progress for …, …"
    assert "2385" not in str(error)


@pytest.mark.parametrize(
    ("make", "code", "rfa"),
    [
        (httpx2.ConnectError, ErrorCode.UNREACHABLE, "RFA5"),
        (httpx2.ConnectTimeout, ErrorCode.UNREACHABLE, "RFA5"),
        (httpx2.PoolTimeout, ErrorCode.UNREACHABLE, "RFA5"),
        (httpx2.ReadTimeout, ErrorCode.NO_ANSWER, "RFA5"),
        (httpx2.ReadError, ErrorCode.NO_ANSWER, "RFA5"),
        (httpx2.WriteError, ErrorCode.NO_ANSWER, "RFA5"),
        (httpx2.RemoteProtocolError, ErrorCode.NO_ANSWER, "RFA5"),
        (httpx2.DecodingError, ErrorCode.NO_ANSWER, "RFA5"),
    ],
)
def test_a_call_without_answer(make: Callable[[str], httpx2.RequestError], code: ErrorCode, rfa: str) -> None:
    error = error_without_answer(make("why"))
    assert (error.code, error.http_status, error.rfa) == (code, None, rfa)
    assert "why" in error.details
    assert error.is_outage


def test_answers_show_no_secret() -> None:
    shown = f"{read_order(answer(ORDER))!r} {completed(COMPLETE)!r}"
    user = COMPLETE["completionData"]["user"]
    device = COMPLETE["completionData"]["device"]
    evidence = [COMPLETE["completionData"]["signature"], COMPLETE["completionData"]["ocspResponse"]]
    for secret in (*ORDER.values(), *user.values(), *device.values(), *evidence):
        assert secret not in shown
