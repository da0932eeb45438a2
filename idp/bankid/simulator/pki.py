"""The simulator's certificates: two roots, as BankID has, and the certificates below them.

Keys are made once in a folder and kept there, for RSA keys take a tenth of a second each. Every name says
SIMULATOR, so that nothing made here can be taken for BankID's own.
"""

import ipaddress
import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from idp.bankid.simulator.people import Person

Kind = Literal["mobile", "file", "card"]
Func = Literal["Identification", "Signing"]

PASSPHRASE = "qwerty123"  # noqa: S105 - as BankID's own test certificate has
RP_DISPLAY_NAME = "Test av BankID (SIMULATOR)"
# As in BankID's test environment.
POLICIES: dict[Kind, str] = {"mobile": "1.2.3.4.25", "file": "1.2.3.4.5", "card": "1.2.3.4.10"}

NAME_OID = x509.ObjectIdentifier("2.5.4.41")
_KIND_TEXTS: dict[Kind, str] = {"mobile": "Mobilt BankID", "file": "BankID på fil", "card": "BankID på kort"}
_CA_POLICY = "1.2.3.4.5"
_CA_FROM, _CA_UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)
_USER_LIFETIME = timedelta(days=365)
_ID_TEKNIK = "SIMULATOR Finansiell ID-Teknik"
_BANK = "SIMULATOR Testbank A AB (publ)"
_STOCKHOLM = ZoneInfo("Europe/Stockholm")


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey = field(repr=False)


def _name(
    common_name: str, organization: str, unit: str | None = None, *, country: str | None = "SE"
) -> x509.Name:
    parts = [
        (NameOID.COUNTRY_NAME, country),
        (NameOID.ORGANIZATION_NAME, organization),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        (NameOID.COMMON_NAME, common_name),
    ]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value is not None])


# The authorities: file name, issuer's file name, subject. A root issues itself.
_CAS = (
    (
        "ssl-root",
        "ssl-root",
        _name(
            "SIMULATOR BankID SSL Root CA", organization=_ID_TEKNIK, unit="Infrastructure CA", country=None
        ),
    ),
    ("rp-ca", "rp-ca", _name("SIMULATOR Testbank A RP CA v1 for BankID", _BANK)),
    (
        "signature-root",
        "signature-root",
        _name(
            "SIMULATOR BankID Root CA", organization=_ID_TEKNIK, unit="BankID Member Banks CA", country=None
        ),
    ),
    ("bank-ca", "signature-root", _name("SIMULATOR Testbank A CA v1 for BankID", _BANK)),
    ("customer-ca", "bank-ca", _name("SIMULATOR Testbank A Customer CA1 v1 for BankID", _BANK)),
)
_OCSP_NAME = _name("SIMULATOR Testbank A Customer CA1 v1 for BankID OCSP Signing", _BANK)
_SERVER_NAME = _name("localhost", "SIMULATOR BankID", "Infrastructure")
_RP_NAME = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "SE"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, _BANK),
        x509.NameAttribute(NameOID.SERIAL_NUMBER, "5566778899"),
        x509.NameAttribute(NAME_OID, RP_DISPLAY_NAME),
        x509.NameAttribute(NameOID.COMMON_NAME, "FP SIMULATOR"),
    ]
)


