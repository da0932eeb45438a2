"""The circuit opens when BankID does not answer, and closes by itself."""

import pytest

from idp.bankid.api.answers import BankIdError
from idp.bankid.api.circuit import FAULTS, OPEN_SECONDS, Circuit

DOWN = BankIdError("maintenance", 503)
REFUSED = BankIdError("invalidParameters", 400)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> Circuit:
    return Circuit(clock)


def break_it(circuit: Circuit) -> None:
    for _ in range(FAULTS):
        circuit.note(DOWN)


def test_the_circuit_opens_after_so_many_faults_in_a_row(circuit: Circuit) -> None:
    for _ in range(FAULTS):
        assert circuit.allows()
        circuit.note(DOWN)
    assert not circuit.allows()


def test_an_answer_in_between_starts_the_count_anew(circuit: Circuit) -> None:
    for answer in (None, REFUSED):
        for _ in range(FAULTS - 1):
            circuit.note(DOWN)
        circuit.note(answer)
    for _ in range(FAULTS - 1):
        circuit.note(DOWN)
    assert circuit.allows()
    circuit.note(DOWN)
    assert not circuit.allows()


def test_a_refused_order_is_no_fault(circuit: Circuit) -> None:
    for _ in range(FAULTS * 3):
        circuit.note(REFUSED)
    assert circuit.allows()


def test_one_call_may_try_each_time_the_pause_is_over(circuit: Circuit, clock: Clock) -> None:
    break_it(circuit)
    clock.seconds += OPEN_SECONDS - 0.01
    assert not circuit.allows()
    for _ in range(3):
        clock.seconds += OPEN_SECONDS
        assert circuit.allows()
        assert not circuit.allows()
        circuit.note(DOWN)


def test_a_try_that_succeeds_closes_the_circuit(circuit: Circuit, clock: Clock) -> None:
    break_it(circuit)
    clock.seconds += OPEN_SECONDS
    assert circuit.allows()
    circuit.note(None)
    assert circuit.allows()
    assert circuit.allows()
    for _ in range(FAULTS - 1):
        circuit.note(DOWN)
    assert circuit.allows()


def test_a_try_that_never_comes_back_is_followed_by_another(circuit: Circuit, clock: Clock) -> None:
    break_it(circuit)
    clock.seconds += OPEN_SECONDS
    assert circuit.allows()
    clock.seconds += OPEN_SECONDS
    assert circuit.allows()


@pytest.mark.parametrize(
    "code",
    [
        "unauthorized",
        "requestTimeout",
        "tooManyRequests",
        "internalError",
        "maintenance",
        "unreachable",
        "untrustedServer",
        "noAnswer",
        "unreadableAnswer",
    ],
)
def test_an_error_that_keeps_us_from_bankid_is_a_fault(circuit: Circuit, code: str) -> None:
    for _ in range(FAULTS):
        circuit.note(BankIdError(code, None))
    assert not circuit.allows()
