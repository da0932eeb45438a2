"""`idp doctor` reports on BankID."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from time_machine import Traveller

from idp.bankid.simulator.pki import PASSPHRASE, Pki
from idp.bankid.simulator.server import Simulator

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def changed(tmp_path: Path, simulator_dir: Path, simulator: Simulator) -> dict[str, str]:
    folder = tmp_path / "certificates"
    folder.mkdir()
    shutil.copy(simulator_dir / "rp.p12", folder / "customer.p12")
    (folder / "customer.passphrase").write_text(PASSPHRASE)
    return {"IDP_BANKID_CERTIFICATES_DIR": str(folder)}


def said(run: Callable[..., Any]) -> dict[str, str]:
    findings = json.loads(run("doctor", "--json").stdout)
    return next(finding for finding in findings if finding["part"] == "bankid")  # type: ignore[no-any-return]


def test_the_certificate_that_ends_first(
    run: Callable[..., Any], simulator_dir: Path, clock: Traveller
) -> None:
    ends = Pki.load(simulator_dir).rp_certificate.not_valid_after_utc
    expected = f"simulator, the certificate is valid until {ends:%Y-%m-%d}, the first of 2 to expire"
    assert (said(run)["state"], said(run)["seen"]) == ("ok", expected)
    clock.move_to(ends - timedelta(days=30))
    assert said(run)["state"] == "warning"
    clock.move_to(ends + timedelta(days=1))
    assert said(run) == {
        "part": "bankid",
        "state": "error",
        "seen": f"the certificate expired on {ends:%Y-%m-%d}",
    }
