"""Links open the app on the same device and lead back from it."""

import pytest

from idp.bankid import launch
from idp.bankid.launch import FirstChoice, ReturnUrl, launch_url, return_url
from idp.user_agent import Browser, Device, DeviceKind, Platform, recognise
from tests.unit import user_agents
from tests.unit.user_agents import MAC, REAL_BROWSERS, Seen

TOKEN = "131daac9-16c6-4618-beb0-365768f37288"
PAGE = "https://login.example.se/login/abc/bankid"
LINKS = {
    user_agents.APP_LINK: f"https://app.bankid.com/?autostarttoken={TOKEN}",
    user_agents.SCHEME: f"bankid:///?autostarttoken={TOKEN}",
    user_agents.DESKTOP: f"bankid:///?autostarttoken={TOKEN}&redirect=null",
}


@pytest.mark.parametrize("seen", REAL_BROWSERS)
def test_the_link_that_opens_the_app(seen: Seen) -> None:
    assert launch_url(recognise(seen.user_agent), TOKEN) == LINKS[seen.link]


def test_an_ipad_that_says_macintosh_is_opened_by_touch() -> None:
    touched = recognise(f"{MAC} Version/18.1 Safari/605.1.15", touch=True)
    assert launch_url(touched, TOKEN) == LINKS[user_agents.APP_LINK]


def test_brave_has_a_link_of_its_own() -> None:
    chrome, brave = (
        Device(DeviceKind.PHONE, Platform.ANDROID, one) for one in (Browser.CHROME, Browser.BRAVE)
    )
    assert launch_url(chrome, TOKEN) == LINKS[user_agents.APP_LINK]
    assert launch_url(brave, TOKEN) == LINKS[user_agents.SCHEME]


def test_the_token_cannot_break_out_of_the_link() -> None:
    link = launch_url(recognise(""), "a&redirect=https://evil.example/#b")
    assert link == "bankid:///?autostarttoken=a%26redirect%3Dhttps%3A%2F%2Fevil.example%2F%23b&redirect=null"


@pytest.mark.parametrize(
    ("kind", "first_choice", "page_device"),
    [
        (DeviceKind.COMPUTER, FirstChoice.QR, "computer"),
        (DeviceKind.PHONE, FirstChoice.SAME_DEVICE, "mobile"),
        (DeviceKind.TABLET, FirstChoice.ASK, "mobile"),
        (DeviceKind.UNKNOWN, FirstChoice.QR, "unknown"),
    ],
)
def test_the_first_choice_of_a_device(kind: DeviceKind, first_choice: FirstChoice, page_device: str) -> None:
    device = Device(kind, Platform.OTHER, Browser.OTHER)
    assert (launch.first_choice(device), launch.page_device(device)) == (first_choice, page_device)


@pytest.mark.parametrize(
    ("browser", "url", "carries_nonce"),
    [
        (Browser.SAFARI, f"{PAGE}#nonce=n0-nce_", True),
        (Browser.CHROME, "googlechromes://", False),
        (Browser.FIREFOX, "firefox://", False),
        (Browser.EDGE, f"microsoft-edge-{PAGE}#nonce=n0-nce_", True),
        (Browser.OPERA, f"touch-{PAGE}#nonce=n0-nce_", True),
        (
            Browser.BRAVE,
            "brave://open-url?url=https%3A%2F%2Flogin.example.se%2Flogin%2Fabc%2Fbankid%23nonce%3Dn0-nce_",
            True,
        ),
        (Browser.DUCKDUCKGO, "ddgQuickLink://login.example.se/login/abc/bankid#nonce=n0-nce_", True),
    ],
)
def test_the_way_back_on_ios(browser: Browser, url: str, carries_nonce: bool) -> None:
    device = Device(DeviceKind.PHONE, Platform.IOS, browser)
    assert return_url(device, PAGE, "n0-nce_") == ReturnUrl(url, carries_nonce)


@pytest.mark.parametrize(
    ("platform", "browser"),
    [
        (Platform.IOS, Browser.IN_APP),
        (Platform.IOS, Browser.OTHER),
        (Platform.IOS, Browser.SAMSUNG),
        *((Platform.ANDROID, browser) for browser in Browser),
        *((Platform.WINDOWS, browser) for browser in Browser),
        (Platform.MACOS, Browser.SAFARI),
        (Platform.OTHER, Browser.FIREFOX),
    ],
)
def test_other_platforms_have_no_way_back(platform: Platform, browser: Browser) -> None:
    assert return_url(Device(DeviceKind.UNKNOWN, platform, browser), PAGE, "n0-nce_") is None


@pytest.mark.parametrize(
    "page", [f"{PAGE}#top", f"{PAGE}#", "/login/abc", "javascript:alert(1)", "https:///x"]
)
def test_only_a_whole_address_without_fragment_can_be_returned_to(page: str) -> None:
    safari = Device(DeviceKind.PHONE, Platform.IOS, Browser.SAFARI)
    assert return_url(safari, PAGE, "n0-nce_") is not None
    with pytest.raises(ValueError, match="absolute"):
        return_url(safari, page, "n0-nce_")
