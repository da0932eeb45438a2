"""The pages of an account and of a company's users fit every window size and colour scheme."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.phone import BJORN, Phone
from tests.browser.running_demo import RunningDemo
from tests.browser.test_pages import SCREENSHOTS, UPDATE_IMAGES
from tests.browser.test_reset import mail_to
from tests.browser.visitor import Visitor, accessibility_problems, overflow

pytestmark = pytest.mark.browser

UNLINKED = "200211242383"
WIDTHS = (1280, 390)
SMALLEST = 320


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """A demo whose accounts may change."""
    running = RunningDemo(tmp_path_factory.mktemp("account") / "data").start()
    yield running
    assert running.stop() == 0
    running.errors.close()


def offer(visitor: Visitor, page: Page, phone: Phone) -> Iterator[str]:
    """A BankID that opens no account, then the e-mail login in the same breath."""
    page.goto(visitor.demo.portal + "/login")
    phone.log_in(page, UNLINKED)
    page.locator("#bankid-use-email").click()
    visitor.log_in(page, visitor.demo.bjorn)
    page.locator("#bankid-offer").wait_for()
    yield "bankid-offer"
    page.locator("#bankid-offer-no").click()
    page.locator("#logout").wait_for()


def details(visitor: Visitor, page: Page) -> Iterator[str]:
    """The form in each of its states."""
    account = visitor.demo.issuer + "/account"
    page.goto(account)
    yield "account"
    page.locator("#account-name").fill("")
    page.locator("#account-email").fill("bjorn")
    page.locator("#account-phone").fill("hej")
    page.locator("#account-password").fill("kort")
    page.locator("#account-save").click()
    page.locator("#account-phone-error").wait_for()
    yield "account-refused"
    page.locator("#account-undo").click()
    other = page.context.new_page()
    other.goto(account)
    other.locator("#account-title").fill("Kontorschef i Skövde")
    other.locator("#account-save").click()
    other.locator("#account-saved").wait_for()
    other.close()
    page.locator("#account-title").fill("Kontorschef i Skara")
    page.locator("#account-save").click()
    page.locator("#account-title-stored").wait_for()
    yield "account-conflict"
    page.locator("#account-email").fill("bjorn.oberg@example.se")
    page.locator("#account-save").click()
    page.locator("#account-pending").wait_for()
    yield "account-pending"


def new_address(visitor: Visitor, page: Page) -> Iterator[str]:
    """The mailed link to a new address, until it is used up."""
    outbox = Path(visitor.demo.facts["outbox_dir"])
    body = mail_to(outbox, "bjorn.oberg@example.se", "Bekräfta din nya e-postadress").get_body(("plain",))
    assert body is not None
    link = re.search(r"http\S+/account/email/\S+", body.get_content())
    assert link is not None
    page.goto(link[0])
    yield "email-confirm"
    page.locator("#email-confirm").click()
    page.locator("#email-confirmed").wait_for()
    yield "email-confirmed"
    page.goto(link[0])
    page.locator("#link-over").wait_for()
    yield "email-over"


def linking(visitor: Visitor, page: Page, phone: Phone) -> Iterator[str]:
    """A BankID is linked."""
    page.goto(visitor.demo.issuer + "/account")
    page.locator("#bankid-link").click()
    page.locator("#bankid-qr svg").wait_for()
    order = page.url
    yield "link-code"
    phone.log_in(page, BJORN)
    page.locator("#bankid-confirm").wait_for()
    yield "link-confirm"
    page.locator("#bankid-confirm-link").click()
    page.locator("#bankid-unlink").wait_for()
    yield "account-linked"
    page.goto(order)
    page.locator("#bankid-link-over").wait_for()
    yield "link-over"
    page.goto(visitor.demo.issuer + "/account/bankid/unlink")
    page.locator("#bankid-unlink-form").wait_for()
    yield "unlink"


def activity(visitor: Visitor, page: Page) -> Iterator[str]:
    """What has happened, where somebody is logged in, and what is shared."""
    page.goto(visitor.demo.issuer + "/account/history")
    yield "history"
    page.goto(visitor.demo.issuer + "/account/apps")
    yield "apps-none"
    page.goto(visitor.demo.portal + "/login/consent")
    page.locator("#consent-allow").wait_for()
    yield "consent"
    page.locator("#consent-allow").click()
    page.locator("#logout").wait_for()
    page.goto(visitor.demo.issuer + "/account/apps")
    yield "apps"


def company(visitor: Visitor, page: Page) -> Iterator[str]:
    """The company's users."""
    users = visitor.demo.issuer + "/admin/users"
    page.goto(users)
    yield "admin-list"
    page.goto(users + "?q=nobody")
    page.locator("#user-none").wait_for()
    yield "admin-none"
    page.goto(users + "/new")
    yield "admin-new"
    page.locator("#user-email").fill("cecilia")
    page.locator("#user-phone").fill("hej")
    page.locator("#user-save").click()
    page.locator("#user-name-error").wait_for()
    yield "admin-refused"
    page.locator("#user-name").fill("Cecilia Ek")
    page.locator("#user-email").fill("cecilia@example.se")
    page.locator("#user-phone").fill("070-303 22 03")
    page.locator("#user-save").click()
    page.locator("#admin-note").wait_for()
    yield "admin-added"
    other = page.context.new_page()
    other.goto(page.url)
    other.locator("#user-title").fill("Kontorschef i Skövde")
    other.locator("#user-save").click()
    other.locator("#admin-note").wait_for()
    other.close()
    page.locator("#user-title").fill("Kontorschef i Skara")
    page.locator("#user-save").click()
    page.locator("#user-conflict").wait_for()
    yield "admin-conflict"
    page.goto(users)
    page.get_by_role("link", name="Cecilia Ek").click()
    page.locator("#user-disable").click()
    page.locator("#user-disable-confirm").wait_for()
    yield "admin-disable"
    page.locator("#user-disable-confirm").click()
    page.locator("#user-enable").wait_for()
    yield "admin-disabled"
    page.goto(users)
    page.get_by_role("link", name="Björn Öberg").click()
    page.locator("#user-form").wait_for()
    yield "admin-own"
    page.goto(users)
    page.get_by_role("link", name="Anna Åkesson").click()
    page.locator("#bankid-unlink").click()
    page.locator("#bankid-unlink-confirm").wait_for()
    yield "admin-unlink"


