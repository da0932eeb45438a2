"""Network addresses count by the line that owns them, and forwarded ones by trusted proxies."""

from typing import Any

import pytest
from flask import Flask

from idp import audit
from idp.addresses import address_key
from tests.factories import PASSWORD
from tests.integration.web.limits.visitor import Visitor


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("", "unknown"),
        (None, "unknown"),
        ("unix:", "unknown"),
    ],
)
def test_addresses_that_count_as_one(address: str | None, key: str) -> None:
    assert address_key(address) == key


def test_an_ipv6_line_is_one_address(app: Flask, anna: str) -> None:
    statuses = [
        Visitor(app, f"2001:db8:1:2::{number}").guesses(1, f"person{number}@example.se")[0]
        for number in range(7)
    ]
    assert statuses == [401] * 6 + [429]
    assert Visitor(app, "2001:db8:1:3::1").tries(PASSWORD).status_code == 303


def logged_address(app: Flask, peer: str, forwarded: str | None) -> str | None:
    """The address that a failed login from `peer` with this X-Forwarded-For is audited with."""
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    assert Visitor(app, peer, **headers).tries("fel", "nobody@example.se").status_code in (401, 429)
    with app.app_context():
        return audit.newest(1)[0].address


FORWARDED = [
    # peer, X-Forwarded-For, the client's address
    ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
    ("10.0.0.1", "2001:DB8::9", "2001:db8::9"),
    ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
    ("10.0.0.1", "203.0.113.9, 10.0.0.3, 10.0.0.2", "203.0.113.9"),
    ("10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
    ("10.0.0.1", "10.0.0.99, 203.0.113.9", "203.0.113.9"),
    ("10.0.0.1", "203.0.113.9, rubbish", "10.0.0.1"),
    ("10.0.0.1", "rubbish", "10.0.0.1"),
    ("10.0.0.1", "", "10.0.0.1"),
    ("10.0.0.1", None, "10.0.0.1"),
    ("10.0.0.1", "10.0.0.7, 10.0.0.8", "10.0.0.7"),
    ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
    ("198.51.100.66", "203.0.113.9", "198.51.100.66"),
    ("198.51.100.66", "203.0.113.9, 10.0.0.1", "198.51.100.66"),
]


@pytest.mark.parametrize(("peer", "forwarded", "client"), FORWARDED)
def test_forwarded_addresses_count_as_far_as_trusted_proxies_wrote_them(
    environ: dict[str, str], request: Any, peer: str, forwarded: str | None, client: str
) -> None:
    environ["IDP_TRUSTED_PROXIES"] = "10.0.0.0/8"
    assert logged_address(request.getfixturevalue("app"), peer, forwarded) == client


def test_a_proxy_on_a_unix_socket_is_on_this_machine(environ: dict[str, str], request: Any) -> None:
    environ["IDP_TRUSTED_PROXIES"] = "127.0.0.1"
    app = request.getfixturevalue("app")
    assert logged_address(app, "", "203.0.113.9") == "203.0.113.9"
    assert logged_address(app, "", "6.6.6.6, 203.0.113.9") == "203.0.113.9"
    assert logged_address(app, "198.51.100.66", "203.0.113.9") == "198.51.100.66"


def test_forwarded_addresses_do_not_count_without_trusted_proxies(app: Flask) -> None:
    for peer in ("127.0.0.1", "10.0.0.1", "198.51.100.66"):
        assert logged_address(app, peer, "203.0.113.9") == peer


def test_a_spoofed_header_does_not_get_round_the_limit(app: Flask, anna: str) -> None:
    statuses = [
        Visitor(app, "198.51.100.66", **{"X-Forwarded-For": f"203.0.113.{number}"}).guesses(
            1, f"person{number}@example.se"
        )[0]
        for number in range(7)
    ]
    assert statuses == [401] * 6 + [429]
