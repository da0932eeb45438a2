"""The relying party's certificate is loaded, or its problem is named in plain words."""

import ssl
import stat
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from idp.bankid.api.certificate import NAME, RpCertificate, refuse_in_production
from idp.bankid.api.environment import SetupError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PASSPHRASE = "qwerty123"

# Made for this test with `openssl pkcs12 -export -legacy`, passphrase qwerty123.
OLD_P12 = b64decode(
    "MIIDbAIBAzCCAzYGCSqGSIb3DQEHAaCCAycEggMjMIIDHzCCAhYGCSqGSIb3DQEHBqCCAgcwggIDAgEAMIIB/AYJKoZIhvcNAQcB"
    "MBsGCiqGSIb3DQEMAQYwDQQI/mIyH5vyj4ICAQGAggHQ4IWszc2du54caB9YqtPVNSwGgg64Vfu6sC6zFm96LJINJpqVTRCc3LMx"
    "22Cpma7NfmsmBz6E0rfnV+eIIaqUmph8Sr8Xk+xnAJEAXbmRq6VV8rt1M19iPfbKRjFQvRu5zYShkyMVNfHzrNrIKpRu8HYOXCgT"
    "K/Nce+Q8+BBG+raTvSOj/CW+r+bYysD3W+KQfe4vG4oVxC+FIDbHv2TKNDy/u8vDx0F7sbDmi/Z4GRc+TpG6HVbwJYLVPejC0Yi0"
    "Boz1Sx/xux/mIlbkJr/Qg0Mflhj3SqODIRrbsJRPy7xvRIgIJD1kt0oODzCdfD779U9Gf5IJ5U4N2tPJ6v8l6E4iXo36bTKdOLRh"
    "s6uhU+psp+zeudeVOu5NTCENCo6Zb76+7mkq6dl519NH2nw6is2jHT1GwKZ+1p1Z0JrMGWrVEmO2UDBkUx+pAjp0bQPkoCj9Aslp"
    "78O5LtQN/Cx0azMHxzrlGZY3O/oYjOHjBD5u+kLA0Gslok1eEarQtGvQnjb9OEN2YozFiCoOePL14x2bmkGz4dhhLDUZ0pBojAkn"
    "cwQGBoFrjr+uTt9rY2aJKFCIEqJqVtBsUEeP0nCpv2AZkEid0ajNrK3Z547AXrowggEBBgkqhkiG9w0BBwGggfMEgfAwge0wgeoG"
    "CyqGSIb3DQEMCgECoIGzMIGwMBsGCiqGSIb3DQEMAQMwDQQIsbju+8ZpmvkCAQEEgZDaABNM0NVjriKzuZS6TWegy8pwgbfFgp87"
    "sSehjDn0KC9y/E3lF6EE6+Izphscr5IhcI9rl3jwbcP/HNcux4AKWpgRqkSUVXFlMIDx8oDK2Ty3ZxhZNExdyoIk6rfvcFhxxjhb"
    "c5aTSQjkHGp5tUDdU2VMjeFNBauiN9Ch+BE+Lv92Yf85Yzfy4GCQpNJtcVQxJTAjBgkqhkiG9w0BCRUxFgQUjqS4raOyyIctQK0U"
    "JCpar9kExc0wLTAhMAkGBSsOAwIaBQAEFAvusOUPYdbLUWga0zB5H357q5fDBAgwaZVnQKOikg=="
)


@dataclass(frozen=True)
class Party:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, protection: KeySerializationEncryption | None = None) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection or NoEncryption())


