"""A running demo, and Chromium on it."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.running_demo import RunningDemo, descendants, left_running
from tests.browser.visitor import Visitor

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
    assert len(started) >= 3, "the provider, its worker and the portal"
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
