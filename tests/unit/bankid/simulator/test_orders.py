"""An order has its states, its time limits, its person and its call."""

from typing import Any

import pytest

from idp.bankid.simulator.inputs import NotACodeError, enter_code
from idp.bankid.simulator.order import Order, Status
from idp.bankid.simulator.orders import (
    AlreadyInProgressError,
    Refusal,
    UnknownOrderError,
)
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.pki import POLICIES
from idp.bankid.simulator.validation import (
    AuthRequest,
    Requirement,
    SignRequest,
)
from tests.unit.bankid.simulator.desk import ANNA, BJORN, CALL, OTHER_RP, RP, Desk

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


def test_an_order_that_is_not_in_the_app_cannot_be_approved(desk: Desk) -> None:
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
