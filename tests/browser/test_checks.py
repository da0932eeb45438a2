"""The browser tests' own checks see each fault that they look for."""

import pytest
from playwright.sync_api import Page

from tests.browser.visitor import Visitor, accessibility_problems, overflow

pytestmark = pytest.mark.browser


@pytest.fixture
def page(visitor: Visitor) -> Page:
    page = visitor.page()
    page.goto(visitor.demo.issuer + "/login/password")
    assert visitor.complaints == []
    return page


def heard(visitor: Visitor) -> str:
    """All complaints so far, which are forgotten."""
    text = "\n".join(visitor.complaints)
    visitor.complaints.clear()
    return text


def test_broken_content_security_policy_is_heard(visitor: Visitor, page: Page) -> None:
    with page.expect_console_message(lambda message: message.text.startswith("CSP violation")):
        page.evaluate("document.body.append(document.createElement('script'))")
        page.evaluate("document.body.lastChild.text = 'alert(1)'")
    assert "CSP violation: script-src-elem inline" in heard(visitor)


def test_console_error_is_heard(visitor: Visitor, page: Page) -> None:
    page.evaluate("console.error('oh no')")
    assert "oh no" in heard(visitor)


def test_unexpected_status_is_heard(visitor: Visitor, page: Page) -> None:
    page.goto(visitor.demo.issuer + "/no/such/page")
    assert "404" in heard(visitor)


def test_inaccessible_field_is_seen(page: Page) -> None:
    assert accessibility_problems(page) == []
    page.evaluate("document.querySelector('label[for=login-username]').remove()")
    assert "label" in "".join(accessibility_problems(page))


def test_overflow_is_seen(page: Page) -> None:
    assert overflow(page) == 0
    page.evaluate("document.querySelector('.card').style.minWidth = '3000px'")
    assert overflow(page) > 0
