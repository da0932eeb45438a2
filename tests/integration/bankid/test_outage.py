"""The BankID tab and the log say when BankID is out of reach, and nothing else suffers."""

import json
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any

import pytest
import time_machine
from flask import Flask

from idp.bankid import collecting, setup
from idp.bankid.api import answers, circuit, messages
from idp.bankid.api.messages import RfaId
from idp.bankid.setup import BANKID, BankId
from idp.clock import utcnow
from tests.factories import PASSWORD
from tests.fakes.relying_party import RelyingParty
from tests.integration.bankid.conftest import BankIdVisitor, Calls, Phone
from tests.integration.bankid.orders import audited, due, newest_order, qr_text, scan_and_approve

RFA5 = messages.TEXTS[RfaId.RFA5][0]
pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("clock", "linked"),
]


@pytest.fixture
def bankid(app: Flask, clock: time_machine.Traveller) -> BankId:
    """What the provider reaches BankID with, its circuit on the test's clock."""
    found: BankId = BANKID.of(app)
    found.circuit._clock = lambda: utcnow().timestamp()
    return found


@dataclass
class Outage:
    """The simulator's faults, the circuit on the test's clock, and the log."""

    app: Flask
    phone: Phone
    bankid: BankId
    written: StringIO


@pytest.fixture
def outage(app: Flask, phone: Phone, bankid: BankId, written: StringIO) -> Outage:
    return Outage(app, phone, bankid, written)


