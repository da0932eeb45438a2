"""Evidence: what the simulator makes verifies, and each single thing wrong is refused for its own reason."""

import hashlib
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from idp.bankid import evidence, evidence_ocsp, evidence_xml
from idp.bankid.evidence import EvidenceError, Reason, VerifiedEvidence
from idp.bankid.simulator import evidence as make
from idp.bankid.simulator.evidence import SHA256, Defect, b64, make_evidence
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.pki import POLICIES, Pair, Pki

NOW = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)
ANNA = PEOPLE[0]
TEXT = "Logga in hos Portalen åäö"
HIDDEN = b"\x00\xff bound to this login"
Alter = Callable[[str], str]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


def unchanged(text: str) -> str:
    return text


def swap(old: str, new: str) -> Alter:
    """Replace what must be there."""

    def alter(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return alter


def reissue(
    old: x509.Certificate,
    issuer: Pair,
    *,
    drop: Iterable[type[x509.ExtensionType]] = (),
    add: Iterable[tuple[x509.ExtensionType, bool]] = (),
    subject: x509.Name | None = None,
    public_key: Any = None,
    valid: tuple[datetime, datetime] | None = None,
) -> x509.Certificate:
    """The same certificate but for the changes."""
    since, until = valid or (old.not_valid_before_utc, old.not_valid_after_utc)
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer.certificate.subject)
        .subject_name(subject or old.subject)
        .public_key(public_key or old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
    )
    for extension in old.extensions:
        if type(extension.value) not in tuple(drop):
            builder = builder.add_extension(extension.value, extension.critical)
    for value, critical in add:
        builder = builder.add_extension(value, critical)
    return builder.sign(issuer.key, hashes.SHA256())


@dataclass
class Forger:
    """Makes Anna's evidence step by step, so that a test can alter any step before what follows it."""

    pki: Pki
    signer: Pair
    authorities: Sequence[x509.Certificate]
    responder: Pair
    data: Alter = unchanged  # before it is signed
    info: Alter = unchanged
    signed: Alter = unchanged
    text: Alter = unchanged  # after
    nonce: Callable[[bytes], bytes] = lambda digest: digest + bytes(12)
    produced_at: datetime = NOW
    relying_party: str | None = None

    def xml(self) -> str:
        data = self.data(
            make.signed_data(
                visible_data=b64(TEXT.encode()),
                visible_format="simpleMarkdownV1",
                non_visible_data=b64(HIDDEN),
                relying_party=self.relying_party or make.dn(self.pki.rp_certificate.subject),
                display_name="Test",
                func_id="Identification",
                policy=POLICIES["mobile"],
            )
        )
        info = self.info(make.key_info([self.signer.certificate, *self.authorities]))
        signed = self.signed(make.signed_info(make.references(data, info)))
        return self.text(make.document(signed, make.sign(signed, self.signer), info, data))

    def ocsp(self, signature: str) -> bytes:
        digest = hashlib.sha1(signature.encode()).digest()
        return make.ocsp_response(
            self.signer.certificate,
            self.pki.pair("customer-ca").certificate,
            self.responder,
            nonce=self.nonce(digest),
            now=self.produced_at,
        )

    def verify(self, **changes: Any) -> VerifiedEvidence:
        signature = b64(self.xml().encode())
        arguments = {"signature": signature, "ocsp_response": b64(self.ocsp(signature)), **changes}
        return verify(self.pki, **arguments)

    def refusal(self, **changes: Any) -> Reason:
        return refused(lambda: self.verify(**changes))


@pytest.fixture
def forger(pki: Pki) -> Forger:
    return new_forger(pki)


def new_forger(pki: Pki) -> Forger:
    signer = pki.user_certificate(ANNA, "mobile", "Identification", now=NOW)
    authorities = [pki.pair("customer-ca").certificate, pki.pair("bank-ca").certificate]
    return Forger(pki, signer, authorities, pki.pair("ocsp"))


def verify(pki: Pki, **changes: Any) -> VerifiedEvidence:
    """Verify evidence that Anna logs in by mobile BankID, as ordered; but for the changes."""
    arguments: dict[str, Any] = {
        "personal_number": ANNA.personal_number,
        "visible_data": TEXT,
        "visible_format": "simpleMarkdownV1",
        "non_visible_data": HIDDEN,
        "rp_certificate": pki.rp_certificate,
        "root": pki.signature_root,
        "policies": [POLICIES["mobile"]],
        "now": NOW,
        **changes,
    }
    return evidence.verify(**arguments)


