"""The certificate chain of evidence leads from the person to the root."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from idp.bankid.evidence.errors import Reason
from idp.bankid.simulator import evidence as make
from idp.bankid.simulator.evidence import b64
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.pki import Pair, Pki
from tests.slow_unit.bankid.evidence.forger import (
    ANNA,
    NOW,
    Alter,
    Forger,
    reissue,
    swap,
)


def test_the_root_may_come_along(pki: Pki, forger: Forger) -> None:
    forger.authorities = [*forger.authorities, pki.signature_root]
    assert forger.verify().personal_number == ANNA.personal_number


def test_a_longer_chain_verifies(pki: Pki, forger: Forger) -> None:
    bank_ca = pki.pair("bank-ca")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SIMULATOR between")])
    between = reissue(bank_ca.certificate, pki.pair("signature-root"), subject=name)
    upper = reissue(bank_ca.certificate, Pair(between, bank_ca.key))
    forger.authorities = [forger.authorities[0], upper, between]
    assert forger.verify().personal_number == ANNA.personal_number


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], Reason.ROOT),
        (["customer-ca"], Reason.ROOT),
        (["bank-ca"], Reason.CHAIN),
        (["bank-ca", "customer-ca"], Reason.CHAIN),
        (["customer-ca", "bank-ca", "rp-ca"], Reason.CHAIN),
        (["rp-ca", "customer-ca", "bank-ca"], Reason.CHAIN),
        (["customer-ca", "customer-ca", "bank-ca"], Reason.CHAIN),
        (["customer-ca", "bank-ca", "signature-root", "signature-root", "signature-root"], None),
        (["customer-ca", "bank-ca", *["signature-root"] * 4], Reason.CERTIFICATE),
    ],
)
def test_the_chain_must_lead_to_the_root(
    pki: Pki, forger: Forger, names: list[str], reason: Reason | None
) -> None:
    forger.authorities = [pki.pair(name).certificate for name in names]
    if reason is None:
        assert forger.verify().personal_number == ANNA.personal_number
    else:
        assert forger.refusal() == reason


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (swap("<X509Data>", "<X509Data><X509SubjectName>CN=a</X509SubjectName>"), Reason.STRUCTURE),
        (swap("<X509Data>", "<KeyName>a</KeyName><X509Data>"), Reason.STRUCTURE),
        (swap('Id="bidKeyInfo"', ""), Reason.STRUCTURE),
        (swap("<X509Certificate>", "<X509Certificate>AAAA"), Reason.CERTIFICATE),
        (swap("<X509Certificate>", "<X509Certificate>\n"), Reason.BASE64),
        (
            lambda text: f'<KeyInfo xmlns="{make.DSIG}" Id="bidKeyInfo"><X509Data/></KeyInfo>',
            Reason.CERTIFICATE,
        ),
    ],
)
def test_strange_key_info_is_refused(forger: Forger, alter: Alter, reason: Reason) -> None:
    forger.info = alter
    assert forger.refusal() == reason


def test_the_first_certificate_is_the_signers(pki: Pki, forger: Forger) -> None:
    other = pki.user_certificate(PEOPLE[1], "mobile", "Identification", now=NOW)
    der = b64(other.certificate.public_bytes(Encoding.DER))
    forger.info = swap("<X509Certificate>", f"<X509Certificate>{der}</X509Certificate><X509Certificate>")
    assert forger.refusal() == Reason.SIGNATURE


def test_a_user_is_no_authority(pki: Pki, forger: Forger) -> None:
    """Björn issues a certificate in Anna's name."""
    other = pki.user_certificate(PEOPLE[1], "mobile", "Identification", now=NOW)
    forger.authorities = [other.certificate, *forger.authorities]
    forger.signer = Pair(reissue(forger.signer.certificate, other), forger.signer.key)
    assert forger.refusal() == Reason.CA


CA = x509.BasicConstraints(ca=True, path_length=None)


def usage(**changes: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: changes.get(name, False) for name in names.split()})


