"""A simulator's certificates, and somebody who makes evidence with them."""

import pytest

from idp.bankid.simulator.pki import Pki
from tests.unit.bankid.forger import Forger, new_forger


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Made once: RSA keys take their time."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def forger(pki: Pki) -> Forger:
    """Makes evidence that verifies, until the test alters a step."""
    return new_forger(pki)