def refused(attempt: Callable[[], object]) -> Reason:
    with pytest.raises(EvidenceError) as caught:
        attempt()
    return caught.value.reason


def order(pki: Pki, **changes: Any) -> tuple[str, str]:
    """Evidence from the simulator for what `verify` expects; but for the changes."""
    arguments: dict[str, Any] = {
        "person": ANNA,
        "rp_certificate": pki.rp_certificate,
        "display_name": "Test",
        "visible_data": b64(TEXT.encode()),
        "visible_format": "simpleMarkdownV1",
        "non_visible_data": b64(HIDDEN),
        "func_id": "Identification",
        "kind": "mobile",
        "now": NOW,
        **changes,
    }
    return make_evidence(pki, **arguments)


# What is right


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.given_name)
def test_evidence_of_a_login_verifies(pki: Pki, person: Any) -> None:
    signature, response = order(pki, person=person)
    found = verify(pki, signature=signature, ocsp_response=response, personal_number=person.personal_number)
    assert found.personal_number == person.personal_number
    assert (found.name, found.given_name, found.surname) == (person.name, person.given_name, person.surname)
    assert found.policy == POLICIES["mobile"]
    assert found.func_id == "Identification"
    assert found.produced_at == NOW.replace(microsecond=0)
    assert found.not_before <= NOW < found.not_after
    assert found.certificate.not_valid_after_utc == found.not_after


@pytest.mark.parametrize("kind", POLICIES)
def test_evidence_of_a_signature_verifies(pki: Pki, kind: Any) -> None:
    signature, response = order(pki, func_id="Signing", kind=kind)
    policies = [POLICIES[kind]]
    found = verify(pki, signature=signature, ocsp_response=response, func_id="Signing", policies=policies)
    assert (found.func_id, found.policy) == ("Signing", POLICIES[kind])


@pytest.mark.parametrize("text", [None, "", "kort", "rad\r\nrad", "å" * 20_000])
@pytest.mark.parametrize("hidden", [None, b"", b"x" * 150_000])
@pytest.mark.parametrize("text_format", [None, "plaintext"])
def test_any_text_of_an_order_verifies(
    pki: Pki, text: str | None, hidden: bytes | None, text_format: str | None
) -> None:
    signature, response = order(
        pki,
        visible_data=None if text is None else b64(text.encode()),
        visible_format=text_format,
        non_visible_data=None if hidden is None else b64(hidden),
    )
    changes = {"visible_data": text, "visible_format": text_format, "non_visible_data": hidden}
    found = verify(pki, signature=signature, ocsp_response=response, **changes)
    assert found.personal_number == ANNA.personal_number


def test_the_value_tells_nobody_who_it_is(forger: Forger) -> None:
    shown = repr(forger.verify())
    assert not any(part in shown for part in (ANNA.personal_number, ANNA.given_name, ANNA.surname))


def test_what_is_forged_without_changes_verifies(forger: Forger) -> None:
    assert forger.verify().personal_number == ANNA.personal_number


# What the simulator can do wrong

DEFECTS = {
    Defect.BAD_DIGEST: Reason.DIGEST,
    Defect.BAD_SIGNATURE: Reason.SIGNATURE,
    Defect.FOREIGN_ROOT: Reason.ROOT,
    Defect.EXPIRED_LEAF: Reason.VALIDITY,
    Defect.WRONG_KEY_USAGE: Reason.KEY_USAGE,
    Defect.REVOKED: Reason.OCSP_STATUS,
    Defect.UNKNOWN_TO_OCSP: Reason.OCSP_STATUS,
    Defect.OCSP_UNSUCCESSFUL: Reason.OCSP_UNSUCCESSFUL,
    Defect.OLD_OCSP: Reason.OCSP_TIME,
    Defect.WRONG_NONCE: Reason.OCSP_NONCE,
    Defect.NO_NONCE: Reason.OCSP_NONCE,
    Defect.WRONG_RESPONDER: Reason.RESPONDER,
    Defect.OTHER_SERIAL: Reason.OCSP_CERTIFICATE,
    Defect.SWAPPED_PERSON: Reason.PERSONAL_NUMBER,
    Defect.OTHER_POLICY: Reason.POLICY,
    Defect.OTHER_VISIBLE_TEXT: Reason.VISIBLE_DATA,
    Defect.OTHER_NON_VISIBLE_DATA: Reason.NON_VISIBLE_DATA,
    Defect.OTHER_RELYING_PARTY: Reason.RELYING_PARTY,
    Defect.OTHER_FUNC_ID: Reason.FUNC_ID,
    Defect.SHA1: Reason.ALGORITHM,
    Defect.DUPLICATE_ID: Reason.DUPLICATE_ID,
    Defect.THREE_REFERENCES: Reason.REFERENCES,
    Defect.DOCTYPE: Reason.XML,
}


