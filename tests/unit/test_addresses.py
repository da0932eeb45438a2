"""IP addresses: one spelling for each, and what one line owns."""

import pytest

from idp.addresses import address_key, read_address


@pytest.mark.parametrize(
    ("text", "address", "key"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("::FFFF:c000:207", "192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:0:1::7", "2001:db8::1:0:0:7", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::1%eth0", "fe80::/64"),
        ("::192.0.2.7", "::c000:207", "::/64"),
        ("192.0.2.07", None, "unknown"),
        ("unix:", None, "unknown"),
        ("", None, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_an_address_and_what_counts_as_one(text: str | None, address: str | None, key: str) -> None:
    found = read_address(text)
    assert (str(found) if found else None) == address
    assert address_key(text) == key
