"""Faults that are switched on make the simulator's answers wrong, lost or odd."""

import time
from typing import Any

import httpx2
import pytest

from idp.bankid.simulator.faults import COMPLETION_FIELDS, FAILED_HINTS, PENDING_HINTS
from idp.bankid.simulator.server import Simulator
from tests.integration.bankid.simulator.conftest import Phone, RawRelyingParty, error


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        ("401", (401, "unauthorized")),
        ("403", (403, "unauthorized")),
        ("408", (408, "requestTimeout")),
        ("429", (429, "tooManyRequests")),
        ("500", (500, "internalError")),
        ("503", (503, "maintenance")),
        ("already_in_progress", (400, "alreadyInProgress")),
        ("invalid_parameters", (400, "invalidParameters")),
    ],
)
def test_an_error_comes_once_and_then_no_more(
    raw_rp: RawRelyingParty, phone: Phone, simulator: Simulator, fault: str, answer: tuple[int, str]
) -> None:
    phone.switch("http", fault)
    assert error(raw_rp.post("auth", endUserIp="192.0.2.1")) == answer
    assert simulator.orders.all() == []
    assert raw_rp.start()["orderRef"]


@pytest.mark.parametrize(
    ("fault", "status"), [("403_html", 403), ("502_html", 502), ("503_html", 503), ("html", 200)]
)
def test_an_error_may_be_a_page(raw_rp: RawRelyingParty, phone: Phone, fault: str, status: int) -> None:
    phone.switch("http", fault)
    response = raw_rp.post("auth", endUserIp="192.0.2.1")
    assert (response.status_code, response.headers["Content-Type"]) == (status, "text/html")


def test_an_answer_may_be_empty(raw_rp: RawRelyingParty, phone: Phone) -> None:
    phone.switch("http", "empty")
    response = raw_rp.post("auth", endUserIp="192.0.2.1")
    assert (response.status_code, response.content) == (200, b"")


def test_a_connection_may_end_without_an_answer(
    raw_rp: RawRelyingParty, phone: Phone, simulator: Simulator
) -> None:
    phone.switch("http", "drop")
    with pytest.raises(httpx2.TransportError):
        raw_rp.post("auth", endUserIp="192.0.2.1")
    assert simulator.orders.all() == []
    assert raw_rp.start()["orderRef"]


def test_an_answer_may_be_lost_after_it_was_made(raw_rp: RawRelyingParty, phone: Phone) -> None:
    started = raw_rp.start()
    phone.approve(started)
    phone.switch("http", "drop_answer", call="collect")
    with pytest.raises(httpx2.TransportError):
        raw_rp.collect(started)
    assert error(raw_rp.post("collect", orderRef=started["orderRef"])) == (400, "invalidParameters")


def test_an_answer_may_be_slow(raw_rp: RawRelyingParty, phone: Phone) -> None:
    phone.switch("slow", "0.4")
    raw_rp.http.timeout = httpx2.Timeout(0.1)
    with pytest.raises(httpx2.ReadTimeout):
        raw_rp.post("auth", endUserIp="192.0.2.1")
    raw_rp.http.timeout = httpx2.Timeout(10)
    phone.switch("slow", "0.2")
    begun = time.monotonic()
    assert raw_rp.start()["orderRef"]
    assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize("hint", [*FAILED_HINTS, "somethingNew"])
def test_an_order_may_fail_with_any_hint(raw_rp: RawRelyingParty, phone: Phone, hint: str) -> None:
    started = raw_rp.start()
    phone.switch("failed_hint", hint)
    collected = raw_rp.collect(started)
    assert (collected["status"], collected["hintCode"]) == ("failed", hint)
    assert error(raw_rp.post("collect", orderRef=started["orderRef"])) == (400, "invalidParameters")


def test_the_person_may_fail_an_order_with_any_hint(raw_rp: RawRelyingParty, phone: Phone) -> None:
    started = raw_rp.start()
    phone.open(started)
    assert phone.do("fail", hint_code="stepUpFailed").json()["status"] == "failed"
    assert raw_rp.collect(started)["hintCode"] == "stepUpFailed"


def test_a_pending_order_may_show_any_hint(raw_rp: RawRelyingParty, phone: Phone) -> None:
    started = raw_rp.start()
    hints = [*PENDING_HINTS, "somethingNew"]
    for hint in hints:
        phone.switch("pending_hint", hint)
    assert [raw_rp.collect(started)["hintCode"] for _ in hints] == hints
    assert raw_rp.collect(started)["hintCode"] == "outstandingTransaction"


