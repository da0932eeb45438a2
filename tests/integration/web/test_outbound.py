"""Requests to registered addresses reach nothing inside and take little time."""

import ipaddress
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from idp import outbound
from idp.outbound import Outbound, OutboundError, is_public
from tests.fakes.key_server import HOST, KeyServer, key_server, make_certificate


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server(certificate: Path) -> Iterator[KeyServer]:
    with key_server(certificate) as server:
        yield server


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


@pytest.fixture
def here(tls: ssl.SSLContext) -> Outbound:
    """Every host name is this machine."""
    return Outbound(allow_loopback=True, tls=tls, resolve=lambda host, port: ["127.0.0.1"])


def refused(found: Outbound, url: str) -> str:
    with pytest.raises(OutboundError) as caught:
        found.request("GET", url)
    return str(caught.value)


def test_an_answer_comes_whole_over_tls_to_the_name_of_the_url(server: KeyServer, here: Outbound) -> None:
    server.headers = {"Cache-Control": "max-age=600"}
    answer = here.request("GET", server.https_url, headers={"Accept": "application/json"})
    assert (answer.status, answer.body) == (200, b'{"keys": []}')
    assert answer.headers["cache-control"] == "max-age=600"
    path, headers = server.requests[0]
    assert path == "/jwks.json"
    assert headers["Host"] == f"{HOST}:{server.port}"
    assert (headers["Accept"], headers["Accept-Encoding"]) == ("application/json", "identity")


def test_the_name_is_looked_up_once_and_its_checked_address_used(
    server: KeyServer, tls: ssl.SSLContext
) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])  # a name that changes: DNS rebinding
    found = Outbound(allow_loopback=True, tls=tls, resolve=lambda host, port: next(answers))
    assert found.request("GET", server.https_url).status == 200
    assert next(answers) == ["127.0.0.2"]


def test_the_second_address_is_tried_when_the_first_is_deaf(server: KeyServer, tls: ssl.SSLContext) -> None:
    found = Outbound(allow_loopback=True, tls=tls, resolve=lambda host, port: ["::1", "127.0.0.1"])
    assert found.request("GET", server.https_url).status == 200


@pytest.mark.parametrize(
    "addresses",
    [
        *(["127.0.0.1"], ["10.1.2.3"], ["192.168.0.1"], ["169.254.169.254"], ["100.64.0.1"], ["0.0.0.0"]),
        *(["::1"], ["fe80::1%eth0"], ["fc00::1"], ["::ffff:127.0.0.1"], ["224.0.0.1"], ["ff02::1"]),
        ["8.8.8.8", "10.1.2.3"],
        [],
    ],
    ids=str,
)
def test_addresses_inside_are_not_reached(
    server: KeyServer, tls: ssl.SSLContext, addresses: list[str]
) -> None:
    found = Outbound(tls=tls, resolve=lambda host, port: addresses)
    assert "address" in refused(found, server.https_url)
    assert server.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f000001", "localhost", "[::1]", "0"])
def test_no_way_to_write_this_machine_gets_there(server: KeyServer, host: str) -> None:
    assert "address" in refused(Outbound(), f"https://{host}:{server.port}/")
    assert server.requests == []


def _always(address: str) -> outbound.Resolver:
    return lambda host, port: [address]


def test_a_loopback_issuer_reaches_this_machine_by_http_and_nothing_else_inside() -> None:
    with key_server() as server:
        assert Outbound(allow_loopback=True).request("GET", server.http_url).status == 200
        assert refused(Outbound(), server.http_url) == "the URL is not https"
    for address in ("10.1.2.3", "8.8.8.8"):
        found = Outbound(allow_loopback=True, resolve=_always(address))
        assert "address" in refused(found, "http://keys.example.se/")
    found = Outbound(allow_loopback=True, resolve=lambda host, port: ["10.1.2.3"])
    assert "address" in refused(found, "https://keys.example.se/")


def test_redirects_are_not_followed(server: KeyServer, here: Outbound) -> None:
    server.status, server.headers = 302, {"Location": server.https_url + "/elsewhere"}
    assert here.request("GET", server.https_url).status == 302
    assert len(server.requests) == 1


def test_a_certificate_of_another_name_or_issuer_is_refused(
    server: KeyServer, here: Outbound, tmp_path: Path
) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in refused(here, server.https_url.replace(HOST, "other.example.se"))
    public_roots = Outbound(allow_loopback=True, resolve=lambda host, port: ["127.0.0.1"])
    assert "CERTIFICATE_VERIFY_FAILED" in refused(public_roots, server.https_url)
    assert server.requests == []


def test_a_huge_answer_is_refused(server: KeyServer, here: Outbound) -> None:
    server.body = b"x" * outbound.MAX_BYTES
    assert len(here.request("GET", server.https_url).body) == outbound.MAX_BYTES
    server.body += b"x"
    assert "larger than 65536 bytes" in refused(here, server.https_url)


def write_slowly(file: Any) -> None:
    file.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(200):
        file.write(b"x")
        file.flush()
        time.sleep(0.05)


def test_an_answer_that_trickles_in_is_cut_off(
    server: KeyServer, here: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 0.3)
    server.misbehave = write_slowly
    assert "too slow" in refused(here, server.https_url)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"what is this",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
    ids=["nothing", "not HTTP", "short", "endless headers"],
)
def test_a_broken_answer_is_refused(server: KeyServer, here: Outbound, sent: bytes) -> None:
    server.misbehave = lambda file: file.write(sent)
    assert refused(here, server.https_url)


def test_a_closed_port_and_an_unknown_name_are_refused(tls: ssl.SSLContext) -> None:
    found = Outbound(allow_loopback=True, tls=tls, resolve=lambda host, port: ["127.0.0.1"])
    with key_server() as server:
        port = server.port
    assert "ConnectError" in refused(found, f"https://{HOST}:{port}/")
    assert "no address" in refused(Outbound(), "https://" + "a" * 70 + ".example.se/")
    assert refused(Outbound(), "ftp://example.se/") == "the URL is not https"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *(("8.8.8.8", True), ("2606:4700::1111", True), ("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True)),
        *(("2002:808:808::1", True), ("2002:7f00:1::", False), ("64:ff9b::a00:1", False)),
        *(("::ffff:10.0.0.1", False), ("192.0.2.1", False), ("240.0.0.1", False), ("255.255.255.255", False)),
        *(("2001:db8::1", False), ("fec0::1", False), ("2001:0:53aa::1", False), ("::", False)),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public
