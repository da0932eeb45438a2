"""BankID's environments: address, trusted roots and policies all follow from one choice."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes

ROOTS = Path(__file__).parent / "roots"

# SHA-256 of the pinned roots: they prove that nobody has exchanged the files beside this one.
PINNED = {
    "production-ssl.pem": "e6a2d45c0a1051c959428649f86a09a9b2152cd551993cc2eb4cf094bdacbecb",
    "production-signature.pem": "ca32588e385b961d58e26010c6f8c839f7ca071e497de6b7841640a61506fd31",
    "test-ssl.pem": "f3d0740ebfb3700e3b81aa791fee451472698c84e199c2eb48a443ff1d5b405c",
    "test-signature.pem": "c6faeaf8ccadcfd0738dc99140ca788c1a19a93f843c5a9ec1369872d50e45f2",
}

PRODUCTION_POLICIES: Mapping[str, str] = MappingProxyType(
    {
        "file": "1.2.752.78.1.1",
        "card": "1.2.752.78.1.2",
        "mobile": "1.2.752.78.1.5",
        "nordea": "1.2.752.71.1.3",
    }
)
TEST_POLICIES: Mapping[str, str] = MappingProxyType(
    {
        "file": "1.2.3.4.5",
        "card": "1.2.3.4.10",
        "mobile": "1.2.3.4.25",
        "nordea": "1.2.752.71.1.3",
        "bank_test": "1.2.752.60.1.6",
    }
)


class SetupError(Exception):
    """A problem of the BankID set-up, in words for the operator and without secrets."""


@dataclass(frozen=True)
class Environment:
    """Where BankID answers, and what is trusted there.

    `ssl_root` is the only root that its server's certificate may lead to, `signature_root` the only one for
    signatures. `policies` maps the kinds of BankID ("file", "card", "mobile", …) to their policy OIDs.
    """

    name: str
    base_url: str
    ssl_root: x509.Certificate
    signature_root: x509.Certificate
    policies: Mapping[str, str]


def production() -> Environment:
    """BankID's production environment. Raises `SetupError` if a root is not the pinned one."""
    return Environment(
        name="production",
        base_url="https://appapi2.bankid.com/rp/v6.0/",
        ssl_root=_pinned("production-ssl.pem"),
        signature_root=_pinned("production-signature.pem"),
        policies=PRODUCTION_POLICIES,
    )


def test() -> Environment:
    """BankID's test environment. Raises `SetupError` if a root is not the pinned one."""
    return Environment(
        name="test",
        base_url="https://appapi2.test.bankid.com/rp/v6.0/",
        ssl_root=_pinned("test-ssl.pem"),
        signature_root=_pinned("test-signature.pem"),
        policies=TEST_POLICIES,
    )


def simulator(directory: Path) -> Environment:
    """The simulator that keeps its roots and `environment.json` in `directory`.

    Raises `SetupError` if it has not been started there, or its files cannot be used.
    """
    description = directory / "environment.json"
    try:
        base_url = json.loads(description.read_bytes())["base_url"]
    except OSError as error:
        raise SetupError(
            f"no BankID simulator in {directory} ({error.strerror}): start it with `idp bankid-simulator`"
        ) from None
    except (ValueError, TypeError, LookupError):
        raise SetupError(f"{description} does not contain the simulator's base_url") from None
    if not isinstance(base_url, str) or urlsplit(base_url).scheme != "https" or not base_url.endswith("/"):
        raise SetupError(f"{description}: base_url must be an https address that ends with a slash")
    return Environment(
        name="simulator",
        base_url=base_url,
        ssl_root=_read(directory / "ssl-root.pem"),
        signature_root=_read(directory / "signature-root.pem"),
        policies=TEST_POLICIES,
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """The SHA-256 fingerprint in 64 lower-case hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _pinned(name: str) -> x509.Certificate:
    certificate = _read(ROOTS / name)
    if fingerprint(certificate) != PINNED[name]:
        raise SetupError(f"{name} is not the root that BankID published: the installation has been altered")
    return certificate


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise SetupError(f"{path} does not contain a certificate in PEM form") from None