def test_a_status_may_be_capitalised(raw_rp: RawRelyingParty, phone: Phone) -> None:
    started = raw_rp.start()
    phone.switch("status", "capital", count=None)
    assert raw_rp.collect(started)["status"] == raw_rp.collect(started)["status"] == "Pending"


@pytest.mark.parametrize("field", COMPLETION_FIELDS)
def test_any_field_may_be_missing(raw_rp: RawRelyingParty, phone: Phone, field: str) -> None:
    phone.switch("missing", field)
    found = []
    for _ in range(2):
        started = raw_rp.start(returnRisk=True, requirement={"mrtd": True})
        phone.approve(started)
        data: Any = raw_rp.collect(started)["completionData"]
        for name in field.split("."):
            data = data.get(name) if data is not None else None
        found.append(data)
    assert found[0] is None
    assert found[1] is not None


@pytest.mark.parametrize(
    ("value", "address"),
    [("same", "192.0.2.1"), ("different", "203.0.113.77"), ("2001:db8::7", "2001:db8::7")],
)
def test_the_phone_may_have_another_address(
    raw_rp: RawRelyingParty, phone: Phone, value: str, address: str
) -> None:
    phone.switch("device_ip", value)
    started = raw_rp.start()
    phone.approve(started)
    assert raw_rp.collect(started)["completionData"]["device"]["ipAddress"] == address


@pytest.mark.parametrize("risk", ["low", "moderate", "high", "absent"])
def test_the_risk_may_be_anything(raw_rp: RawRelyingParty, phone: Phone, risk: str) -> None:
    phone.switch("risk", risk)
    started = raw_rp.start(returnRisk=True)
    phone.approve(started)
    assert raw_rp.collect(started)["completionData"].get("risk", "absent") == risk


@pytest.mark.parametrize(("value", "passed"), [("yes", True), ("no", False)])
def test_a_document_may_be_refused(raw_rp: RawRelyingParty, phone: Phone, value: str, passed: bool) -> None:
    phone.switch("mrtd", value)
    started = raw_rp.start(requirement={"mrtd": True})
    phone.approve(started)
    assert raw_rp.collect(started)["completionData"]["stepUp"] == {"mrtd": passed}


def test_faults_are_counted_for_one_call_and_reset(raw_rp: RawRelyingParty, phone: Phone) -> None:
    phone.switch("http", "500", count=2, call="collect")
    started = raw_rp.start()
    statuses = [raw_rp.post("collect", orderRef=started["orderRef"]).status_code for _ in range(3)]
    assert statuses == [500, 500, 200]
    phone.switch("http", "503", count=None)
    assert [raw_rp.post("auth").status_code for _ in range(3)] == [503, 503, 503]
    (on,) = phone.http.get("/api/faults").json()
    assert on == {"fault": "http", "value": "503", "count": None, "call": None}
    assert phone.http.post("/api/faults", json={"reset": True}).json() == []
    assert raw_rp.start()["orderRef"]


@pytest.mark.parametrize(
    "change",
    [
        {"fault": "fire"},
        {"value": "418"},
        {"value": 500},
        {"count": 0},
        {"count": "2"},
        {"count": True},
        {"call": "login"},
        {"call": 1},
        {"fault": "slow", "value": "soon"},
        {"fault": "slow", "value": "9999"},
        {"fault": "slow", "value": "nan"},
    ],
)
def test_a_fault_that_does_not_exist_is_refused(phone: Phone, change: dict[str, Any]) -> None:
    good = {"fault": "http", "value": "500", "count": 1, "call": "auth"}
    assert phone.http.post("/api/faults", json=good).status_code == 200
    phone.http.post("/api/faults", json={"reset": True})
    response = phone.http.post("/api/faults", json=good | change)
    assert (response.status_code, response.json()["error"]) == (400, "bad_call")
    assert phone.http.get("/api/faults").json() == []


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("scan", {}),
        ("scan", {"qr": 1}),
        ("open", {"autostart_token": ""}),
        ("open", {"autostart_token": "x", "personal_number": "199912319999"}),
        ("open", {"autostart_token": "x", "kind": "paper"}),
        ("choose", {"order": "1"}),
        ("approve", {"code": "12345"}),
        ("fail", {}),
        ("step", {"hint_code": "userSign", "mrtd": "yes"}),
    ],
)
def test_a_mistaken_call_to_the_phone_is_told(
    raw_rp: RawRelyingParty, phone: Phone, call: str, body: dict[str, Any]
) -> None:
    phone.open(raw_rp.start())
    response = phone.do(call, **body)
    assert (response.status_code, response.json()["error"]) == (400, "bad_call")
