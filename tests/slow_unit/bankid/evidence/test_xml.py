"""The XML signature has one form, one structure and one way to sign."""

import pytest

from idp.bankid.evidence import ocsp, xml
from idp.bankid.evidence.errors import Reason
from idp.bankid.simulator import evidence as make
from idp.bankid.simulator.evidence import SHA256, b64
from tests.slow_unit.bankid.evidence.forger import ANNA, HIDDEN, TEXT, Alter, Forger, refused, swap

# Base64, size and XML


def test_evidence_too_large_is_not_read(forger: Forger) -> None:
    assert forger.refusal(signature="!" * (xml.MAX_SIGNATURE_CHARACTERS + 1)) == Reason.TOO_LARGE
    response = "!" * (ocsp.MAX_RESPONSE_CHARACTERS + 1)
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
    assert xml.decode("PGEvPg==") == b"<a/>"
    assert refused(lambda: xml.decode("PGEvPh==")) == Reason.BASE64


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
def test_xml_that_is_not_plain_is_refused(forger: Forger, alter: Alter) -> None:
    forger.text = alter
    assert forger.refusal() == Reason.XML


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp037"])
def test_only_utf_8_is_read(forger: Forger, encoding: str) -> None:
    """With an å in it, so that latin-1 differs too; without a declaration, which would lie."""
    text = forger.xml().removeprefix(DECLARATION).replace("<Object>", '<Object å="å">')
    assert refused(lambda: xml.read(b64(text.encode(encoding)))) == Reason.XML
    assert xml.read(b64(text.encode())).certificates


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
        swap("</Object>", '<x xmlns="urn:x"/></Object>'),
        lambda text: text.replace("<Signature ", "<Other ").replace("</Signature>", "</Other>"),
        swap('xmlns="http://www.w3.org/2000/09/xmldsig#"', 'xmlns="urn:x"'),
        lambda text: f"<x>{text.removeprefix(DECLARATION)}</x>",
        lambda text: "<Signature/>",
        lambda text: f'<Signature xmlns="{make.DSIG}"/>',
    ],
)
def test_additions_to_a_signed_document_are_refused(forger: Forger, alter: Alter) -> None:
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


def test_the_relying_partys_name_must_be_there(forger: Forger) -> None:
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
