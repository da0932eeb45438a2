"""Orders that their people left are cancelled in the background."""

import threading
from typing import Any, cast

import pytest

from idp.bankid.api import cancelling
from idp.bankid.api.answers import BankIdError
from idp.bankid.api.cancelling import Cancels
from idp.bankid.api.circuit import FAULTS, Circuit
from idp.bankid.api.client import BankIdClient


class SlowBankId:
    """Answers a cancel when `go_on` is set."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.cancelled: list[str] = []

    def cancel(self, order_ref: str) -> None:
        assert self.go_on.wait(10)
        self.cancelled.append(order_ref)

    @property
    def client(self) -> BankIdClient:
        return cast(Any, self)


def test_every_order_is_cancelled_while_nobody_waits() -> None:
    bankid, cancels = SlowBankId(), Cancels()
    for number in range(5):
        cancels.queue(bankid.client, Circuit(), str(number))
    assert bankid.cancelled == []
    bankid.go_on.set()
    cancels.settle()
    assert sorted(bankid.cancelled) == ["0", "1", "2", "3", "4"]


def test_the_queue_of_orders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "MAX_WAITING", 3)
    bankid, cancels = SlowBankId(), Cancels()
    for number in range(5):
        cancels.queue(bankid.client, Circuit(), str(number))
    bankid.go_on.set()
    cancels.settle()
    assert sorted(bankid.cancelled) == ["0", "1", "2"]
    cancels.queue(bankid.client, Circuit(), "later")
    cancels.settle()
    assert bankid.cancelled[-1] == "later"


def test_an_open_circuit_sends_no_cancel() -> None:
    bankid, cancels, circuit = SlowBankId(), Cancels(), Circuit()
    bankid.go_on.set()
    for _ in range(FAULTS):
        circuit.note(BankIdError("noAnswer", None))
    cancels.queue(bankid.client, circuit, "order")
    cancels.settle()
    assert bankid.cancelled == []
