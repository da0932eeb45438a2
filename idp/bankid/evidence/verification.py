"""Verifies the evidence of a BankID login or signature (BankID RP guide, verifying signatures).

BankID has checked signature and revocation already. Our own check makes the evidence something we can show
later, and protects against somebody who answers in BankID's place. It is pure: arguments carry everything
that it compares against.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from idp.bankid.evidence import chain, ocsp, xml
from idp.bankid.evidence.errors import EvidenceError, Reason
from idp.bankid.evidence.xml import SignedValues

NAME_OID = ObjectIdentifier("2.5.4.41")
PLAINTEXT = "plaintext"

# The keywords for the parts of a certificate's name in srvInfo; all others have their dotted number.
_KEYWORDS = {
    NameOID.COMMON_NAME: {"cn", "commonname"},
    NAME_OID: {"name"},
    NameOID.SERIAL_NUMBER: {"serialnumber"},
    NameOID.ORGANIZATION_NAME: {"o", "organizationname"},
    NameOID.ORGANIZATIONAL_UNIT_NAME: {"ou", "organizationalunitname"},
    NameOID.ORGANIZATION_IDENTIFIER: {"organizationidentifier"},
    NameOID.LOCALITY_NAME: {"l", "localityname"},
    NameOID.STATE_OR_PROVINCE_NAME: {"st", "s", "stateorprovincename"},
    NameOID.COUNTRY_NAME: {"c", "countryname"},
}
# A comma without a keyword after it belongs to the value, escaped or not: BankID does not document its form.
_ATTRIBUTE = re.compile(
    r"\s*([A-Za-z0-9.-]+)\s*=((?:[^\\,]|\\.|,(?!\s*[A-Za-z0-9.-]+\s*=))*)(?:,|$)", re.DOTALL
)


@dataclass(frozen=True)
class VerifiedEvidence:
    """The person who signed, and with which certificate, read from verified data alone. Times are UTC.

    The person's certificate is valid from `not_before` to `not_after`; its `policy` OID stands for a kind of
    BankID. `produced_at` is when BankID found it good, which is the time of signing.
    """

    personal_number: str = field(repr=False)
    name: str = field(repr=False)
    given_name: str = field(repr=False)
    surname: str = field(repr=False)
    certificate: x509.Certificate = field(repr=False)
    policy: str
    not_before: datetime
    not_after: datetime
    func_id: str
    produced_at: datetime


def verify(
    *,
    signature: str,
    ocsp_response: str,
    personal_number: str,
    visible_data: str | None,
    visible_format: str | None,
    non_visible_data: bytes | None,
    rp_certificate: x509.Certificate,
    func_id: str = "Identification",
    root: x509.Certificate,
    policies: Collection[str],
    now: datetime,
) -> VerifiedEvidence:
    """The verified evidence of a completed order: it is this person's, for this order, and made for us.

    `signature` and `ocsp_response` are base64 as collected, `personal_number` the 12 digits that came with
    them; `visible_data`, `visible_format` and `non_visible_data` are what was ordered, decoded; `func_id` is
    "Identification" after auth and "Signing" after sign; `root` is the environment's signature root.
    Raises `EvidenceError`, and nothing else, for any text as evidence.
    """
    # 1. Read both, trusting nothing.
    document = xml.read(signature)
    response = ocsp.read(ocsp_response)
    # 2. The signature is the leaf's, and covers what will be read from it.
    xml.check_signature(document)
    # 3. The leaf descends from the root, and all were valid when it signed.
    leaf, *authorities = (*document.certificates, root)
    chain.check_path(document.certificates, root=root, func_id=func_id)
    produced_at = ocsp.produced_at(response)
    chain.check_validity([leaf, *authorities], produced_at, Reason.VALIDITY)
    # 4. It was not revoked.
    ocsp.check(response, leaf=leaf, issuer=authorities[0], signature=signature, now=now)
    # 5. It is this person's answer to this order.
    if _attribute(leaf, NameOID.SERIAL_NUMBER) != personal_number:
        raise EvidenceError(Reason.PERSONAL_NUMBER)
    policy = _policy(leaf, policies)
    values = xml.read_values(document)
    _check_data(values, visible_data, visible_format, non_visible_data)
    if values.server_name is None or not _names(values.server_name, rp_certificate):
        raise EvidenceError(Reason.RELYING_PARTY)
    if values.func_id != func_id:
        raise EvidenceError(Reason.FUNC_ID)
    return VerifiedEvidence(
        personal_number=personal_number,
        name=_attribute(leaf, NameOID.COMMON_NAME) or "",
        given_name=_attribute(leaf, NameOID.GIVEN_NAME) or "",
        surname=_attribute(leaf, NameOID.SURNAME) or "",
        certificate=leaf,
        policy=policy,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        func_id=func_id,
        produced_at=produced_at,
    )


def _attribute(certificate: x509.Certificate, oid: ObjectIdentifier) -> str | None:
    """The subject's only value of this kind; None when there are none or several."""
    values = certificate.subject.get_attributes_for_oid(oid)
    return str(values[0].value) if len(values) == 1 else None


def _policy(leaf: x509.Certificate, policies: Collection[str]) -> str:
    found = chain.extension(leaf, x509.CertificatePolicies)
    for policy in found or ():
        oid: str = policy.policy_identifier.dotted_string
        if oid in policies:
            return oid
    raise EvidenceError(Reason.POLICY)


def _check_data(
    values: SignedValues, visible_data: str | None, visible_format: str | None, non_visible_data: bytes | None
) -> None:
    """Check that the person saw and signed what was ordered. A missing element counts as an empty one."""
    if (values.visible_data or b"") != (visible_data or "").encode():
        raise EvidenceError(Reason.VISIBLE_DATA)
    charset, signed_format = values.visible_charset or "UTF-8", values.visible_format or PLAINTEXT
    if charset.upper() != "UTF-8" or signed_format != (visible_format or PLAINTEXT):
        raise EvidenceError(Reason.VISIBLE_FORMAT)
    if (values.non_visible_data or b"") != (non_visible_data or b""):
        raise EvidenceError(Reason.NON_VISIBLE_DATA)


def _names(server_name: bytes, certificate: x509.Certificate) -> bool:
    """Whether a name in RFC 4514's form (keywords in any case and order) is this certificate's."""
    try:
        text = server_name.decode()
    except UnicodeDecodeError:
        return False
    written: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        match = _ATTRIBUTE.match(text, position)
        if match is None:
            return False
        written.append((match[1].lower(), _unescape(match[2].strip())))
        position = match.end()
    subject = list(certificate.subject)
    for attribute in subject:
        keywords = {attribute.oid.dotted_string, *_KEYWORDS.get(attribute.oid, ())}
        same = [part for part in written if part[0] in keywords and part[1] == str(attribute.value)]
        if not same:
            return False
        written.remove(same[0])
    return bool(subject) and not written


def _unescape(value: str) -> str:
    """The value without backslashes; a pair of hex digits after one is a byte of UTF-8 (RFC 4514 §2.4)."""
    return re.sub(rb"\\([0-9A-Fa-f]{2}|.)", _escaped, value.encode(), flags=re.DOTALL).decode(
        errors="replace"
    )


def _escaped(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode()) if len(match[1]) == 2 else match[1]
