"""The simulator's evidence verifies, and evidence of something else is refused."""

from base64 import b64decode
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from idp.bankid.evidence.errors import EvidenceError, Reason
from idp.bankid.evidence.verification import NAME_OID, VerifiedEvidence
from idp.bankid.simulator import evidence as make
from idp.bankid.simulator.evidence import Defect, b64
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.pki import POLICIES, Pki
from tests.slow_unit.bankid.evidence.forger import (
    ANNA,
    HIDDEN,
    NOW,
    TEXT,
    Forger,
    new_forger,
    order,
    refused,
    reissue,
    swap,
    verify,
)

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


def test_evidence_forged_without_changes_verifies(forger: Forger) -> None:
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


# The relying party's name

NAMED = [
    (NameOID.COUNTRY_NAME, "SE"),
    (NameOID.ORGANIZATION_NAME, "Bolag, Söner & Co AB"),
    (NAME_OID, 'Tjänsten "A\\B"'),
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


def canonical(xml: bytes) -> bytes:
    """What a signature covers of a document: a tab for a space between attributes is nothing to it."""
    return etree.tostring(etree.fromstring(xml), method="c14n")


def says(pki: Pki, signature: bytes, response: bytes) -> VerifiedEvidence | Reason:
    """What `verify` makes of it; any exception but its own would fail the test."""
    try:
        return verify(pki, signature=b64(signature), ocsp_response=b64(response))
    except EvidenceError as error:
        return error.reason


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@ANYTHING
@given(place=st.integers(0, 20_000), replacement=st.binary(min_size=1, max_size=3))
@example(place=119, replacement=b"\t")  # between the element's name and its attribute
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
        assert isinstance(answer, Reason) or canonical(changed) == canonical(original)


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
    """A reason that no table here mentions is a check that no test would miss."""
    tables = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [reason for reason in Reason if f"Reason.{reason.name}" not in tables] == []
