"""A person with a forgotten password walks from the portal by mail to a new password and back."""

import email
import email.policy
import re
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.running_demo import RunningDemo
from tests.browser.visitor import Visitor, accessibility_problems, overflow

pytestmark = pytest.mark.browser

DELIVERY_SECONDS = 30
NEW = "vinterlig saxofon trampar gräs"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[RunningDemo]:
    """A demo of its own, because a password in it changes."""
    running = RunningDemo(tmp_path / "data").start()
    yield running
    assert running.stop() == 0
    running.errors.close()


def mail_to(outbox: Path, address: str, subject: str) -> EmailMessage:
    """The mail as it arrives in the demo's outbox folder."""
    deadline = time.monotonic() + DELIVERY_SECONDS
    while time.monotonic() < deadline:
        for path in sorted(outbox.glob("*.eml")):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if address in str(message["To"]) and message["Subject"] == subject:
                return message
        time.sleep(0.1)
    raise AssertionError(f"no mail {subject!r} to {address} within {DELIVERY_SECONDS} s")


def test_a_reset_from_the_portal_by_mail_to_the_portal(visitor: Visitor) -> None:
    visitor.expect_status(400, 401, 410)
    bjorn = visitor.demo.facts["users"][1]
    outbox = Path(visitor.demo.facts["outbox_dir"])
    page = visitor.page(viewport={"width": 390, "height": 844})
    problems = []
    page.goto(visitor.demo.portal + "/login")
    page.locator("#tab-password").click()
    expect(page.locator("#login-form")).to_be_visible()
    waiting = urlsplit(page.url).path
    page.get_by_role("link", name="Har du glömt lösenordet?").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Glömt användarnamn / lösenord")
    expect(page.locator("#forgot-email")).to_be_focused()
    problems += accessibility_problems(page)
    page.keyboard.press("Enter")
    expect(page.locator("#forgot-email-error")).to_have_text("Skriv din e-postadress.")
    page.get_by_label("Epost").fill(bjorn["email"])
    page.get_by_role("button", name="Fortsätt").click()
    expect(page.locator("#forgot-sent")).to_be_visible()
    problems += accessibility_problems(page)

    body = mail_to(outbox, bjorn["email"], "Återställning av lösenord").get_body(("plain",))
    assert body is not None
    found = re.search(r"https?://\S+/password/reset/\S+", body.get_content())
    assert found
    page.goto(found[0])
    expect(page.get_by_role("heading", level=1)).to_have_text("Välj ditt nya lösenord")
    expect(page.locator("#reset-email")).to_have_text(bjorn["email"])
    expect(page.locator("#reset-password")).to_be_focused()
    problems += accessibility_problems(page)
    assert overflow(page) <= 0
    page.get_by_label("Lösenord", exact=True).fill(NEW)
    page.get_by_label("Bekräfta lösenord").fill(NEW + "x")
    page.get_by_role("button", name="Fortsätt").click()
    expect(page.locator("#reset-confirm-error")).to_contain_text("Lösenorden är inte lika.")
    problems += accessibility_problems(page)
    page.locator("#reset-password").fill(NEW)
    page.locator("#reset-confirm").fill(NEW)
    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_have_text("Lösenordet är ändrat. Logga in.")
    assert urlsplit(page.url).path == waiting
    problems += accessibility_problems(page)
    visitor.log_in(page, {**bjorn, "password": NEW})
    expect(page.locator("#logout")).to_be_visible()
    assert page.url == f"{visitor.demo.portal}/"
    mail_to(outbox, bjorn["email"], "Ditt lösenord har ändrats")

    page.goto(found[0])
    expect(page.locator("#link-over")).to_contain_text("Länken är redan använd")
    problems += accessibility_problems(page)
    assert problems == []
