"""The simulator's certificates are made once, keep their keys private, and are marked as a simulator's."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from idp.bankid.simulator import people
from idp.bankid.simulator.pki import NAME_OID, PASSPHRASE, RP_DISPLAY_NAME, Pki
from idp.users.personal_number import PersonalNumber

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ANNA = people.PEOPLE[0]


def test_certificates_are_made_once(pki: Pki) -> None:
    for again in (Pki.make(pki.directory), Pki.load(pki.directory)):
        assert again.signature_root == pki.signature_root
        assert again.ssl_root == pki.ssl_root
        assert again.pair("rp").key.private_numbers() == pki.pair("rp").key.private_numbers()


def test_loading_from_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no simulator certificates"):
        Pki.load(tmp_path)


def test_private_files_are_their_owners_alone(pki: Pki) -> None:
    private = [*pki.directory.glob("*.key"), *pki.directory.glob("*.p12")]
    assert len(private) > 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


def test_the_bundle_holds_the_relying_partys_pair(pki: Pki) -> None:
    bundle = pkcs12.load_pkcs12((pki.directory / "rp.p12").read_bytes(), PASSPHRASE.encode())
    assert bundle.cert is not None
    assert bundle.cert.certificate == pki.rp_certificate
    assert [extra.certificate for extra in bundle.additional_certs] == [pki.pair("rp-ca").certificate]
    (shown,) = pki.rp_certificate.subject.get_attributes_for_oid(NAME_OID)
    assert shown.value == RP_DISPLAY_NAME


def test_every_name_says_that_it_is_a_simulator(pki: Pki) -> None:
    certificates = [pki.pair(path.stem).certificate for path in pki.directory.glob("*.pem")]
    certificates.append(pki.user_certificate(ANNA, "mobile", "Identification", now=NOW).certificate)
    assert len(certificates) > 7
    for certificate in certificates:
        assert "SIMULATOR" in certificate.subject.rfc4514_string()
        assert "SIMULATOR" in certificate.issuer.rfc4514_string()


def test_a_user_has_one_certificate_for_each_use(pki: Pki) -> None:
    login = pki.user_certificate(ANNA, "mobile", "Identification", now=NOW)
    assert pki.user_certificate(ANNA, "mobile", "Identification", now=NOW + timedelta(days=300)) is login
    signing = pki.user_certificate(ANNA, "mobile", "Signing", now=NOW)
    card = pki.user_certificate(ANNA, "card", "Identification", now=NOW)
    keys = {pair.key.private_numbers().d for pair in (login, signing, card)}
    assert len(keys) == 3


def test_a_certificate_that_ran_out_is_replaced_on_the_same_key(pki: Pki) -> None:
    first = pki.user_certificate(ANNA, "file", "Identification", now=NOW)
    later = NOW + timedelta(days=400)
    second = pki.user_certificate(ANNA, "file", "Identification", now=later)
    assert second.certificate.not_valid_before_utc <= later < second.certificate.not_valid_after_utc
    assert second.certificate != first.certificate
    assert second.certificate.public_key() == first.certificate.public_key()


def test_a_users_name_is_laid_out_as_the_banks_do(pki: Pki) -> None:
    """Country, bank, surname, given name, number, when issued and what, full name."""
    subject = pki.user_certificate(ANNA, "mobile", "Identification", now=NOW).certificate.subject
    assert [attribute.oid for attribute in subject] == [
        NameOID.COUNTRY_NAME,
        NameOID.ORGANIZATION_NAME,
        NameOID.SURNAME,
        NameOID.GIVEN_NAME,
        NameOID.SERIAL_NUMBER,
        NAME_OID,
        NameOID.COMMON_NAME,
    ]
    assert [attribute.value for attribute in subject][-2:] == [
        "(261121 01.00) Anna Åkesson - Mobilt BankID",
        "Anna Åkesson",
    ]


def test_test_persons_have_right_numbers_and_one_is_in_capitals() -> None:
    numbers = [PersonalNumber.parse(person.personal_number, today=NOW.date()) for person in people.PEOPLE]
    assert len(set(numbers)) == len(numbers)
    assert any(person.name.isupper() for person in people.PEOPLE)
    assert people.find("189001019802") == ANNA
    assert people.find("189001019803") is None
