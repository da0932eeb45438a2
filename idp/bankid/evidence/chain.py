"""The certificate chain of a signature, from the person's certificate to the pinned root."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from idp.bankid.evidence.errors import EvidenceError, Reason

ExtensionType = TypeVar("ExtensionType", bound=x509.ExtensionType)

HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def check_path(certificates: Sequence[x509.Certificate], *, root: x509.Certificate, func_id: str) -> None:
    """Check that each certificate was issued by the next one and the last by `root`, each for its use.

    This is RFC 5280 §6.1 without policy processing (§6.1.3 d), because BankID's authorities do not have the
    policies of the users that they certify. Raises `EvidenceError`.
    """
    for certificate, issuer in pairwise(certificates):
        if not is_issued_by(certificate, issuer):
            raise EvidenceError(Reason.CHAIN)
    if not is_issued_by(certificates[-1], root):
        raise EvidenceError(Reason.ROOT)
    leaf, *authorities = (*certificates, root)
    for below, authority in enumerate(authorities):
        if not _is_authority(authority, below):
            raise EvidenceError(Reason.CA)
    constraints = extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise EvidenceError(Reason.CA)
    usage = extension(leaf, x509.KeyUsage)
    if usage is None or (usage.digital_signature, usage.content_commitment) != (
        func_id != "Signing",
        func_id == "Signing",
    ):
        raise EvidenceError(Reason.KEY_USAGE)


def check_validity(certificates: Sequence[x509.Certificate], at: datetime, reason: Reason) -> None:
    """Check that all certificates are valid at `at`. Raises `EvidenceError` with `reason`."""
    for certificate in certificates:
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise EvidenceError(reason)


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the certificate names `issuer` as its issuer and carries the signature of `issuer`'s key."""
    try:
        if not isinstance(certificate.signature_hash_algorithm, HASHES):
            return False
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def extension(certificate: x509.Certificate, kind: type[ExtensionType]) -> ExtensionType | None:
    """The certificate's extension of this kind; None if it has none."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _is_authority(certificate: x509.Certificate, below: int) -> bool:
    """Whether this certificate may issue others, with `below` authorities between it and the leaf."""
    constraints = extension(certificate, x509.BasicConstraints)
    usage = extension(certificate, x509.KeyUsage)
    return (
        constraints is not None
        and constraints.ca
        and (constraints.path_length is None or constraints.path_length >= below)
        and usage is not None
        and usage.key_cert_sign
    )