@pytest.mark.parametrize(
    ("drop", "add", "reason"),
    [
        ([], [], None),
        ([], [(CA, True)], Reason.CA),
        ([], [(x509.BasicConstraints(ca=False, path_length=None), True)], None),
        ([x509.KeyUsage], [], Reason.KEY_USAGE),
        ([x509.KeyUsage], [(usage(digital_signature=True, content_commitment=True), True)], Reason.KEY_USAGE),
        ([x509.KeyUsage], [(usage(content_commitment=True), True)], Reason.KEY_USAGE),
        ([x509.KeyUsage], [(usage(digital_signature=True, key_encipherment=True), False)], None),
        ([x509.CertificatePolicies], [], Reason.POLICY),
    ],
)
def test_the_persons_certificate_is_for_this_use(
    pki: Pki, forger: Forger, drop: Any, add: Any, reason: Reason | None
) -> None:
    changed = reissue(forger.signer.certificate, pki.pair("customer-ca"), drop=drop, add=add)
    forger.signer = Pair(changed, forger.signer.key)
    if reason is None:
        assert forger.verify().certificate == changed
    else:
        assert forger.refusal() == reason


@pytest.mark.parametrize(
    ("drop", "add", "reason"),
    [
        ([x509.BasicConstraints], [], Reason.CA),
        ([x509.BasicConstraints], [(x509.BasicConstraints(ca=False, path_length=None), True)], Reason.CA),
        ([x509.BasicConstraints], [(x509.BasicConstraints(ca=True, path_length=0), True)], Reason.CA),
        ([x509.BasicConstraints], [(x509.BasicConstraints(ca=True, path_length=1), True)], None),
        ([x509.KeyUsage], [], Reason.CA),
        ([x509.KeyUsage], [(usage(crl_sign=True, digital_signature=True), True)], Reason.CA),
        ([x509.CertificatePolicies], [], None),
    ],
)
def test_an_authority_says_that_it_is_one(
    pki: Pki, forger: Forger, drop: Any, add: Any, reason: Reason | None
) -> None:
    bank_ca = pki.pair("bank-ca").certificate
    changed = reissue(bank_ca, pki.pair("signature-root"), drop=drop, add=add)
    forger.authorities = [forger.authorities[0], changed]
    if reason is None:
        assert forger.verify().personal_number == ANNA.personal_number
    else:
        assert forger.refusal() == reason


@pytest.mark.parametrize(
    "valid",
    [
        (NOW - timedelta(days=9), NOW - timedelta(seconds=5)),
        (NOW + timedelta(seconds=5), NOW + timedelta(days=9)),
    ],
)
def test_an_authority_must_be_valid(pki: Pki, forger: Forger, valid: tuple[datetime, datetime]) -> None:
    changed = reissue(pki.pair("bank-ca").certificate, pki.pair("signature-root"), valid=valid)
    forger.authorities = [forger.authorities[0], changed]
    assert forger.refusal() == Reason.VALIDITY


def test_the_key_is_rsa(pki: Pki, forger: Forger) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    changed = reissue(forger.signer.certificate, pki.pair("customer-ca"), public_key=key)
    forger.signer = Pair(changed, forger.signer.key)
    assert forger.refusal() == Reason.ALGORITHM


def test_the_key_is_of_a_known_kind(forger: Forger) -> None:
    der = forger.signer.certificate.public_bytes(Encoding.DER)
    rsa_encryption = bytes.fromhex("06092a864886f70d010101")
    assert rsa_encryption in der
    forger.info = swap(b64(der), b64(der.replace(rsa_encryption, rsa_encryption[:-1] + b"\x7f")))
    assert forger.refusal() == Reason.CERTIFICATE


def test_a_chain_signed_by_a_weak_hash_is_refused(pki: Pki, forger: Forger) -> None:
    changed = reissue(forger.signer.certificate, pki.pair("customer-ca"), algorithm=hashes.SHA224())
    forger.signer = Pair(changed, forger.signer.key)
    assert forger.refusal() == Reason.CHAIN


@pytest.mark.parametrize("numbers", [[], [ANNA.personal_number, PEOPLE[1].personal_number]])
def test_the_certificate_names_one_person(pki: Pki, forger: Forger, numbers: list[str]) -> None:
    old = forger.signer.certificate.subject
    kept = [attribute for attribute in old if attribute.oid != NameOID.SERIAL_NUMBER]
    added = [x509.NameAttribute(NameOID.SERIAL_NUMBER, number) for number in numbers]
    changed = reissue(forger.signer.certificate, pki.pair("customer-ca"), subject=x509.Name([*kept, *added]))
    forger.signer = Pair(changed, forger.signer.key)
    for number in (ANNA.personal_number, "", "None"):
        assert forger.refusal(personal_number=number) == Reason.PERSONAL_NUMBER