def logged(written: StringIO, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    return [line for line in lines if line["event"] == event]


@pytest.mark.parametrize(
    ("fault", "code", "level"),
    [
        ("503", "maintenance", "warning"),
        ("500", "internalError", "warning"),
        ("502_html", "internalError", "warning"),
        ("503_html", "maintenance", "warning"),
        ("403_html", "unauthorized", "error"),
        ("401", "unauthorized", "error"),
        ("408", "requestTimeout", "warning"),
        ("429", "tooManyRequests", "error"),
        ("drop", "noAnswer", "warning"),
        ("empty", "unreadableAnswer", "error"),
        ("html", "unreadableAnswer", "error"),
        ("invalid_parameters", "invalidParameters", "error"),
        ("already_in_progress", "alreadyInProgress", "warning"),
    ],
)
def test_a_start_that_fails_is_told_and_logged(
    visitor: BankIdVisitor, outage: Outage, fault: str, code: str, level: str
) -> None:
    outage.phone.fault("http", fault, 1, "auth")
    page = visitor.open()
    assert page.status_code == 503
    assert messages.TEXTS[messages.for_error(code)][0] in page.text
    assert 'id="bankid-retry"' in page.text
    assert 'id="tab-password"' in page.text
    (line,) = logged(outage.written, "bankid_start_failed")
    assert (line["code"], line["level"]) == (code, level)
    assert [row.detail for row in audited(outage.app, "bankid.failed")] == [{"hint": code}]
    assert 'id="bankid-qr"' in visitor.get(f"/login/{visitor.uid}/bankid?again=1").text


def test_a_refused_connection_is_told_and_email_goes_on(
    app: Flask, visitor: BankIdVisitor, bankid: BankId, written: StringIO
) -> None:
    bankid.client.environment = replace(bankid.environment, base_url="https://127.0.0.1:1/rp/v6.0/")
    page = visitor.open()
    assert page.status_code == 503
    assert RFA5 in page.text
    assert logged(written, "bankid_start_failed")[0]["code"] == "unreachable"
    assert email_login(app)


def email_login(app: Flask) -> bool:
    """Whether somebody gets in by e-mail, in a browser of their own."""
    rp = RelyingParty(app, app.test_client())
    form = rp.follow(rp.authorize(acr_values="https://login.example.se/acr/password"))
    answered = rp.submit(form, email="anna@example.se", password=PASSWORD)
    return "code" in rp.answer(rp.follow(answered))


@pytest.mark.parametrize("fault", ["503", "500", "403_html", "429", "drop", "html"])
def test_a_collect_that_fails_is_only_a_pause(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, fault: str
) -> None:
    visitor.open()
    phone.do("scan", qr=qr_text(app))
    phone.do("approve")
    phone.fault("http", fault, 2, "collect")
    for _ in range(2):
        clock.shift(2)
        assert visitor.poll()["state"] == "pending"
    clock.shift(2)
    assert visitor.poll()["state"] == "complete"


@pytest.mark.parametrize("fault", ["drop_answer", "empty"])
def test_an_answer_lost_on_its_way_logs_nobody_in(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, fault: str
) -> None:
    visitor.open()
    scan_and_approve(app, phone)
    phone.fault("http", fault, 1, "collect")
    assert visitor.poll()["state"] == "pending"
    clock.shift(2)
    assert visitor.poll()["state"] == "failed"
    assert audited(app, "bankid.failed")[0].detail == {"hint": "lost"}
    assert audited(app, "login.succeeded") == []


def test_the_circuit_spares_everybody_the_waiting_and_closes_by_itself(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, calls: Calls, outage: Outage
) -> None:
    phone, written = outage.phone, outage.written
    visitor.open()
    phone.fault("http", "503", None)
    for _ in range(circuit.FAULTS):
        clock.shift(2)
        assert visitor.poll()["qr"]
    assert [line["code"] for line in logged(written, "bankid_circuit_open")] == ["maintenance"]
    made = len(calls.made)
    clock.shift(2)
    answer = visitor.poll()
    assert (answer["state"], answer["text"], answer["qr"]) == ("pending", RFA5, None)
    other = BankIdVisitor(RelyingParty(app, app.test_client()))
    page = other.open()
    assert page.status_code == 503
    assert RFA5 in page.text
    assert len(calls.made) == made
    assert email_login(app)
    phone.no_faults()
    clock.shift(circuit.OPEN_SECONDS)
    answer = visitor.poll()
    assert answer["text"] == messages.TEXTS[RfaId.RFA1][0]
    assert answer["qr"]
    assert logged(written, "bankid_circuit_closed")
    scan_and_approve(app, phone)
    assert visitor.poll()["state"] == "complete"


def test_an_order_that_bankid_must_have_forgotten_ends_though_bankid_is_silent(
    clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, bankid: BankId
) -> None:
    visitor.open()
    phone.fault("http", "503", None)
    for _ in range(circuit.FAULTS + 1):
        clock.shift(2)
        assert visitor.poll()["state"] == "pending"
    clock.shift(collecting.LONGEST_ORDER.total_seconds())
    answer = visitor.poll()
    assert (answer["state"], answer["text"]) == ("failed", messages.TEXTS[RfaId.RFA22][0])


def test_polls_do_not_queue_for_a_slow_bankid(
    clock: time_machine.Traveller, visitor: BankIdVisitor, bankid: BankId, calls: Calls
) -> None:
    visitor.open()
    for _ in range(setup.CALLS_AT_ONCE):
        assert bankid.calls.acquire(blocking=False)
    clock.shift(2)
    answer = visitor.poll()
    assert answer["state"] == "pending"
    assert answer["qr"]
    assert calls.count("collect") == 0
    bankid.calls.release()
    visitor.poll()
    assert calls.count("collect") == 1  # the turn was not lost


def test_a_place_comes_free_again_whatever_happens(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, bankid: BankId
) -> None:
    page = visitor.open()
    phone.fault("http", "drop", 1, "collect")
    clock.shift(2)
    visitor.poll()
    phone.fault("http", "500", 1, "cancel")
    visitor.post(page, "cancel")
    phone.fault("http", "500", 1, "auth")
    clock.shift(1)
    visitor.get(f"/login/{visitor.uid}/bankid?again=1")
    clock.shift(1)
    visitor.get(f"/login/{visitor.uid}/bankid?again=1")
    due(app)
    visitor.poll()
    for _ in range(setup.CALLS_AT_ONCE):
        assert bankid.calls.acquire(blocking=False)
    assert not bankid.calls.acquire(blocking=False)


def test_leaving_for_email_does_not_wait_for_a_silent_bankid(
    app: Flask, visitor: BankIdVisitor, phone: Phone, bankid: BankId, written: StringIO
) -> None:
    visitor.open()
    for _ in range(circuit.FAULTS):
        bankid.circuit.note(answers.BankIdError("noAnswer", None))
    phone.fault("slow", "5", None, "cancel")
    page = visitor.get(f"/login/{visitor.uid}/password")
    assert 'id="login-form"' in page.text
    assert newest_order(app).state == "abandoned"
    assert not phone.orders()[0]["is_gone"]  # not even asked
    assert logged(written, "bankid_cancel_failed") == []


def test_a_cancel_that_fails_is_logged_and_hinders_nobody(
    app: Flask, visitor: BankIdVisitor, phone: Phone, written: StringIO
) -> None:
    visitor.open()
    phone.fault("http", "403_html", 1, "cancel")
    assert 'id="login-form"' in visitor.get(f"/login/{visitor.uid}/password").text
    assert logged(written, "bankid_cancel_failed")[0]["code"] == "unauthorized"
    assert newest_order(app).state == "abandoned"


@pytest.mark.parametrize("changed", [{"IDP_LIMIT_BANKID_PER_ADDRESS": "2/minute"}])
def test_one_address_starts_only_so_many_orders(
    visitor: BankIdVisitor, phone: Phone, clock: time_machine.Traveller
) -> None:
    for _ in range(2):
        assert visitor.open().status_code == 200
        clock.shift(1)
    page = visitor.open()
    assert page.status_code == 429
    assert int(page.headers["Retry-After"]) <= 60
    assert len(phone.orders()) == 2
