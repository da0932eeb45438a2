"""An order comes into the app by a QR code or a launch link."""

from typing import Any

import pytest

from idp.bankid.simulator.inputs import read_text
from idp.bankid.simulator.order import OpenedBy, Order
from idp.bankid.simulator.orders import (
    Refusal,
)
from idp.bankid.simulator.validation import (
    AuthRequest,
)
from tests.unit.bankid.simulator.desk import ANNA, BJORN, LOGIN, RP, Desk

# Scanning


def test_the_qr_text_is_the_published_one(desk: Desk) -> None:
    order = Order(
        1,
        LOGIN,
        RP,
        desk.now,
        qr_start_token="67df3917-fa0d-44e5-b327-edcc928297f8",
        qr_start_secret="d28db9a7-4cde-429e-a983-359be676944c",
    )
    code = "949d559bf23403952a94d103e67743126381eda00f0b3cbddbf7c96b1adcbce2"
    assert order.qr(1) == f"bankid.67df3917-fa0d-44e5-b327-edcc928297f8.1.{code}"


@pytest.mark.parametrize(
    ("shown", "scanned", "is_fresh"),
    [
        (0, 0, True),
        (5, 5.99, True),
        (5, 7.99, True),
        (5, 8, False),
        (5, 4, True),
        (5, 3.99, False),
        (0, 29, False),
    ],
)
def test_only_a_code_of_this_moment_is_accepted(
    desk: Desk, shown: int, scanned: float, is_fresh: bool
) -> None:
    order = desk.start()
    desk.wait(scanned)
    if is_fresh:
        opened = desk.orders.scan(order.qr(shown), ANNA)
        assert (opened.opened_by, opened.hint_code) == (OpenedBy.QR, "userSign")
    else:
        assert desk.refusal(desk.orders.scan, order.qr(shown), ANNA) is Refusal.STALE_CODE
        assert desk.collect(order) == ("pending", "outstandingTransaction")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda qr: qr[:-1] + ("0" if qr[-1] != "0" else "1"), Refusal.WRONG_CODE),
        (lambda qr: qr[:-64] + "å" * 64, Refusal.WRONG_CODE),
        (lambda qr: qr[:-64] + qr[-64:].upper(), Refusal.WRONG_CODE),
        (lambda qr: qr.replace(".0.", ".1."), Refusal.WRONG_CODE),
        (lambda qr: qr.replace(".0.", ".00."), Refusal.NOT_A_CODE),
        (lambda qr: qr.replace(".0.", ".-1."), Refusal.NOT_A_CODE),
        (lambda qr: qr.replace("bankid.", "bank."), Refusal.NOT_A_CODE),
        (lambda qr: qr.rpartition(".")[0], Refusal.NOT_A_CODE),
        (lambda qr: "bankid." + "0" * 36 + qr[43:], Refusal.UNKNOWN_ORDER),
    ],
)
def test_a_code_that_was_changed_is_refused(desk: Desk, change: Any, reason: Refusal) -> None:
    order = desk.start()
    changed = change(order.qr(0))
    assert changed != order.qr(0)
    assert desk.refusal(desk.orders.scan, changed, ANNA) is reason
    assert desk.orders.scan(order.qr(0), ANNA).is_open


def test_an_opened_order_cannot_be_scanned_or_opened_again(desk: Desk) -> None:
    order = desk.start()
    desk.orders.scan(order.qr(0), ANNA)
    assert desk.refusal(desk.orders.scan, order.qr(0), BJORN) is Refusal.ALREADY_USED
    assert desk.refusal(desk.orders.open, order.auto_start_token, BJORN) is Refusal.ALREADY_USED


def test_a_late_code_is_refused(desk: Desk) -> None:
    order = desk.start()
    desk.wait(30)
    assert desk.refusal(desk.orders.scan, order.qr(30), ANNA) is Refusal.ENDED
    assert desk.refusal(desk.orders.open, order.auto_start_token, ANNA) is Refusal.ENDED


# Launch links


def test_an_order_opened_by_nobody_yet_waits_for_its_person(desk: Desk) -> None:
    order = desk.orders.open(desk.start().auto_start_token)
    assert desk.collect(order) == ("pending", "started")
    assert desk.refusal(desk.orders.approve, order.number) is Refusal.NOT_NOW
    desk.orders.choose(order.number, ANNA)
    assert desk.collect(order) == ("pending", "userSign")
    assert desk.refusal(desk.orders.choose, order.number, BJORN) is Refusal.NOT_NOW


def test_a_person_cannot_be_chosen_before_the_app_has_the_order(desk: Desk) -> None:
    order = desk.start()
    assert desk.refusal(desk.orders.choose, order.number, ANNA) is Refusal.NOT_NOW


@pytest.mark.parametrize(
    "link",
    [
        "{token}",
        "bankid:///?autostarttoken={token}&redirect=null",
        "https://app.bankid.com/?autostarttoken={token}",
        " http://127.0.0.1:8002/open?autostarttoken={token}&redirect= ",
    ],
)
def test_every_kind_of_launch_link_opens(desk: Desk, link: str) -> None:
    order = desk.start()
    opened = read_text(desk.orders, link.format(token=order.auto_start_token), ANNA, "mobile")
    assert (opened.number, opened.opened_by) == (order.number, OpenedBy.AUTOSTART)
    assert opened.return_url == "https://login.example.se/#nonce"


@pytest.mark.parametrize(
    "text",
    ["", "hello", "https://app.bankid.com/", "https://app.bankid.com/?autoStartToken={token}", "http://["],
)
def test_other_texts_are_refused_as_launch_links(desk: Desk, text: str) -> None:
    link = text.format(token=desk.start().auto_start_token)
    assert desk.refusal(read_text, desk.orders, link, ANNA, "mobile") is Refusal.NOT_A_CODE


def test_a_pasted_qr_text_is_scanned(desk: Desk) -> None:
    order = desk.start()
    assert read_text(desk.orders, f" {order.qr(0)}\n", ANNA, "mobile").opened_by is OpenedBy.QR


def test_only_an_order_opened_on_the_same_device_leads_back(desk: Desk) -> None:
    scanned, without = desk.start(), desk.start(AuthRequest(endUserIp="192.0.2.1"))
    assert desk.orders.scan(scanned.qr(0), ANNA).return_url is None
    back = "https://portal.example.se/"
    assert desk.orders.open(without.auto_start_token, BJORN, redirect=back).return_url == back
    assert desk.orders.open(desk.start().auto_start_token, redirect=back).return_url == LOGIN.returnUrl