@pytest.mark.parametrize("defect", Defect)
def test_every_defect_is_refused_for_its_reason(pki: Pki, defect: Defect) -> None:
    signature, response = order(pki, defect=defect)
    assert refused(lambda: verify(pki, signature=signature, ocsp_response=response)) == DEFECTS[defect]


# Another order, another person, another root


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"personal_number": PEOPLE[1].personal_number}, Reason.PERSONAL_NUMBER),
        ({"personal_number": ""}, Reason.PERSONAL_NUMBER),
        ({"visible_data": TEXT + " "}, Reason.VISIBLE_DATA),
        ({"visible_data": None}, Reason.VISIBLE_DATA),
        ({"visible_format": None}, Reason.VISIBLE_FORMAT),
        ({"non_visible_data": HIDDEN[:-1]}, Reason.NON_VISIBLE_DATA),
        ({"non_visible_data": None}, Reason.NON_VISIBLE_DATA),
        ({"policies": [POLICIES["card"], "1.2.3.4"]}, Reason.POLICY),
        ({"policies": []}, Reason.POLICY),
        ({"func_id": "Signing"}, Reason.KEY_USAGE),
        ({"now": NOW + timedelta(minutes=10, seconds=2)}, Reason.OCSP_TIME),
        ({"now": NOW - timedelta(minutes=10, seconds=2)}, Reason.OCSP_TIME),
    ],
)
def test_evidence_for_something_else_is_refused(
    forger: Forger, change: dict[str, Any], reason: Reason
) -> None:
    assert forger.refusal(**change) == reason


@pytest.mark.parametrize("seconds", [-599, 599])
def test_clocks_may_differ_by_ten_minutes(forger: Forger, seconds: int) -> None:
    assert forger.verify(now=NOW + timedelta(seconds=seconds)).produced_at == NOW.replace(microsecond=0)


def test_another_root_is_refused(pki: Pki, forger: Forger) -> None:
    assert forger.refusal(root=pki.ssl_root) == Reason.ROOT


def test_the_evidence_of_another_order_does_not_fit(pki: Pki, forger: Forger) -> None:
    """Two honest orders: neither half may be exchanged."""
    signature, response = order(pki)
    assert forger.refusal(ocsp_response=response) == Reason.OCSP_NONCE
    assert forger.refusal(signature=signature) == Reason.OCSP_NONCE


# Base64, size and XML


def test_what_is_too_large_is_not_looked_at(forger: Forger) -> None:
    assert forger.refusal(signature="!" * (evidence_xml.MAX_SIGNATURE_CHARACTERS + 1)) == Reason.TOO_LARGE
    response = "!" * (evidence_ocsp.MAX_RESPONSE_CHARACTERS + 1)
    assert forger.refusal(ocsp_response=response) == Reason.TOO_LARGE


@pytest.mark.parametrize(
    "alter",
    [
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text[:76] + "\r\n" + text[76:],
        lambda text: text[:-1] + "-",
        lambda text: text + "====",
        lambda text: text[:-1],
        lambda text: text[:40] + "å" + text[41:],
        lambda text: text[:40] + "\0" + text[40:],
    ],
)
def test_base64_has_one_form(forger: Forger, alter: Alter) -> None:
    signature = b64(forger.xml().encode())
    response = forger.ocsp(signature)
    assert forger.refusal(signature=alter(signature)) == Reason.BASE64
    assert forger.refusal(ocsp_response=alter(b64(response))) == Reason.BASE64


def test_unused_bits_at_the_end_are_refused() -> None:
    assert evidence_xml.decode("PGEvPg==") == b"<a/>"
    assert refused(lambda: evidence_xml.decode("PGEvPh==")) == Reason.BASE64


DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BILLION_LAUGHS = f'<!DOCTYPE Signature [<!ENTITY l0 "ha">{LAUGHS}]>'


@pytest.mark.parametrize(
    "alter",
    [
        swap(DECLARATION, DECLARATION + BILLION_LAUGHS),
        swap(DECLARATION, DECLARATION + '<!DOCTYPE Signature SYSTEM "file:///etc/passwd">'),
        swap(DECLARATION, DECLARATION + "<!-- -->"),
        swap(DECLARATION, DECLARATION + "<?php ?>"),
        swap(DECLARATION, DECLARATION + "\0"),
        swap(DECLARATION, " " + DECLARATION),
        swap(DECLARATION, "\ufeff" + DECLARATION),
        swap('version="1.0"', 'version="1.1"'),
        swap('encoding="UTF-8"', 'encoding="UTF-7"'),
        swap("<SignatureValue>", "<SignatureValue><!-- -->"),
        swap("<X509Certificate>", "<X509Certificate><?a b?>"),
        swap("</SignatureValue>", "<![CDATA[]]></SignatureValue>"),
        swap("</SignatureValue>", "&e;</SignatureValue>"),
        swap("</Signature>", ""),
        swap("</Signature>", "</Signature><Signature/>"),
        swap("<Object>", "<Object" + ' a="1"' * 2 + ">"),
        swap("<Object>", "<a>" * 100_000),
        lambda text: "",
        lambda text: DECLARATION,
    ],
)
def test_other_than_plain_xml_is_refused(forger: Forger, alter: Alter) -> None:
    forger.text = alter
    assert forger.refusal() == Reason.XML


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp037"])
def test_only_utf_8_is_read(forger: Forger, encoding: str) -> None:
    """With an å in it, so that latin-1 differs too; without a declaration, which would lie."""
    text = forger.xml().removeprefix(DECLARATION).replace("<Object>", '<Object å="å">')
    assert refused(lambda: evidence_xml.read(b64(text.encode(encoding)))) == Reason.XML
    assert evidence_xml.read(b64(text.encode())).certificates


def test_a_declaration_is_not_demanded(forger: Forger) -> None:
    forger.text = swap(DECLARATION, "")
    assert forger.verify().personal_number == ANNA.personal_number


# Structure: what is read must be what was signed

OTHER_TEXT = b64(b"Jag skanker bort min bostad")
VISIBLE = (
    f'<usrVisibleData xmlns="{make.TYPES}" charset="UTF-8" visible="wysiwys">{OTHER_TEXT}</usrVisibleData>'
)
OTHER_DATA = f'<bankIdSignedData xmlns="{make.TYPES}" Id="{{}}">{VISIBLE}</bankIdSignedData>'


def wrap(where: str, other_id: str = "bidOther") -> Alter:
    """Signature wrapping: move the signed element away, and put another in its place."""

    def alter(text: str) -> str:
        begin, end = text.index("<bankIdSignedData"), text.index("</Object>")
        signed = text[begin:end]
        return where.format(text[: begin - len("<Object>")], signed, OTHER_DATA.format(other_id))

    return alter


@pytest.mark.parametrize(
    "alter",
    [
        swap("<Object>", f"<Object>{VISIBLE}</Object><Object>"),
        swap("<Object>", f"<Object>{VISIBLE}"),
        swap("</Object>", f"{VISIBLE}</Object>"),
        swap("<SignedInfo", f"{VISIBLE}<SignedInfo"),
        swap("</Signature>", f"{VISIBLE}</Signature>"),
        swap("<SignatureValue>", f"<SignatureValue>{VISIBLE}"),
        swap("<X509Data>", f"<X509Data>{VISIBLE}"),
        wrap("{0}<Object>{2}</Object><Object>{1}</Object></Signature>"),
        wrap("{0}<Object>{2}{1}</Object></Signature>"),
        wrap("{0}<Object>{1}{2}</Object></Signature>"),
        wrap('{0}<Object>{2}<x xmlns="">{1}</x></Object></Signature>'),
        wrap("{0}<Object>{2}</Object>{1}</Signature>"),
        swap("<Object>", "<Object><SignedInfo/>"),
        swap("<Object>", '<Object><x xmlns="urn:x"/>'),
        swap("<SignatureValue>", "<SignatureValue/><SignatureValue>"),
        swap("</KeyInfo>", "</KeyInfo><KeyInfo/>"),
        swap('xmlns="http://www.w3.org/2000/09/xmldsig#"', 'xmlns="urn:x"'),
        lambda text: f"<x>{text.removeprefix(DECLARATION)}</x>",
        lambda text: "<Signature/>",
        lambda text: f'<Signature xmlns="{make.DSIG}"/>',
    ],
)
def test_what_is_added_to_a_signed_document_is_refused(forger: Forger, alter: Alter) -> None:
    forger.text = alter
    assert forger.refusal() == Reason.STRUCTURE


