"""The life of an order: states, time limits, and what the app refuses."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from cryptography import x509

from idp.bankid.simulator.inputs import NotACodeError, enter_code, read_text
from idp.bankid.simulator.order import OpenedBy, Order, Status
from idp.bankid.simulator.orders import (
    AlreadyInProgressError,
    Orders,
    Refusal,
    RefusedError,
    UnknownOrderError,
)
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.pki import POLICIES
from idp.bankid.simulator.validation import (
    AuthRequest,
    PhoneAuthRequest,
    Requirement,
    SignRequest,
    StartRequest,
)

ANNA, BJORN = PEOPLE[0], PEOPLE[1]
RP, OTHER_RP = cast(x509.Certificate, "this relying party"), cast(x509.Certificate, "another")
LOGIN = AuthRequest(endUserIp="192.0.2.1", returnUrl="https://login.example.se/#nonce")
CALL = PhoneAuthRequest(personalNumber=ANNA.personal_number, callInitiator="RP")


class Desk:
    """Orders on a clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, 0, 900_000, tzinfo=UTC)
        self.orders = Orders(now=lambda: self.now, complete=self._complete, people=PEOPLE, policies=POLICIES)
        self.completed: list[int] = []
        self.meanwhile: Callable[[Order], object] = lambda _order: None

    def _complete(self, order: Order, _now: datetime) -> Mapping[str, Any]:
        self.meanwhile(order)
        self.completed.append(order.number)
        return {"for": order.number}

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def start(self, request: StartRequest = LOGIN) -> Order:
        return self.orders.create(request, RP)

    def open(self, request: StartRequest = LOGIN) -> Order:
        return self.orders.open(self.start(request).auto_start_token, ANNA)

    def collect(self, order: Order) -> tuple[str, str]:
        found = self.orders.collect(order.order_ref, RP)
        return found.status, found.hint_code

    def refusal(self, call: Any, *arguments: Any) -> Refusal:
        with pytest.raises(RefusedError) as caught:
            call(*arguments)
        return caught.value.reason

    def is_unknown(self, order: Order) -> bool:
        try:
            self.orders.collect(order.order_ref, RP)
        except UnknownOrderError:
            return True
        return False


@pytest.fixture
def desk() -> Desk:
    return Desk()


# Time limits


def test_an_order_that_nobody_opens_fails_to_start_after_thirty_seconds(desk: Desk) -> None:
    order = desk.start()
    desk.wait(29.9)
    assert desk.collect(order) == ("pending", "outstandingTransaction")
    desk.wait(0.1)
    assert desk.collect(order) == ("failed", "startFailed")


def test_an_open_order_expires_180_seconds_after_it_was_opened(desk: Desk) -> None:
    order = desk.start()
    desk.wait(20)
    desk.orders.open(order.auto_start_token, ANNA)
    desk.wait(179.9)
    assert desk.collect(order) == ("pending", "userSign")
    desk.wait(0.1)
    assert desk.collect(order) == ("failed", "expiredTransaction")


def test_a_complete_order_is_kept_for_three_minutes(desk: Desk) -> None:
    orders = [desk.start(), desk.start()]
    for order, person in zip(orders, PEOPLE, strict=False):
        desk.orders.open(order.auto_start_token, person)
        desk.orders.approve(order.number)
    desk.wait(179.9)
    assert desk.collect(orders[0])[0] == "complete"
    desk.wait(0.1)
    assert desk.is_unknown(orders[1])


def test_a_failed_order_is_kept_for_five_minutes_from_when_it_failed(desk: Desk) -> None:
    first, second = desk.start(), desk.start()
    desk.wait(30 + 299.9)
    assert desk.collect(first) == ("failed", "startFailed")
    desk.wait(0.1)
    assert desk.is_unknown(second)


def test_an_order_that_ended_long_ago_is_forgotten(desk: Desk) -> None:
    order = desk.start()
    desk.wait(30 + 599)
    assert [one.number for one in desk.orders.all()] == [order.number]
    desk.wait(1)
    assert desk.orders.all() == []
    assert desk.refusal(desk.orders.get, order.number) is Refusal.UNKNOWN_ORDER


# The relying party


