"""The BankID tab is readable, reachable and within the window in every state, size and colour scheme."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.phone import ANDROID, ANNA, BJORN, IPHONE, Phone
from tests.browser.test_pages import SCREENSHOTS, UPDATE_IMAGES
from tests.browser.visitor import Visitor, accessibility_problems, overflow

pytestmark = pytest.mark.browser


def every_state(visitor: Visitor, page: Page, phone: Phone, two_accounts: str) -> Iterator[str]:
    """Walk through every state of the tab; gives each one's name while it is shown."""
    page.goto(visitor.demo.portal + "/login")
    page.locator("#bankid-qr svg").wait_for()
    yield "qr"
    phone.scan(page, ANNA)
    page.locator("#bankid-qr").wait_for(state="hidden")
    yield "scanned"
    page.locator("#bankid-cancel").click()
    page.locator("#bankid-retry").wait_for()
    yield "cancelled"
    page.locator("#bankid-open").click()
    page.locator("#bankid-other").wait_for()
    yield "same-device"
    page.locator("#bankid-other").click()
    phone.scan(page, ANNA)
    phone.do("fail", personal_number=ANNA, hint_code="certificateErr")
    page.locator("#bankid-retry").wait_for()
    yield "failed"
    page.locator("#bankid-retry").click()
    phone.log_in(page, "200211242383")
    page.locator("#bankid-not-linked").wait_for()
    yield "not-linked"
    phone.do("faults", fault="http", value="503", count=1, call="auth")
    page.locator("#bankid-retry").click()
    page.locator("#bankid-status").wait_for()
    yield "down"
    page.locator("#bankid-retry").click()
    phone.log_in(page, two_accounts)
    page.locator("#bankid-accounts").wait_for()
    yield "two-accounts"


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_every_state_is_accessible(
    visitor: Visitor, phone: Phone, two_accounts: str, width: int, scheme: str
) -> None:
    visitor.expect_status(403, 503)
    page = visitor.page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    problems = []
    for name in every_state(visitor, page, phone, two_accounts):
        problems += accessibility_problems(page)
        if UPDATE_IMAGES:
            page.screenshot(path=SCREENSHOTS / f"{width}-{scheme}" / f"bankid-{name}.png", full_page=True)
    assert problems == []


@pytest.mark.parametrize("locale", ["sv-SE", "en-GB"])
def test_every_state_fits_the_smallest_window(
    visitor: Visitor, phone: Phone, two_accounts: str, locale: str
) -> None:
    visitor.expect_status(403, 503)
    page = visitor.page(viewport={"width": 320, "height": 900}, locale=locale)
    too_wide = {name: overflow(page) for name in every_state(visitor, page, phone, two_accounts)}
    assert len(too_wide) == 8
    assert {name: pixels for name, pixels in too_wide.items() if pixels > 0} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_page_and_its_app_are_accessible(visitor: Visitor, phone: Phone, scheme: str) -> None:
    page = visitor.page(viewport={"width": 390, "height": 844}, color_scheme=scheme, user_agent=IPHONE)
    page.goto(visitor.demo.portal + "/login")
    problems = accessibility_problems(page)
    page.locator("#bankid-open").click()
    page.get_by_role("button", name="Björn Öberg").wait_for()
    problems += accessibility_problems(page)
    page.get_by_role("button", name="Björn Öberg").click()
    page.locator("#code").wait_for()
    problems += accessibility_problems(page)
    phone.do("cancel", personal_number=BJORN)
    page.goto(phone.url)
    problems += accessibility_problems(page)
    tablet = visitor.page(color_scheme=scheme, user_agent=ANDROID.replace(" Mobile", ""))
    tablet.goto(visitor.demo.portal + "/login")
    tablet.locator("#bankid-other").wait_for()
    problems += accessibility_problems(tablet)
    assert problems == []
