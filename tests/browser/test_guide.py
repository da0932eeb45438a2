"""Readers walk through the user guide; IDP_UPDATE_SCREENSHOTS=1 renews its pictures."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser import guide
from tests.browser.guide import Chapter
from tests.browser.phone import BJORN, Phone
from tests.browser.running_demo import RunningDemo
from tests.browser.test_pages import IMAGES, UPDATE_IMAGES
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser

DELIVERY_SECONDS = 30
WINDOW = {"width": 900, "height": 860}
FIRST_TIME, BANKID, CHANGE, FORGOTTEN = (
    "Logga in första gången",
    "Registrera dig för BankID",
    "Ändra lösenord",
    "Glömt lösenord",
)


@dataclass
class Reader:
    """Somebody who has just been added, and then follows the guide. No password: has not begun."""

    email: str = "bjorn.oberg@example.se"
    name: str = "Björn Öberg"
    password: str | None = None


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """A demo of the guide's own, because its reader becomes a user there."""
    running = RunningDemo(tmp_path_factory.mktemp("guide") / "data").start()
    yield running
    assert running.stop() == 0
    running.errors.close()


@pytest.fixture(scope="module")
def reader(demo: RunningDemo) -> Reader:
    """The same person in all chapters, as in the guide."""
    added = Reader()
    done = demo.command("users", "add", added.email, "--name", added.name, "--company", "Exempel AB")
    assert done.returncode == 0, done.stderr
    return added


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the guide's pictures are put."""
    return IMAGES if UPDATE_IMAGES else tmp_path_factory.mktemp("pictures")


def mails(page: Page, reader: Reader, subject: str) -> list[str]:
    """Addresses of the reader's mails with this subject in the demo's outbox, the newest first."""
    rows = page.locator("#mails li").filter(has_text=reader.email)
    links = rows.get_by_role("link", name=subject, exact=True)
    return [str(link.get_attribute("href")) for link in links.all()]


def open_mail(
    visitor: Visitor, page: Page, reader: Reader, subject: str, *, after: Callable[[], None] | None = None
) -> FrameLocator:
    """The mail as a mail program shows it; with `after`, the one that this causes."""
    outbox = visitor.demo.portal + "/outbox/"
    page.goto(outbox + "?lang=sv")
    before = mails(page, reader, subject) if after else []
    if after:
        after()
    deadline = time.monotonic() + DELIVERY_SECONDS
    while len(found := mails(page, reader, subject)) <= len(before):
        assert time.monotonic() < deadline, f"no mail {subject!r}"
        time.sleep(0.1)
        page.goto(outbox)
    page.goto(visitor.demo.portal + found[0])
    frame = page.frame_locator("iframe.mail")
    frame.locator("table table").wait_for()
    return frame


def follow(page: Page, frame: FrameLocator, link: str) -> Page:
    """The window that opens when the mail's link is clicked."""
    with page.context.expect_page() as opened:
        frame.get_by_role("link", name=link).first.click()
    window: Page = opened.value
    window.wait_for_load_state()
    return window


def choose_password(visitor: Visitor, chapter: Chapter, page: Page, reader: Reader, password: str) -> Page:
    """From the page that asks for the address, by the mailed link, to the login page."""
    expect(page.get_by_role("heading", level=1)).to_have_text("Glömt användarnamn / lösenord")
    page.get_by_label("Epost").fill(reader.email)
    name = "first" if chapter.text == guide.chapters()[FIRST_TIME] else "forgotten"
    chapter.take(f"{name}-ask", page, height=540)
    program = page.context.new_page()

    def send() -> None:
        page.get_by_role("button", name="Fortsätt").click()
        expect(page.locator("#forgot-sent")).to_be_visible()
        chapter.look(page)

    mail = open_mail(visitor, program, reader, "Återställning av lösenord", after=send)
    chapter.look(mail)
    chapter.take(f"{name}-mail", program, of=mail.locator("table table"))
    page = follow(program, mail, "Ändra lösenordet")
    expect(page.locator("#reset-email")).to_have_text(reader.email)
    page.get_by_label("Lösenord", exact=True).fill(password)
    page.get_by_label("Bekräfta lösenord").fill(password)
    chapter.take(f"{name}-password", page, height=620)
    page.get_by_role("button", name="Fortsätt").click()
    expect(page.get_by_role("status")).to_have_text("Lösenordet är ändrat. Logga in.")
    reader.password = password
    return page


def log_in(page: Page, reader: Reader) -> None:
    """Fill in the login page's form."""
    page.get_by_label("E-postadress").fill(reader.email)
    page.get_by_label("Lösenord", exact=True).fill(reader.password or "")


