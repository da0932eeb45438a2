"""Makes the evidence of a completed order: the XML signature and the OCSP response.

The XML is written in canonical form, so that the text that is hashed and signed is the text that is sent.
"""

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from html import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID, OCSPExtensionOID

from idp.bankid.simulator.people import PEOPLE, Person
from idp.bankid.simulator.pki import NAME_OID, POLICIES, Func, Kind, Pair, Pki, issue_ca, issue_responder

DSIG = "http://www.w3.org/2000/09/xmldsig#"
TYPES = "http://www.bankid.com/signature/v1.0.0/types"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
_KEYWORDS = {
    NameOID.COUNTRY_NAME: "c",
    NameOID.ORGANIZATION_NAME: "o",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "ou",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NAME_OID: "name",
    NameOID.COMMON_NAME: "cn",
}


class Defect(StrEnum):
    """A single defect in evidence that is good otherwise."""

    BAD_DIGEST = "bad_digest"
    BAD_SIGNATURE = "bad_signature"
    FOREIGN_ROOT = "foreign_root"
    EXPIRED_LEAF = "expired_leaf"
    WRONG_KEY_USAGE = "wrong_key_usage"
    REVOKED = "revoked"
    UNKNOWN_TO_OCSP = "unknown_to_ocsp"
    OCSP_UNSUCCESSFUL = "ocsp_unsuccessful"
    OLD_OCSP = "old_ocsp"
    WRONG_NONCE = "wrong_nonce"
    NO_NONCE = "no_nonce"
    WRONG_RESPONDER = "wrong_responder"
    OTHER_SERIAL = "other_serial"
    SWAPPED_PERSON = "swapped_person"
    OTHER_POLICY = "other_policy"
    OTHER_VISIBLE_TEXT = "other_visible_text"
    OTHER_NON_VISIBLE_DATA = "other_non_visible_data"
    OTHER_RELYING_PARTY = "other_relying_party"
    OTHER_FUNC_ID = "other_func_id"
    SHA1 = "sha1"
    DUPLICATE_ID = "duplicate_id"
    THREE_REFERENCES = "three_references"
    DOCTYPE = "doctype"


@dataclass(frozen=True)
class Algorithms:
    """How a document is hashed and signed: the algorithms and their names in the XML."""

    signature: str
    digest: str
    hash: hashes.SHA1 | hashes.SHA256


SHA256 = Algorithms(
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    "http://www.w3.org/2001/04/xmlenc#sha256",
    hashes.SHA256(),
)
SHA1 = Algorithms(f"{DSIG}rsa-sha1", f"{DSIG}sha1", hashes.SHA1())  # noqa: S303 - to be refused


def make_evidence(
    pki: Pki,
    *,
    person: Person,
    rp_certificate: x509.Certificate,
    display_name: str,
    visible_data: str | None,
    visible_format: str | None,
    non_visible_data: str | None,
    func_id: Func,
    kind: Kind,
    now: datetime,
    defect: Defect | None = None,
) -> tuple[str, str]:
    """The `signature` and `ocspResponse` of a completed order, both base64.

    `visible_data` and `non_visible_data` are base64 as they were ordered. Without a `defect` the two verify
    against the folder's signature root at `now`.
    """
    signer = _signer(pki, person, kind, func_id, now=now, defect=defect)
    authorities = _authorities(pki, defect)
    if defect is Defect.OTHER_VISIBLE_TEXT:
        visible_data = b64(b"Jag overlater min bostad")
    if defect is Defect.OTHER_NON_VISIBLE_DATA:
        non_visible_data = b64(secrets.token_bytes(32))
    relying_party = dn(rp_certificate.subject)
    if defect is Defect.OTHER_RELYING_PARTY:
        relying_party = dn(pki.pair("ssl-server").certificate.subject)
    written_func_id: str = func_id
    if defect is Defect.OTHER_FUNC_ID:
        written_func_id = "Signing" if func_id == "Identification" else "Identification"
    data = signed_data(
        visible_data=visible_data,
        visible_format=visible_format,
        non_visible_data=non_visible_data,
        relying_party=relying_party,
        display_name=display_name,
        func_id=written_func_id,
        policy=POLICIES[kind],
    )
    signature = b64(_document(data, signer, authorities, defect).encode())
    return signature, b64(_ocsp_response(pki, signer, signature, now=now, defect=defect))


def dn(subject: x509.Name) -> str:
    """A certificate's name in srvInfo's form: the most specific part first (RFC 4514)."""
    parts = []
    for attribute in reversed(list(subject)):
        keyword = _KEYWORDS.get(attribute.oid, attribute.oid.dotted_string)
        value = str(attribute.value).replace("\\", "\\\\")
        for special in ',+"<>;':
            value = value.replace(special, f"\\{special}")
        parts.append(f"{keyword}={value}")
    return ",".join(parts)


