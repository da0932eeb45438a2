"""Orders run over the simulator's RP API from their start to verified evidence."""

import base64
import re
from typing import Any

import pytest

from idp.bankid.evidence import verification
from idp.bankid.evidence.errors import EvidenceError
from idp.bankid.evidence.verification import VerifiedEvidence
from idp.bankid.simulator.evidence import Defect
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.server import Simulator
from tests.integration.bankid.simulator.conftest import ANNA, Phone, RawRelyingParty, SimulatorClock, error

TEXT = "Logga in hos Åkeriet"
HIDDEN = b"\x00bound to this login"
AS_ASKED = {
    "userVisibleData": base64.b64encode(TEXT.encode()).decode(),
    "userNonVisibleData": base64.b64encode(HIDDEN).decode(),
}


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