def first_time(visitor: Visitor, chapter: Chapter, reader: Reader) -> Page:
    """From the welcome mail to the portal."""
    program = visitor.page(viewport=WINDOW)
    mail = open_mail(visitor, program, reader, "Välkommen till Leasify")
    chapter.look(mail)
    chapter.take("first-welcome", program, of=mail.locator("table table"))
    page = follow(program, mail, "här")
    page = choose_password(visitor, chapter, page, reader, "åtta gula paraplyer i kön")
    log_in(page, reader)
    chapter.take("first-login", page, height=700)
    page.get_by_role("button", name="Logga in", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mina uppgifter")
    chapter.look(page)
    page.goto(visitor.demo.portal)
    chapter.look(page)
    page.get_by_role("link", name="Logga in", exact=True).click()
    greeted(page, reader)
    chapter.take("first-portal", page, height=330)
    return page


def greeted(page: Page, reader: Reader) -> None:
    """The portal knows who this is."""
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Hej {reader.name}")


def logged_in(visitor: Visitor, pictures: Path, reader: Reader) -> Page:
    """The portal with the reader logged in by e-mail; who skipped the first chapter walks it now."""
    if reader.password is None:
        return first_time(visitor, Chapter(FIRST_TIME, pictures), reader)
    page = visitor.page(viewport=WINDOW)
    page.goto(visitor.demo.portal)
    page.get_by_role("link", name="Logga in", exact=True).click()
    visitor.to_email(page)
    log_in(page, reader)
    page.get_by_role("button", name="Logga in", exact=True).click()
    greeted(page, reader)
    return page


def to_account(chapter: Chapter, page: Page) -> None:
    """From the portal to "Mina uppgifter"."""
    chapter.look(page)
    page.get_by_role("link", name="Mina uppgifter").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mina uppgifter")
    chapter.look(page)


def log_out(chapter: Chapter, visitor: Visitor, page: Page) -> None:
    """Log out everywhere, and come to the portal as a stranger."""
    page.goto(visitor.demo.portal)
    chapter.look(page)
    page.locator("#logout").click()
    expect(page.get_by_role("link", name="Logga in", exact=True)).to_be_visible()
    chapter.look(page)


def as_the_guide_says(chapter: Chapter) -> None:
    assert chapter.missing_labels() == []
    assert chapter.shown_pictures() == chapter.taken


def test_the_guide_has_the_chapters() -> None:
    assert list(guide.chapters())[:4] == [FIRST_TIME, BANKID, CHANGE, FORGOTTEN]
    kept = {path.name for path in IMAGES.glob("guide-*.png")}
    assert {name for _, name in guide.PICTURE.findall(guide.GUIDE.read_text())} == kept


def test_log_in_the_first_time(visitor: Visitor, reader: Reader, pictures: Path) -> None:
    """From the welcome mail to the portal's greeting."""
    chapter = Chapter(FIRST_TIME, pictures)
    first_time(visitor, chapter, reader)
    as_the_guide_says(chapter)


def test_register_for_bankid(visitor: Visitor, reader: Reader, phone: Phone, pictures: Path) -> None:
    """From the portal by "Mina uppgifter" to the portal's greeting after a BankID login."""
    chapter = Chapter(BANKID, pictures)
    page = logged_in(visitor, pictures, reader)
    to_account(chapter, page)
    section = page.locator("#bankid-section")
    chapter.take("bankid-account", page, of=section)
    page.get_by_role("button", name="Visa QR-kod").click()
    page.locator("#bankid-qr svg").wait_for()
    chapter.take("bankid-code", page, height=780)
    phone.log_in(page, BJORN)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Koppla BankID för {reader.name}?")
    chapter.take("bankid-confirm", page, height=560)
    page.get_by_role("button", name="Koppla", exact=True).click()
    expect(section).to_contain_text(reader.name)
    chapter.take("bankid-linked", page, of=section)

    log_out(chapter, visitor, page)
    page.get_by_role("link", name="Logga in", exact=True).click()
    page.get_by_role("link", name="BankID", exact=True).click()  # the browser remembers the other tab
    page.locator("#bankid-qr svg").wait_for()
    chapter.take("bankid-login", page, height=860)
    phone.log_in(page, BJORN)
    greeted(page, reader)
    chapter.take("bankid-portal", page, height=330)
    as_the_guide_says(chapter)


def test_change_password(visitor: Visitor, reader: Reader, pictures: Path) -> None:
    """From "Mina uppgifter" to the portal's greeting after a login with the new password."""
    chapter = Chapter(CHANGE, pictures)
    page = logged_in(visitor, pictures, reader)
    to_account(chapter, page)
    new = "en blå kanot utan åror"
    page.get_by_label("Lösenord (lämna blankt för att behålla ditt gamla)").fill(new)
    page.get_by_label("Bekräfta lösenord").fill(new)
    chapter.take("change-fields", page, of=page.locator("section").filter(has=page.locator("#account-form")))
    page.get_by_role("button", name="Spara", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Uppgifterna är sparade.")
    reader.password = new
    chapter.take("change-saved", page, height=420)

    log_out(chapter, visitor, page)
    page.get_by_role("link", name="Logga in", exact=True).click()
    visitor.to_email(page)
    chapter.look(page)
    log_in(page, reader)
    page.get_by_role("button", name="Logga in", exact=True).click()
    greeted(page, reader)
    as_the_guide_says(chapter)


def test_forgotten_password(visitor: Visitor, reader: Reader, pictures: Path) -> None:
    """From the portal's login page by a mailed link to the portal's greeting."""
    chapter = Chapter(FORGOTTEN, pictures)
    logged_in(visitor, pictures, reader).context.close()
    page = visitor.page(viewport=WINDOW)
    page.goto(visitor.demo.portal)
    chapter.look(page)
    page.get_by_role("link", name="Logga in", exact=True).click()
    chapter.look(page)
    visitor.to_email(page)
    chapter.take("forgotten-login", page, height=700)
    page.get_by_role("link", name="Har du glömt lösenordet?").click()
    page = choose_password(visitor, chapter, page, reader, "sju trötta elefanter på tåget")
    log_in(page, reader)
    chapter.look(page)
    page.get_by_role("button", name="Logga in", exact=True).click()
    greeted(page, reader)
    as_the_guide_says(chapter)
