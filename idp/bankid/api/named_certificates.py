"""Our further certificates at BankID, by the names that clients.yaml uses."""

from pathlib import Path

from idp.bankid.api.certificate import RpCertificate
from idp.bankid.api.environment import SetupError
from idp.config import ConfigError


def names(folder: Path | None) -> frozenset[str]:
    """The names of the folder's certificates, NAME.pem or NAME.p12; none without a folder."""
    if folder is None:
        return frozenset()
    return frozenset(path.stem for path in folder.glob("*") if path.suffix in (".pem", ".p12"))


def read(folder: Path | None) -> dict[str, RpCertificate]:
    """Each certificate with its key: NAME.pem with NAME.key, or NAME.p12 with its NAME.passphrase.

    Raises `ConfigError` with every problem.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise ConfigError([f"IDP_BANKID_CERTIFICATES_DIR: {folder} is not a folder"])
    found: dict[str, RpCertificate] = {}
    problems: list[str] = []
    for name in sorted(names(folder)):
        try:
            found[name] = _read(folder, name)
        except SetupError as error:
            problems.append(f"IDP_BANKID_CERTIFICATES_DIR: {error}")
    if problems:
        raise ConfigError(problems)
    return found


def _read(folder: Path, name: str) -> RpCertificate:
    pem, pkcs12 = folder / f"{name}.pem", folder / f"{name}.p12"
    if pem.exists() and pkcs12.exists():
        raise SetupError(f"{pem.name} and {pkcs12.name} both exist: keep one of them")
    if pem.exists():
        return RpCertificate.from_pem(pem, folder / f"{name}.key")
    passphrase = folder / f"{name}.passphrase"
    try:
        secret = passphrase.read_text().strip() if passphrase.exists() else None
    except (OSError, UnicodeDecodeError):
        raise SetupError(f"{passphrase} cannot be read") from None
    return RpCertificate.from_pkcs12(pkcs12, secret)
