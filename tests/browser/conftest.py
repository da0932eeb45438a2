"""A running demo, and Chromium on it."""

import shutil
from collections.abc import Iterator

import pytest
from dotenv import dotenv_values
from playwright.sync_api import Browser, expect, sync_playwright

from idp.app import create_tool_app
from idp.clock import utcnow
from idp.config import Settings
from idp.crypto import PersonalNumberKeys
from idp.db import db
from idp.users import accounts, bankid_links
from idp.users.personal_number import PersonalNumber
from tests.browser.phone import ANNA, TOLVAN, Phone
from tests.browser.running_demo import RunningDemo, descendants, left_running
from tests.browser.visitor import WAIT_MS, Visitor

expect.set_options(timeout=WAIT_MS)

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """`idp demo`, for all tests that leave it as it was; ended by Ctrl-C, which must leave nothing behind."""
    running = RunningDemo(tmp_path_factory.mktemp("demo") / "data").start()
    yield running
    started = descendants(running.process.pid)
    assert len(started) >= 4, "the simulator, the provider, its worker and the portal"
    assert running.stop() == 0
    assert left_running(started) == set()
    running.errors.close()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        pytest.fail("Chromium is missing; on Debian and Ubuntu: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium: Browser, demo: RunningDemo) -> Iterator[Visitor]:
    """Somebody with a browser. The test fails if any page logged an error or broke its CSP."""
    person = Visitor(chromium, demo)
    yield person
    person.leave()
    assert person.complaints == []


@pytest.fixture
def phone(demo: RunningDemo) -> Iterator[Phone]:
    """The test persons' phone; faults that a test switches on end with it."""
    its_phone = Phone(demo.facts["phone_url"])
    yield its_phone
    its_phone.do("faults", reset=True)


@pytest.fixture
def two_accounts(demo: RunningDemo) -> Iterator[str]:
    """A person whose BankID opens both of the demo's accounts; gives the personal number."""
    settings = Settings.from_environ(
        {name: value for name, value in dotenv_values(demo.directory / "idp.env").items() if value}
    )
    assert settings.personal_number_keys is not None
    keys = PersonalNumberKeys(settings.personal_number_keys.get_secret_value())
    tools = create_tool_app(settings)

    def link(email: str, personal_number: str) -> None:
        user = accounts.find_by_email(email)
        assert user is not None
        number = PersonalNumber.from_bankid(personal_number)
        bankid_links.link(user.id, number, user.name, keys=keys, now=utcnow())

    with tools.app_context():
        for user in (demo.anna, demo.bjorn):
            link(user["email"], TOLVAN)
        yield TOLVAN
        link(demo.anna["email"], ANNA)
        bjorn = accounts.find_by_email(demo.bjorn["email"])
        assert bjorn is not None
        bankid_links.unlink(bjorn.id, now=utcnow())
        db.session.remove()
        db.engine.dispose()
