"""The XML signature of a BankID order: read strictly, then checked (BankID signature profile, XMLDSig).

Only the one structure that BankID makes is accepted. Elements are found by their place in the tree, and their
names must be unique in the document, so that the data that is read is the data that was signed.
"""

import copy
import hashlib
import re
from base64 import b64decode, b64encode
from collections import Counter
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from lxml import etree

from idp.bankid.evidence.errors import EvidenceError, Reason

MAX_SIGNATURE_CHARACTERS = 1024 * 1024  # 200 000 characters of userNonVisibleData come base64-encoded again
MAX_CERTIFICATES = 6

_DSIG = "{http://www.w3.org/2000/09/xmldsig#}"
_BANKID = "{http://www.bankid.com/signature/v1.0.0/types}"
_C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
_RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
_SIGNED_DATA_ID, _KEY_INFO_ID = "bidSignedData", "bidKeyInfo"
_DECLARATION = re.compile(
    rb"""<\?xml version=["']1\.0["'](?: encoding=["']utf-8["'])?(?: standalone=["'](?:yes|no)["'])?\s*\?>""",
    re.IGNORECASE,
)
# Each of these may occur once in the whole document.
_SINGLE = (
    f"{_DSIG}Signature",
    f"{_DSIG}SignedInfo",
    f"{_DSIG}SignatureValue",
    f"{_DSIG}KeyInfo",
    f"{_DSIG}X509Data",
    f"{_DSIG}Object",
    f"{_BANKID}bankIdSignedData",
    f"{_BANKID}usrVisibleData",
    f"{_BANKID}usrNonVisibleData",
    f"{_BANKID}srvInfo",
    f"{_BANKID}clientInfo",
    f"{_BANKID}funcId",
)


@dataclass(frozen=True)
class SignedDocument:
    """The parts of a signature; `certificates` begin with the leaf. `check_signature` has not been called."""

    signed_info: etree._Element
    signature_value: bytes
    key_info: etree._Element
    certificates: tuple[x509.Certificate, ...]
    signed_data: etree._Element


@dataclass(frozen=True)
class SignedValues:
    """The signed values, decoded; None for an element that is missing."""

    visible_data: bytes | None
    visible_format: str | None
    visible_charset: str | None
    non_visible_data: bytes | None
    server_name: bytes | None
    func_id: str | None


def read(signature: str) -> SignedDocument:
    """The document inside a base64 `signature`. Raises `EvidenceError`."""
    if len(signature) > MAX_SIGNATURE_CHARACTERS:
        raise EvidenceError(Reason.TOO_LARGE)
    root = _parse(decode(signature))
    elements = list(root.iter())
    _check_ids(elements)
    names = Counter(element.tag for element in elements)
    if any(names[tag] > 1 for tag in _SINGLE):
        raise EvidenceError(Reason.STRUCTURE)
    if root.tag != f"{_DSIG}Signature":
        raise EvidenceError(Reason.STRUCTURE)
    signed_info, value, key_info, container = _children(
        root, "SignedInfo", "SignatureValue", "KeyInfo", "Object"
    )
    (x509_data,) = _children(key_info, "X509Data")
    if len(container) != 1 or container[0].tag != f"{_BANKID}bankIdSignedData":
        raise EvidenceError(Reason.STRUCTURE)
    signed_data = container[0]
    if key_info.get("Id") != _KEY_INFO_ID or signed_data.get("Id") != _SIGNED_DATA_ID:
        raise EvidenceError(Reason.STRUCTURE)
    if not 1 <= len(x509_data) <= MAX_CERTIFICATES:
        raise EvidenceError(Reason.CERTIFICATE)
    encoded = _children(x509_data, *["X509Certificate"] * len(x509_data))
    certificates = tuple(_certificate(decode(_text(element))) for element in encoded)
    return SignedDocument(signed_info, decode(_text(value)), key_info, certificates, signed_data)


