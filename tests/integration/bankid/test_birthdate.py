"""The number of the linked BankID gives the birthdate."""

from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS
from idp.oidc.claims import INFO_SCOPE
from idp.users import bankid_links
from idp.users.personal_number import PersonalNumber
from tests.factories import make_client
from tests.fakes.relying_party import RelyingParty

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
BY_PASSWORD = {"acr_values": "https://login.example.se/acr/password"}


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(
            scope=f"openid profile {INFO_SCOPE}",
            login_methods=["bankid", "password"],
            number_after_any_login=True,
        )
    }


def birthdate(rp: RelyingParty, scope: str) -> str | None:
    tokens = rp.tokens(scope=f"openid {scope}", **BY_PASSWORD)
    told: dict[str, Any] = rp.userinfo(tokens.access_token).get_json()
    return told.get("birthdate")


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ("189001019802", "1890-01-01"),
        ("197010632391", "1970-10-03"),  # a coordination number: 60 is added to the day
        ("197000602391", None),  # one that does not tell month and day
    ],
)
def test_the_birthdate_follows_from_the_number(
    app: Flask, rp: RelyingParty, anna: str, digits: str, expected: str | None
) -> None:
    assert birthdate(rp, "profile") is None
    keys = NUMBER_KEYS.of(app)
    with app.app_context():
        bankid_links.link(UUID(anna), PersonalNumber(digits), "Anna Åsén", keys=keys, now=utcnow())
    assert birthdate(rp, "profile") == birthdate(rp, INFO_SCOPE) == expected
