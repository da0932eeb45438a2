"""BankID makes and changes no other way to log in: such a change needs an own login first."""

import re
from typing import Any

import pytest
from flask import Flask

from tests.factories import PASSWORD, make_user
from tests.fakes.relying_party import HTTPS
from tests.integration.bankid.conftest import ANNA, BankIdVisitor, Phone, link
from tests.integration.bankid.linking import Account, linked_number
from tests.integration.bankid.orders import audited, complete

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("clock", "linked"),
]
NEW_PASSWORD = "vinterlig saxofon trampar"
CHANGES: dict[str, dict[str, str]] = {
    "password": {"password": NEW_PASSWORD, "confirm": NEW_PASSWORD},
    "email": {"email": "anna.ny@example.se"},
}


@pytest.fixture
def by_bankid(app: Flask, visitor: BankIdVisitor, phone: Phone) -> Account:
    """Anna, logged in by BankID a moment ago in a browser that was never here before."""
    complete(app, visitor, phone)
    visitor.rp.follow(visitor.get(f"/login/{visitor.uid}/bankid"))
    return Account(app, visitor.rp.browser)


def fields(account: Account) -> dict[str, str]:
    """The form of Mina uppgifter as it is shown."""
    form = account.get("/account").text.split('id="account-form"')[1].split("</form>")[0]
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        marks = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if "name" in marks and marks.get("type") != "checkbox":
            found[marks["name"]] = marks.get("value", "")
    return found | {"locale": "sv", "start_page": ""}


def save(account: Account, **changes: str) -> Any:
    return account.browser.post("/account", data=fields(account) | changes, **HTTPS)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_after_a_bankid_login_leads_to_an_own_login_and_back(
    app: Flask, by_bankid: Account, linked: str, change: str
) -> None:
    refused = save(by_bankid, title="Inköpare", **CHANGES[change])
    assert refused.status_code == 303
    assert re.fullmatch(r"/login/[\w-]{43}", refused.location)
    page = by_bankid.get(refused.location)
    assert page.request.path == f"{refused.location}/password"
    assert 'id="login-own-only"' in page.text
    assert 'id="tab-bankid"' not in page.text
    assert 'href="/password/reset?uid=' in page.text
    assert '<a href="/account" id="login-own-back">' in page.text
    (row,) = audited(app, "credential_change.refused")
    assert str(row.user_id) == linked
    assert row.detail == {"change": change, "method": "bankid"}
    back = by_bankid.log_in(page=page)
    assert back.status_code == 303
    form = by_bankid.get(back.location)
    assert 'value="Inköpare"' in form.text  # filled in as it was sent
    saved = save(by_bankid, title="Inköpare", **CHANGES[change])
    assert saved.location == "/account"


def test_no_password_is_set_by_bankid(app: Flask, by_bankid: Account) -> None:
    save(by_bankid, **CHANGES["password"])
    elsewhere = Account(app)
    page = elsewhere.get("/login/password")
    answer = elsewhere.post(page, "/login/password", email="anna@example.se", password=NEW_PASSWORD)
    assert answer.status_code == 401


def test_details_that_log_nobody_in_are_saved_after_any_login(app: Flask, by_bankid: Account) -> None:
    assert save(by_bankid, title="Inköpare").location == "/account"
    assert not audited(app, "credential_change.refused")


def test_the_bankid_tab_of_a_login_for_a_change_leads_away(by_bankid: Account) -> None:
    refused = save(by_bankid, **CHANGES["password"])
    answer = by_bankid.browser.get(f"{refused.location}/bankid", **HTTPS)
    assert (answer.status_code, answer.location) == (303, refused.location)


def test_a_bankid_is_unlinked_after_a_bankid_login(app: Flask, by_bankid: Account) -> None:
    assert by_bankid.unlink().status_code == 303
    assert linked_number(app) is None


def test_a_bankid_is_not_linked_after_a_bankid_login(
    app: Flask, visitor: BankIdVisitor, phone: Phone, linked: str
) -> None:
    """The same person's BankID opens another account, which is unlinked in another browser meanwhile."""
    complete(app, visitor, phone)
    visitor.rp.follow(visitor.get(f"/login/{visitor.uid}/bankid"))
    account = Account(app, visitor.rp.browser)
    answer = account.post(account.get("/account"), "/account/bankid", device="other")
    assert re.fullmatch(r"/login/[\w-]{43}", answer.location)
    assert 'id="login-own-only"' in account.get(answer.location).text
    assert [row.detail["change"] for row in audited(app, "credential_change.refused")] == ["BankID linked"]


def test_an_account_without_a_password_is_shown_the_way_to_one(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    with app.app_context():
        second = make_user(email="anna2@example.se", password=None).id
        link(app, second)
    chooser = complete(app, visitor, phone)
    visitor.post(chooser, "account", account=str(second))
    account = Account(app, visitor.rp.browser)
    refused = save(account, **CHANGES["password"])
    page = account.get(refused.location)
    assert 'id="login-own-recovery"' in page.text
    assert ANNA.personal_number not in page.text
    assert PASSWORD not in page.text
