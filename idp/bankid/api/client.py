"""BankID's RP API v6.0: a method for each call, typed values for requests and answers."""

import ipaddress
import json
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx2
from cryptography.hazmat.primitives.serialization import Encoding

from idp.addresses import without_mapping
from idp.bankid.api.answers import (
    BankIdError,
    Collected,
    OrderStarted,
    error_answered,
    error_without_answer,
    read_collected,
    read_order,
)
from idp.bankid.api.certificate import RpCertificate
from idp.bankid.api.environment import Environment

# A first handshake with BankID hangs now and then, hence the short limit and the new attempts.
CONNECT_SECONDS = 4.0
CONNECT_RETRIES = 2
READ_SECONDS = 10.0
POOL_SECONDS = 2.0
ANSWER_SECONDS = 20.0  # from the beginning of a call to the end of its answer
MAX_ANSWER_BYTES = 1024 * 1024
CANCEL_SECONDS = 2.0  # a courtesy to the app, not worth a longer wait
MAX_CONNECTIONS = 64
KEEP_ALIVE_SECONDS = 60.0

# Lengths count the encoded text (RP API v6.0).
MAX_VISIBLE = {"auth": 1_500, "sign": 40_000}
MAX_NON_VISIBLE = {"auth": 1_500, "sign": 200_000}
MAX_RETURN_URL = 512
MAX_USER_AGENT = 256
MAX_DEVICE_IDENTIFIER = 64


@dataclass(frozen=True)
class Requirement:
    """What an order demands of the user's BankID (RP API v6.0, requirement). Empty: BankID's defaults.

    `certificate_policies` (OIDs) replace all default ones. `personal_number` (12 digits) lets nobody else
    complete the order; it does not start the app.
    """

    pin_code: bool = False
    mrtd: bool = False
    card_reader: Literal["class1", "class2"] | None = None
    certificate_policies: tuple[str, ...] = ()
    personal_number: str | None = field(default=None, repr=False)

    def body(self) -> dict[str, Any]:
        """The JSON members for BankID. Raises `ValueError` for what BankID would refuse."""
        for policy in self.certificate_policies:
            parts = policy.split(".")
            if (
                not re.fullmatch(r"[0-9]+(\.([0-9]+|\*))+", policy)
                or parts.count("*") > 1
                or "*" in parts[:4]
            ):
                raise ValueError(
                    "certificatePolicies must be OIDs, with one * at most, from the fifth number on"
                )
        if self.personal_number is not None and not re.fullmatch(r"[0-9]{12}", self.personal_number):
            raise ValueError("personalNumber must have 12 digits")
        return _given(
            pinCode=self.pin_code or None,
            mrtd=self.mrtd or None,
            cardReader=self.card_reader,
            certificatePolicies=list(self.certificate_policies) or None,
            personalNumber=self.personal_number,
        )


@dataclass(frozen=True)
class Web:
    """The browser that starts an order, for BankID's risk assessment (RP API v6.0, web).

    `referring_domain` is our host in punycode, `device_identifier` a long-lived random value of the browser
    that is not its session. A user agent is cut to the length that BankID accepts.
    """

    referring_domain: str | None = None
    user_agent: str | None = None
    device_identifier: str | None = field(default=None, repr=False)

    def body(self) -> dict[str, Any]:
        """The JSON members for BankID. Raises `ValueError` for what BankID would refuse."""
        if self.referring_domain is not None and not re.fullmatch("[0-9a-z.-]{3,253}", self.referring_domain):
            raise ValueError("referringDomain must be a host name of 3 to 253 characters in punycode")
        identifier = self.device_identifier
        if identifier is not None and not 1 <= len(identifier) <= MAX_DEVICE_IDENTIFIER:
            raise ValueError(f"deviceIdentifier must have 1 to {MAX_DEVICE_IDENTIFIER} characters")
        return _given(
            referringDomain=self.referring_domain,
            userAgent=(self.user_agent or "")[:MAX_USER_AGENT] or None,
            deviceIdentifier=identifier,
        )


@dataclass(frozen=True)
class OrderRequest:
    """An order for identification or for signing (RP API v6.0, /auth and /sign).

    `end_user_ip` is the user's own address. The app shows `visible_data`: up to 1500 bytes of base64 for
    identification (1125 of UTF-8), 40 000 for signing. `non_visible_data` is signed too, but not shown.
    """

    end_user_ip: str
    visible_data: str | None = None
    visible_format: Literal["simpleMarkdownV1"] | None = None
    non_visible_data: bytes | None = None
    return_url: str | None = field(default=None, repr=False)
    return_risk: bool = False
    requirement: Requirement = Requirement()
    web: Web = Web()

    def body(self, kind: Literal["auth", "sign"]) -> dict[str, Any]:
        """The JSON members for BankID. Raises `ValueError` for what BankID would refuse."""
        visible = None if self.visible_data is None else self.visible_data.encode()
        if visible is None and (kind == "sign" or self.visible_format):
            raise ValueError("userVisibleData is missing")
        if self.return_url is not None and not 1 <= len(self.return_url) <= MAX_RETURN_URL:
            raise ValueError(f"returnUrl must have 1 to {MAX_RETURN_URL} characters")
        return _given(
            endUserIp=_address(self.end_user_ip),
            userVisibleData=_encoded("userVisibleData", visible, MAX_VISIBLE[kind]),
            userVisibleDataFormat=self.visible_format,
            userNonVisibleData=_encoded("userNonVisibleData", self.non_visible_data, MAX_NON_VISIBLE[kind]),
            returnUrl=self.return_url,
            returnRisk=self.return_risk or None,
            requirement=self.requirement.body() or None,
            web=self.web.body() or None,
        )


