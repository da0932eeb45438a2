"""A forger that makes evidence with a simulator's certificates."""

import pytest

from idp.bankid.simulator.pki import Pki
from tests.slow_unit.bankid.evidence.forger import Forger, new_forger


@pytest.fixture
def forger(pki: Pki) -> Forger:
    """Makes evidence that verifies, until the test alters a step."""
    return new_forger(pki)
