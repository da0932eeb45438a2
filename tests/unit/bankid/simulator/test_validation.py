"""The simulator refuses bad requests of a relying party and names the field (RP API v6.0)."""

import json
from base64 import b64encode
from typing import Any

import pytest

from idp.bankid.simulator.validation import (
    AuthRequest,
    InvalidParametersError,
    OrderRequest,
    PhoneAuthRequest,
    PhoneSignRequest,
    SignRequest,
    StartRequest,
    matches_policy,
    parse,
)

GOOD_TEXT = b64encode("Logga in hos Åkeriet".encode()).decode()
GOOD: dict[type[StartRequest], dict[str, Any]] = {
    AuthRequest: {"endUserIp": "192.0.2.1"},
    SignRequest: {"endUserIp": "2001:db8::1", "userVisibleData": GOOD_TEXT},
    PhoneAuthRequest: {"personalNumber": "199001012385", "callInitiator": "user"},
    PhoneSignRequest: {
        "personalNumber": "199001012385",
        "callInitiator": "RP",
        "userVisibleData": GOOD_TEXT,
    },
}
GONE = object()
CARD = {"certificatePolicies": ["1.2.3.4.10"]}


def encoded(length: int) -> str:
    return "QUFB" * (length // 4)


def details(kind: type[StartRequest], changes: dict[str, Any]) -> str:
    """Why the good request is refused after these changes, having been accepted before them."""
    good = GOOD[kind]
    parse(json.dumps(good).encode(), kind)
    changed = {name: value for name, value in (good | changes).items() if value is not GONE}
    with pytest.raises(InvalidParametersError) as caught:
        parse(json.dumps(changed).encode(), kind)
    return caught.value.details


@pytest.mark.parametrize(
    "changes",
    [
        {"userVisibleData": encoded(1500)},
        {"userNonVisibleData": encoded(1500)},
        {"userVisibleData": GOOD_TEXT, "userVisibleDataFormat": "plaintext"},
        {"userVisibleData": GOOD_TEXT, "userVisibleDataFormat": "simpleMarkdownV1"},
        {"endUserIp": "::ffff:192.0.2.1"},
        {"returnUrl": "https://login.example.se/#" + "n" * 486, "returnRisk": True},
        {"web": {"referringDomain": "xn--leasify-1za.se", "userAgent": "x" * 256, "deviceIdentifier": "y"}},
        {"app": {"appIdentifier": "se.example.app", "deviceOS": "iOS 19", "deviceModelName": "iPhone"}},
        {"requirement": {}},
        {"requirement": {"pinCode": True, "mrtd": False, "personalNumber": "199001012385"}},
        {"requirement": {"certificatePolicies": ["1.2.3.4.25", "1.2.752.78.*"]}},
        {"requirement": {"certificatePolicies": ["1.2.3.4.*"], "cardReader": "class2"}},
    ],
)
def test_every_request_that_the_api_allows_is_accepted(changes: dict[str, Any]) -> None:
    request = parse(json.dumps(GOOD[AuthRequest] | changes).encode(), AuthRequest)
    assert request.model_dump(exclude_unset=True) == GOOD[AuthRequest] | changes


@pytest.mark.parametrize("kind", GOOD)
def test_each_call_has_a_good_request(kind: type[StartRequest]) -> None:
    request = parse(json.dumps(GOOD[kind]).encode(), kind)
    assert request.is_signature is (kind in {SignRequest, PhoneSignRequest})
    assert request.visible_text == ("Logga in hos Åkeriet" if request.is_signature else "")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"endUserIp": GONE}, "endUserIp is missing"),
        ({"endUserIp": "login.example.se"}, "endUserIp"),
        ({"endUserIp": "192.0.2.1:443"}, "endUserIp"),
        ({"endUserIp": "fe80::1%eth0"}, "endUserIp"),
        ({"endUserIp": 7}, "endUserIp"),
        ({"personalNumber": "199001012385"}, "personalNumber is not known"),
        ({"allowFingerprint": True}, "allowFingerprint is not known"),
        ({"enduserip": "192.0.2.1", "endUserIp": GONE}, "enduserip is not known"),
        ({"userVisibleData": "plain text"}, "userVisibleData"),
        ({"userVisibleData": ""}, "userVisibleData"),
        ({"userVisibleData": GOOD_TEXT.rstrip("=")[:-1]}, "userVisibleData"),
        ({"userVisibleData": "QUFB\nQUFB"}, "userVisibleData"),
        ({"userVisibleData": "_-_-"}, "userVisibleData"),
        ({"userVisibleData": b64encode(b"\xff\xfe\xfd").decode()}, "userVisibleData"),
        ({"userVisibleData": encoded(1504)}, "userVisibleData"),
        ({"userNonVisibleData": encoded(1504)}, "userNonVisibleData"),
        ({"userNonVisibleData": "nope"[:3]}, "userNonVisibleData"),
        ({"userVisibleData": GOOD_TEXT, "userVisibleDataFormat": "markdown"}, "userVisibleDataFormat"),
        ({"returnUrl": "https://x.se/" + "x" * 500}, "returnUrl"),
        ({"returnUrl": ""}, "returnUrl"),
        ({"returnRisk": "true"}, "returnRisk"),
        ({"web": {"userAgent": "x"}, "app": {"deviceOS": "x"}}, "both web and app"),
        ({"web": {}}, "web"),
        ({"app": {}}, "app"),
        ({"web": {"referringDomain": "Example.se"}}, "web.referringDomain"),
        ({"web": {"referringDomain": "https://x.se"}}, "web.referringDomain"),
        ({"web": {"referringDomain": "a.se\n"}}, "web.referringDomain"),
        ({"web": {"userAgent": "x" * 257}}, "web.userAgent"),
        ({"web": {"deviceIdentifier": "x" * 65}}, "web.deviceIdentifier"),
        ({"web": {"ip": "192.0.2.1"}}, "web.ip is not known"),
        ({"requirement": []}, "requirement"),
        ({"requirement": {"pinCode": "true"}}, "requirement.pinCode"),
        ({"requirement": {"pincode": True}}, "requirement.pincode is not known"),
        ({"requirement": {"mrtd": 1}}, "requirement.mrtd"),
        ({"requirement": {"risk": "low"}}, "requirement.risk is not known"),
        ({"requirement": {"personalNumber": "9001012385"}}, "requirement.personalNumber"),
        ({"requirement": {"personalNumber": "19900101-2385"}}, "requirement.personalNumber"),
        ({"requirement": {"personalNumber": "199001012385\n"}}, "requirement.personalNumber"),
        ({"requirement": {"personalNumber": "١٩٩٠٠١٠١٢٣٨٥"}}, "requirement.personalNumber"),
        ({"requirement": {"certificatePolicies": "1.2.3.4.25"}}, "requirement.certificatePolicies"),
        ({"requirement": {"certificatePolicies": []}}, "requirement.certificatePolicies"),
        ({"requirement": {"certificatePolicies": ["1.2.752.*"]}}, "requirement.certificatePolicies"),
        ({"requirement": {"certificatePolicies": ["1.2.3.4.*.*"]}}, "requirement.certificatePolicies"),
        ({"requirement": {"certificatePolicies": ["1.2.3.4.2*"]}}, "requirement.certificatePolicies"),
        ({"requirement": {"certificatePolicies": ["1..2"]}}, "requirement.certificatePolicies"),
        ({"requirement": {"certificatePolicies": ["mobile"]}}, "requirement.certificatePolicies"),
        ({"requirement": {"cardReader": "class1"}}, "requirement: cardReader"),
        ({"requirement": CARD | {"cardReader": "class3"}}, "requirement.cardReader"),
    ],
)
def test_auth_refuses_and_names_the_field(changes: dict[str, Any], field: str) -> None:
    assert field in details(AuthRequest, changes)


