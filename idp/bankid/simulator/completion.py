"""The completionData of an order that its person approved (RP API, `/collect`)."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography import x509

from idp.bankid.simulator.evidence import Defect, make_evidence
from idp.bankid.simulator.faults import ABSENT, DIFFERENT, NO, SAME, Fault, Faults
from idp.bankid.simulator.order import Order
from idp.bankid.simulator.people import Person
from idp.bankid.simulator.pki import Kind, Pki
from idp.bankid.simulator.validation import AuthRequest

DISPLAY_NAME = x509.ObjectIdentifier("2.5.4.41")
OTHER_ADDRESS = "203.0.113.77"
CALLED_ADDRESS = "192.0.2.10"
"""The app's address during a call, for which no browser gives one."""
DATE_ENDINGS: Mapping[Kind, str] = {"mobile": "Z", "file": "+00:00", "card": ""}
"""The endings of an issue date: BankID writes all three."""


def display_name(relying_party: x509.Certificate) -> str:
    """The relying party's name in the app: that of its certificate (2.5.4.41), else its organisation."""
    for kind in (DISPLAY_NAME, x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME):
        for attribute in relying_party.subject.get_attributes_for_oid(kind):
            return str(attribute.value)
    return relying_party.subject.rfc4514_string()


def make_completion(order: Order, now: datetime, *, pki: Pki, faults: Faults) -> dict[str, Any]:
    """The completionData, changed by the faults that are on. Without faults it verifies."""
    person, request = order.person, order.request
    if person is None or order.kind is None:
        raise ValueError("the order is not open in the app")
    issued = pki.user_certificate(
        person, order.kind, "Identification", now=now
    ).certificate.not_valid_before_utc
    defect = faults.take(Fault.EVIDENCE)
    signature, ocsp_response = make_evidence(
        pki,
        person=person,
        rp_certificate=order.relying_party,
        display_name=display_name(order.relying_party),
        visible_data=request.userVisibleData,
        visible_format=request.userVisibleDataFormat,
        non_visible_data=request.userNonVisibleData,
        func_id="Signing" if request.is_signature else "Identification",
        kind=order.kind,
        now=now,
        defect=None if defect is None else Defect(defect),
    )
    data: dict[str, Any] = {
        "user": {
            "personalNumber": person.personal_number,
            "name": person.name,
            "givenName": person.given_name,
            "surname": person.surname,
        },
        "device": {
            "ipAddress": _device_address(order, faults.take(Fault.DEVICE_IP)),
            "uhi": _hardware_id(person, order.kind),
        },
        "bankIdIssueDate": f"{issued.date()}{DATE_ENDINGS[order.kind]}",
        "signature": signature,
        "ocspResponse": ocsp_response,
    }
    if request.requirement.mrtd:
        fault = faults.take(Fault.MRTD)
        data["stepUp"] = {"mrtd": order.mrtd is not False if fault is None else fault != NO}
    if isinstance(request, AuthRequest) and request.returnRisk:
        risk = faults.take(Fault.RISK) or "low"
        if risk != ABSENT:
            data["risk"] = risk
    while (missing := faults.take(Fault.MISSING)) is not None:
        _remove(data, missing)
    return data


def _device_address(order: Order, fault: str | None) -> str:
    if fault == DIFFERENT:
        return OTHER_ADDRESS
    if fault not in {None, SAME}:
        return str(fault)
    return order.request.endUserIp if isinstance(order.request, AuthRequest) else CALLED_ADDRESS


def _hardware_id(person: Person, kind: str) -> str:
    """A value that stays the same for a device: each person has one device for each kind of BankID."""
    return hashlib.sha256(f"{person.personal_number} {kind}".encode()).hexdigest()[:40]


def _remove(data: dict[str, Any], field: str) -> None:
    *outer, last = field.split(".")
    for name in outer:
        data = data.get(name, {})
    data.pop(last, None)
