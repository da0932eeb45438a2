"""A simulator's certificates."""

import pytest

from idp.bankid.simulator.pki import Pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Made once: RSA keys take their time."""
    return Pki.make(tmp_path_factory.mktemp("pki"))
