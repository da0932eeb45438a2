"""The life of an order: how it fails, is renewed, cancelled and left, and that one asks for it at a time."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask

from idp.app import create_app
from idp.bankid import collecting, service
from idp.bankid.api import messages
from idp.bankid.api.client import BankIdClient
from idp.bankid.api.messages import RfaId
from idp.bankid.models import Evidence, Order
from idp.bankid.setup import BANKID
from idp.bankid.simulator.server import Simulator
from idp.config import Settings
from idp.db import db
from tests.factories import PASSWORD
from tests.fakes.relying_party import HTTPS
from tests.integration.bankid.conftest import BankIdVisitor, Calls, Phone
from tests.integration.bankid.orders import (
    audited,
    due,
    newest_order,
    open_on_phone,
    qr_text,
    scan_and_approve,
)

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
pytestmark = pytest.mark.usefixtures("clock", "linked")


def states(app: Flask) -> list[str]:
    with app.app_context():
        return list(db.session.scalars(sa.select(Order.state).order_by(Order.started_at)))


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


# Cancelling and leaving


def is_gone(phone: Phone) -> bool:
    """Whether the newest order has been taken back at BankID."""
    return bool(phone.orders()[0]["is_gone"])


def test_our_cancel_button_cancels_in_the_app_too(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    page = visitor.open()
    answer = visitor.post(page, "cancel")
    assert is_gone(phone)
    assert states(app) == ["cancelled"]
    page = visitor.get(answer.headers["Location"])
    assert "Åtgärden avbröts." in page.text
    clock.shift(1)
    assert 'id="bankid-qr"' in visitor.get(f"/login/{visitor.uid}/bankid?again=1").text
    assert states(app) == ["cancelled", "pending"]


@on_sqlite
def test_a_new_order_cancels_the_old(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    old = qr_text(app)
    for where in ("again=1", "device=this", "device=other"):
        clock.shift(1)
        visitor.get(f"/login/{visitor.uid}/bankid?{where}")
    assert states(app) == ["cancelled", "cancelled", "cancelled", "pending"]
    assert [order["is_gone"] for order in phone.orders()] == [False, True, True, True]
    assert phone.refused("scan", qr=old) == "ended"


@on_sqlite
def test_approval_that_comes_after_a_cancel_logs_nobody_in(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    page = visitor.open()
    scan_and_approve(app, phone)
    visitor.post(page, "cancel")
    assert visitor.poll()["state"] == "cancelled"
    visitor.get(f"/login/{visitor.uid}/bankid")
    assert audited(app, "login.succeeded") == []


@on_sqlite
def test_a_result_that_meets_a_cancel_is_not_kept(
    app: Flask, visitor: BankIdVisitor, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.open()
    scan_and_approve(app, phone)
    original = BankIdClient.collect

    def collect(client: BankIdClient, order_ref: str) -> Any:
        answer = original(client, order_ref)
        with app.app_context():
            service.abandon(BANKID.of(app), visitor.uid, now=newest_order(app).started_at)
        return answer

    monkeypatch.setattr(BankIdClient, "collect", collect)
    assert visitor.poll()["state"] == "abandoned"
    with app.app_context():
        assert db.session.scalars(sa.select(Evidence)).all() == []
    assert audited(app, "bankid.completed") == []


def test_the_email_tab_ends_the_order_and_bankid_begins_a_new_one(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    visitor.get(f"/login/{visitor.uid}/password")
    assert is_gone(phone)
    assert states(app) == ["abandoned"]
    clock.shift(1)
    page = visitor.get(f"/login/{visitor.uid}/bankid")
    assert 'id="bankid-qr"' in page.text
    assert "avbröts" not in page.text
    assert states(app) == ["abandoned", "pending"]


@on_sqlite
def test_logging_in_by_email_ends_the_order(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    rp = visitor.rp
    visitor.open()
    form = visitor.get(f"/login/{visitor.uid}/password")
    clock.shift(1)
    visitor.get(f"/login/{visitor.uid}/bankid")  # the other tab goes on meanwhile
    assert not is_gone(phone)
    answered = rp.submit(form, email="anna@example.se", password=PASSWORD)
    assert "code" in rp.answer(rp.follow(answered))
    visitor.settle()
    assert is_gone(phone)
    assert visitor.poll()["state"] == "gone"


@on_sqlite
def test_a_wrong_password_ends_no_order(
    clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    form = visitor.get(f"/login/{visitor.uid}/password")
    clock.shift(1)
    visitor.get(f"/login/{visitor.uid}/bankid")
    visitor.rp.submit(form, email="anna@example.se", password="wrong")
    assert visitor.poll()["state"] == "pending"
    assert not is_gone(phone)


@on_sqlite
def test_going_back_to_the_relying_app_ends_the_order(visitor: BankIdVisitor, phone: Phone) -> None:
    page = visitor.open()
    (back,) = re.findall(r'href="([^"]+)" id="login-cancel"', page.text)
    answer = visitor.rp.answer(visitor.rp.browser.get(back, **HTTPS))
    assert answer["error"] == "access_denied"
    visitor.settle()
    assert is_gone(phone)
    assert visitor.poll()["state"] == "gone"


@on_sqlite
def test_leaving_one_login_ends_no_order_of_another(
    clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    left = visitor.uid
    clock.shift(1)
    visitor.open()
    visitor.get(f"/login/{left}/password")
    assert [order["is_gone"] for order in phone.orders()] == [False, True]
    assert visitor.poll()["state"] == "pending"


# One asks at a time


@on_sqlite
def test_a_crash_between_collect_and_commit_logs_nobody_in(
    app: Flask,
    clock: time_machine.Traveller,
    visitor: BankIdVisitor,
    phone: Phone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visitor.open()
    scan_and_approve(app, phone)
    with monkeypatch.context() as patch:

        def die(*_arguments: Any) -> None:
            raise RuntimeError("the worker dies")

        patch.setattr(collecting, "_complete", die)
        broken = visitor.rp.browser.get(f"/login/{visitor.uid}/bankid/poll", **HTTPS)
        assert broken.status_code == 500
    assert visitor.poll()["state"] == "pending"
    clock.shift(collecting.COLLECT_LEASE.total_seconds())
    answer = visitor.poll()
    assert (answer["state"], answer["text"]) == ("failed", "Något gick fel. Försök igen.")
    assert 'id="bankid-retry"' in visitor.get(answer["url"]).text
    assert audited(app, "bankid.failed")[0].detail == {"hint": "lost"}
    assert audited(app, "login.succeeded") == []


def test_an_order_is_collected_every_other_second_at_most(
    clock: time_machine.Traveller, visitor: BankIdVisitor, calls: Calls
) -> None:
    visitor.open()
    for _ in range(40):
        clock.shift(0.25)
        visitor.poll()
    assert calls.count("collect") == 5


@pytest.fixture
def workers(app: Flask, environ: dict[str, str]) -> Iterator[list[Flask]]:
    """Eight providers on one database."""
    others = [create_app(Settings.from_environ(environ)) for _ in range(7)]
    yield [app, *others]
    for other in others:
        BANKID.of(other).client._http.close()
        with other.app_context():
            db.engine.dispose()


def poll_together(workers: list[Flask], visitor: BankIdVisitor) -> list[dict[str, Any]]:
    """Polls of one browser at the same time, one at each worker."""
    cookie = visitor.rp.browser.get_cookie("__Host-idp_browser", domain="login.example.se")
    assert cookie is not None

    def poll(worker: Flask) -> dict[str, Any]:
        browser = worker.test_client()
        browser.set_cookie("__Host-idp_browser", cookie.value, domain="login.example.se", secure=True)
        return visitor.poll(browser=browser)

    with ThreadPoolExecutor(len(workers)) as pool:
        return list(pool.map(poll, workers))


@on_postgresql
def test_one_of_many_polls_collects(
    workers: list[Flask], clock: time_machine.Traveller, visitor: BankIdVisitor, calls: Calls
) -> None:
    visitor.open()
    for second in range(1, 11):
        clock.shift(1)
        assert {answer["state"] for answer in poll_together(workers, visitor)} == {"pending"}
        assert calls.count("collect") == second // 2


@on_postgresql
def test_a_slow_bankid_has_one_collector(
    workers: list[Flask], clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, calls: Calls
) -> None:
    visitor.open()
    phone.fault("slow", "0.5", 1, "collect")
    clock.shift(2)
    answers = poll_together(workers, visitor)
    assert {answer["state"] for answer in answers} == {"pending"}
    assert calls.count("collect") == 1


@on_postgresql
def test_one_of_many_polls_renews(
    workers: list[Flask], clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, calls: Calls
) -> None:
    visitor.open()
    phone.fault("slow", "0.3", 1, "auth")
    clock.shift(31)
    for _ in range(3):
        assert {answer["state"] for answer in poll_together(workers, visitor)} == {"pending"}
    assert calls.count("auth") == 2
    assert visitor.poll()["qr"]


@on_postgresql
def test_a_completed_order_is_used_once_by_parallel_requests(
    app: Flask, visitor: BankIdVisitor, phone: Phone, simulator: Simulator
) -> None:
    visitor.open()
    scan_and_approve(app, phone)
    assert visitor.poll()["state"] == "complete"
    cookie = visitor.rp.browser.get_cookie("__Host-idp_browser", domain="login.example.se")
    assert cookie is not None

    def go_on(_number: int) -> int:
        browser = app.test_client()
        browser.set_cookie("__Host-idp_browser", cookie.value, domain="login.example.se", secure=True)
        return browser.get(f"/login/{visitor.uid}/bankid", **HTTPS).status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(go_on, range(4))) == {303}
    assert len(audited(app, "login.succeeded")) == 1


@on_postgresql
def test_no_database_connection_waits_for_bankid(
    app: Flask,
    clock: time_machine.Traveller,
    visitor: BankIdVisitor,
    phone: Phone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[tuple[str, int]] = []
    original = BankIdClient._post
    with app.app_context():
        pool: Any = db.engine.pool

    def post(client: BankIdClient, call: str, *arguments: Any, **named: Any) -> Any:
        held.append((call, pool.checkedout()))
        return original(client, call, *arguments, **named)

    monkeypatch.setattr(BankIdClient, "_post", post)
    page = visitor.open()
    clock.shift(2)
    visitor.poll()
    clock.shift(29)
    visitor.poll()
    due(app)
    visitor.get(f"/login/{visitor.uid}/bankid")
    visitor.post(page, "cancel")
    assert held == [(call, 0) for call in ("auth", "collect", "collect", "auth", "collect", "cancel")]