class BankIdClient:
    """The calls of the RP API. One client per environment and certificate, shared by a process's threads.

    No call is sent twice: /auth and /sign make a new order each time, /collect hands out a final result
    once. `http` retries setting up a connection and nothing else. Each method raises `BankIdError` when
    BankID refuses the call, cannot be reached or gives an unreadable answer.
    """

    def __init__(self, environment: Environment, http: httpx2.Client) -> None:
        self.environment = environment
        self._http = http

    def auth(self, order: OrderRequest) -> OrderStarted:
        """A new order for identification (/auth). Raises `ValueError` for what BankID would refuse."""
        return self._start("auth", order)

    def sign(self, order: OrderRequest) -> OrderStarted:
        """A new order for signing a text (/sign). Raises `ValueError` for what BankID would refuse."""
        return self._start("sign", order)

    def collect(self, order_ref: str) -> Collected:
        """How an order stands (RP API v6.0, /collect). BankID hands out a final result once: store it."""
        return read_collected(self._post("collect", {"orderRef": order_ref}))

    def cancel(self, order_ref: str) -> None:
        """End an order (RP API v6.0, /cancel); does nothing to one that is over already."""
        try:
            self._post("cancel", {"orderRef": order_ref}, timeout=httpx2.Timeout(CANCEL_SECONDS))
        except BankIdError as error:
            if not error.order_is_lost:
                raise

    def _start(self, kind: Literal["auth", "sign"], order: OrderRequest) -> OrderStarted:
        requirement = order.requirement
        if (
            requirement.card_reader
            and self.environment.policies["card"] not in requirement.certificate_policies
        ):
            raise ValueError("cardReader needs the policy of BankID on card")
        return read_order(self._post(kind, order.body(kind)))

    def _post(
        self, call: str, body: Mapping[str, object], *, timeout: httpx2.Timeout | None = None
    ) -> httpx2.Response:
        """The answer, if its status is 200; its body is not parsed, because that of /cancel may be empty."""
        latest = time.monotonic() + ANSWER_SECONDS
        try:
            with self._http.stream(
                "POST",
                self.environment.base_url + call,
                content=json.dumps(body).encode(),
                # Without a charset, to which BankID answers 415.
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                timeout=timeout or self._http.timeout,
            ) as streamed:
                response = _whole(streamed, latest)
        except httpx2.RequestError as error:
            raise error_without_answer(error) from None
        if response.status_code != httpx2.codes.OK:
            raise error_answered(response)
        return response


def make_http_client(environment: Environment, rp: RpCertificate) -> httpx2.Client:
    """The HTTP client for BankID: shows our certificate, and trusts the environment's root and no other.

    It keeps connections open, tries three times to set one up, and waits at most 10 s for an answer. It uses
    neither the system's certificates nor its proxy settings.
    """
    # Not create_default_context(): from Python 3.13 on it is stricter about the form of certificates than
    # BankID's intermediate ones may be. Host name and chain are checked either way.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=environment.ssl_root.public_bytes(Encoding.PEM).decode())
    # Into the context: httpx ignores `cert=` when it is given a context.
    rp.load_into(context)
    limits = httpx2.Limits(
        max_connections=MAX_CONNECTIONS,
        max_keepalive_connections=MAX_CONNECTIONS,
        keepalive_expiry=KEEP_ALIVE_SECONDS,
    )
    return httpx2.Client(
        transport=httpx2.HTTPTransport(
            verify=context, trust_env=False, limits=limits, retries=CONNECT_RETRIES
        ),
        timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=POOL_SECONDS),
        trust_env=False,
    )


def _whole(streamed: httpx2.Response, latest: float) -> httpx2.Response:
    """The answer with its body. Raises `RequestError` after `latest` (monotonic) or for too long a body."""
    chunks, size = [], 0
    for chunk in streamed.iter_bytes():
        chunks.append(chunk)
        size += len(chunk)
        if time.monotonic() > latest:
            raise httpx2.ReadTimeout("the answer was not complete in time")
        if size > MAX_ANSWER_BYTES:
            raise httpx2.DecodingError("the answer is larger than any of BankID's")
    headers = {"Content-Type": streamed.headers.get("Content-Type", "")}
    return httpx2.Response(streamed.status_code, headers=headers, content=b"".join(chunks))


def _given(**members: object) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _encoded(name: str, data: bytes | None, longest: int) -> str | None:
    if data is None:
        return None
    encoded = b64encode(data).decode()
    if not 1 <= len(encoded) <= longest:
        raise ValueError(f"{name} must have 1 to {longest} characters in base64, not {len(encoded)}")
    return encoded


def _address(literal: str) -> str:
    """The address as BankID accepts it: IPv4 also where it came inside IPv6, without a zone."""
    address = without_mapping(ipaddress.ip_address(literal))
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise ValueError("endUserIp must be an address without zone")
    return str(address)
