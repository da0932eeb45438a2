"""Orders at the simulator, on a clock that the test moves."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from cryptography import x509

from idp.bankid.simulator.order import Order
from idp.bankid.simulator.orders import (
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
