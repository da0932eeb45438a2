"""BankID's settings name every problem at once and let nothing of a test into production."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from structlog.testing import capture_logs

from idp.bankid import setup
from idp.bankid.api.circuit import Circuit
from idp.bankid.setup import BankId
from idp.bankid.simulator.pki import Pki
from idp.config import BankIdSettings, ConfigError

KEYS = "k1:" + b64encode(bytes(range(32))).decode()
NOW = datetime.now(UTC)


@pytest.fixture
def valid(pki: Pki) -> dict[str, Any]:
    """The settings for the simulator's folder."""
    description = {"base_url": "https://127.0.0.1:8443/rp/v6.0/", "phone_url": "http://127.0.0.1:8444"}
    (pki.directory / "environment.json").write_text(json.dumps(description))
    return {
        "environment": "simulator",
        "simulator_dir": pki.directory,
        "certificate": pki.directory / "rp.pem",
        "key": pki.directory / "rp.key",
    }


def make(settings: dict[str, Any], *, keys: str = KEYS, now: datetime = NOW) -> BankId:
    made = setup.make(BankIdSettings(**settings), personal_number_keys=keys, now=now)
    made.client._http.close()
    return made


def problems(settings: dict[str, Any], **changes: Any) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        make(settings, **changes)
    return refused.value.problems


def test_the_simulator(valid: dict[str, Any], pki: Pki) -> None:
    made = make(valid | {"evidence_days": 10, "same_device": "log", "high_risk": "allow"})
    assert made.environment.name == "simulator"
    assert made.rp_certificate == pki.rp_certificate
    assert isinstance(made.circuit, Circuit)
    assert (made.retention, made.same_device_policy) == (timedelta(days=10), "log")
    assert made.refuse_high_risk is False


def test_the_defaults_are_the_strict_ones(valid: dict[str, Any]) -> None:
    made = make(valid)
    assert (made.retention, made.same_device_policy) == (timedelta(days=365), "enforce")
    assert made.refuse_high_risk is True


def test_the_phone_page_is_the_simulators_alone(valid: dict[str, Any]) -> None:
    assert setup.opener(BankIdSettings(**valid)) == "http://127.0.0.1:8444/open"
    assert setup.opener(BankIdSettings(**(valid | {"environment": "test"}))) is None
    assert setup.opener(BankIdSettings(**(valid | {"environment": "production"}))) is None


def test_all_missing_settings_are_named_at_once() -> None:
    found = problems({"environment": "simulator"}, keys="")
    assert [problem.split(" is missing")[0] for problem in found] == [
        "IDP_PERSONAL_NUMBER_KEYS",
        "BankID: IDP_BANKID_SIMULATOR_DIR",
        "BankID: IDP_BANKID_CERTIFICATE",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"certificate": None}, "IDP_BANKID_CERTIFICATE is missing"),
        ({"simulator_dir": None}, "IDP_BANKID_SIMULATOR_DIR is missing"),
        ({"simulator_dir": Path("/nowhere")}, "no BankID simulator in /nowhere"),
        ({"certificate": Path("/nowhere.pem")}, "/nowhere.pem cannot be read"),
        ({"key": None}, "not a PKCS#12 file"),
    ],
)
def test_settings_with_one_thing_wrong_are_refused(
    valid: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    (problem,) = problems(valid | change)
    assert said in problem


def test_a_key_of_another_certificate(valid: dict[str, Any], pki: Pki) -> None:
    (problem,) = problems(valid | {"key": pki.directory / "ssl-server.key"})
    assert "does not belong to the certificate" in problem


def test_bad_keys_for_personal_numbers(valid: dict[str, Any]) -> None:
    (problem,) = problems(valid, keys="k1:short")
    assert "IDP_PERSONAL_NUMBER_KEYS" in problem
    assert "short" not in problem.removeprefix("IDP_PERSONAL_NUMBER_KEYS: key k1 is not 32 bytes")


def test_production_takes_no_certificate_of_a_simulator(valid: dict[str, Any]) -> None:
    (problem,) = problems(valid | {"environment": "production"})
    assert "test issuer" in problem


def test_production_takes_the_certificate_in_no_other_form(
    valid: dict[str, Any], pki: Pki, tmp_path: Path
) -> None:
    pair = pki.pair("rp")
    path = tmp_path / "rp.p12"
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"rp", pair.key, pair.certificate, None, BestAvailableEncryption(b"word")
        )
    )
    packed = valid | {"certificate": path, "key": None, "passphrase": "word"}
    assert make(packed).rp_certificate == pki.rp_certificate
    (problem,) = problems(packed | {"environment": "production"})
    assert "test issuer" in problem


def test_production_trusts_no_root_of_a_simulator(valid: dict[str, Any], pki: Pki) -> None:
    simulated = make(valid).environment
    assert simulated.signature_root == pki.signature_root
    for name in ("production", "test"):
        where = setup._environment(BankIdSettings(**(valid | {"environment": name})))
        assert where.name == name
        assert where.signature_root != pki.signature_root
        assert where.ssl_root != pki.ssl_root
        assert where.base_url.startswith("https://appapi2.")


@pytest.mark.parametrize("away", [timedelta(days=36500), timedelta(days=-36500)])
def test_an_expired_certificate_is_said_and_does_not_stop_the_start(
    valid: dict[str, Any], away: timedelta
) -> None:
    with capture_logs() as written:
        assert make(valid, now=NOW + away).environment.name == "simulator"
    assert [(line["event"], line["log_level"]) for line in written] == [("bankid_certificate", "error")]
    with capture_logs() as written:
        make(valid)
    assert written == []
