"""A desk with no order yet."""

import pytest

from tests.unit.bankid.simulator.desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()
