"""Same-device start: what real browsers are taken for, their links, and their ways back."""

import pytest

from idp.bankid.launch import (
    Browser,
    Device,
    DeviceKind,
    FirstChoice,
    Platform,
    ReturnUrl,
    detect,
    launch_url,
    return_url,
)

TOKEN = "131daac9-16c6-4618-beb0-365768f37288"
PAGE = "https://login.example.se/login/abc/bankid"
APP_LINK = f"https://app.bankid.com/?autostarttoken={TOKEN}"
SCHEME = f"bankid:///?autostarttoken={TOKEN}"
DESKTOP = f"bankid:///?autostarttoken={TOKEN}&redirect=null"

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko)"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {WEBKIT}"
MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT}"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK}"
ANDROID = f"Mozilla/5.0 (Linux; Android 10; K) {BLINK}"

REAL_BROWSERS = [
    # Computers
    (f"{WINDOWS} Chrome/130.0.0.0 Safari/537.36", "computer windows chrome", DESKTOP),
    (f"{WINDOWS} Chrome/130.0.0.0 Safari/537.36 Edg/130.0.2849.68", "computer windows edge", DESKTOP),
    (f"{WINDOWS} Chrome/128.0.0.0 Safari/537.36 OPR/114.0.0.0", "computer windows opera", DESKTOP),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
        "computer windows firefox",
        DESKTOP,
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
        "computer windows other",
        DESKTOP,
    ),
    (f"{MAC} Version/18.1 Safari/605.1.15", "computer macos safari", DESKTOP),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:132.0) Gecko/20100101 Firefox/132.0",
        "computer macos firefox",
        DESKTOP,
    ),
    (
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {BLINK} Chrome/130.0.0.0 Safari/537.36",
        "computer macos chrome",
        DESKTOP,
    ),
    (
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
        "computer other firefox",
        DESKTOP,
    ),
    (
        f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Chrome/130.0.0.0 Safari/537.36",
        "computer other chrome",
        DESKTOP,
    ),
    # iPhone and iPad
    (f"{IPHONE} Version/18.1 Mobile/15E148 Safari/604.1", "phone ios safari", APP_LINK),
    (f"{IPHONE} CriOS/130.0.6723.90 Mobile/15E148 Safari/604.1", "phone ios chrome", APP_LINK),
    (f"{IPHONE} FxiOS/132.0 Mobile/15E148 Safari/605.1.15", "phone ios firefox", APP_LINK),
    (
        f"{IPHONE} Version/18.0 EdgiOS/130.0.2849.68 Mobile/15E148 Safari/604.1",
        "phone ios edge",
        APP_LINK,
    ),
    (f"{IPHONE} Version/18.1 Mobile/15E148 Safari/604.1 OPT/5.0.6", "phone ios opera", APP_LINK),
    (f"{IPHONE} OPiOS/16.0.15.124050 Mobile/15E148 Safari/9537.53", "phone ios other", APP_LINK),
    (f"{IPHONE} Version/18.1 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15", "phone ios duckduckgo", APP_LINK),
    (f"{IPHONE} Version/18.1 Mobile/15E148 Safari/605.1.15 Ddg/18.1", "phone ios duckduckgo", APP_LINK),
    (f"{IPHONE} GSA/342.0.693598186 Mobile/15E148 Safari/604.1", "phone ios in_app", APP_LINK),
    (
        f"{IPHONE} Mobile/22B83 [FBAN/FBIOS;FBAV/488.0.0.70.113;FBBV/655921212;FBDV/iPhone15,2]",
        "phone ios in_app",
        APP_LINK,
    ),
    (
        f"{IPHONE} Mobile/22B83 Instagram 356.0.0.28.92 (iPhone15,2; iOS 18_1; sv_SE; sv)",
        "phone ios in_app",
        APP_LINK,
    ),
    (f"{IPHONE} Mobile/15E148", "phone ios other", APP_LINK),
    (
        f"Mozilla/5.0 (iPad; CPU OS 12_5_7 like Mac OS X) {WEBKIT} Version/12.1.2 Mobile/15E148 Safari/604.1",
        "tablet ios safari",
        APP_LINK,
    ),
    (f"{MAC} CriOS/130 Version/11.1.1 Safari/605.1.15", "tablet ios chrome", APP_LINK),
    # Android
    (f"{ANDROID} Chrome/130.0.0.0 Mobile Safari/537.36", "phone android chrome", APP_LINK),
    (
        f"{ANDROID} Chrome/130.0.0.0 Mobile Safari/537.36 EdgA/130.0.0.0",
        "phone android edge",
        APP_LINK,
    ),
    (
        f"{ANDROID} SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36",
        "phone android samsung",
        SCHEME,
    ),
    (f"{ANDROID} Chrome/130.0.0.0 Mobile Safari/537.36 OPR/85.0.0.0", "phone android opera", SCHEME),
    (
        "Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0",
        "phone android firefox",
        SCHEME,
    ),
    (f"{ANDROID} Chrome/130.0.0.0 Safari/537.36", "tablet android chrome", APP_LINK),
    (
        f"Mozilla/5.0 (X11; Linux x86_64) {BLINK} SamsungBrowser/26.0 Chrome/122.0.0.0 Safari/537.36",
        "tablet android samsung",
        SCHEME,
    ),
    (
        f"Mozilla/5.0 (Linux; Android 12; NOH-NX9) {BLINK} Chrome/114.0 HuaweiBrowser/15.0.4 "
        "Mobile Safari/537.36",
        "phone android other",
        SCHEME,
    ),
    (
        f"Mozilla/5.0 (Linux; Android 14; SM-S911B Build/UP1A; wv) {BLINK} Version/4.0 "
        "Chrome/130.0.6723.86 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/488.0.0.70.79;]",
        "phone android in_app",
        APP_LINK,
    ),
    (f"{ANDROID} Chrome/130.0.0.0 Mobile DuckDuckGo/5 Safari/537.36", "phone android duckduckgo", SCHEME),
    # Neither
    ("", "unknown other other", DESKTOP),
    ("curl/8.5.0", "unknown other other", DESKTOP),
]