def on_the_way(visitor: Visitor, page: Page) -> Iterator[str]:
    """Where a direct login leads, and a login page that is over."""
    page.goto(visitor.demo.issuer + "/account")
    page.locator("#account-start-page").select_option(index=1)
    page.locator("#account-save").click()
    page.locator("#account-saved").wait_for()
    # The app does not answer, or the page would be gone before anybody could look.
    page.route(visitor.demo.portal + "/**", lambda route: route.fulfill(status=204))
    page.goto(visitor.demo.issuer + "/account/start")
    page.locator("#landing-go").wait_for()
    yield "landing"
    page.unroute_all()
    page.goto(visitor.demo.issuer + "/login/" + "x" * 43)
    page.get_by_role("heading", name="Inloggningen tog för lång tid").wait_for()
    yield "login-over"


def forgotten(visitor: Visitor, page: Page) -> Iterator[str]:
    """From the forgotten password to the form for a new one, and a link that is none."""
    reset = visitor.demo.issuer + "/password/reset"
    page.goto(reset)
    yield "reset-ask"
    page.locator("#forgot-email").fill("anna")
    page.locator("#forgot-submit").click()
    page.locator("#forgot-email-error").wait_for()
    yield "reset-ask-refused"
    page.locator("#forgot-email").fill(visitor.demo.anna["email"])
    page.locator("#forgot-submit").click()
    page.locator("#forgot-sent").wait_for()
    yield "reset-sent"
    outbox = Path(visitor.demo.facts["outbox_dir"])
    body = mail_to(outbox, visitor.demo.anna["email"], "Återställning av lösenord").get_body(("plain",))
    assert body is not None
    link = re.search(r"http\S+/password/reset/\S+", body.get_content())
    assert link is not None
    page.goto(link[0])
    page.locator("#reset-form").wait_for()
    yield "reset-choose"
    page.locator("#reset-password").fill("kort")
    page.locator("#reset-submit").click()
    page.locator("#reset-password-error").wait_for()
    yield "reset-choose-refused"
    page.goto(reset + "/" + "0" * 64)
    page.locator("#link-over").wait_for()
    yield "reset-over"


def outbox(visitor: Visitor, page: Page) -> Iterator[str]:
    """The demo's mails."""
    page.goto(visitor.demo.portal + "/outbox/?lang=sv")
    page.locator("#mails").wait_for()
    yield "outbox"
    page.get_by_role("link", name="Bekräfta din nya e-postadress").click()
    page.locator("#mail-text").wait_for()
    yield "outbox-mail"


def every_page(visitor: Visitor, page: Page, phone: Phone) -> Iterator[str]:
    """Walk past every page as the company's administrator; gives each one's name while it is shown."""
    yield from offer(visitor, page, phone)
    yield from details(visitor, page)
    yield from new_address(visitor, page)
    yield from linking(visitor, page, phone)
    yield from activity(visitor, page)
    yield from company(visitor, page)
    yield from on_the_way(visitor, page)
    yield from outbox(visitor, page)


def problems_in_every_look(page: Page, name: str) -> list[str]:
    """What is wrong with the shown page at any width and in any colour scheme."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 844})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] - one of the two that it lists
            found += [f"{name} {width} {scheme}: {problem}" for problem in accessibility_problems(page)]
            if UPDATE_IMAGES:
                page.screenshot(path=SCREENSHOTS / f"{width}-{scheme}" / f"{name}.png", full_page=True)
    page.set_viewport_size({"width": SMALLEST, "height": 844})
    if wider := overflow(page):
        found.append(f"{name}: {wider} pixels wider than {SMALLEST}")
    return found


def test_every_page_is_accessible_and_fits(visitor: Visitor, phone: Phone) -> None:
    visitor.expect_status(400, 403, 404, 409, 410)
    page = visitor.page(reduced_motion="reduce")  # colours change at once
    seen, problems = [], []
    for name in every_page(visitor, page, phone):
        seen.append(name)
        problems += problems_in_every_look(page, name)
    assert len(set(seen)) == 31
    assert problems == []


def test_every_page_of_a_forgotten_password_is_accessible_and_fits(visitor: Visitor) -> None:
    visitor.expect_status(400, 404)
    page = visitor.page(reduced_motion="reduce")
    problems = []
    for name in forgotten(visitor, page):
        problems += problems_in_every_look(page, name)
    assert problems == []