def signed_data(
    *,
    visible_data: str | None,
    visible_format: str | None,
    non_visible_data: str | None,
    relying_party: str,
    display_name: str,
    func_id: str,
    policy: str,
) -> str:
    """The element that the person signs, as canonical XML."""
    shown = hidden = ""
    if visible_data is not None:
        written_format = f' format="{escape(visible_format)}"' if visible_format else ""
        attributes = f'charset="UTF-8"{written_format} visible="wysiwys"'
        shown = f"<usrVisibleData {attributes}>{visible_data}</usrVisibleData>"
    if non_visible_data is not None:
        hidden = f"<usrNonVisibleData>{non_visible_data}</usrNonVisibleData>"
    return (
        f'<bankIdSignedData xmlns="{TYPES}" Id="bidSignedData">{shown}{hidden}'
        f"<srvInfo><name>{b64(relying_party.encode())}</name><nonce>{b64(secrets.token_bytes(20))}</nonce>"
        f"<displayName>{b64(display_name.encode())}</displayName></srvInfo>"
        f"<clientInfo><funcId>{func_id}</funcId><version>{b64(b'Simulator=1.0&')}</version>"
        f"<env><ai><type>{b64(b'SIMULATOR')}</type><deviceInfo>{b64(b'1.0')}</deviceInfo>"
        f"<uhi>{b64(secrets.token_bytes(20))}</uhi><fsib>0</fsib><utb>cs1</utb>"
        f"<requirement><condition><type>CertificatePolicies</type><value>{policy}</value></condition>"
        "</requirement><uauth>pw</uauth></ai></env></clientInfo></bankIdSignedData>"
    )


def key_info(certificates: Sequence[x509.Certificate]) -> str:
    """The element with the signer's certificate and its authorities, as canonical XML."""
    encoded = "".join(
        f"<X509Certificate>{b64(certificate.public_bytes(Encoding.DER))}</X509Certificate>"
        for certificate in certificates
    )
    return f'<KeyInfo xmlns="{DSIG}" Id="bidKeyInfo"><X509Data>{encoded}</X509Data></KeyInfo>'


def reference(uri: str, digest: bytes, algorithms: Algorithms = SHA256, kind: str | None = None) -> str:
    """One reference of a signature: the id and digest of a signed element."""
    written_kind = f' Type="{kind}"' if kind else ""
    return (
        f'<Reference{written_kind} URI="{uri}">'
        f'<Transforms><Transform Algorithm="{C14N}"></Transform></Transforms>'
        f'<DigestMethod Algorithm="{algorithms.digest}"></DigestMethod>'
        f"<DigestValue>{b64(digest)}</DigestValue></Reference>"
    )


def references(data: str, info: str, algorithms: Algorithms = SHA256) -> str:
    """The two references that a signature has."""
    return reference("#bidSignedData", digest_of(data, algorithms), algorithms, TYPES) + reference(
        "#bidKeyInfo", digest_of(info, algorithms), algorithms
    )


def digest_of(text: str, algorithms: Algorithms = SHA256) -> bytes:
    """The digest of canonical XML."""
    return hashlib.new(algorithms.hash.name, text.encode(), usedforsecurity=False).digest()


def signed_info(written_references: str, algorithms: Algorithms = SHA256) -> str:
    """The element whose bytes the key signs, as canonical XML."""
    return (
        f'<SignedInfo xmlns="{DSIG}"><CanonicalizationMethod Algorithm="{C14N}"></CanonicalizationMethod>'
        f'<SignatureMethod Algorithm="{algorithms.signature}"></SignatureMethod>'
        f"{written_references}</SignedInfo>"
    )


def sign(info: str, signer: Pair, algorithms: Algorithms = SHA256) -> bytes:
    """The signature value over a SignedInfo."""
    return signer.key.sign(info.encode(), PKCS1v15(), algorithms.hash)


def document(signed: str, value: bytes, info: str, data: str) -> str:
    """The whole signature around its four parts."""
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
        f'<Signature xmlns="{DSIG}">{signed}<SignatureValue>{b64(value)}</SignatureValue>{info}'
        f"<Object>{data}</Object></Signature>"
    )