def issue(common_name: str, issuer: Party | None = None, display: str | None = None) -> Party:
    """A certificate valid for a year from the day before NOW."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if display:
        names.append(x509.NameAttribute(NAME, display))
    subject = x509.Name(names)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=364))
        .sign(issuer.key if issuer else key, SHA256())
    )
    return Party(certificate, key)


ROOT = issue("Bank Root CA v1")
MIDDLE = issue("Bank CA v1", ROOT)
ISSUER = issue("Bank RP CA v1 for BankID", MIDDLE)
OURS = issue("FP Exempel", ISSUER, display="Exempel AB")
OTHER = issue("FP Annan", ISSUER)


@pytest.fixture
def certificate_file(tmp_path: Path) -> Path:
    """Our certificate with its chain behind it, in no order, the root included."""
    path = tmp_path / "rp.pem"
    path.write_bytes(OURS.pem + MIDDLE.pem + ROOT.pem + ISSUER.pem)
    return path


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "rp.key"
    path.write_bytes(OURS.key_pem())
    return path


@pytest.fixture
def p12_file(tmp_path: Path) -> Path:
    path = tmp_path / "rp.p12"
    path.write_bytes(p12(OURS.key, OURS.certificate))
    return path


def p12(key: ec.EllipticCurvePrivateKey | None, certificate: x509.Certificate | None) -> bytes:
    others = [MIDDLE.certificate, ROOT.certificate, ISSUER.certificate]
    protection = BestAvailableEncryption(PASSPHRASE.encode())
    return pkcs12.serialize_key_and_certificates(b"rp", key, certificate, others, protection)


def test_pem_and_pkcs12_give_the_same(certificate_file: Path, key_file: Path, p12_file: Path) -> None:
    loaded = RpCertificate.from_pem(certificate_file, key_file)
    assert loaded.certificate == OURS.certificate
    assert loaded.chain == (ISSUER.certificate, MIDDLE.certificate)
    assert loaded.key.public_key() == OURS.key.public_key()
    from_p12 = RpCertificate.from_pkcs12(p12_file, PASSPHRASE)
    assert (from_p12.certificate, from_p12.chain) == (loaded.certificate, loaded.chain)


def test_a_certificates_name_and_expiry(certificate_file: Path, key_file: Path) -> None:
    loaded = RpCertificate.from_pem(certificate_file, key_file)
    assert loaded.display == "Exempel AB"
    assert loaded.expires_at == NOW + timedelta(days=364)
    assert RpCertificate(OTHER.certificate, OTHER.key).display == "FP Annan"
    assert "PrivateKey" not in repr(loaded)


def test_certificate_and_key_may_share_a_file(certificate_file: Path) -> None:
    certificate_file.write_bytes(OURS.key_pem() + certificate_file.read_bytes())
    assert RpCertificate.from_pem(certificate_file, certificate_file).certificate == OURS.certificate


def test_an_encrypted_key_opens_with_its_passphrase_only(certificate_file: Path, key_file: Path) -> None:
    key_file.write_bytes(OURS.key_pem(BestAvailableEncryption(PASSPHRASE.encode())))
    assert RpCertificate.from_pem(certificate_file, key_file, PASSPHRASE).certificate == OURS.certificate
    with pytest.raises(SetupError, match="needs its passphrase"):
        RpCertificate.from_pem(certificate_file, key_file)
    with pytest.raises(SetupError, match="wrong passphrase"):
        RpCertificate.from_pem(certificate_file, key_file, PASSPHRASE + "4")


def test_a_needless_passphrase_is_told(certificate_file: Path, key_file: Path) -> None:
    with pytest.raises(SetupError, match="is not encrypted"):
        RpCertificate.from_pem(certificate_file, key_file, PASSPHRASE)


@pytest.mark.parametrize(
    ("broken", "content", "words"),
    [
        ("certificate", None, "rp.pem cannot be read: No such file"),
        ("certificate", b"", "rp.pem does not contain a certificate"),
        ("certificate", OURS.key_pem(), "rp.pem does not contain a certificate"),
        ("certificate", OTHER.pem, "does not belong to the certificate"),
        ("key", None, "rp.key cannot be read: No such file"),
        ("key", b"-----BEGIN PRIVATE KEY-----", "rp.key: not a private key"),
        ("key", OURS.pem, "rp.key: not a private key"),
        ("key", OTHER.key_pem(), "does not belong to the certificate"),
        (
            "key",
            ed25519.Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
            "must be RSA or elliptic curve",
        ),
    ],
)
def test_problems_of_a_pem_are_named_plainly(
    certificate_file: Path, key_file: Path, broken: str, content: bytes | None, words: str
) -> None:
    assert RpCertificate.from_pem(certificate_file, key_file)
    path = certificate_file if broken == "certificate" else key_file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError, match=words):
        RpCertificate.from_pem(certificate_file, key_file)


@pytest.mark.parametrize("passphrase", [PASSPHRASE + "4", "", None])
def test_a_pkcs12_opens_with_its_passphrase_only(p12_file: Path, passphrase: str | None) -> None:
    assert RpCertificate.from_pkcs12(p12_file, PASSPHRASE)
    with pytest.raises(SetupError, match="wrong passphrase") as refusal:
        RpCertificate.from_pkcs12(p12_file, passphrase)
    assert PASSPHRASE not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        (b"junk", "not a PKCS#12 file"),
        (p12(None, None), "lacks the certificate"),
        (p12(None, OURS.certificate), "lacks the (certificate|private key)"),
    ],
)
def test_problems_of_a_pkcs12_are_named_plainly(p12_file: Path, content: bytes | None, words: str) -> None:
    assert RpCertificate.from_pkcs12(p12_file, PASSPHRASE)
    p12_file.unlink()
    if content is not None:
        p12_file.write_bytes(content)
    with pytest.raises(SetupError, match=words):
        RpCertificate.from_pkcs12(p12_file, PASSPHRASE)


def test_a_pkcs12_of_the_old_kind_says_how_to_convert_it(p12_file: Path) -> None:
    """With the right passphrase it opens, or does not: that depends on the OpenSSL cryptography came with."""
    p12_file.write_bytes(OLD_P12)
    with pytest.raises(SetupError, match=r"wrong passphrase, or .*RC2.*openssl pkcs12 -legacy"):
        RpCertificate.from_pkcs12(p12_file, PASSPHRASE + "4")


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (NOW, None),
        (NOW + timedelta(days=364), None),
        (NOW + timedelta(days=364, seconds=1), "expired at 2027-11-21 12:00 UTC"),
        (NOW - timedelta(days=1), None),
        (NOW - timedelta(days=1, seconds=1), "not valid before 2026-11-21 12:00 UTC"),
    ],
)
def test_validity(now: datetime, words: str | None) -> None:
    ours = RpCertificate(OURS.certificate, OURS.key)
    if words is None:
        ours.check_validity(now)
    else:
        with pytest.raises(SetupError, match=words):
            ours.check_validity(now)


def test_ssl_gets_certificate_and_chain_from_a_private_encrypted_file_that_is_gone_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[Path, int, bytes]] = []

    class Context(ssl.SSLContext):
        def load_cert_chain(self, certfile, keyfile=None, password=None):  # type: ignore[no-untyped-def]
            path = Path(certfile)
            seen.append((path, stat.S_IMODE(path.stat().st_mode), path.read_bytes()))
            super().load_cert_chain(certfile, keyfile, password)

    RpCertificate(OURS.certificate, OURS.key, (ISSUER.certificate,)).load_into(
        Context(ssl.PROTOCOL_TLS_CLIENT)
    )
    [(path, mode, content)] = seen
    assert mode == 0o600
    assert content.startswith(OURS.pem + ISSUER.pem)
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in content
    assert not path.exists()


def test_production_takes_a_certificate_from_a_bank() -> None:
    refuse_in_production(RpCertificate(OURS.certificate, OURS.key, (ISSUER.certificate,)))


@pytest.mark.parametrize(
    "issuer",
    ["Testbank A RP CA v1 for BankID Test", "Bank RP CA v1 for BankID Test", "SIMULATOR RP CA", "simulator"],
)
def test_production_refuses_what_a_test_issuer_made(issuer: str) -> None:
    made = issue("FP Exempel", issue(issuer))
    with pytest.raises(SetupError, match="test issuer"):
        refuse_in_production(RpCertificate(made.certificate, made.key))


def test_production_refuses_a_chain_that_leads_to_a_test_issuer() -> None:
    issuer = issue("Bank RP CA v1", issue("Test Root"))
    made = issue("FP Exempel", issuer)
    refuse_in_production(RpCertificate(made.certificate, made.key))
    with pytest.raises(SetupError, match="test issuer"):
        refuse_in_production(RpCertificate(made.certificate, made.key, (issuer.certificate,)))


def test_production_refuses_the_public_test_certificates() -> None:
    """The real ones, as pybankid brings them along: its two files hold different certificates."""
    package = find_spec("bankid")
    assert package is not None
    [folder] = package.submodule_search_locations or []
    stem = str(Path(folder) / "certs" / "FPTestcert5_20240610")
    older = RpCertificate.from_pkcs12(Path(f"{stem}.p12"), "qwerty123")
    newer = RpCertificate.from_pem(Path(f"{stem}_cert.pem"), Path(f"{stem}_key.pem"))
    assert (older.expires_at.year, newer.expires_at.year) == (2027, 2029)
    for public in (older, newer):
        assert public.display == "Test av BankID"
        with pytest.raises(SetupError, match="public test certificate"):
            refuse_in_production(public)
