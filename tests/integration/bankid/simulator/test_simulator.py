"""The simulator's RP API over mutual TLS: transport, calls, completion data, faults."""

import base64
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.ports import free_port
from idp.bankid.api import environment
from idp.bankid.evidence import verification
from idp.bankid.evidence.errors import EvidenceError
from idp.bankid.evidence.verification import VerifiedEvidence
from idp.bankid.simulator.evidence import Defect
from idp.bankid.simulator.faults import COMPLETION_FIELDS, FAILED_HINTS, PENDING_HINTS
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.pki import Pki
from idp.bankid.simulator.server import Simulator
from tests.integration.bankid.simulator.conftest import ANNA, Phone, RawRelyingParty, SimulatorClock

TEXT = "Logga in hos Åkeriet"
HIDDEN = b"\x00bound to this login"
AS_ASKED = {
    "userVisibleData": base64.b64encode(TEXT.encode()).decode(),
    "userNonVisibleData": base64.b64encode(HIDDEN).decode(),
}


def error(response: httpx2.Response) -> tuple[int, str]:
    assert response.headers["Content-Type"].startswith("application/json")
    return response.status_code, response.json()["errorCode"]


# Transport


def test_a_client_without_a_certificate_is_refused(simulator: Simulator, simulator_directory: Path) -> None:
    tls = ssl.create_default_context(cafile=simulator_directory / "ssl-root.pem")
    with (
        httpx2.Client(verify=tls, trust_env=False) as stranger,
        pytest.raises(httpx2.TransportError, match="CERTIFICATE_REQUIRED"),
    ):
        stranger.post(f"{simulator.base_url}auth", json={"endUserIp": "192.0.2.1"})
    assert simulator.orders.all() == []


def test_a_certificate_from_elsewhere_is_refused(
    simulator: Simulator, simulator_directory: Path, simulator_clock: SimulatorClock, tmp_path: Path
) -> None:
    # Issued by a real authority of this simulator, only not by the one for relying parties.
    pki = Pki.load(simulator_directory)
    user = pki.user_certificate(ANNA, "mobile", "Identification", now=simulator_clock.now)
    (tmp_path / "user.pem").write_bytes(user.certificate.public_bytes(Encoding.PEM))
    key = user.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "user.key").write_bytes(key)
    tls = ssl.create_default_context(cafile=simulator_directory / "ssl-root.pem")
    tls.load_cert_chain(tmp_path / "user.pem", tmp_path / "user.key")
    with httpx2.Client(verify=tls, trust_env=False) as stranger, pytest.raises(httpx2.TransportError):
        stranger.post(f"{simulator.base_url}auth", json={"endUserIp": "192.0.2.1"})
    assert simulator.orders.all() == []


