"""The certificate chain and the OCSP response of evidence."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from idp.bankid import evidence_ocsp
from idp.bankid.evidence import Reason
from idp.bankid.simulator import evidence as make
from idp.bankid.simulator.evidence import b64
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.pki import Pair, Pki
from tests.unit.bankid.forger import (
    ANNA,
    NOW,
    Alter,
    Forger,
    reissue,
    swap,
)

# Certificates


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


@pytest.mark.parametrize("numbers", [[], [ANNA.personal_number, PEOPLE[1].personal_number]])
def test_the_certificate_names_one_person(pki: Pki, forger: Forger, numbers: list[str]) -> None:
    old = forger.signer.certificate.subject
    kept = [attribute for attribute in old if attribute.oid != NameOID.SERIAL_NUMBER]
    added = [x509.NameAttribute(NameOID.SERIAL_NUMBER, number) for number in numbers]
    changed = reissue(forger.signer.certificate, pki.pair("customer-ca"), subject=x509.Name([*kept, *added]))
    forger.signer = Pair(changed, forger.signer.key)
    for number in (ANNA.personal_number, "", "None"):
        assert forger.refusal(personal_number=number) == Reason.PERSONAL_NUMBER


# OCSP


@pytest.mark.parametrize("minutes", [-11, 11])
def test_an_answer_of_another_time_is_refused(forger: Forger, minutes: int) -> None:
    forger.produced_at = NOW + timedelta(minutes=minutes)
    assert forger.refusal() == Reason.OCSP_TIME


@pytest.mark.parametrize(
    ("nonce", "reason"),
    [
        (lambda digest: digest + b"anything....", None),
        (lambda digest: digest, None),
        (lambda digest: b"\x04\x20" + digest + bytes(12), None),  # wrapped, as RFC 6960 means it
        (lambda digest: digest[:19] + bytes([digest[19] ^ 1]) + bytes(12), Reason.OCSP_NONCE),
        (lambda digest: bytes(12) + digest, Reason.OCSP_NONCE),
        (lambda digest: digest[:19], Reason.OCSP_NONCE),
        (lambda digest: b"\x04\x1e" + bytes(30), Reason.OCSP_NONCE),
        (lambda digest: b"", Reason.OCSP_NONCE),
    ],
)
def test_the_nonce_begins_with_the_signatures_digest(
    forger: Forger, nonce: Callable[[bytes], bytes], reason: Reason | None
) -> None:
    forger.nonce = nonce
    if reason is None:
        assert forger.verify().personal_number == ANNA.personal_number
    else:
        assert forger.refusal() == reason


def test_a_bare_nonce_that_looks_wrapped_is_read_bare(forger: Forger) -> None:
    """One digest in 65 536 begins as an OCTET STRING of 30 bytes does; the library then unwraps it."""
    forger.nonce = lambda digest: b"\x04\x1e" + bytes(18) + bytes(12)
    response = evidence_ocsp.read(b64(forger.ocsp("")))
    nonce = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    assert evidence_ocsp.is_bound(nonce, b"\x04\x1e" + bytes(18))
    assert not evidence_ocsp.is_bound(nonce, b"\x04\x1e" + bytes(17) + b"\x01")


def responder(pki: Pki, issuer: Pair, **changes: Any) -> Pair:
    old = pki.pair("ocsp")
    return Pair(reissue(old.certificate, issuer, **changes), old.key)


@pytest.mark.parametrize(
    ("make_responder", "reason"),
    [
        (lambda pki: responder(pki, pki.pair("customer-ca")), None),
        (lambda pki: responder(pki, pki.pair("bank-ca")), Reason.RESPONDER),
        (lambda pki: responder(pki, pki.pair("signature-root")), Reason.RESPONDER),
        (lambda pki: Pair(pki.pair("customer-ca").certificate, pki.key("customer-ca")), Reason.RESPONDER),
        (
            lambda pki: responder(pki, pki.pair("customer-ca"), drop=[x509.ExtendedKeyUsage]),
            Reason.RESPONDER_USAGE,
        ),
        (
            lambda pki: responder(
                pki,
                pki.pair("customer-ca"),
                drop=[x509.ExtendedKeyUsage],
                add=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), True)],
            ),
            Reason.RESPONDER_USAGE,
        ),
        (
            lambda pki: pki.user_certificate(PEOPLE[1], "mobile", "Identification", now=NOW),
            Reason.RESPONDER_USAGE,
        ),
        (
            lambda pki: responder(
                pki, pki.pair("customer-ca"), valid=(NOW - timedelta(days=9), NOW - timedelta(seconds=5))
            ),
            Reason.RESPONDER_VALIDITY,
        ),
    ],
)
def test_the_issuer_chose_the_responder(
    pki: Pki, forger: Forger, make_responder: Callable[[Pki], Pair], reason: Reason | None
) -> None:
    forger.responder = make_responder(pki)
    if reason is None:
        assert forger.verify().personal_number == ANNA.personal_number
    else:
        assert forger.refusal() == reason


@pytest.mark.parametrize(
    "algorithm", [hashes.SHA256(), hashes.SHA512()], ids=lambda algorithm: algorithm.name
)
def test_only_the_responder_signs(pki: Pki, forger: Forger, algorithm: hashes.SHA256 | hashes.SHA512) -> None:
    """Another's key over the same answer, or the right key by another algorithm than the answer says."""
    signature = b64(forger.xml().encode())
    der = forger.ocsp(signature)
    response = evidence_ocsp.read(b64(der))
    for name in ("stranger",) if algorithm.name == "sha256" else ("stranger", "ocsp"):
        signed = pki.key(name).sign(response.tbs_response_bytes, PKCS1v15(), algorithm)
        changed = b64(der.replace(response.signature, signed))
        assert forger.refusal(signature=signature, ocsp_response=changed) == Reason.OCSP_SIGNATURE


def test_the_answer_is_about_the_signers_certificate(pki: Pki, forger: Forger) -> None:
    """Same serial number at another authority, and another number at the same."""
    signature = b64(forger.xml().encode())
    nonce = hashlib.sha1(signature.encode()).digest()
    leaf, other = forger.signer.certificate, pki.user_certificate(PEOPLE[1], "mobile", "Signing", now=NOW)
    for certificate, issuer in ((leaf, "bank-ca"), (other.certificate, "customer-ca")):
        response = make.ocsp_response(
            certificate, pki.pair(issuer).certificate, forger.responder, nonce=nonce, now=NOW
        )
        assert forger.refusal(signature=signature, ocsp_response=b64(response)) == Reason.OCSP_CERTIFICATE


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"<xml/>", b"\x30\x03\x0a\x01\x00", bytes(40_000)])
def test_what_is_no_ocsp_response_is_refused(forger: Forger, der: bytes) -> None:
    assert forger.refusal(ocsp_response=b64(der)) == Reason.OCSP_FORMAT