def check_signature(document: SignedDocument) -> None:
    """Check algorithms, digests and signature, with the leaf's key (XMLDSig §3.2). Raises `EvidenceError`."""
    parts = list(document.signed_info)
    methods, references = parts[:2], parts[2:]
    if len(methods) != 2:
        raise EvidenceError(Reason.STRUCTURE)
    _check_algorithm(methods[0], "CanonicalizationMethod", _C14N)
    _check_algorithm(methods[1], "SignatureMethod", _RSA_SHA256)
    referred = {f"#{_SIGNED_DATA_ID}": document.signed_data, f"#{_KEY_INFO_ID}": document.key_info}
    if sorted(reference.get("URI", "") for reference in references) != sorted(referred):
        raise EvidenceError(Reason.REFERENCES)
    for reference in references:
        _check_reference(reference, referred[reference.get("URI", "")])
    try:
        key = document.certificates[0].public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise EvidenceError(Reason.CERTIFICATE) from None
    if not isinstance(key, RSAPublicKey):
        raise EvidenceError(Reason.ALGORITHM)
    try:
        key.verify(document.signature_value, _canonical(document.signed_info), PKCS1v15(), SHA256())
    except InvalidSignature:
        raise EvidenceError(Reason.SIGNATURE) from None


def read_values(document: SignedDocument) -> SignedValues:
    """The values in the signed element. Call `check_signature` before. Raises `EvidenceError`."""
    data = document.signed_data
    visible = data.find(f"{_BANKID}usrVisibleData")
    non_visible = data.find(f"{_BANKID}usrNonVisibleData")
    server_name = data.find(f"{_BANKID}srvInfo/{_BANKID}name")
    func_id = data.find(f"{_BANKID}clientInfo/{_BANKID}funcId")
    return SignedValues(
        visible_data=None if visible is None else decode(_text(visible)),
        visible_format=None if visible is None else visible.get("format"),
        visible_charset=None if visible is None else visible.get("charset"),
        non_visible_data=None if non_visible is None else decode(_text(non_visible)),
        server_name=None if server_name is None else decode(_text(server_name)),
        func_id=None if func_id is None else _text(func_id),
    )


def decode(text: str) -> bytes:
    """The bytes of a base64 text in its one canonical form. Raises `EvidenceError`."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        raise EvidenceError(Reason.BASE64) from None
    if b64encode(data).decode() != text:
        raise EvidenceError(Reason.BASE64)
    return data


def _parse(data: bytes) -> etree._Element:
    declaration = _DECLARATION.match(data)
    body = data[declaration.end() :] if declaration else data
    # These begin document types, comments, CDATA and processing instructions, and nothing else in UTF-8.
    # XML forbids a zero byte; one would mean that the text is UTF-16.
    if b"<!" in body or b"<?" in body or b"\0" in body:
        raise EvidenceError(Reason.XML)
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        body.decode()  # so that the parser obeys no byte order mark of another encoding
        return etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise EvidenceError(Reason.XML) from None


def _check_ids(elements: list[etree._Element]) -> None:
    values = [
        value
        for element in elements
        for attribute, value in element.attrib.items()
        if etree.QName(attribute).localname.lower() == "id"
    ]
    if len(set(values)) != len(values):
        raise EvidenceError(Reason.DUPLICATE_ID)


def _children(parent: etree._Element, *names: str) -> list[etree._Element]:
    """The children of a structural element, which must be exactly these, in this order."""
    children = list(parent)
    if [child.tag for child in children] != [f"{_DSIG}{name}" for name in names]:
        raise EvidenceError(Reason.STRUCTURE)
    return children


def _text(element: etree._Element) -> str:
    if len(element):
        raise EvidenceError(Reason.STRUCTURE)
    return element.text or ""


def _certificate(der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.extensions  # the library parses it when it is read
        _ = certificate.subject, certificate.issuer
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise EvidenceError(Reason.CERTIFICATE) from None
    return certificate


def _check_algorithm(element: etree._Element, name: str, algorithm: str) -> None:
    """Check that an element names this algorithm, without parameters."""
    if element.tag != f"{_DSIG}{name}" or len(element) or element.items() != [("Algorithm", algorithm)]:
        raise EvidenceError(Reason.ALGORITHM)


def _check_reference(reference: etree._Element, referred: etree._Element) -> None:
    transforms, method, value = _children(reference, "Transforms", "DigestMethod", "DigestValue")
    (transform,) = _children(transforms, "Transform")
    _check_algorithm(transform, "Transform", _C14N)
    _check_algorithm(method, "DigestMethod", _SHA256)
    if hashlib.sha256(_canonical(referred)).digest() != decode(_text(value)):
        raise EvidenceError(Reason.DIGEST)


def _canonical(element: etree._Element) -> bytes:
    """The canonical XML 1.0 of an element. Of a copy: inside its tree lxml adds xmlns="" to the children."""
    try:
        return etree.tostring(copy.deepcopy(element), method="c14n", exclusive=False, with_tail=False)
    except etree.LxmlError:  # a namespace without a canonical form
        raise EvidenceError(Reason.XML) from None
