"""Further certificates at BankID are read from a folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from idp.bankid.api import named_certificates
from idp.bankid.simulator.pki import PASSPHRASE, Pki
from idp.config import ConfigError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulator")
    Pki.make(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, made: Path) -> Path:
    """Two good certificates, of either form."""
    shutil.copy(made / "rp.pem", tmp_path / "customer.pem")
    shutil.copy(made / "rp.key", tmp_path / "customer.key")
    shutil.copy(made / "rp.p12", tmp_path / "other.p12")
    (tmp_path / "other.passphrase").write_text(f"{PASSPHRASE}\n")
    return tmp_path


def test_pem_and_pkcs12_certificates_are_read(folder: Path) -> None:
    assert named_certificates.names(folder) == {"customer", "other"}
    found = named_certificates.read(folder)
    assert found["customer"].certificate == found["other"].certificate


def test_a_setting_without_a_folder_has_no_certificates() -> None:
    assert named_certificates.names(None) == frozenset()
    assert named_certificates.read(None) == {}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda folder: (folder / "customer.key").unlink(), "customer.key"),
        (lambda folder: (folder / "other.passphrase").write_text("wrong"), "other.p12"),
        (lambda folder: (folder / "other.passphrase").unlink(), "other.p12"),
        (lambda folder: shutil.copy(folder / "other.p12", folder / "customer.p12"), "both exist"),
        (
            lambda folder: (folder / "customer.pem").write_text("x"),
            "customer.pem does not contain a certificate",
        ),
    ],
)
def test_problems_of_the_folder_are_named(
    folder: Path, change: Callable[[Path], object], problem: str
) -> None:
    change(folder)
    with pytest.raises(ConfigError) as refused:
        named_certificates.read(folder)
    assert len(refused.value.problems) == 1
    assert problem in refused.value.problems[0]
    assert refused.value.problems[0].startswith("IDP_BANKID_CERTIFICATES_DIR: ")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        named_certificates.read(tmp_path / "gone")
