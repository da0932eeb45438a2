"""An order fails in its ways and is renewed within its limits."""

import re

import pytest
import time_machine
from flask import Flask

from idp.bankid.api import messages
from idp.bankid.api.messages import RfaId
from tests.integration.bankid.conftest import BankIdVisitor, Calls, Phone
from tests.integration.bankid.orders import (
    audited,
    open_on_phone,
    qr_text,
    scan_and_approve,
)

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
pytestmark = pytest.mark.usefixtures("clock", "linked")


# Failing

FAILED = {
    "expiredTransaction": RfaId.RFA8,
    "certificateErr": RfaId.RFA16,
    "userCancel": RfaId.RFA6,
    "cancelled": RfaId.RFA3,
    "userDeclinedCall": RfaId.RFA22,
    "notSupportedByUserApp": RfaId.RFA22,
    "transactionRiskBlocked": RfaId.RFA22,
    "mrtdVerificationFailed": RfaId.RFA26,
    "facialRecognitionFailed": RfaId.RFA27,
    "nfcNotSupportedByDevice": RfaId.RFA28,
    "multipleBankIdsOnDevice": RfaId.RFA29,
    "stepUpFailed": RfaId.RFA30,
    "somethingNew": RfaId.RFA22,
    "x" * 300: RfaId.RFA22,
}


@on_sqlite
@pytest.mark.parametrize("language", ["sv", "en"])
def test_every_way_to_fail_is_told_and_can_be_tried_again(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, language: str
) -> None:
    for number, (hint, rfa) in enumerate(FAILED.items(), 1):
        visitor.open(ui_locales=language)
        phone.fault("failed_hint", hint)
        clock.shift(2)
        answer = visitor.poll()
        text = messages.TEXTS[rfa][0 if language == "sv" else 1]
        assert (answer["state"], answer["text"]) == ("failed", text), hint
        page = visitor.get(answer["url"])
        assert text in page.text
        assert 'id="bankid-qr"' not in page.text
        assert len(audited(app, "bankid.failed")) == number
        assert audited(app, "bankid.failed")[-1].detail == {"hint": hint[:60]}
        (retry,) = re.findall(r'id="bankid-retry" href="([^"]+)"', page.text)
        assert 'id="bankid-qr"' in visitor.get(retry).text


@on_sqlite
@pytest.mark.parametrize(
    ("hint", "rfa"),
    [
        ("outstandingTransaction", RfaId.RFA1),
        ("noClient", RfaId.RFA1),
        ("started", RfaId.RFA15B),  # whoever scans has the app on another device, without a card reader
        ("userSign", RfaId.RFA9),
        ("userMrtd", RfaId.RFA23),
        ("userCallConfirm", RfaId.RFA21),
        ("processing", RfaId.RFA21),
        ("userFace", RfaId.RFA24),
        ("userStepUp", RfaId.RFA25),
        ("somethingNew", RfaId.RFA21),
    ],
)
def test_the_page_tells_what_the_app_waits_for(
    clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, hint: str, rfa: RfaId
) -> None:
    visitor.open()
    phone.fault("pending_hint", hint)
    clock.shift(2)
    answer = visitor.poll()
    assert (answer["state"], answer["text"]) == ("pending", messages.TEXTS[rfa][0])
    assert answer["text"] in visitor.get(f"/login/{visitor.uid}/bankid").text


@on_sqlite
def test_three_wrong_codes_end_the_order(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    phone.do("scan", qr=qr_text(app))
    for _ in range(3):
        phone.do("approve", code="000000")
    clock.shift(2)
    assert visitor.poll()["text"] == messages.TEXTS[RfaId.RFA16][0]


@on_sqlite
def test_the_same_persons_next_order_replaces_the_first(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    phone.do("scan", qr=qr_text(app))
    first = visitor.uid
    clock.shift(1)
    visitor.open()
    phone.do("scan", qr=qr_text(app))
    clock.shift(2)
    visitor.uid = first
    assert visitor.poll()["text"] == messages.TEXTS[RfaId.RFA3][0]


# Renewal


@on_sqlite
def test_a_code_that_nobody_scans_is_renewed_silently_five_orders_in_all(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, calls: Calls
) -> None:
    visitor.open()
    for _ in range(4):
        clock.shift(30)
        answer = visitor.poll()
        assert answer["state"] == "pending"
        assert answer["qr"]
    assert calls.count("auth") == 5
    clock.shift(30)
    answer = visitor.poll()
    assert (answer["state"], answer["text"]) == ("failed", messages.TEXTS[RfaId.RFA17B][0])
    assert calls.count("auth") == 5
    assert len(audited(app, "bankid.started")) == 1


@on_sqlite
def test_a_renewed_code_logs_in(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    clock.shift(31)
    visitor.poll()
    clock.shift(1)
    scan_and_approve(app, phone)
    assert visitor.poll()["state"] == "complete"


@on_sqlite
def test_an_order_is_not_renewed_after_three_minutes(
    clock: time_machine.Traveller, visitor: BankIdVisitor, calls: Calls
) -> None:
    visitor.open()
    clock.shift(181)  # a tab that slept
    answer = visitor.poll()
    assert (answer["state"], answer["text"]) == ("failed", messages.TEXTS[RfaId.RFA17B][0])
    assert calls.count("auth") == 1


@on_sqlite
def test_an_app_that_does_not_start_is_told_and_not_tried_again(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, calls: Calls
) -> None:
    open_on_phone(app, visitor)
    clock.shift(31)
    answer = visitor.poll()
    assert (answer["state"], answer["text"]) == ("failed", messages.TEXTS[RfaId.RFA17A][0])
    assert 'id="bankid-retry"' in visitor.get(answer["url"]).text
    assert calls.count("auth") == 1


@on_sqlite
def test_a_renewal_that_bankid_refuses_ends_the_order(
    clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, calls: Calls
) -> None:
    visitor.open()
    phone.fault("http", "503", None, "auth")
    clock.shift(31)
    assert visitor.poll()["state"] == "failed"
    clock.shift(2)
    assert visitor.poll()["state"] == "failed"
    assert calls.count("auth") == 2
