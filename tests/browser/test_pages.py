"""Every kind of page is readable, reachable and within the window in every size and colour scheme."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.phone import IPHONE, Phone
from tests.browser.visitor import Visitor, accessibility_problems, overflow

pytestmark = pytest.mark.browser

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SCREENSHOTS = Path(__file__).parent / "screenshots"
UPDATE_IMAGES = os.environ.get("IDP_UPDATE_SCREENSHOTS") == "1"
MAX_IMAGE_BYTES = 150_000


def every_page(visitor: Visitor, page: Page) -> Iterator[str]:
    """Walk through every kind of page; gives each one's name while it is shown."""
    demo = visitor.demo
    page.goto(demo.portal)
    yield "portal"
    page.goto(demo.portal + "/login/consent?prompt=consent")
    visitor.to_email(page)
    yield "login"
    page.locator("#login-username").fill(demo.anna["email"])
    page.locator("#login-password").fill("fel lösenord")
    page.locator("#login-submit").click()
    page.locator("#login-error").wait_for()
    yield "login-refused"
    page.get_by_text("Switch language").click()
    yield "language-menu"
    visitor.log_in(page)
    page.locator("#consent-allow").wait_for()
    yield "consent"
    page.goto(demo.portal + "/login")
    page.locator("#logout").wait_for()
    yield "portal-logged-in"
    page.goto(demo.issuer + "/account")
    yield "account"
    page.goto(demo.issuer + "/authorize?client_id=nobody")
    page.locator("#error-page").wait_for()
    yield "error"
    page.goto(demo.portal + "/callback/spa?state=old")
    page.locator("#portal-error").wait_for()
    yield "portal-error"
    page.goto(demo.issuer + "/logout")
    yield "logout"
    page.locator("#logout-confirm").click()
    page.locator("#logged-out").wait_for()
    yield "logged-out"


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_every_page_is_accessible(visitor: Visitor, width: int, scheme: str) -> None:
    visitor.expect_status(400, 401)
    page = visitor.page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    problems = []
    for name in every_page(visitor, page):
        problems += accessibility_problems(page)
        if UPDATE_IMAGES:
            page.screenshot(path=SCREENSHOTS / f"{width}-{scheme}" / f"{name}.png", full_page=True)
    assert problems == []


def test_every_page_fits_the_smallest_window(visitor: Visitor) -> None:
    visitor.expect_status(400, 401)
    page = visitor.page(viewport={"width": 320, "height": 568})
    too_wide = {name: overflow(page) for name in every_page(visitor, page)}
    assert len(too_wide) == 11
    assert {name: pixels for name, pixels in too_wide.items() if pixels > 0} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_background_follows_the_colour_scheme(visitor: Visitor, scheme: str) -> None:
    page = visitor.page(color_scheme=scheme)
    for address in (visitor.demo.portal, visitor.demo.issuer + "/login"):
        page.goto(address)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        red, green, blue = (int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
        assert (red + green + blue > 600) is (scheme == "light"), f"{address}: {colour}"


def test_images_of_the_manual(visitor: Visitor, phone: Phone, tmp_path: Path) -> None:
    """The README's images; IDP_UPDATE_SCREENSHOTS=1 replaces them, and shows all pages in screenshots/."""
    target = IMAGES if UPDATE_IMAGES else tmp_path
    target.mkdir(exist_ok=True, parents=True)
    desktop = visitor.page(viewport={"width": 1100, "height": 880})
    handheld = visitor.page(
        viewport={"width": 390, "height": 700}, device_scale_factor=2, is_mobile=True, user_agent=IPHONE
    )
    for page, name in ((desktop, "login-desktop"), (handheld, "login-phone")):
        page.goto(visitor.demo.portal + "/login")
        page.locator("#bankid-open").wait_for()
        page.screenshot(path=target / f"{name}.png")
    phone.log_in(desktop)
    desktop.locator("#logout").wait_for()
    desktop.screenshot(path=target / "portal.png")
    for name in ("login-desktop", "login-phone", "portal"):
        assert 5_000 < (target / f"{name}.png").stat().st_size < MAX_IMAGE_BYTES
