"""The OCSP response of evidence is by the issuer's responder, about this leaf and for this signature."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from idp.bankid.evidence import ocsp
from idp.bankid.evidence.errors import Reason
from idp.bankid.simulator import evidence as make
from idp.bankid.simulator.evidence import b64
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.pki import Pair, Pki
from tests.slow_unit.bankid.evidence.forger import (
    ANNA,
    NOW,
    Forger,
    reissue,
)


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
    response = ocsp.read(b64(forger.ocsp("")))
    nonce = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    assert ocsp.is_bound(nonce, b"\x04\x1e" + bytes(18))
    assert not ocsp.is_bound(nonce, b"\x04\x1e" + bytes(17) + b"\x01")


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
    response = ocsp.read(b64(der))
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
def test_a_text_that_is_not_an_ocsp_response_is_refused(forger: Forger, der: bytes) -> None:
    assert forger.refusal(ocsp_response=b64(der)) == Reason.OCSP_FORMAT


# What the library cannot be made to write


def tlv(tag: int, *parts: bytes) -> bytes:
    """One value in DER."""
    body = b"".join(parts)
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes([tag]) + (bytes([len(body)]) if len(body) < 128 else bytes([128 + len(size)]) + size) + body


def inside(der: bytes) -> list[bytes]:
    """The values inside the first value of some DER."""
    found, rest = [], _body(der)[0]
    while rest:
        _, length = _body(rest)
        found.append(rest[:length])
        rest = rest[length:]
    return found


def _body(der: bytes) -> tuple[bytes, int]:
    start = 2 if der[1] < 128 else 2 + der[1] - 128
    end = start + (der[1] if der[1] < 128 else int.from_bytes(der[2:start]))
    return der[start:end], end


def resigned(forger: Forger, der: bytes, alter: Callable[[list[bytes]], None]) -> bytes:
    """An OCSP response whose ResponseData (responder, time, answers, extensions) is altered, then signed."""
    response = ocsp.read(b64(der))
    parts = inside(response.tbs_response_bytes)
    alter(parts)
    body = tlv(0x30, *parts)
    (certificate,) = response.certificates
    algorithm = inside(certificate.public_bytes(Encoding.DER))[1]  # sha256WithRSAEncryption
    signature = tlv(0x03, b"\0", forger.responder.key.sign(body, PKCS1v15(), hashes.SHA256()))
    embedded = tlv(0xA0, tlv(0x30, certificate.public_bytes(Encoding.DER)))
    basic = tlv(0x30, body, algorithm, signature, embedded)
    kind = bytes.fromhex("06092b0601050507300101")
    return tlv(0x30, b"\x0a\x01\0", tlv(0xA0, tlv(0x30, kind, tlv(0x04, basic))))


def double_answer(parts: list[bytes]) -> None:
    parts[2] = tlv(0x30, *inside(parts[2]) * 2)


def no_answer(parts: list[bytes]) -> None:
    parts[2] = tlv(0x30)


def another_hash(parts: list[bytes]) -> None:
    """A CertID by MD5, which is all the library knows beside SHA."""
    sha1, md5 = bytes.fromhex("06052b0e03021a"), bytes.fromhex("06082a864886f70d0205")
    (answer,) = inside(parts[2])
    cert_id, *others = inside(answer)
    algorithm, *names = inside(cert_id)
    assert sha1 in algorithm
    parts[2] = tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x30, md5, b"\x05\0"), *names), *others))


def sha512_names(parts: list[bytes]) -> None:
    (answer,) = inside(parts[2])
    cert_id, *others = inside(answer)
    _, *names = inside(cert_id)
    sha512 = tlv(0x30, bytes.fromhex("0609608648016503040203"))
    parts[2] = tlv(0x30, tlv(0x30, tlv(0x30, sha512, *names), *others))


def double_extension(parts: list[bytes]) -> None:
    (extensions,) = inside(parts[3])
    parts[3] = tlv(0xA1, tlv(0x30, *inside(extensions) * 2))


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (lambda parts: None, None),
        (double_answer, Reason.OCSP_CERTIFICATE),
        (no_answer, Reason.OCSP_CERTIFICATE),
        (sha512_names, Reason.OCSP_CERTIFICATE),
        (another_hash, Reason.OCSP_FORMAT),
        (double_extension, Reason.OCSP_FORMAT),
    ],
)
def test_a_strange_answer_is_refused(
    forger: Forger, alter: Callable[[list[bytes]], None], reason: Reason | None
) -> None:
    signature = b64(forger.xml().encode())
    changed = b64(resigned(forger, forger.ocsp(signature), alter))
    if reason is None:
        assert forger.verify(signature=signature, ocsp_response=changed)
    else:
        assert forger.refusal(signature=signature, ocsp_response=changed) == reason


def test_the_responders_key_is_rsa(pki: Pki, forger: Forger) -> None:
    """The certificate beside the answer is exchanged for one of its responder with another key."""
    signature = b64(forger.xml().encode())
    der = forger.ocsp(signature)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    other = reissue(pki.pair("ocsp").certificate, pki.pair("customer-ca"), public_key=key)
    status, wrapped = inside(der)
    kind, octets = inside(inside(wrapped)[0])
    *signed, _ = inside(_body(octets)[0])
    embedded = tlv(0xA0, tlv(0x30, other.public_bytes(Encoding.DER)))
    basic = tlv(0x04, tlv(0x30, *signed, embedded))
    changed = b64(tlv(0x30, status, tlv(0xA0, tlv(0x30, kind, basic))))
    assert forger.refusal(signature=signature, ocsp_response=changed) == Reason.OCSP_SIGNATURE
