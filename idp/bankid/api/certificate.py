"""Our certificate as a relying party: loaded from PEM or PKCS#12, and shown to BankID over TLS."""

import re
import secrets
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from idp.bankid.api.environment import SetupError, fingerprint

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey
NAME = x509.ObjectIdentifier("2.5.4.41")
# The two versions of "FP Testcert 5", whose keys anybody can download.
PUBLIC_TEST_CERTIFICATES = frozenset(
    {
        "ef15b3e1837bd4ade7e4bfa1d0a07e9be936e0389c10806077d0eb51271ad5f5",
        "2a8797b762b261222c13f7b0023016bf68d57cc630a62921c67d045dcbe630cb",
    }
)
# pbeWithSHAAnd40BitRC2-CBC in DER: Windows and old versions of OpenSSL protect PKCS#12 files with it. Whether
# such a file opens depends on the OpenSSL that cryptography is built with; its error gives no reason.
OLD_PROTECTION = bytes.fromhex("060a2a864886f70d010c0106")
HOW_TO_CONVERT = (
    "a protection (RC2) that cannot be opened here: convert the file with "
    "`openssl pkcs12 -legacy -nodes -in OLD.p12 | openssl pkcs12 -export -out NEW.p12`"
)


@dataclass(frozen=True)
class RpCertificate:
    """Our certificate at BankID ("FP-certifikat") with its key and the CA certificates above it, in order."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @classmethod
    def from_pem(cls, certificate: Path, key: Path, passphrase: str | None = None) -> "RpCertificate":
        """The certificate in one PEM file (its chain may follow) and the key in another, or in the same.

        Raises `SetupError` if a file cannot be read, is not PEM, needs another passphrase, or if the two do
        not belong together.
        """
        try:
            certificates = x509.load_pem_x509_certificates(_content(certificate))
        except ValueError:
            raise SetupError(f"{certificate} does not contain a certificate in PEM form") from None
        secret = passphrase.encode() if passphrase else None
        try:
            private = load_pem_private_key(_content(key), secret)
        except TypeError:
            problem = "is not encrypted: leave its passphrase out" if secret else "needs its passphrase"
            raise SetupError(f"the key in {key} {problem}") from None
        except ValueError:
            problem = "wrong passphrase, or " if secret else ""
            raise SetupError(f"{key}: {problem}not a private key in PEM form") from None
        except UnsupportedAlgorithm:
            raise SetupError(f"the key in {key} is of a kind that is not supported") from None
        return _fitting(certificates[0], private, certificates[1:], key)

    @classmethod
    def from_pkcs12(cls, path: Path, passphrase: str | None) -> "RpCertificate":
        """The certificate, key and chain of a PKCS#12 file (`.p12`, `.pfx`).

        Raises `SetupError` if it cannot be read, needs another passphrase, is protected in a way that is no
        longer supported, or lacks certificate or key.
        """
        content = _content(path)
        try:
            private, certificate, others = pkcs12.load_key_and_certificates(
                content, passphrase.encode() if passphrase else None
            )
        except (ValueError, UnsupportedAlgorithm):
            old = OLD_PROTECTION in content
            raise SetupError(
                f"{path}: wrong passphrase, or {HOW_TO_CONVERT if old else 'not a PKCS#12 file'}"
            ) from None
        if certificate is None or private is None:
            raise SetupError(
                f"{path} lacks {'the certificate' if certificate is None else 'its private key'}"
            )
        return _fitting(certificate, private, others, path)

    @property
    def expires_at(self) -> datetime:
        """The last moment it is valid (UTC)."""
        return self.certificate.not_valid_after_utc

    @property
    def display(self) -> str:
        """The name of the relying party that the BankID app shows."""
        for oid in (NAME, NameOID.COMMON_NAME):
            for attribute in self.certificate.subject.get_attributes_for_oid(oid):
                return str(attribute.value)
        return self.certificate.subject.rfc4514_string()

    def check_validity(self, now: datetime) -> None:
        """Raises `SetupError` if the certificate is not valid at `now`."""
        if now > self.expires_at:
            raise SetupError(f"the BankID certificate expired at {self.expires_at:%Y-%m-%d %H:%M} UTC")
        if now < self.certificate.not_valid_before_utc:
            starts = self.certificate.not_valid_before_utc
            raise SetupError(f"the BankID certificate is not valid before {starts:%Y-%m-%d %H:%M} UTC")

    def load_into(self, context: ssl.SSLContext) -> None:
        """Let `context` show this certificate and its chain.

        `ssl` reads files only. The file that it gets has mode 0600, is deleted at once, and is encrypted with
        a passphrase that is never stored, so that no disk ever holds the bare key.
        """
        passphrase = secrets.token_hex(32)
        key = self.key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode())
        )
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            for certificate in (self.certificate, *self.chain):
                file.write(certificate.public_bytes(Encoding.PEM))
            file.write(key)
            file.flush()
            context.load_cert_chain(file.name, password=passphrase)


def refuse_in_production(certificate: RpCertificate) -> None:
    """Raises `SetupError` for BankID's public test certificate and for those of a test or simulator CA."""
    if fingerprint(certificate.certificate) in PUBLIC_TEST_CERTIFICATES:
        raise SetupError("the certificate is BankID's public test certificate; production needs your own")
    for link in (certificate.certificate, *certificate.chain):
        issuer = link.issuer.rfc4514_string()
        if re.search(r"\b(test|simulator)", issuer, re.IGNORECASE):
            raise SetupError(
                f"the BankID certificate comes from a test issuer ({issuer}), which production refuses"
            )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from None


def _fitting(
    certificate: x509.Certificate, key: object, others: Iterable[x509.Certificate], source: Path
) -> RpCertificate:
    if not isinstance(key, PrivateKey):
        raise SetupError(f"the key in {source} must be RSA or elliptic curve")
    if key.public_key() != certificate.public_key():
        raise SetupError(f"the key in {source} does not belong to the certificate")
    return RpCertificate(certificate, key, _chain(certificate, list(others)))


def _chain(leaf: x509.Certificate, others: list[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The certificates above `leaf`, nearest first and without the root. A file holds them in any order."""
    chain: list[x509.Certificate] = []
    last = leaf
    while issuer := next((other for other in others if other.subject == last.issuer), None):
        others.remove(issuer)
        if issuer.subject == issuer.issuer:
            break
        chain.append(issuer)
        last = issuer
    return tuple(chain)
