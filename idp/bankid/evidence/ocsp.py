"""The OCSP response beside a BankID signature: the person's certificate was good then (RFC 6960)."""

import hashlib
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from idp.bankid.evidence.chain import check_validity, extension, is_issued_by
from idp.bankid.evidence.errors import EvidenceError, Reason
from idp.bankid.evidence.xml import decode

MAX_RESPONSE_CHARACTERS = 64 * 1024
MAX_AGE = timedelta(minutes=10)
"""The longest time between the response and the login, in either direction."""

_OCTET_STRING = 4
_ALGORITHMS = (
    SignatureAlgorithmOID.RSA_WITH_SHA256,
    SignatureAlgorithmOID.RSA_WITH_SHA384,
    SignatureAlgorithmOID.RSA_WITH_SHA512,
)


def read(ocsp_response: str) -> ocsp.OCSPResponse:
    """The response inside a base64 text. Raises `EvidenceError`."""
    if len(ocsp_response) > MAX_RESPONSE_CHARACTERS:
        raise EvidenceError(Reason.TOO_LARGE)
    try:
        return ocsp.load_der_ocsp_response(decode(ocsp_response))
    except ValueError:
        raise EvidenceError(Reason.OCSP_FORMAT) from None


def produced_at(response: ocsp.OCSPResponse) -> datetime:
    """The response's time (producedAt). Raises `EvidenceError` for an unsuccessful response."""
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise EvidenceError(Reason.OCSP_UNSUCCESSFUL)
    return response.produced_at_utc


def check(
    response: ocsp.OCSPResponse,
    *,
    leaf: x509.Certificate,
    issuer: x509.Certificate,
    signature: str,
    now: datetime,
) -> None:
    """Check that a responder of the issuer has called the leaf good, now and for `signature` (RFC 6960 §3.2).

    Raises `EvidenceError`.
    """
    made_at = produced_at(response)
    try:
        responder = _responder(response, issuer)
        check_validity([responder], made_at, Reason.RESPONDER_VALIDITY)
        _check_signature(response, responder)
        _check_answer(response, leaf, issuer)
        if abs(now - made_at) > MAX_AGE:
            raise EvidenceError(Reason.OCSP_TIME)
        _check_nonce(response, signature)
    # The library parses parts of the response when they are read.
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension):
        raise EvidenceError(Reason.OCSP_FORMAT) from None


def _responder(response: ocsp.OCSPResponse, issuer: x509.Certificate) -> x509.Certificate:
    """The responder's certificate, issued with the key that issued the leaf: the same name is not enough."""
    for certificate in response.certificates:
        if is_issued_by(certificate, issuer):
            usage = extension(certificate, x509.ExtendedKeyUsage)
            if usage is None or ExtendedKeyUsageOID.OCSP_SIGNING not in usage:
                raise EvidenceError(Reason.RESPONDER_USAGE)
            return certificate
    raise EvidenceError(Reason.RESPONDER)


def _check_signature(response: ocsp.OCSPResponse, responder: x509.Certificate) -> None:
    key, algorithm = responder.public_key(), response.signature_hash_algorithm
    if (
        not isinstance(key, RSAPublicKey)
        or algorithm is None
        or response.signature_algorithm_oid not in _ALGORITHMS
    ):
        raise EvidenceError(Reason.OCSP_SIGNATURE)
    try:
        key.verify(response.signature, response.tbs_response_bytes, PKCS1v15(), algorithm)
    except InvalidSignature:
        raise EvidenceError(Reason.OCSP_SIGNATURE) from None


def _check_answer(response: ocsp.OCSPResponse, leaf: x509.Certificate, issuer: x509.Certificate) -> None:
    answers = list(response.responses)
    if len(answers) != 1:
        raise EvidenceError(Reason.OCSP_CERTIFICATE)
    answer = answers[0]
    # BankID's hash is SHA-1; here it only names the issuer, whose key signed the responder.
    question = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, answer.hash_algorithm).build()
    if (answer.serial_number, answer.issuer_name_hash, answer.issuer_key_hash) != (
        question.serial_number,
        question.issuer_name_hash,
        question.issuer_key_hash,
    ):
        raise EvidenceError(Reason.OCSP_CERTIFICATE)
    if answer.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        raise EvidenceError(Reason.OCSP_STATUS)


def _check_nonce(response: ocsp.OCSPResponse, signature: str) -> None:
    try:
        nonce = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        raise EvidenceError(Reason.OCSP_NONCE) from None
    if not is_bound(nonce, hashlib.sha1(signature.encode(), usedforsecurity=False).digest()):
        raise EvidenceError(Reason.OCSP_NONCE)


def is_bound(nonce: bytes, digest: bytes) -> bool:
    """Whether a nonce begins with the SHA-1 digest of the signature's text.

    BankID's responder writes the 32 bytes without an OCTET STRING around them. The library unwraps one first,
    and one bare nonce in 65 536 looks like one, so the two bytes that it removed are tried as well.
    """
    bare = bytes([_OCTET_STRING, len(nonce) % 256]) + nonce
    return digest in (nonce[: len(digest)], bare[: len(digest)])
