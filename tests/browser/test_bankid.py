"""People log in with BankID in a real browser, with the simulator as their app."""

from itertools import pairwise

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.bankid_tab import APP_LINK, WORDS, is_in, open_tab
from tests.browser.phone import ANDROID, ANNA, IPHONE, Phone, frame_number, order_token, read_qr
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("language", "locale"), [("sv", "sv-SE"), ("en", "en-GB")])
def test_code_read_off_the_screen(visitor: Visitor, phone: Phone, language: str, locale: str) -> None:
    words = WORDS[language]
    page = visitor.page(locale=locale)
    page.goto(visitor.demo.portal)
    page.get_by_role("link", name=words["log_in"]).click()
    expect(page.locator("#tab-bankid")).to_have_attribute("aria-current", "page")
    status = page.locator("#bankid-status")
    expect(status).to_have_text(words["start"])
    expect(page.locator("#bankid")).to_contain_text(words["point"])
    phone.scan(page)
    expect(status).to_have_text(words["code"])
    expect(page.locator("#bankid-qr")).to_be_hidden()
    expect(page.get_by_text(words["point"])).to_be_hidden()
    phone.do("approve", personal_number=ANNA)

    is_in(page, words["hello"])
    expect(page.get_by_role("row", name="amr")).to_contain_text('["swk", "mfa", "user"]')
    expect(page.locator("dl")).to_contain_text(words["how"])
    expect(page.locator("dl")).to_contain_text(words["level"])


def test_code_changes_every_second(visitor: Visitor) -> None:
    page = visitor.page(color_scheme="dark")  # and is dark on white there too
    open_tab(visitor, page)
    frames = [read_qr(page)]
    while len(frames) < 4:
        before = page.locator("#bankid-qr").inner_html()
        page.wait_for_function(
            "before => document.getElementById('bankid-qr').innerHTML !== before", arg=before
        )
        frames.append(read_qr(page))
    assert len({order_token(frame) for frame in frames}) == 1
    numbers = [frame_number(frame) for frame in frames]
    assert all(later > earlier for earlier, later in pairwise(numbers)), numbers


def test_secrets_of_the_order_stay_on_the_server(visitor: Visitor) -> None:
    page = visitor.page()
    answers: list[str] = []
    page.on("response", lambda response: answers.append(response.url))
    with page.expect_response("**/bankid/poll") as polled:
        open_tab(visitor, page)
    answer = polled.value.json()
    assert set(answer) == {"state", "text", "qr"}
    assert polled.value.headers["cache-control"] == "no-store"
    assert "autostarttoken" not in page.content().lower()
    assert all("token" not in url for url in answers)


@pytest.mark.parametrize(("device", "user_agent"), [("iphone", IPHONE), ("android", ANDROID)])
def test_login_on_the_same_device(visitor: Visitor, phone: Phone, device: str, user_agent: str) -> None:
    browser = visitor.browser(
        user_agent=user_agent, viewport={"width": 390, "height": 760}, is_mobile=True, has_touch=True
    )
    page = browser.new_page()
    before = len(phone.orders())
    open_tab(visitor, page)
    button = page.get_by_role("link", name="Öppna mobilt BankID")
    expect(button).to_have_id("bankid-open")
    expect(page.locator("#bankid-qr")).to_have_count(0)
    link = button.get_attribute("href") or ""
    assert link.startswith(f"{phone.url}/open?autostarttoken=")
    page.reload()
    assert button.get_attribute("href") == link  # a reload starts nothing anew

    app = browser.new_page()
    app.goto(link)
    app.get_by_role("button", name="Anna Åkesson").click()
    expect(page.locator("#bankid-status")).to_contain_text("Skriv in din säkerhetskod")
    page.reload()
    expect(page.locator("#bankid-status")).to_contain_text("Skriv in din säkerhetskod")
    app.locator("#code").fill("123456")
    app.locator("#approve").click()
    if device == "iphone":
        visitor.expect_status(400)  # the page that was left waiting may find its login answered
        back = app.locator("a[href*='#nonce=']")
        assert (back.get_attribute("href") or "").startswith(page.url + "#nonce=")
        back.click()
        expect(app.locator("#logout, h1").first).to_be_visible()
    is_in_somewhere(page, app)
    assert len(phone.orders()) == before + 1


def is_in_somewhere(page: Page, other: Page) -> None:
    """The login went on in one of the two tabs, and the other says so."""
    expect(page.locator("#bankid")).to_have_count(0)
    logged_in = next(tab for tab in (page, other) if tab.locator("#logout").count())
    is_in(logged_in)


