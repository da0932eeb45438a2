"""Evidence made wrong on purpose, with one step altered and what follows it done right."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from idp.bankid.evidence import verification
from idp.bankid.evidence.errors import EvidenceError, Reason
from idp.bankid.evidence.verification import VerifiedEvidence
from idp.bankid.simulator import evidence as make
from idp.bankid.simulator.evidence import b64, make_evidence
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.pki import POLICIES, Pair, Pki

NOW = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)
ANNA = PEOPLE[0]
TEXT = "Logga in hos Portalen åäö"
HIDDEN = b"\x00\xff bound to this login"
Alter = Callable[[str], str]


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
    algorithm: hashes.SHA224 | hashes.SHA256 = hashes.SHA256(),  # noqa: B008 - it has no state
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
    return builder.sign(issuer.key, algorithm)


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
    return verification.verify(**arguments)


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