@pytest.mark.parametrize("fails", [True, False])
def test_a_final_result_is_told_once(desk: Desk, fails: bool) -> None:
    order = desk.open()
    if fails:
        desk.orders.fail(order.number, "userCancel")
    else:
        desk.orders.approve(order.number)
    result = desk.orders.collect(order.order_ref, RP)
    assert result.status is (Status.FAILED if fails else Status.COMPLETE)
    assert result.completion == (None if fails else {"for": order.number})
    assert desk.is_unknown(order)


def test_a_pending_order_may_be_collected_again_and_again(desk: Desk) -> None:
    order = desk.start()
    assert {desk.collect(order) for _ in range(5)} == {("pending", "outstandingTransaction")}


def test_a_cancelled_order_is_gone(desk: Desk) -> None:
    order = desk.open()
    desk.orders.cancel(order.order_ref, RP)
    assert desk.is_unknown(order)
    assert desk.refusal(desk.orders.approve, order.number) is Refusal.ENDED
    with pytest.raises(UnknownOrderError):
        desk.orders.cancel(order.order_ref, RP)


def test_an_order_that_has_ended_cannot_be_cancelled_and_stays_collectable(desk: Desk) -> None:
    order = desk.open()
    desk.orders.approve(order.number)
    with pytest.raises(UnknownOrderError):
        desk.orders.cancel(order.order_ref, RP)
    assert desk.collect(order)[0] == "complete"


def test_another_relying_partys_order_does_not_exist(desk: Desk) -> None:
    order = desk.start()
    for call in (desk.orders.collect, desk.orders.cancel):
        with pytest.raises(UnknownOrderError):
            call(order.order_ref, OTHER_RP)
    assert desk.collect(order)[0] == "pending"


def test_the_tokens_of_an_order_differ(desk: Desk) -> None:
    order = desk.start()
    tokens = {order.order_ref, order.auto_start_token, order.qr_start_token, order.qr_start_secret}
    assert len(tokens) == 4
    assert not any(token in repr(order) for token in tokens)


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
def test_other_texts_are_no_launch_links(desk: Desk, text: str) -> None:
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


# The person


def test_a_second_order_ends_the_persons_earlier_one(desk: Desk) -> None:
    first, second = desk.open(), desk.open()
    assert desk.collect(first) == ("failed", "cancelled")
    assert desk.collect(second) == ("pending", "userSign")
    assert desk.orders.open_order_of(ANNA).number == second.number


def test_two_persons_orders_do_not_meet(desk: Desk) -> None:
    annas, bjorns = desk.open(), desk.orders.open(desk.start().auto_start_token, BJORN)
    assert desk.collect(annas) == desk.collect(bjorns) == ("pending", "userSign")


def test_an_order_for_somebody_is_refused_by_others_and_stays_open(desk: Desk) -> None:
    request = AuthRequest(endUserIp="192.0.2.1", requirement=Requirement(personalNumber=ANNA.personal_number))
    order = desk.start(request)
    assert desk.refusal(desk.orders.scan, order.qr(0), BJORN) is Refusal.OTHER_PERSON
    assert desk.refusal(desk.orders.open, order.auto_start_token, BJORN) is Refusal.OTHER_PERSON
    assert desk.collect(order) == ("pending", "outstandingTransaction")
    assert desk.orders.scan(order.qr(0), ANNA).person == ANNA


@pytest.mark.parametrize(("kind", "ends"), [("mobile", False), ("file", True), ("card", True)])
def test_a_bankid_of_another_kind_than_asked_for_is_not_supported(desk: Desk, kind: Any, ends: bool) -> None:
    wanted = Requirement(certificatePolicies=[POLICIES["mobile"]])
    order = desk.start(AuthRequest(endUserIp="192.0.2.1", requirement=wanted))
    desk.orders.open(order.auto_start_token, ANNA, kind)
    assert desk.collect(order) == (("failed", "notSupportedByUserApp") if ends else ("pending", "userSign"))


def test_the_third_wrong_code_ends_the_order(desk: Desk) -> None:
    order = desk.open()
    for _ in range(2):
        enter_code(desk.orders, order.number, "000000")
    assert desk.collect(order) == ("pending", "userSign")
    enter_code(desk.orders, order.number, "000000")
    assert desk.collect(order) == ("failed", "certificateErr")
    assert desk.completed == []