def test_app_is_opened_by_a_tap(visitor: Visitor, phone: Phone) -> None:
    page = visitor.page(user_agent=ANDROID, viewport={"width": 390, "height": 760})
    open_tab(visitor, page)
    page.locator("#bankid-open").click()
    expect(page.get_by_role("button", name="Anna Åkesson")).to_be_visible()
    phone_page = page.url
    assert phone_page.startswith(phone.url)
    page.get_by_role("button", name="Anna Åkesson").click()
    page.locator("#code").fill("123456")
    page.locator("#approve").click()
    page.locator("#code").wait_for(state="detached")
    while page.url.startswith(phone.url):
        page.go_back()
    is_in(page)


def test_a_person_whom_the_app_brings_to_another_browser_is_sent_back(visitor: Visitor, phone: Phone) -> None:
    page = visitor.page(user_agent=IPHONE, viewport={"width": 390, "height": 760})
    open_tab(visitor, page)
    link = page.locator("#bankid-open").get_attribute("href") or ""
    app = visitor.page()
    app.goto(link)
    app.get_by_role("button", name="Anna Åkesson").click()
    phone.do("faults", fault="device_ip", value="different", count=1)  # so that the nonce is waited for
    app.locator("#code").fill("123456")
    app.locator("#approve").click()
    back = app.locator("a[href*='#nonce=']").get_attribute("href") or ""
    stranger = visitor.page(user_agent=IPHONE, viewport={"width": 390, "height": 760})
    stranger.goto(back)
    expect(stranger.locator("#bankid-elsewhere")).to_contain_text("i en annan webbläsare? Gå tillbaka dit")
    assert "nonce" not in stranger.url
    assert not stranger.locator("#logout").count()


def test_switching_device_both_ways(visitor: Visitor, phone: Phone) -> None:
    page = visitor.page()
    open_tab(visitor, page)
    first = order_token(read_qr(page))
    page.locator("#bankid-open").click()
    expect(page.locator("#bankid-status")).to_have_text("Försöker starta BankID-appen.")
    expect(page.locator("#bankid-qr")).to_have_count(0)
    page.locator("#bankid-other").click()
    assert order_token(read_qr(page)) != first
    phone.wait_until_gone(2)  # one is left to scan
    assert not phone.orders()[0]["is_gone"]
    phone.log_in(page)
    is_in(page)


def test_a_page_on_the_way_to_another_tab_is_not_called_back(visitor: Visitor) -> None:
    page = visitor.page()

    def slow(route: Route) -> None:
        answer = route.fetch()  # from here on the order is abandoned, and a poll would say so
        page.wait_for_timeout(2500)
        route.fulfill(response=answer)

    page.route("**/password", slow)
    open_tab(visitor, page)
    page.locator("#tab-password").click()
    page.locator("#login-form").wait_for()


def test_a_page_that_was_not_left_after_all_goes_on(visitor: Visitor, phone: Phone) -> None:
    page = visitor.page()
    page.clock.install()
    open_tab(visitor, page)
    page.locator("#tab-password").evaluate(
        "link => link.addEventListener('click', event => event.preventDefault())"
    )
    page.locator("#tab-password").click()
    page.clock.fast_forward(20_000)
    phone.scan(page)
    page.clock.fast_forward(3_000)
    expect(page.locator("#bankid-status")).to_have_text(WORDS["sv"]["code"])


def test_picture_on_a_phone_leads_to_the_app_on_it(visitor: Visitor) -> None:
    page = visitor.page(user_agent=IPHONE, viewport={"width": 390, "height": 760})
    open_tab(visitor, page)
    page.locator("#bankid-other").click()
    read_qr(page)
    page.locator("#bankid-qr").click()
    expect(page.locator("#bankid-open")).to_have_attribute("href", APP_LINK)


def test_login_with_scripts_off(visitor: Visitor, phone: Phone) -> None:
    page = visitor.page(java_script_enabled=False)
    open_tab(visitor, page)
    first = frame_number(read_qr(page))
    page.wait_for_timeout(1100)
    page.get_by_role("link", name="Visa en ny QR-kod").click()
    assert frame_number(read_qr(page)) > first
    phone.log_in(page)
    go_on = page.get_by_role("link", name="Visa en ny QR-kod").or_(
        page.get_by_role("link", name="Fortsätt när du är klar i BankID-appen")
    )
    for _ in range(20):
        if not go_on.count():
            break
        go_on.click()
        page.wait_for_timeout(300)
    is_in(page)


def test_keyboard_alone_reaches_everything(visitor: Visitor) -> None:
    page = visitor.page()
    open_tab(visitor, page)
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    wanted = ["tab-bankid", "tab-password", "bankid-open", "bankid-cancel", "login-cancel"]
    assert [name for name in reached if name in wanted][: len(wanted)] == wanted