@pytest.mark.parametrize(
    ("kind", "changes", "field"),
    [
        (SignRequest, {"userVisibleData": GONE}, "userVisibleData is missing"),
        (SignRequest, {"userVisibleData": encoded(40_004)}, "userVisibleData"),
        (SignRequest, {"userNonVisibleData": encoded(200_004)}, "userNonVisibleData"),
        (PhoneAuthRequest, {"personalNumber": GONE}, "personalNumber is missing"),
        (PhoneAuthRequest, {"personalNumber": "1990010123"}, "personalNumber"),
        (PhoneAuthRequest, {"callInitiator": GONE}, "callInitiator is missing"),
        (PhoneAuthRequest, {"callInitiator": "rp"}, "callInitiator"),
        (PhoneAuthRequest, {"endUserIp": "192.0.2.1"}, "endUserIp is not known"),
        (PhoneSignRequest, {"userVisibleData": GONE}, "userVisibleData is missing"),
    ],
)
def test_calls_but_auth_refuse_and_name_the_field(
    kind: type[StartRequest], changes: dict[str, Any], field: str
) -> None:
    assert field in details(kind, changes)


def test_a_signature_may_have_longer_data_than_a_login() -> None:
    long = {"userVisibleData": encoded(40_000), "userNonVisibleData": encoded(200_000)}
    request = parse(json.dumps(GOOD[SignRequest] | long).encode(), SignRequest)
    assert request.userNonVisibleData == long["userNonVisibleData"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidParametersError, match="JSON"):
        parse(body, AuthRequest)


@pytest.mark.parametrize("body", [{}, {"orderRef": 1}, {"orderRef": "x", "more": "y"}])
def test_an_order_ref_is_all_that_collect_takes(body: dict[str, Any]) -> None:
    assert parse(b'{"orderRef": "x"}', OrderRequest).orderRef == "x"
    with pytest.raises(InvalidParametersError, match=r"orderRef|more"):
        parse(json.dumps(body).encode(), OrderRequest)


@pytest.mark.parametrize(
    ("policy", "wanted", "matches"),
    [
        ("1.2.3.4.25", None, True),
        ("1.2.3.4.25", ["1.2.3.4.25"], True),
        ("1.2.3.4.25", ["1.2.3.4.5", "1.2.3.4.*"], True),
        ("1.2.3.4.25", ["1.2.3.4.5"], False),
        ("1.2.3.4.25", ["1.2.752.78.*"], False),
        ("1.2.752.78.1.5", ["1.2.752.78.*"], True),
        ("1.2.752.78.1.5", ["1.2.752.78.*.5"], True),
        ("1.2.3.4.25", ["1.2.3.4.2"], False),
    ],
)
def test_policies_match_whole_or_by_wildcard(policy: str, wanted: list[str] | None, matches: bool) -> None:
    assert matches_policy(policy, wanted) is matches