def test_a_connection_is_kept_after_answers_of_every_kind(
    simulator: Simulator, client_tls: ssl.SSLContext
) -> None:
    address = httpx2.URL(simulator.base_url)
    connection = http.client.HTTPSConnection(address.host, address.port, context=client_tls, timeout=10)
    ports = set()
    for body, status in (("{}", 400), ('{"endUserIp": "192.0.2.1"}', 200), ("no", 400), ("", 400)):
        connection.request("POST", "/rp/v6.0/auth", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (status, True)
        ports.add(connection.sock.getsockname())
    connection.close()
    assert len(ports) == 1


def test_a_client_that_never_shakes_hands_holds_up_nobody(
    simulator: Simulator, raw_rp: RawRelyingParty
) -> None:
    address = httpx2.URL(simulator.base_url)
    with socket.create_connection((address.host, address.port or 0)):
        assert raw_rp.start()["orderRef"]


def test_the_environment_file_says_where_everything_is(
    simulator: Simulator, simulator_directory: Path
) -> None:
    told = json.loads((simulator_directory / "environment.json").read_text())
    assert told == {"base_url": simulator.base_url, "phone_url": simulator.phone_url}
    assert environment.simulator(simulator_directory).base_url == simulator.base_url
    assert re.fullmatch(r"https://127\.0\.0\.1:\d+/rp/v6\.0/", simulator.base_url)


def test_a_port_in_use_is_told_and_nothing_keeps_listening(
    simulator: Simulator, simulator_directory: Path
) -> None:
    taken = httpx2.URL(simulator.phone_url).port
    assert taken
    free = free_port()
    with pytest.raises(OSError, match="in use"):
        Simulator(simulator_directory, bankid_port=free, phone_port=taken)
    with socket.socket() as again:
        again.bind(("127.0.0.1", free))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_simulator_runs_until_a_signal(simulator_directory: Path, tmp_path: Path, how: int) -> None:
    for file in simulator_directory.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "environment.json").unlink(missing_ok=True)
    program = f"""
        from pathlib import Path
        from idp.bankid.simulator.server import run
        run(Path({str(tmp_path)!r}), "127.0.0.1", 0, "127.0.0.1", 0, ready=lambda: print("ready", flush=True))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        told = json.loads((tmp_path / "environment.json").read_text())
        assert "SIMULATOR" in httpx2.get(told["phone_url"], trust_env=False).text
        os.kill(process.pid, how)
        assert process.wait(timeout=20) == 0


# HTTP


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_only_post_is_allowed(raw_rp: RawRelyingParty, method: str) -> None:
    response = raw_rp.http.request(method, "auth")
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    if method != "HEAD":
        assert error(response) == (405, "methodNotAllowed")


@pytest.mark.parametrize("path", ["", "login", "auth/", "Auth", "../v5.1/auth", "/auth"])
def test_other_paths_do_not_exist(raw_rp: RawRelyingParty, path: str) -> None:
    url = raw_rp.http.base_url.join(path)
    response = raw_rp.http.post(url, content=b"{}", headers={"Content-Type": "application/json"})
    assert error(response) == (404, "notFound")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/plain", "", None])
def test_the_content_type_is_exactly_json(raw_rp: RawRelyingParty, content_type: str | None) -> None:
    body = b'{"endUserIp": "192.0.2.1"}'
    good = raw_rp.http.post("auth", content=body, headers={"Content-Type": "application/json"})
    assert good.status_code == 200
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert error(raw_rp.http.post("auth", content=body, headers=headers)) == (415, "unsupportedMediaType")


def test_a_bad_request_names_its_field(raw_rp: RawRelyingParty) -> None:
    response = raw_rp.post("auth", endUserIp="192.0.2.1", requirement={"personalNumber": "9001012385"})
    assert error(response) == (400, "invalidParameters")
    assert "requirement.personalNumber" in response.json()["details"]


def test_a_body_too_long_is_refused(raw_rp: RawRelyingParty) -> None:
    long = {"endUserIp": "192.0.2.1", "userVisibleData": "QUFB" * 10, "userNonVisibleData": "QUFB" * 200_000}
    assert error(raw_rp.post("sign", **long)) == (400, "invalidParameters")


@pytest.mark.parametrize("call", ["collect", "cancel"])
def test_an_unknown_order_is_an_invalid_parameter(raw_rp: RawRelyingParty, call: str) -> None:
    response = raw_rp.post(call, orderRef="131daac9-16c6-4618-beb0-365768f37288")
    assert error(response) == (400, "invalidParameters")


# Orders


def test_a_login_from_start_to_verified_evidence(
    raw_rp: RawRelyingParty, phone: Phone, simulator: Simulator, simulator_clock: SimulatorClock
) -> None:
    started = raw_rp.start(**AS_ASKED, returnRisk=True, requirement={"mrtd": True})
    assert set(started) == {"orderRef", "autoStartToken", "qrStartToken", "qrStartSecret"}
    assert raw_rp.collect(started) == {
        "orderRef": started["orderRef"],
        "status": "pending",
        "hintCode": "outstandingTransaction",
    }
    opened = phone.open(started)
    assert (opened["relying_party"], opened["visible_text"]) == ("Test av BankID (SIMULATOR)", TEXT)
    assert raw_rp.collect(started)["hintCode"] == "userMrtd"
    phone.do("step", hint_code="userSign", mrtd=True)
    assert raw_rp.collect(started)["hintCode"] == "userSign"
    phone.do("approve", code="271828")

    collected = raw_rp.collect(started)
    assert (collected["status"], "hintCode" in collected) == ("complete", False)
    data = collected["completionData"]
    assert data["user"] == {
        "personalNumber": ANNA.personal_number,
        "name": ANNA.name,
        "givenName": ANNA.given_name,
        "surname": ANNA.surname,
    }
    assert data["device"]["ipAddress"] == "192.0.2.1"
    assert (data["risk"], data["stepUp"]) == ("low", {"mrtd": True})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dZ", data["bankIdIssueDate"])
    assert verify(data, simulator, simulator_clock).policy == "1.2.3.4.25"
    assert error(raw_rp.post("collect", orderRef=started["orderRef"])) == (400, "invalidParameters")


def verify(data: dict[str, Any], simulator: Simulator, clock: SimulatorClock) -> VerifiedEvidence:
    return verification.verify(
        signature=data["signature"],
        ocsp_response=data["ocspResponse"],
        personal_number=data["user"]["personalNumber"],
        visible_data=TEXT,
        visible_format=None,
        non_visible_data=HIDDEN,
        rp_certificate=simulator.pki.rp_certificate,
        root=simulator.pki.signature_root,
        policies=["1.2.3.4.25"],
        now=clock.now,
    )


@pytest.mark.parametrize("defect", Defect)
def test_every_defect_reaches_the_evidence(
    raw_rp: RawRelyingParty,
    phone: Phone,
    simulator: Simulator,
    simulator_clock: SimulatorClock,
    defect: Defect,
) -> None:
    phone.switch("evidence", defect)
    collected = []
    for _ in range(2):
        started = raw_rp.start(**AS_ASKED)
        phone.approve(started)
        collected.append(raw_rp.collect(started)["completionData"])
    with pytest.raises(EvidenceError):
        verify(collected[0], simulator, simulator_clock)
    assert verify(collected[1], simulator, simulator_clock).personal_number == ANNA.personal_number


def test_the_result_leaves_out_what_was_not_asked_for(raw_rp: RawRelyingParty, phone: Phone) -> None:
    started = raw_rp.start()
    phone.approve(started)
    data = raw_rp.collect(started)["completionData"]
    assert set(data) == {"user", "device", "bankIdIssueDate", "signature", "ocspResponse"}


@pytest.mark.parametrize(("kind", "ending"), [("file", "+00:00"), ("card", "")])
def test_the_issue_date_has_variants(raw_rp: RawRelyingParty, phone: Phone, kind: str, ending: str) -> None:
    started = raw_rp.start()
    phone.open(started, kind=kind)
    phone.do("approve")
    issued = raw_rp.collect(started)["completionData"]["bankIdIssueDate"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d" + re.escape(ending), issued)


def test_one_person_is_written_in_capitals() -> None:
    assert [person.name for person in PEOPLE if person.name.isupper()] == ["KARL ERIK MAGNUS LINDSTRÖM"]


def test_a_fresh_qr_is_scanned_and_an_old_one_refused(
    raw_rp: RawRelyingParty, phone: Phone, simulator: Simulator, simulator_clock: SimulatorClock
) -> None:
    started = raw_rp.start()
    (order,) = simulator.orders.all()
    simulator_clock.wait(5)
    stale = phone.do("scan", qr=order.qr(2))
    assert (stale.status_code, stale.json()) == (409, {"error": "stale_code"})
    assert phone.do("scan", qr=order.qr(5)).json()["opened_by"] == "qr"
    assert phone.do("scan", qr=order.qr(5)).json() == {"error": "already_used"}
    assert raw_rp.collect(started)["hintCode"] == "userSign"


def test_a_cancelled_order_is_gone(raw_rp: RawRelyingParty, phone: Phone) -> None:
    started = raw_rp.start()
    phone.open(started)
    cancelled = raw_rp.post("cancel", orderRef=started["orderRef"])
    assert (cancelled.status_code, cancelled.json()) == (200, {})
    for call in ("collect", "cancel"):
        assert error(raw_rp.post(call, orderRef=started["orderRef"])) == (400, "invalidParameters")
    assert phone.do("approve").json() == {"error": "no_order"}


def test_time_limits_follow_the_clock(raw_rp: RawRelyingParty, simulator_clock: SimulatorClock) -> None:
    started = raw_rp.start()
    simulator_clock.wait(30)
    collected = raw_rp.collect(started)
    assert (collected["status"], collected["hintCode"]) == ("failed", "startFailed")


def test_a_call_goes_its_own_way(raw_rp: RawRelyingParty, phone: Phone) -> None:
    started = raw_rp.start("phone/auth", personalNumber=ANNA.personal_number, callInitiator="RP")
    assert set(started) == {"orderRef"}
    phone.do("answer")
    assert raw_rp.collect(started)["hintCode"] == "userCallConfirm"
    phone.do("confirm")
    phone.do("approve")
    assert raw_rp.collect(started)["completionData"]["user"]["name"] == ANNA.name


def test_a_call_during_another_order_is_refused(raw_rp: RawRelyingParty, phone: Phone) -> None:
    started = raw_rp.start()
    phone.open(started)
    call = {"personalNumber": ANNA.personal_number, "callInitiator": "user"}
    assert error(raw_rp.post("phone/auth", **call)) == (400, "alreadyInProgress")
    assert raw_rp.collect(started)["hintCode"] == "cancelled"


# Faults


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
