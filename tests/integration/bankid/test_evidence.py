"""Wrong evidence logs nobody in, and right evidence is kept."""

import json
from base64 import b64decode
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask

from idp.bankid import visible_text
from idp.bankid.models import EVIDENCE_PURPOSE, Evidence
from idp.bankid.simulator.evidence import Defect
from idp.bankid.simulator.server import Simulator
from idp.bankid.simulator.validation import AuthRequest
from idp.clock import utcnow
from idp.crypto import CannotOpen, Sealer
from idp.db import db
from idp.login.models import BrowserSession
from idp.tokens import sha256_hex
from tests.factories import make_client
from tests.integration.bankid.conftest import KEYS, BankIdVisitor, Phone
from tests.integration.bankid.orders import audited, complete, newest_order, scan_and_approve

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("clock", "linked"),
]
REASONS = {
    Defect.BAD_DIGEST: "digest",
    Defect.BAD_SIGNATURE: "signature",
    Defect.FOREIGN_ROOT: "root",
    Defect.EXPIRED_LEAF: "validity",
    Defect.WRONG_KEY_USAGE: "key_usage",
    Defect.REVOKED: "ocsp_status",
    Defect.UNKNOWN_TO_OCSP: "ocsp_status",
    Defect.OCSP_UNSUCCESSFUL: "ocsp_unsuccessful",
    Defect.OLD_OCSP: "ocsp_time",
    Defect.WRONG_NONCE: "ocsp_nonce",
    Defect.NO_NONCE: "ocsp_nonce",
    Defect.WRONG_RESPONDER: "responder",
    Defect.OTHER_SERIAL: "ocsp_certificate",
    Defect.SWAPPED_PERSON: "personal_number",
    Defect.OTHER_POLICY: "policy",
    Defect.OTHER_VISIBLE_TEXT: "visible_data",
    Defect.OTHER_NON_VISIBLE_DATA: "non_visible_data",
    Defect.OTHER_RELYING_PARTY: "relying_party",
    Defect.OTHER_FUNC_ID: "func_id",
    Defect.SHA1: "algorithm",
    Defect.DUPLICATE_ID: "duplicate_id",
    Defect.THREE_REFERENCES: "references",
    Defect.DOCTYPE: "xml",
}


def count(app: Flask, model: type[Any]) -> int:
    with app.app_context():
        return db.session.scalar(sa.select(sa.func.count()).select_from(model)) or 0


def test_every_defect_has_its_reason() -> None:
    assert set(REASONS) == set(Defect)


