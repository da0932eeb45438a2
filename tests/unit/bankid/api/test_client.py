"""The client sends valid orders and refuses to send others."""

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from idp.bankid.api import environment
from idp.bankid.api.answers import BankIdError, ErrorCode, Pending
from idp.bankid.api.client import BankIdClient, OrderRequest, Requirement, Web

STARTED = {
    "orderRef": "2f1d2c65-f59b-4c8f-8d9e-0a4d0c3a8a11",
    "autoStartToken": "7c40b5c9-fa74-49cf-b98c-bfe651f9a7c6",
    "qrStartToken": "67df3917-fa0d-44e5-b327-edcc928297f8",
    "qrStartSecret": "d28db9a7-4cde-429e-a983-359be676944c",
}
SMALLEST = OrderRequest(end_user_ip="192.0.2.7")
CARD = environment.TEST_POLICIES["card"]


class Recorder:
    """A BankID that answers everything with `response` and keeps what it was sent."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.response = httpx2.Response(200, json=STARTED)
        self.client = BankIdClient(environment.test(), httpx2.Client(transport=httpx2.MockTransport(self)))

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.response

    @property
    def body(self) -> dict[str, Any]:
        [request] = self.requests
        body: dict[str, Any] = json.loads(request.content)
        return body


@pytest.fixture
def bankid() -> Recorder:
    return Recorder()


def test_the_smallest_order(bankid: Recorder) -> None:
    started = bankid.client.auth(SMALLEST)
    assert started.qr_start_secret == STARTED["qrStartSecret"]
    [request] = bankid.requests
    assert (request.method, str(request.url)) == ("POST", "https://appapi2.test.bankid.com/rp/v6.0/auth")
    assert request.headers.get_list("Content-Type") == ["application/json"]
    assert bankid.body == {"endUserIp": "192.0.2.7"}


def test_every_field_of_an_order(bankid: Recorder) -> None:
    bankid.client.auth(
        OrderRequest(
            end_user_ip="2001:db8::7",
            visible_data="Logga in hos Åkeri & Söner",
            visible_format="simpleMarkdownV1",
            non_visible_data=b'{"client_id":"portal"}',
            return_url="https://login.example.se/login/abc/bankid#nonce=xyz",
            return_risk=True,
            requirement=Requirement(
                pin_code=True,
                mrtd=True,
                card_reader="class2",
                certificate_policies=(CARD, "1.2.752.78.*"),
                personal_number="199001012385",
            ),
            web=Web(
                referring_domain="login.example.se", user_agent="Mozilla/5.0", device_identifier="d" * 64
            ),
        )
    )
    body = bankid.body
    assert b64decode(body.pop("userVisibleData")).decode() == "Logga in hos Åkeri & Söner"
    assert b64decode(body.pop("userNonVisibleData")) == b'{"client_id":"portal"}'
    assert body == {
        "endUserIp": "2001:db8::7",
        "userVisibleDataFormat": "simpleMarkdownV1",
        "returnUrl": "https://login.example.se/login/abc/bankid#nonce=xyz",
        "returnRisk": True,
        "requirement": {
            "pinCode": True,
            "mrtd": True,
            "cardReader": "class2",
            "certificatePolicies": [CARD, "1.2.752.78.*"],
            "personalNumber": "199001012385",
        },
        "web": {
            "referringDomain": "login.example.se",
            "userAgent": "Mozilla/5.0",
            "deviceIdentifier": "d" * 64,
        },
    }


def test_sign_collect_and_cancel_have_their_own_addresses(bankid: Recorder) -> None:
    bankid.client.sign(replace(SMALLEST, visible_data="Avtal"))
    bankid.response = httpx2.Response(200, json={"status": "pending", "hintCode": "userSign"})
    assert bankid.client.collect("ref-1") == Pending("userSign")
    bankid.response = httpx2.Response(200, json={})
    bankid.client.cancel("ref-1")
    assert [request.url.path for request in bankid.requests] == [
        "/rp/v6.0/sign",
        "/rp/v6.0/collect",
        "/rp/v6.0/cancel",
    ]
    assert [json.loads(request.content) for request in bankid.requests[1:]] == [{"orderRef": "ref-1"}] * 2


@pytest.mark.parametrize(
    ("address", "sent"),
    [("::ffff:192.0.2.7", "192.0.2.7"), ("2001:DB8:0:0::7", "2001:db8::7"), ("127.0.0.1", "127.0.0.1")],
)
def test_the_users_address_is_sent_in_its_plain_form(bankid: Recorder, address: str, sent: str) -> None:
    bankid.client.auth(OrderRequest(end_user_ip=address))
    assert bankid.body == {"endUserIp": sent}


def test_a_long_user_agent_is_cut_and_an_empty_one_left_out(bankid: Recorder) -> None:
    bankid.client.auth(replace(SMALLEST, web=Web(user_agent="m" * 300)))
    assert bankid.body["web"] == {"userAgent": "m" * 256}
    bankid.requests.clear()
    bankid.client.auth(replace(SMALLEST, web=Web(user_agent="")))
    assert "web" not in bankid.body


@pytest.mark.parametrize(
    ("kind", "fits", "too_long"),
    [
        ("auth", {"visible_data": "é" * 562}, {"visible_data": "é" * 563}),
        ("auth", {"visible_data": "x" * 1125}, {"visible_data": "x" * 1126}),
        ("auth", {"non_visible_data": b"x" * 1125}, {"non_visible_data": b"x" * 1126}),
        ("sign", {"visible_data": "x" * 30_000}, {"visible_data": "x" * 30_001}),
        ("sign", {"non_visible_data": b"x" * 150_000}, {"non_visible_data": b"x" * 150_001}),
        ("auth", {"return_url": "https://a/" + "x" * 502}, {"return_url": "https://a/" + "x" * 503}),
        ("auth", {"web": Web(device_identifier="d" * 64)}, {"web": Web(device_identifier="d" * 65)}),
        ("auth", {"web": Web(referring_domain="d" * 253)}, {"web": Web(referring_domain="d" * 254)}),
    ],
)
def test_limits_count_what_is_sent(
    bankid: Recorder, kind: str, fits: dict[str, Any], too_long: dict[str, Any]
) -> None:
    start = bankid.client.auth if kind == "auth" else bankid.client.sign
    valid = SMALLEST if kind == "auth" else replace(SMALLEST, visible_data="Avtal")
    assert start(replace(valid, **fits))
    with pytest.raises(ValueError, match=r"must (have|be)"):
        start(replace(valid, **too_long))
    assert len(bankid.requests) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"end_user_ip": ""},
        {"end_user_ip": "localhost"},
        {"end_user_ip": "192.0.2.7:443"},
        {"end_user_ip": "fe80::1%eth0"},
        {"visible_data": ""},
        {"visible_data": "\ud800"},
        {"visible_format": "simpleMarkdownV1"},
        {"non_visible_data": b""},
        {"return_url": ""},
        {"requirement": Requirement(personal_number="9001012385")},
        {"requirement": Requirement(personal_number="19900101-2385")},
        {"requirement": Requirement(personal_number="١٩٩٠٠١٠١٢٣٨٥")},
        {"requirement": Requirement(personal_number="199001012385\n")},
        {"requirement": Requirement(certificate_policies=("1.2.752.*",))},
        {"requirement": Requirement(certificate_policies=("1.2.752.78.*.*",))},
        {"requirement": Requirement(certificate_policies=("1.2.752.78.x",))},
        {"requirement": Requirement(certificate_policies=("",))},
        {"requirement": Requirement(card_reader="class1")},
        {"requirement": Requirement(card_reader="class1", certificate_policies=("1.2.752.78.1.2",))},
        {"web": Web(referring_domain="Login.Example.se")},
        {"web": Web(referring_domain="åkeri.se")},
        {"web": Web(referring_domain="")},
        {"web": Web(device_identifier="")},
    ],
)
def test_orders_that_bankid_would_refuse_are_not_sent(bankid: Recorder, change: dict[str, Any]) -> None:
    bankid.client.auth(SMALLEST)
    with pytest.raises(ValueError, match=r"."):
        bankid.client.auth(replace(SMALLEST, **change))
    assert len(bankid.requests) == 1


def test_a_signature_needs_a_text(bankid: Recorder) -> None:
    with pytest.raises(ValueError, match="userVisibleData is missing"):
        bankid.client.sign(SMALLEST)
    assert bankid.requests == []


@pytest.mark.parametrize("content", [b"", b"{}", b"<html>"])
def test_the_answer_to_a_cancel_is_not_read(bankid: Recorder, content: bytes) -> None:
    bankid.response = httpx2.Response(200, content=content)
    bankid.client.cancel("ref-1")
    assert len(bankid.requests) == 1


def test_cancelling_a_finished_order_is_fine_but_other_errors_are_raised(bankid: Recorder) -> None:
    bankid.response = httpx2.Response(
        400, json={"errorCode": "invalidParameters", "details": "No such order"}
    )
    bankid.client.cancel("ref-1")
    bankid.response = httpx2.Response(503, json={"errorCode": "maintenance"})
    with pytest.raises(BankIdError) as refusal:
        bankid.client.cancel("ref-1")
    assert refusal.value.code is ErrorCode.MAINTENANCE


@pytest.mark.parametrize("call", ["auth", "sign", "collect"])
def test_no_call_is_sent_twice(call: str) -> None:
    sent: list[httpx2.Request] = []

    def hang_up(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        raise httpx2.ReadTimeout("too slow")

    client = BankIdClient(environment.test(), httpx2.Client(transport=httpx2.MockTransport(hang_up)))
    calls: dict[str, Callable[[], object]] = {
        "auth": lambda: client.auth(SMALLEST),
        "sign": lambda: client.sign(replace(SMALLEST, visible_data="Avtal")),
        "collect": lambda: client.collect("ref-1"),
    }
    with pytest.raises(BankIdError) as refusal:
        calls[call]()
    assert refusal.value.code is ErrorCode.NO_ANSWER
    assert len(sent) == 1


def test_orders_do_not_show_what_they_carry() -> None:
    request = replace(
        SMALLEST,
        return_url="https://login.example.se/#nonce=secret",
        requirement=Requirement(personal_number="199001012385"),
        web=Web(device_identifier="device-1"),
    )
    for secret in ("nonce", "199001012385", "device-1"):
        assert secret not in repr(request)