@pytest.mark.parametrize(("user_agent", "taken_for", "link"), REAL_BROWSERS)
def test_a_browsers_device_and_its_launch_link(user_agent: str, taken_for: str, link: str) -> None:
    device = detect(user_agent)
    assert f"{device.kind} {device.platform} {device.browser}" == taken_for
    assert launch_url(device, TOKEN) == link


def test_an_ipad_that_says_macintosh_is_known_by_touch_alone() -> None:
    ipad = f"{MAC} Version/18.1 Safari/605.1.15"
    assert detect(ipad).kind is DeviceKind.COMPUTER
    touched = detect(ipad, touch=True)
    assert touched == Device(DeviceKind.TABLET, Platform.IOS, Browser.SAFARI)
    assert launch_url(touched, TOKEN) == APP_LINK


def test_a_touch_screen_makes_no_windows_computer_a_tablet() -> None:
    assert detect(f"{WINDOWS} Chrome/130.0.0.0 Safari/537.36", touch=True).kind is DeviceKind.COMPUTER


def test_brave_is_known_by_its_client_hint_alone() -> None:
    user_agent = f"{ANDROID} Chrome/130.0.0.0 Mobile Safari/537.36"
    chrome = detect(user_agent, brands='"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"')
    assert (chrome.browser, launch_url(chrome, TOKEN)) == (Browser.CHROME, APP_LINK)
    brave = detect(user_agent, brands='"Chromium";v="130", "Brave";v="130", "Not?A_Brand";v="99"')
    assert (brave.browser, launch_url(brave, TOKEN)) == (Browser.BRAVE, SCHEME)


def test_the_token_cannot_break_out_of_the_link() -> None:
    link = launch_url(detect(""), "a&redirect=https://evil.example/#b")
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
    assert (device.first_choice, device.page_device) == (first_choice, page_device)


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