def test_every_defect_is_refused_and_audited(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    for number, (defect, reason) in enumerate(REASONS.items(), 1):
        clock.shift(3)
        visitor.open()
        phone.fault("evidence", defect)
        scan_and_approve(app, phone)
        answer = visitor.poll()
        assert (answer["state"], answer["text"]) == ("refused", "Något gick fel. Försök igen."), defect
        page = visitor.get(answer["url"])
        assert 'id="bankid-retry"' in page.text
        refused = audited(app, "bankid.refused")
        assert len(refused) == number
        assert refused[-1].detail == {"reason": reason}, defect
        assert refused[-1].client_id == "portal"
    assert count(app, BrowserSession) == 0
    assert count(app, Evidence) == 0
    clock.shift(3)
    complete(app, visitor, phone)
    assert count(app, BrowserSession) == 1


@pytest.mark.parametrize("field", ["user.personalNumber", "signature", "ocspResponse", "user"])
def test_a_result_without_evidence_logs_nobody_in(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, field: str
) -> None:
    visitor.open()
    phone.fault("missing", field)
    scan_and_approve(app, phone)
    assert visitor.poll()["state"] == "pending"
    clock.shift(2)
    assert visitor.poll()["state"] == "failed"  # the result has been handed out, and was no good
    assert count(app, BrowserSession) == 0


@pytest.mark.parametrize("field", ["user.name", "device.ipAddress", "device.uhi", "bankIdIssueDate", "risk"])
def test_fields_that_bankid_may_leave_out_are_not_required(
    app: Flask, visitor: BankIdVisitor, phone: Phone, field: str
) -> None:
    phone.fault("missing", field)
    complete(app, visitor, phone)
    assert count(app, BrowserSession) == 1


@pytest.mark.parametrize("risk", ["low", "moderate", "absent", "unheard-of"])
def test_a_risk_that_is_not_high_is_no_hindrance_and_is_recorded(
    app: Flask, visitor: BankIdVisitor, phone: Phone, risk: str
) -> None:
    phone.fault("risk", risk)
    complete(app, visitor, phone)
    assert count(app, BrowserSession) == 1
    (completed,) = audited(app, "bankid.completed")
    assert completed.detail == {"kind": "mobile", "risk": "unknown" if risk == "absent" else risk}


def test_high_risk_is_refused(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    phone.fault("risk", "high")
    page = complete(app, visitor, phone)
    assert page.status_code == 403
    assert "bedömdes som osäker" in page.text
    assert count(app, BrowserSession) == 0
    assert audited(app, "bankid.refused")[0].detail == {"reason": "high_risk"}


@pytest.mark.parametrize("changed", [{"IDP_BANKID_HIGH_RISK": "allow"}])
def test_high_risk_can_be_allowed(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    phone.fault("risk", "high")
    complete(app, visitor, phone)
    assert count(app, BrowserSession) == 1
    assert audited(app, "bankid.completed")[0].detail["risk"] == "high"


@pytest.mark.parametrize("changed", [{"IDP_BANKID_EVIDENCE_DAYS": "30"}])
def test_the_evidence_is_kept_sealed_for_its_time(
    app: Flask, visitor: BankIdVisitor, phone: Phone, linked: str
) -> None:
    complete(app, visitor, phone)
    with app.app_context():
        kept = db.session.scalars(sa.select(Evidence)).one()
    assert kept.order_id == newest_order(app).id
    assert str(kept.user_id) == linked
    assert kept.delete_after == kept.created_at + timedelta(days=30)
    assert kept.created_at == utcnow()
    sealer = Sealer(KEYS)
    opened = json.loads(sealer.open(kept.sealed, purpose=EVIDENCE_PURPOSE, context=kept.order_id))
    assert b64decode(opened["signature"]).startswith(b"<?xml")
    assert b64decode(opened["ocsp_response"])
    with pytest.raises(CannotOpen):  # worthless in another row
        sealer.open(kept.sealed, purpose=EVIDENCE_PURPOSE, context="another order")


def test_the_result_is_sealed_and_removed_after_use(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    visitor.open()
    scan_and_approve(app, phone)
    visitor.poll()
    waiting = newest_order(app).result
    assert waiting is not None
    assert "1890" not in waiting
    visitor.get(f"/login/{visitor.uid}/bankid")
    assert newest_order(app).result is None


def asked(simulator: Simulator) -> AuthRequest:
    request = simulator.orders.all()[0].request
    assert isinstance(request, AuthRequest)
    return request


def test_the_hidden_signed_text_ties_the_login_to_its_request(
    visitor: BankIdVisitor, simulator: Simulator, clock: time_machine.Traveller
) -> None:
    visitor.open()
    first = json.loads(b64decode(asked(simulator).userNonVisibleData or ""))
    assert first["client_id"] == "portal"
    assert first["interaction"] == sha256_hex(visitor.uid)
    clock.shift(1)
    visitor.get(f"/login/{visitor.uid}/bankid?again=1")
    second = json.loads(b64decode(asked(simulator).userNonVisibleData or ""))
    assert second["once"] != first["once"]


def test_the_order_tells_bankid_address_domain_and_user_agent(
    visitor: BankIdVisitor, simulator: Simulator
) -> None:
    visitor.open(headers={"User-Agent": "x" * 400})
    request = asked(simulator)
    assert request.endUserIp == "127.0.0.1"
    assert request.returnRisk
    assert request.web is not None
    assert (request.web.referringDomain, request.web.userAgent) == ("login.example.se", "x" * 256)
    assert visitor.uid not in (request.web.deviceIdentifier or "")


class TestNames:
    @pytest.fixture(params=["Å" * 600, "🦊" * 400, "é" * 999])
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def clients(self, name: str) -> dict[str, Any]:
        names = {"client_name": name[:200], "client_name#en": None}
        return {"portal": make_client(login_methods=["bankid"], **names)}

    def test_the_person_sees_where_they_log_in(
        self, visitor: BankIdVisitor, simulator: Simulator, name: str
    ) -> None:
        visitor.open()
        assert (
            asked(simulator).visible_text
            == f"Logga in hos {name[:200]}"[: len(asked(simulator).visible_text)]
        )
        assert len(asked(simulator).userVisibleData or "") <= 1500

    def test_a_text_too_long_is_cut_between_characters(self, name: str) -> None:
        text = visible_text.clipped(f"Log in at {name}")
        assert text.startswith("Log in at ")
        assert name.startswith(text.removeprefix("Log in at "))
        assert 1096 < len(text.encode()) <= 1100
