"""BankID orders that fail, end or find no account, in a real browser."""

from typing import Literal

import pytest
from playwright.sync_api import expect

from idp.bankid.api import messages
from idp.bankid.api.messages import RfaId
from tests.browser.bankid_tab import APP_LINK, WORDS, is_in, open_tab
from tests.browser.phone import ANNA, BJORN, IPHONE, Phone, order_token, read_qr
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser


def test_an_order_cancelled_here_is_tried_again(visitor: Visitor, phone: Phone) -> None:
    page = visitor.page()
    open_tab(visitor, page)
    first = order_token(read_qr(page))
    page.locator("#bankid-cancel").click()
    expect(page.locator("#bankid-status")).to_have_text("Åtgärden avbröts.")
    expect(page.locator("#bankid-qr")).to_have_count(0)
    page.reload()
    expect(page.locator("#bankid-status")).to_have_text("Åtgärden avbröts.")
    assert phone.orders()[0]["is_gone"]
    page.locator("#bankid-retry").click()
    assert order_token(read_qr(page)) != first
    phone.log_in(page)
    is_in(page)


def test_an_order_cancelled_in_the_app(visitor: Visitor, phone: Phone) -> None:
    page = visitor.page()
    open_tab(visitor, page)
    phone.scan(page)
    phone.do("cancel", personal_number=ANNA)
    expect(page.locator("#bankid-status")).to_have_text("Åtgärden avbröts.")
    page.locator("#bankid-retry").click()
    phone.log_in(page)
    is_in(page)


def test_a_wrong_code_three_times(visitor: Visitor, phone: Phone) -> None:
    page = visitor.page()
    open_tab(visitor, page)
    phone.scan(page)
    for _ in range(3):
        phone.do("approve", personal_number=ANNA, code="000000")
    expect(page.locator("#bankid-status")).to_contain_text("Ditt BankID är för gammalt eller spärrat.")
    page.locator("#bankid-retry").click()
    expect(page.locator("#bankid-qr svg")).to_be_visible()


@pytest.mark.parametrize(("language", "locale"), [("sv", "sv-SE"), ("en", "en-GB")])
def test_every_common_failure_is_explained_and_tried_again(
    visitor: Visitor, phone: Phone, language: Literal["sv", "en"], locale: str
) -> None:
    page = visitor.page(locale=locale)
    open_tab(visitor, page)
    for hint, rfa in (("expiredTransaction", RfaId.RFA8), ("certificateErr", RfaId.RFA16)):
        phone.scan(page)
        phone.do("fail", personal_number=ANNA, hint_code=hint)
        expect(page.locator("#bankid-status")).to_have_text(messages.text(rfa, language))
        page.locator("#bankid-retry").click()
    phone.scan(page)
    elsewhere = visitor.page()
    open_tab(visitor, elsewhere)
    phone.scan(elsewhere)  # the same person's next order replaces the first
    expect(page.locator("#bankid-status")).to_have_text(messages.text(RfaId.RFA3, language))
    page.locator("#bankid-retry").click()
    phone.log_in(page)
    is_in(page, WORDS[language]["hello"])


def test_code_that_nobody_scans_is_renewed_silently(visitor: Visitor, phone: Phone) -> None:
    page = visitor.page()
    open_tab(visitor, page)
    first = order_token(read_qr(page))
    phone.do("faults", fault="failed_hint", value="startFailed", count=1)
    second = first
    while second == first:
        page.wait_for_timeout(300)
        expect(page.locator("#bankid-status")).to_have_text("Starta BankID-appen.")
        second = order_token(read_qr(page))
    phone.log_in(page)
    is_in(page)


def test_renewal_ends_after_five_codes(visitor: Visitor, phone: Phone) -> None:
    page = visitor.page()
    before = len(phone.orders())
    open_tab(visitor, page)
    phone.do("faults", fault="failed_hint", value="startFailed", count=None)
    status = page.locator("#bankid-status")
    expect(status).to_contain_text("Misslyckades att läsa av QR-koden.", timeout=30_000)
    assert len(phone.orders()) - before == 5
    phone.do("faults", reset=True)
    page.locator("#bankid-retry").click()
    phone.log_in(page)
    is_in(page)


def test_app_that_did_not_start(visitor: Visitor, phone: Phone) -> None:
    page = visitor.page(user_agent=IPHONE)
    open_tab(visitor, page)
    button = page.locator("#bankid-open")
    first = button.get_attribute("href")
    button.evaluate("link => link.addEventListener('click', event => event.preventDefault())")
    button.click()  # as where no app takes the link
    phone.do("faults", fault="failed_hint", value="startFailed", count=1)
    expect(page.locator("#bankid-status")).to_contain_text("Du verkar inte ha BankID-appen")
    page.locator("#bankid-retry").click()
    expect(page.locator("#bankid-open")).to_have_attribute("href", APP_LINK)
    assert page.locator("#bankid-open").get_attribute("href") != first


def test_a_link_that_nobody_tapped_is_renewed_quietly(visitor: Visitor, phone: Phone) -> None:
    page = visitor.page(user_agent=IPHONE)
    open_tab(visitor, page)
    first = page.locator("#bankid-open").get_attribute("href") or ""
    phone.do("faults", fault="failed_hint", value="startFailed", count=1)
    expect(page.locator("#bankid-open")).not_to_have_attribute("href", first)
    expect(page.locator("#bankid-open")).to_have_attribute("href", APP_LINK)
    expect(page.locator("#bankid-status")).to_contain_text("Försöker starta BankID-appen")


def test_person_without_a_linked_account(visitor: Visitor, phone: Phone) -> None:
    visitor.expect_status(403)
    page = visitor.page()
    open_tab(visitor, page)
    phone.log_in(page, BJORN)
    heading = page.get_by_role("heading", level=2)
    expect(heading).to_have_text("Ditt BankID är inte kopplat till något konto")
    expect(page.locator("main")).to_contain_text("Björn Öberg, din identitet är bekräftad")
    page.locator("#bankid-use-email").click()
    visitor.log_in(page, visitor.demo.bjorn)
    expect(page.get_by_role("heading", level=1)).to_have_text("Koppla BankID för Björn Öberg?")
    page.locator("#bankid-offer-no").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hej Björn Öberg")


def test_person_with_two_accounts_chooses(visitor: Visitor, phone: Phone, two_accounts: str) -> None:
    page = visitor.page()
    open_tab(visitor, page)
    phone.log_in(page, two_accounts)
    expect(page.get_by_role("heading", level=2)).to_have_text("Välj konto")
    expect(page.locator("#bankid-accounts button")).to_have_count(2)
    page.get_by_role("button", name=visitor.demo.bjorn["email"]).click()
    is_in(page, "Hej Björn Öberg")


def test_bankid_is_down(visitor: Visitor, phone: Phone) -> None:
    visitor.expect_status(503)
    phone.do("faults", fault="http", value="503", count=1, call="auth")
    page = visitor.page()
    open_tab(visitor, page)
    expect(page.locator("#bankid-status")).to_have_text("Något gick fel. Försök igen.")
    visitor.log_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Hej Anna Åkesson")


def test_bankid_comes_back(visitor: Visitor, phone: Phone) -> None:
    visitor.expect_status(503)
    phone.do("faults", fault="http", value="drop", count=1, call="auth")
    page = visitor.page()
    open_tab(visitor, page)
    page.locator("#bankid-retry").click()
    phone.do("faults", fault="http", value="502_html", count=1, call="collect")
    phone.log_in(page)
    is_in(page)