@pytest.mark.parametrize(
    "alter",
    [
        wrap("{0}<Object>{2}</Object><Object>{1}</Object></Signature>", "bidSignedData"),
        swap("<Object>", '<Object ID="bidSignedData">'),
        swap("<Object>", '<Object xml:id="bidKeyInfo">'),
        swap("<SignedInfo", '<SignedInfo id="bidKeyInfo"'),
    ],
)
def test_ids_must_differ(forger: Forger, alter: Alter) -> None:
    forger.text = alter
    assert forger.refusal() == Reason.DUPLICATE_ID


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (swap(b64(TEXT.encode()), OTHER_TEXT), Reason.DIGEST),
        (swap(b64(TEXT.encode()), b64(TEXT.encode()) + "\n"), Reason.DIGEST),
        (swap("<uauth>pw</uauth>", ""), Reason.DIGEST),
        (swap("<usrVisibleData ", '<usrVisibleData x="1" '), Reason.DIGEST),
        (swap("#sha256", "#sha512"), Reason.ALGORITHM),
        (swap("</SignatureValue>", "\n</SignatureValue>"), Reason.BASE64),
        (swap("</SignatureValue>", "AAAA</SignatureValue>"), Reason.BASE64),
        (swap("<SignedInfo xmlns", '<SignedInfo x="1" xmlns'), Reason.SIGNATURE),
        (swap("<SignedInfo xmlns", '<SignedInfo xmlns:x="relative" xmlns'), Reason.XML),
    ],
)
def test_a_change_after_signing_is_refused(forger: Forger, alter: Alter, reason: Reason) -> None:
    forger.text = alter
    assert forger.refusal() == reason


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (swap("<srvInfo>", VISIBLE.replace(f' xmlns="{make.TYPES}"', "") + "<srvInfo>"), Reason.STRUCTURE),
        (swap("<env>", "<funcId>Identification</funcId><env>"), Reason.STRUCTURE),
        (swap("<srvInfo>", "<srvInfo><srvInfo></srvInfo>"), Reason.STRUCTURE),
        (swap("</usrVisibleData>", "<b>AAAA</b></usrVisibleData>"), Reason.STRUCTURE),
        (swap('visible="wysiwys"', 'visible="wysiwys" x="1"'), None),
        (swap(b64(TEXT.encode()), b64(TEXT.encode()) + "\n"), Reason.BASE64),
        (swap(b64(TEXT.encode()), " " + b64(TEXT.encode())), Reason.BASE64),
        (swap(b64(TEXT.encode()), ""), Reason.VISIBLE_DATA),
        (swap(b64(TEXT.encode()), OTHER_TEXT), Reason.VISIBLE_DATA),
        (swap('charset="UTF-8"', 'charset="UTF-16"'), Reason.VISIBLE_FORMAT),
        (swap('format="simpleMarkdownV1"', 'format="plaintext"'), Reason.VISIBLE_FORMAT),
        (swap('Id="bidSignedData"', 'Id="bidOther"'), Reason.STRUCTURE),
        (swap(f"<usrNonVisibleData>{b64(HIDDEN)}</usrNonVisibleData>", ""), Reason.NON_VISIBLE_DATA),
        (swap("<srvInfo>", "<x><srvInfo>"), Reason.XML),
        (swap("Identification", "identification"), Reason.FUNC_ID),
        (swap("Identification", ""), Reason.FUNC_ID),
        (swap("<funcId>Identification</funcId>", ""), Reason.FUNC_ID),
    ],
)
def test_strange_signed_data_is_refused(forger: Forger, alter: Alter, reason: Reason | None) -> None:
    """Signed by the person's own key all the same. What is merely new to us is no reason."""
    forger.data = alter
    if reason is None:
        assert forger.verify().personal_number == ANNA.personal_number
    else:
        assert forger.refusal() == reason


