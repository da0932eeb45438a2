"""People log in through a relying app in a real browser."""

import sqlite3
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser

WORDS = {
    "sv": {
        "log_in": "Logga in",
        "log_out": "Logga ut",
        "hello": "Hej Anna Åkesson",
        "how": "E-postadress och lösenord",
        "account": "Mina uppgifter",
        "done": "Du är utloggad.",
        "waiting": "för att fortsätta till Demoportalen",
    },
    "en": {
        "log_in": "Log in",
        "log_out": "Log out",
        "hello": "Hello Anna Åkesson",
        "how": "E-mail address and password",
        "account": "My account",
        "done": "You are logged out.",
        "waiting": "to continue to Demo portal",
    },
}


@pytest.mark.parametrize(("language", "locale"), [("sv", "sv-SE"), ("en", "en-GB")])
def test_portal_to_login_to_portal_to_logout(visitor: Visitor, language: str, locale: str) -> None:
    words = WORDS[language]
    page = visitor.page(locale=locale)
    page.goto(visitor.demo.portal)
    page.get_by_role("link", name=words["log_in"]).click()
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("main")).to_contain_text(words["waiting"])
    assert page.url.startswith(f"{visitor.demo.issuer}/login/")
    visitor.log_in(page)

    expect(page.get_by_role("heading", level=1)).to_have_text(words["hello"])
    assert page.url == f"{visitor.demo.portal}/"
    expect(page.locator("dl")).to_contain_text("anna@example.se")
    expect(page.locator("dl")).to_contain_text(words["how"])
    expect(page.get_by_role("row", name="acr")).to_contain_text(f"{visitor.demo.issuer}/acr/password")

    page.get_by_role("link", name=words["account"]).click()
    expect(page.locator("main")).to_contain_text("anna@example.se")
    assert page.url == f"{visitor.demo.issuer}/account"
    page.go_back()

    page.get_by_role("button", name=words["log_out"]).click()
    expect(page.get_by_role("status")).to_have_text(words["done"])
    assert page.url == f"{visitor.demo.portal}/"
    page.get_by_role("link", name=words["log_in"]).click()
    expect(page.locator("#login-form")).to_be_visible()


