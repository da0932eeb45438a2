"""A person with a real browser, whose test fails at any complaint of a page."""

import re
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

from tests.browser.running_demo import RunningDemo

REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`CSP violation: ${event.violatedDirective} ${event.blockedURI}`);
});
"""
WAIT_MS = 60_000  # a busy machine is slow, not wrong
# The frame of a mail runs no script: neither the one above.
SANDBOXED_MAIL = re.compile(r"Blocked script execution in '[^']+/outbox/[0-9A-Za-z-]+\.eml/html'")
# axe leaves out what is new in WCAG 2.2 unless it is asked.
AXE_OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}


class Visitor:
    """Opens browsers, each with cookies of its own, and keeps what their pages complain about."""

    def __init__(self, chromium: Browser, demo: RunningDemo) -> None:
        self._chromium = chromium
        self._contexts: list[BrowserContext] = []
        self._forgiven: set[int] = set()
        self._hosts = {urlsplit(url).netloc for url in (demo.issuer, demo.portal, demo.facts["phone_url"])}
        self.demo = demo
        self.complaints: list[str] = []

    def browser(self, **options: Any) -> BrowserContext:
        """A fresh browser, Swedish unless told otherwise."""
        context = self._chromium.new_context(**{"locale": "sv-SE", **options})
        context.set_default_timeout(WAIT_MS)
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.complaints.append(f"page error: {error.error}"))
        context.on("response", self._on_response)
        context.on("request", self._on_request)
        self._contexts.append(context)
        return context

    def page(self, **options: Any) -> Page:
        """A page in a fresh browser."""
        return self.browser(**options).new_page()

    def expect_status(self, *statuses: int) -> None:
        """Chromium calls an error page's status a console error: these are meant."""
        self._forgiven.update(statuses)

    def expect_host(self, netloc: str) -> None:
        """Pages may ask this host too."""
        self._hosts.add(netloc)

    def leave(self) -> None:
        for context in self._contexts:
            context.close()

    def log_in(self, page: Page, user: dict[str, str] | None = None) -> None:
        """Log in by e-mail on the login page that is shown, as Anna unless told otherwise."""
        user = user or self.demo.anna
        self.to_email(page)
        page.locator("#login-username").fill(user["email"])
        page.locator("#login-password").fill(user["password"])
        page.locator("#login-submit").click()

    def to_email(self, page: Page) -> None:
        """Come to the login page's form for e-mail and password, if another tab is shown."""
        page.locator("#login-form, #bankid, #bankid-not-linked").wait_for()
        if not page.locator("#login-form").is_visible():
            page.locator("#tab-password").click()
            page.locator("#login-form").wait_for()

    def log_in_to(self, page: Page, path: str = "/login") -> None:
        """From the portal's `path` to its page for somebody who is logged in."""
        page.goto(self.demo.portal + path)
        self.log_in(page)
        page.locator("#logout").wait_for()

    def _on_console(self, message: ConsoleMessage) -> None:
        forgiven = any(f"status of {status}" in message.text for status in self._forgiven)
        forgiven = forgiven or SANDBOXED_MAIL.match(message.text) is not None
        if message.type in ("error", "warning") and not forgiven:
            self.complaints.append(f"console {message.type}: {message.text} ({message.location['url']})")

    def _on_response(self, response: Response) -> None:
        if response.status >= 500 and response.status not in self._forgiven:
            self.complaints.append(f"{response.status} from {response.url}")

    def _on_request(self, request: Request) -> None:
        if urlsplit(request.url).netloc not in self._hosts:
            self.complaints.append(f"asks somebody else: {request.url}")


def accessibility_problems(page: Page) -> list[str]:
    """What axe-core finds wrong with the page, a line each."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    violations = page.evaluate("options => axe.run(options).then(found => found.violations)", AXE_OPTIONS)
    return [
        f"{page.url}: {violation['id']}: {violation['help']}: {node['html']} {node['failureSummary']}"
        for violation in violations
        for node in violation["nodes"]
    ]


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    root = "document.documentElement"
    return int(page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))