def test_a_right_code_completes_even_after_a_wrong_one(desk: Desk) -> None:
    order = desk.open()
    enter_code(desk.orders, order.number, "000000")
    enter_code(desk.orders, order.number, "271828")
    assert desk.collect(order)[0] == "complete"


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "１２３４５６"])
def test_a_code_is_six_digits(desk: Desk, code: str) -> None:
    order = desk.open()
    with pytest.raises(NotACodeError):
        enter_code(desk.orders, order.number, code)
    assert desk.collect(order) == ("pending", "userSign")


def test_nobody_can_approve_what_is_not_in_the_app(desk: Desk) -> None:
    order = desk.start()
    assert desk.refusal(desk.orders.approve, order.number) is Refusal.NOT_NOW
    assert desk.refusal(desk.orders.enter_wrong_code, order.number) is Refusal.NOT_NOW
    assert desk.refusal(desk.orders.step, order.number, "userFace") is Refusal.NOT_NOW
    assert desk.refusal(desk.orders.open_order_of, ANNA) is Refusal.NO_ORDER


def test_an_order_completes_once(desk: Desk) -> None:
    order = desk.open()
    desk.orders.approve(order.number)
    assert desk.refusal(desk.orders.approve, order.number) is Refusal.ENDED
    assert desk.completed == [order.number]


def test_an_order_cancelled_while_its_signature_is_made_stays_cancelled(desk: Desk) -> None:
    order = desk.open()

    def cancel(processed: Order) -> None:
        assert desk.collect(processed) == ("pending", "processing")
        desk.orders.cancel(processed.order_ref, RP)

    desk.meanwhile = cancel
    assert desk.refusal(desk.orders.approve, order.number) is Refusal.ENDED
    assert desk.is_unknown(order)


def test_a_document_is_read_before_the_code_when_asked_for(desk: Desk) -> None:
    order = desk.open(AuthRequest(endUserIp="192.0.2.1", requirement=Requirement(mrtd=True)))
    assert desk.collect(order) == ("pending", "userMrtd")
    assert desk.orders.step(order.number, "userSign", mrtd=False).mrtd is False
    assert desk.orders.step(order.number, "userFace").mrtd is False
    assert desk.collect(order) == ("pending", "userFace")


# Calls


def test_a_call_is_answered_confirmed_and_signed(desk: Desk) -> None:
    order = desk.start(CALL)
    desk.wait(60)  # no launch, so no start window
    assert desk.collect(order) == ("pending", "outstandingTransaction")
    desk.orders.answer(order.number)
    assert desk.collect(order) == ("pending", "userCallConfirm")
    desk.orders.confirm_call(order.number)
    assert desk.collect(order) == ("pending", "userSign")
    desk.orders.approve(order.number)
    assert desk.collect(order)[0] == "complete"


def test_a_call_that_nobody_answers_expires(desk: Desk) -> None:
    order = desk.start(CALL)
    desk.wait(180)
    assert desk.collect(order) == ("failed", "expiredTransaction")


def test_a_call_has_no_code_to_scan(desk: Desk) -> None:
    order = desk.start(CALL)
    assert desk.refusal(desk.orders.scan, order.qr(0), ANNA) is Refusal.UNKNOWN_ORDER
    assert desk.refusal(desk.orders.open, order.auto_start_token, ANNA) is Refusal.UNKNOWN_ORDER


def test_a_call_to_somebody_with_an_open_order_ends_that_one_and_makes_none(desk: Desk) -> None:
    order = desk.open()
    with pytest.raises(AlreadyInProgressError):
        desk.start(CALL)
    assert desk.collect(order) == ("failed", "cancelled")
    assert len(desk.orders.all()) == 1
    assert desk.start(CALL).is_open


def test_an_order_that_is_no_call_cannot_be_answered(desk: Desk) -> None:
    text = SignRequest(endUserIp="192.0.2.1", userVisibleData="QUFB")
    order = desk.open(text)
    assert desk.refusal(desk.orders.answer, order.number) is Refusal.NOT_NOW
    assert desk.refusal(desk.orders.confirm_call, order.number) is Refusal.NOT_NOW