def test_shown_text_elsewhere_in_the_signed_data_does_not_count(forger: Forger) -> None:
    def move(text: str) -> str:
        begin, end = text.index("<usrVisibleData"), text.index("<usrNonVisibleData")
        return text.replace(text[begin:end], "").replace("<env>", f"<env>{text[begin:end]}")

    forger.data = move
    assert forger.refusal() == Reason.VISIBLE_DATA


def test_what_the_relying_party_is_called_must_be_there(forger: Forger) -> None:
    forger.data = lambda text: text[: text.index("<srvInfo>")] + text[text.index("<clientInfo>") :]
    assert forger.refusal() == Reason.RELYING_PARTY


# SignedInfo: one way to sign

RSA_SHA256, C14N = SHA256.signature, make.C14N
MORE = "http://www.w3.org/2001/04/xmldsig-more#"


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (swap(RSA_SHA256, ""), Reason.ALGORITHM),
        (swap(RSA_SHA256, "none"), Reason.ALGORITHM),
        (swap(RSA_SHA256, f"{make.DSIG}rsa-sha1"), Reason.ALGORITHM),
        (swap(RSA_SHA256, f"{MORE}hmac-sha256"), Reason.ALGORITHM),
        (swap(RSA_SHA256, "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519"), Reason.ALGORITHM),
        (swap(RSA_SHA256 + '"', RSA_SHA256 + '" x="1"'), Reason.ALGORITHM),
        (swap(SHA256.digest, f"{make.DSIG}sha1"), Reason.ALGORITHM),
        (swap(C14N, "http://www.w3.org/2001/10/xml-exc-c14n#"), Reason.ALGORITHM),
        (swap(C14N, C14N + "#WithComments"), Reason.ALGORITHM),
        (
            swap(f'<Transform Algorithm="{C14N}">', f'<Transform Algorithm="{C14N}"><XPath/>'),
            Reason.ALGORITHM,
        ),
        (swap("<Transforms>", f'<Transforms><Transform Algorithm="{C14N}"/>'), Reason.STRUCTURE),
        (swap("<Transforms>", "<Transforms/><Transforms>"), Reason.STRUCTURE),
        (swap('URI="#bidSignedData"', 'URI=""'), Reason.REFERENCES),
        (swap('URI="#bidSignedData"', 'URI="#bidKeyInfo"'), Reason.REFERENCES),
        (swap('URI="#bidSignedData"', 'URI="#xpointer(/)"'), Reason.REFERENCES),
        (swap('URI="#bidKeyInfo"', ""), Reason.REFERENCES),
        (swap('URI="#bidKeyInfo"', 'URI="https://example.se/"'), Reason.REFERENCES),
        (lambda text: text[: text.rindex("<Reference")] + "</SignedInfo>", Reason.REFERENCES),
        (lambda text: text[: text.index("<Reference")] + "</SignedInfo>", Reason.REFERENCES),
        (swap("</SignedInfo>", "<Manifest/></SignedInfo>"), Reason.REFERENCES),
        (lambda text: f'<SignedInfo xmlns="{make.DSIG}"></SignedInfo>', Reason.STRUCTURE),
    ],
)
def test_another_way_to_sign_is_refused(forger: Forger, alter: Alter, reason: Reason) -> None:
    forger.signed = alter
    assert forger.refusal() == reason


def test_the_references_may_come_in_any_order(forger: Forger) -> None:
    def turn(text: str) -> str:
        first, second = text.index("<Reference"), text.rindex("<Reference")
        end = text.index("</SignedInfo>")
        return text[:first] + text[second:end] + text[first:second] + text[end:]

    forger.signed = turn
    assert forger.verify().personal_number == ANNA.personal_number


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


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA512()], ids=lambda hash: hash.name)
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


# The relying party's name

NAMED = [
    (NameOID.COUNTRY_NAME, "SE"),
    (NameOID.ORGANIZATION_NAME, "Bolag, Söner & Co AB"),
    (evidence.NAME_OID, 'Tjänsten "A\\B"'),
    (NameOID.COMMON_NAME, "fp1"),
]
WRITTEN = r"cn=fp1,name=Tjänsten \"A\\B\",o=Bolag\, Söner & Co AB,c=SE"