class Pki:
    """The certificates of one folder.

    Files for others to use: `ssl-root.pem` and `signature-root.pem` (trust anchors), `ssl-server.pem` and
    `.key` (the RP API's server), `rp-ca.pem` (who issues client certificates), and the relying party's
    `rp.pem`, `rp.key` and `rp.p12` (with PASSPHRASE).
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._pairs: dict[str, Pair] = {}
        self._users: dict[tuple[Person, Kind, Func], Pair] = {}

    @classmethod
    def make(cls, directory: Path) -> "Pki":
        """The certificates of a folder, which are made if they are missing."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        pki = cls(directory)
        if not (directory / "rp.p12").exists():  # the last to be written
            pki._make_all()
        return pki

    @classmethod
    def load(cls, directory: Path) -> "Pki":
        """The certificates of a folder. Raises `FileNotFoundError` if none were made there."""
        if not (directory / "rp.p12").exists():
            raise FileNotFoundError(f"{directory}: no simulator certificates here")
        return cls(directory)

    @property
    def ssl_root(self) -> x509.Certificate:
        return self.pair("ssl-root").certificate

    @property
    def signature_root(self) -> x509.Certificate:
        return self.pair("signature-root").certificate

    @property
    def rp_certificate(self) -> x509.Certificate:
        return self.pair("rp").certificate

    def pair(self, file_name: str) -> Pair:
        """One of the folder's certificates by file name without ending, such as `customer-ca`."""
        if file_name not in self._pairs:
            certificate = x509.load_pem_x509_certificate((self.directory / f"{file_name}.pem").read_bytes())
            self._pairs[file_name] = Pair(certificate, self.key(file_name))
        return self._pairs[file_name]

    def user_certificate(self, person: Person, kind: Kind, func: Func, *, now: datetime) -> Pair:
        """A person's certificate for logging in or for signing, valid at `now`; issued when there is none.

        The day it was issued is its `not_valid_before_utc`.
        """
        held = self._users.get((person, kind, func))
        if held is not None and _is_valid(held.certificate, now):
            return held
        # From yesterday on: a login shortly after midnight may be dated an hour back.
        issued = self.issue_user_certificate(person, kind, func, since=_midnight(now - timedelta(days=1)))
        self._users[person, kind, func] = issued
        return issued

    def issue_user_certificate(
        self,
        person: Person,
        kind: Kind,
        func: Func,
        *,
        since: datetime,
        key_usage: Func | None = None,
        policy: str | None = None,
    ) -> Pair:
        """A new certificate on the person's key, valid for a year.

        `key_usage` and `policy` may differ from what `func` and `kind` ask for.
        """
        key = self.key(f"user-{person.personal_number}-{kind}-{func}")
        issued_at = since.astimezone(_STOCKHOLM).strftime("%y%m%d %H.%M")
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "SE"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, person.bank),
                x509.NameAttribute(NameOID.SURNAME, person.surname),
                x509.NameAttribute(NameOID.GIVEN_NAME, person.given_name),
                x509.NameAttribute(NameOID.SERIAL_NUMBER, person.personal_number),
                x509.NameAttribute(NAME_OID, f"({issued_at}) {person.name} - {_KIND_TEXTS[kind]}"),
                x509.NameAttribute(NameOID.COMMON_NAME, person.name),
            ]
        )
        signing = (key_usage or func) == "Signing"
        responder = x509.UniformResourceIdentifier("http://simulator.invalid/ocsp")
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (_aia(AuthorityInformationAccessOID.OCSP, responder), False),
            (_policies(policy or POLICIES[kind]), False),
            (_key_usage(digital_signature=not signing, content_commitment=signing), True),
        ]
        issuer = self.pair("customer-ca")
        return Pair(_issue(subject, key, issuer, extensions, since=since, until=since + _USER_LIFETIME), key)

    def key(self, file_name: str) -> rsa.RSAPrivateKey:
        """A private key of the folder, made at its first use."""
        path = self.directory / f"{file_name}.key"
        if path.exists():
            loaded = serialization.load_pem_private_key(
                path.read_bytes(),
                None,
                unsafe_skip_rsa_key_validation=True,  # our own: a check takes as long as making one
            )
            assert isinstance(loaded, rsa.RSAPrivateKey)
            return loaded
        key = rsa.generate_private_key(65537, 2048)
        _write_private(
            path,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        return key

    def _make_all(self) -> None:
        for file_name, issuer_name, subject in _CAS:
            key = self.key(file_name)
            issuer = None if issuer_name == file_name else self.pair(issuer_name)
            self._write(file_name, Pair(issue_ca(subject, key, issuer), key))
        self._write(
            "ocsp",
            Pair(
                issue_responder(_OCSP_NAME, self.key("ocsp"), self.pair("customer-ca")),
                self.key("ocsp"),
            ),
        )
        hosts: list[x509.GeneralName] = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
        self._issue_tls(
            "ssl-server",
            _SERVER_NAME,
            "ssl-root",
            ExtendedKeyUsageOID.SERVER_AUTH,
            x509.SubjectAlternativeName(hosts),
        )
        self._issue_tls("rp", _RP_NAME, "rp-ca", ExtendedKeyUsageOID.CLIENT_AUTH)
        rp, rp_ca = self.pair("rp"), self.pair("rp-ca")
        bundle = pkcs12.serialize_key_and_certificates(
            b"FP SIMULATOR",
            rp.key,
            rp.certificate,
            [rp_ca.certificate],
            serialization.BestAvailableEncryption(PASSPHRASE.encode()),
        )
        _write_private(self.directory / "rp.p12", bundle)

    def _issue_tls(
        self,
        file_name: str,
        subject: x509.Name,
        issuer_name: str,
        usage: x509.ObjectIdentifier,
        *more: x509.ExtensionType,
    ) -> None:
        key = self.key(file_name)
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage([usage]), False),
            *((extension, False) for extension in more),
        ]
        issuer = self.pair(issuer_name)
        self._write(file_name, Pair(_issue(subject, key, issuer, extensions), key))

    def _write(self, file_name: str, pair: Pair) -> None:
        path = self.directory / f"{file_name}.pem"
        path.write_bytes(pair.certificate.public_bytes(serialization.Encoding.PEM))
        self._pairs[file_name] = pair


def issue_ca(subject: x509.Name, key: rsa.RSAPrivateKey, issuer: Pair | None) -> x509.Certificate:
    """A certificate authority's certificate; without an issuer a self-signed root."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (_key_usage(key_cert_sign=True, crl_sign=True), True),
    ]
    if issuer is not None:
        extensions.append((_policies(_CA_POLICY), False))
    return _issue(subject, key, issuer, extensions)


def issue_responder(subject: x509.Name, key: rsa.RSAPrivateKey, issuer: Pair) -> x509.Certificate:
    """The certificate of an OCSP responder of `issuer`."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (_key_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), True),
        (x509.OCSPNoCheck(), False),
    ]
    return _issue(subject, key, issuer, extensions)


def _issue(
    subject: x509.Name,
    key: rsa.RSAPrivateKey,
    issuer: Pair | None,
    extensions: list[tuple[x509.ExtensionType, bool]],
    *,
    since: datetime = _CA_FROM,
    until: datetime = _CA_UNTIL,
) -> x509.Certificate:
    public_key = key.public_key()
    signer = issuer.key if issuer is not None else key
    builder = (
        x509.CertificateBuilder(
            issuer_name=issuer.certificate.subject if issuer is not None else subject,
            subject_name=subject,
            public_key=public_key,
            serial_number=x509.random_serial_number(),
        )
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())


def _key_usage(
    *,
    digital_signature: bool = False,
    content_commitment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _policies(oid: str) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(oid), None)])


def _aia(
    method: x509.ObjectIdentifier, where: x509.UniformResourceIdentifier
) -> x509.AuthorityInformationAccess:
    return x509.AuthorityInformationAccess([x509.AccessDescription(method, where)])


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def _midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _write_private(path: Path, content: bytes) -> None:
    """Write a secret atomically, readable by its owner only."""
    descriptor, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)  # 0600 from the first byte
    with open(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, path)