def test_language_menu_changes_the_page_and_keeps_the_login(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(visitor.demo.portal + "/login")
    before = urlsplit(page.url).path
    page.get_by_text("Switch language").click()
    page.get_by_role("link", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    assert urlsplit(page.url).path == before
    visitor.log_in(page)
    expect(page.locator("#logout")).to_be_visible()
    page.goto(visitor.demo.issuer + "/account")
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_relying_app_can_ask_for_english(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(visitor.demo.portal + "/login?ui_locales=en")
    visitor.to_email(page)
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#login-submit")).to_have_text("Log in")


def test_wrong_password(visitor: Visitor) -> None:
    visitor.expect_status(401)
    page = visitor.page()
    page.goto(visitor.demo.portal + "/login")
    visitor.to_email(page)
    page.locator("#login-username").fill(visitor.demo.anna["email"])
    page.locator("#login-password").fill("fel-" + visitor.demo.anna["password"])
    page.locator("#login-submit").click()
    error = page.locator("#login-error")
    expect(error).to_have_text("Fel e-postadress eller lösenord.")
    expect(error).to_have_attribute("role", "alert")
    expect(page.locator("#login-username")).to_have_value(visitor.demo.anna["email"])
    expect(page.locator("#login-password")).to_have_value("")
    expect(page.locator("#login-password")).to_be_focused()
    assert not urlsplit(page.url).query
    page.locator("#login-password").fill(visitor.demo.anna["password"])
    page.keyboard.press("Enter")
    expect(page.locator("#logout")).to_be_visible()


def test_login_by_keyboard_alone(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(visitor.demo.portal)
    _tab_to(page, "#login")
    page.keyboard.press("Enter")
    page.locator("#bankid").wait_for()
    _tab_to(page, "#tab-password")
    page.keyboard.press("Enter")
    expect(page.locator("#login-username")).to_be_focused()  # the page puts the cursor there
    page.keyboard.type(visitor.demo.anna["email"])
    page.keyboard.press("Tab")
    expect(page.locator("#login-password")).to_be_focused()
    page.keyboard.type(visitor.demo.anna["password"])
    _tab_to(page, "#login-submit")
    page.keyboard.press("Enter")
    expect(page.locator("#logout")).to_be_visible()
    _tab_to(page, "#logout")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_be_visible()


def _tab_to(page: Page, selector: str) -> None:
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.locator(selector).evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{selector} cannot be reached by the Tab key")


def test_password_can_be_shown(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(visitor.demo.issuer + "/login/password")
    field = page.locator("#login-password")
    field.fill("abc")
    page.locator(".password-toggle").click()
    expect(field).to_have_attribute("type", "text")
    page.locator(".password-toggle").click()
    expect(field).to_have_attribute("type", "password")


def test_two_tabs_log_in_to_two_clients(visitor: Visitor) -> None:
    browser = visitor.browser()
    first, second = browser.new_page(), browser.new_page()
    first.goto(visitor.demo.portal + "/login")
    second.goto(visitor.demo.portal + "/login/spa")
    expect(first.locator("main")).to_contain_text("för att fortsätta till Demoportalen")
    expect(second.locator("main")).to_contain_text("för att fortsätta till Demoappen")
    visitor.log_in(second)
    expect(second.get_by_role("row", name="aud")).to_contain_text("demo-spa")
    assert second.url == f"{visitor.demo.portal}/spa"
    visitor.log_in(first)
    expect(first.get_by_role("row", name="aud")).to_contain_text("demo-portal")
    assert first.url == f"{visitor.demo.portal}/"


def test_back_and_reload_after_a_login(visitor: Visitor) -> None:
    visitor.expect_status(400)  # the login page is over: that is what the person is told
    page = visitor.page()
    page.goto(visitor.demo.portal)
    page.locator("#login").click()
    visitor.log_in(page)
    page.locator("#logout").wait_for()
    page.go_back()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Inloggningen är redan klar")
    page.get_by_role("link", name="Börja om hos Demoportalen").click()
    expect(page.locator("#logout")).to_be_visible()  # still logged in at the provider: no form
    page.reload()
    expect(page.locator("#logout")).to_be_visible()


def test_double_click_on_log_in(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(visitor.demo.portal + "/login")
    visitor.to_email(page)
    page.locator("#login-username").fill(visitor.demo.anna["email"])
    page.locator("#login-password").fill(visitor.demo.anna["password"])
    page.locator("#login-submit").dblclick(no_wait_after=True)
    expect(page.locator("#logout")).to_be_visible()


def test_copied_login_address_begins_anew_in_the_other_browser(visitor: Visitor) -> None:
    first, second = visitor.page(), visitor.page()
    first.goto(visitor.demo.portal + "/login")
    copied = urlsplit(first.url).path
    second.goto(first.url)
    expect(second.locator("#bankid-qr")).to_be_visible()
    assert urlsplit(second.url).path != copied
    visitor.expect_status(400)
    visitor.log_in(second)
    # The portal gave `state` to the first browser: the second is told to begin again, and can.
    expect(second.locator("#portal-error")).to_contain_text("hör inte till någon påbörjad inloggning")
    second.get_by_role("link", name="Försök igen").click()
    expect(second.locator("#logout")).to_be_visible()
    visitor.log_in(first)
    expect(first.locator("#logout")).to_be_visible()


def test_login_page_left_for_too_long(visitor: Visitor) -> None:
    visitor.expect_status(400)
    page = visitor.page()
    page.goto(visitor.demo.portal + "/login")
    uid = urlsplit(page.url).path.split("/")[2]
    visitor.to_email(page)
    _let_expire(visitor, uid)
    visitor.log_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Inloggningen tog för lång tid")
    page.get_by_role("link", name="Börja om hos Demoportalen").click()
    visitor.log_in(page)
    expect(page.locator("#logout")).to_be_visible()


def _let_expire(visitor: Visitor, uid: str) -> None:
    connection = sqlite3.connect(visitor.demo.directory / "idp.sqlite3", timeout=10)
    try:
        with connection:
            changed = connection.execute(
                "UPDATE interactions SET expires_at = '2020-01-01 00:00:00.000000' WHERE uid = ?", [uid]
            )
        assert changed.rowcount == 1
    finally:
        connection.close()


def test_consent_denied_then_given_then_remembered(visitor: Visitor) -> None:
    visitor.expect_status(400)
    page = visitor.page()
    page.goto(visitor.demo.portal + "/login/consent")
    visitor.log_in(page, visitor.demo.bjorn)  # whom no other test asks
    expect(page.locator("main")).to_contain_text("Demorapporter")
    page.locator("#consent-deny").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Inloggningen avbröts")
    expect(page.locator("#portal-error")).to_contain_text("access_denied")

    page.get_by_role("link", name="Försök igen").click()
    page.locator("#consent-allow").click()
    expect(page.get_by_role("row", name="aud")).to_contain_text("demo-consent")
    assert page.url == f"{visitor.demo.portal}/consent"

    page.goto(visitor.demo.portal + "/login/consent")
    expect(page.locator("#logout")).to_be_visible()


@pytest.mark.parametrize("mode", ["query", "form_post"])
def test_login_with_scripts_off(visitor: Visitor, mode: str) -> None:
    page = visitor.page(java_script_enabled=False)
    page.goto(f"{visitor.demo.portal}/login?response_mode={mode}")
    page.get_by_text("Switch language").click()
    expect(page.get_by_role("link", name="English")).to_be_visible()
    visitor.log_in(page)
    if mode == "form_post":
        page.get_by_role("button", name="Fortsätt").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hej Anna Åkesson")
    page.get_by_role("button", name="Logga ut").click()
    expect(page.get_by_role("status")).to_have_text("Du är utloggad.")


def test_form_post_goes_on_without_a_click(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(f"{visitor.demo.portal}/login?response_mode=form_post")
    visitor.log_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Hej Anna Åkesson")


def test_logout_at_the_provider_asks_and_says_that_it_is_done(visitor: Visitor) -> None:
    page = visitor.page()
    visitor.log_in_to(page)
    page.goto(visitor.demo.issuer + "/logout")
    page.locator("#logout-confirm").click()
    expect(page.locator("#logged-out")).to_contain_text("Du är utloggad")
    expect(page.locator("#account-icon")).to_have_count(0)
    page.goto(visitor.demo.portal + "/login")
    expect(page.locator("#login-form")).to_be_visible()


def test_portal_refuses_a_login_in_the_name_of_another_provider(visitor: Visitor) -> None:
    page = visitor.page()
    page.goto(f"{visitor.demo.portal}/login?iss={visitor.demo.issuer}&target_link_uri=https://evil.example/")
    expect(page.locator("#bankid-qr")).to_be_visible()
    visitor.expect_status(400)
    page.goto(f"{visitor.demo.portal}/login?iss=https://evil.example")
    expect(page.get_by_role("heading", level=1)).to_have_text("Fel avsändare")


def test_portal_refuses_an_answer_of_another_provider(visitor: Visitor) -> None:
    page = visitor.page()
    visitor.expect_status(400)
    heading = page.get_by_role("heading", level=1)
    right = _answer_to_a_begun_login(visitor, page)
    page.goto(right)
    expect(page.locator("#portal-error")).to_contain_text("invalid_grant")  # it went to exchange the code
    right = _answer_to_a_begun_login(visitor, page)
    page.goto(right.replace(visitor.demo.issuer, "https://evil.example"))
    expect(heading).to_have_text("Fel avsändare")
    right = _answer_to_a_begun_login(visitor, page)
    page.goto(right.replace("state=", "state=x"))
    expect(heading).to_have_text("Svaret hör inte till någon påbörjad inloggning")


def _answer_to_a_begun_login(visitor: Visitor, page: Page) -> str:
    """Where the provider would send the browser, but for the code, which is made up."""
    with page.expect_request(f"{visitor.demo.issuer}/authorize?*") as asked:
        page.goto(visitor.demo.portal + "/login")
    state = parse_qs(urlsplit(asked.value.url).query)["state"][0]
    return f"{visitor.demo.portal}/callback?code=made-up&state={state}&iss={visitor.demo.issuer}"