@pytest.mark.parametrize(
    ("written", "same"),
    [
        (WRITTEN, True),
        (r"C=SE, O=Bolag\, Söner & Co AB, 2.5.4.41=Tjänsten \"A\\B\", CN=fp1", True),
        (WRITTEN.replace(r"\, ", ", "), True),
        (WRITTEN.replace("Söner", r"S\C3\B6ner").replace(r"\,", r"\2C"), True),
        (WRITTEN.replace("fp1", "fp2"), False),
        (WRITTEN.replace("fp1", "FP1"), False),
        (WRITTEN.replace("cn=", "ou="), False),
        (WRITTEN + ",l=Stockholm", False),
        (WRITTEN + ",cn=fp1", False),
        (WRITTEN.removesuffix(",c=SE"), False),
        (WRITTEN + "\\", False),
        (WRITTEN + ",,", False),
        ("", False),
        ("fp1", False),
    ],
)
def test_the_relying_party_is_ours(forger: Forger, written: str, same: bool) -> None:
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in NAMED])
    certificate = reissue(forger.pki.rp_certificate, forger.pki.pair("rp-ca"), subject=name)
    forger.relying_party = written
    if same:
        assert forger.verify(rp_certificate=certificate).personal_number == ANNA.personal_number
    else:
        assert forger.refusal(rp_certificate=certificate) == Reason.RELYING_PARTY


def test_a_name_that_is_no_text_is_not_ours(forger: Forger) -> None:
    forger.data = swap(b64(make.dn(forger.pki.rp_certificate.subject).encode()), b64(b"cn=\xff"))
    assert forger.refusal() == Reason.RELYING_PARTY


# Anything at all

ANYTHING = settings(deadline=None, max_examples=150)


@pytest.fixture(scope="module")
def honest(pki: Pki) -> tuple[bytes, bytes]:
    """Evidence that verifies, decoded."""
    signature, response = order(pki)
    assert verify(pki, signature=signature, ocsp_response=response)
    return b64decode(signature), b64decode(response)


def mutate(original: bytes, place: int, replacement: bytes) -> bytes:
    place %= len(original)
    return original[:place] + replacement + original[place + len(replacement) :]


def says(pki: Pki, signature: bytes, response: bytes) -> VerifiedEvidence | Reason:
    """What `verify` makes of it; any exception but its own would fail the test."""
    try:
        return verify(pki, signature=b64(signature), ocsp_response=b64(response))
    except EvidenceError as error:
        return error.reason


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@ANYTHING
@given(place=st.integers(0, 20_000), replacement=st.binary(min_size=1, max_size=3))
def test_changed_xml_is_refused_or_means_the_same(
    pki: Pki, honest: tuple[bytes, bytes], place: int, replacement: bytes
) -> None:
    """With a fresh OCSP response for what came out, so that its nonce is not what refuses."""
    original, _ = honest
    changed = mutate(original, place, replacement)
    forger = new_forger(pki)
    answer = says(pki, changed, forger.ocsp(b64(changed)))
    unsigned = original.index(b"<Signature")
    if changed[unsigned:] == original[unsigned:]:
        assert isinstance(answer, VerifiedEvidence) or answer == Reason.XML
    else:
        assert isinstance(answer, Reason)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@ANYTHING
@given(place=st.integers(0, 3_000), replacement=st.binary(min_size=1, max_size=3))
def test_a_changed_ocsp_response_is_refused_or_means_the_same(
    pki: Pki, honest: tuple[bytes, bytes], place: int, replacement: bytes
) -> None:
    signature, original = honest
    answer = says(pki, signature, mutate(original, place, replacement))
    unchanged_answer = says(pki, signature, original)
    assert isinstance(answer, Reason) or answer == unchanged_answer


@ANYTHING
@given(text=st.text(max_size=200), response=st.text(max_size=200))
def test_any_text_is_answered_by_a_reason(pki: Pki, text: str, response: str) -> None:
    assert isinstance(refused(lambda: verify(pki, signature=text, ocsp_response=response)), Reason)


def test_every_reason_has_been_seen() -> None:
    """A reason that no table here mentions is a check that no test can miss."""
    with open(__file__) as file:
        here = file.read()
    assert [reason for reason in Reason if f"Reason.{reason.name}" not in here] == []