def ocsp_response(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    responder: Pair,
    *,
    nonce: bytes | None,
    now: datetime,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
) -> bytes:
    """A responder's DER answer about a certificate, made at `now`, with the bare nonce that BankID writes."""
    now = now.replace(microsecond=0)
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=certificate,
            issuer=issuer,
            algorithm=hashes.SHA1(),  # noqa: S303 - names the issuer, as BankID's responder does
            cert_status=status,
            this_update=now,
            next_update=None,
            revocation_time=now - timedelta(days=1) if revoked else None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.NAME, responder.certificate)
        .certificates([responder.certificate])
    )
    if nonce is not None:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(OCSPExtensionOID.NONCE, nonce), critical=True
        )
    return _produced_at(builder.sign(responder.key, hashes.SHA256()), responder, now)


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def _produced_at(response: ocsp.OCSPResponse, responder: Pair, now: datetime) -> bytes:
    """The response dated `now`: the library always writes the computer's time."""
    written, wanted = (time.strftime("%Y%m%d%H%M%SZ").encode() for time in (response.produced_at_utc, now))
    body = response.tbs_response_bytes.replace(written, wanted, 1)  # it precedes the answer's own times
    signature = responder.key.sign(body, PKCS1v15(), hashes.SHA256())
    return (
        response.public_bytes(Encoding.DER)
        .replace(response.tbs_response_bytes, body)
        .replace(response.signature, signature)
    )


def _signer(
    pki: Pki, person: Person, kind: Kind, func_id: Func, *, now: datetime, defect: Defect | None
) -> Pair:
    match defect:
        case Defect.SWAPPED_PERSON:
            person = next(other for other in PEOPLE if other != person)
        case Defect.OTHER_POLICY:
            return pki.issue_user_certificate(person, kind, func_id, since=now, policy="1.2.3.4.99")
        case Defect.EXPIRED_LEAF:
            return pki.issue_user_certificate(person, kind, func_id, since=now - timedelta(days=366))
        case Defect.WRONG_KEY_USAGE:
            other: Func = "Signing" if func_id == "Identification" else "Identification"
            return pki.issue_user_certificate(person, kind, func_id, since=now, key_usage=other)
    return pki.user_certificate(person, kind, func_id, now=now)


def _authorities(pki: Pki, defect: Defect | None) -> list[x509.Certificate]:
    customer_ca, bank_ca = pki.pair("customer-ca").certificate, pki.pair("bank-ca")
    if defect is Defect.FOREIGN_ROOT:
        root = pki.signature_root.subject
        foreign = Pair(issue_ca(root, pki.key("stranger"), None), pki.key("stranger"))
        return [customer_ca, issue_ca(bank_ca.certificate.subject, bank_ca.key, foreign)]
    return [customer_ca, bank_ca.certificate]


def _document(data: str, signer: Pair, authorities: Sequence[x509.Certificate], defect: Defect | None) -> str:
    info = key_info([signer.certificate, *authorities])
    algorithms = SHA1 if defect is Defect.SHA1 else SHA256
    written = references(data, info, algorithms)
    if defect is Defect.BAD_DIGEST:
        written = reference("#bidSignedData", digest_of(info)) + reference("#bidKeyInfo", digest_of(info))
    if defect is Defect.THREE_REFERENCES:
        written += reference("#bidKeyInfo", digest_of(info))
    signed = signed_info(written, algorithms)
    value = sign(signed, signer, algorithms)
    if defect is Defect.BAD_SIGNATURE:
        value = sign(signed + " ", signer)
    text = document(signed, value, info, data)
    if defect is Defect.DUPLICATE_ID:
        text = text.replace("<Object>", '<Object Id="bidSignedData">')
    if defect is Defect.DOCTYPE:
        text = text.replace("?>", '?><!DOCTYPE Signature [<!ENTITY e "">]>', 1)
    return text


def _ocsp_response(pki: Pki, signer: Pair, signature: str, *, now: datetime, defect: Defect | None) -> bytes:
    if defect is Defect.OCSP_UNSUCCESSFUL:
        later = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
        return later.public_bytes(Encoding.DER)
    issuer, responder = pki.pair("customer-ca").certificate, pki.pair("ocsp")
    certificate, status = signer.certificate, ocsp.OCSPCertStatus.GOOD
    digest = hashlib.sha1(signature.encode(), usedforsecurity=False).digest()
    nonce: bytes | None = digest + secrets.token_bytes(12)
    match defect:
        case Defect.REVOKED:
            status = ocsp.OCSPCertStatus.REVOKED
        case Defect.UNKNOWN_TO_OCSP:
            status = ocsp.OCSPCertStatus.UNKNOWN
        case Defect.OLD_OCSP:
            now -= timedelta(hours=1)
        case Defect.WRONG_NONCE:
            nonce = secrets.token_bytes(32)
        case Defect.NO_NONCE:
            nonce = None
        case Defect.WRONG_RESPONDER:
            # An authority with the same name and another key issues the responder's certificate.
            other = Pair(issue_ca(issuer.subject, pki.key("stranger"), None), pki.key("stranger"))
            name = responder.certificate.subject
            responder = Pair(issue_responder(name, responder.key, other), responder.key)
        case Defect.OTHER_SERIAL:
            certificate = responder.certificate
    return ocsp_response(certificate, issuer, responder, nonce=nonce, now=now, status=status)
