"""Starting the BankID app on the same device: the kind of device, the launch link, the way back.

The device is guessed from headers that anybody can write: it decides defaults and links, never permissions.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, urlsplit

from idp.bankid.api.messages import PageDevice

APP_LINK = "https://app.bankid.com/"
APP_SCHEME = "bankid:///"


class DeviceKind(StrEnum):
    COMPUTER = "computer"
    PHONE = "phone"
    TABLET = "tablet"
    UNKNOWN = "unknown"


class Platform(StrEnum):
    WINDOWS = "windows"
    MACOS = "macos"
    IOS = "ios"
    ANDROID = "android"
    OTHER = "other"


class Browser(StrEnum):
    """The browsers that need links of their own. IN_APP is a web view inside another app."""

    SAFARI = "safari"
    CHROME = "chrome"
    FIREFOX = "firefox"
    EDGE = "edge"
    OPERA = "opera"
    BRAVE = "brave"
    SAMSUNG = "samsung"
    DUCKDUCKGO = "duckduckgo"
    IN_APP = "in_app"
    OTHER = "other"


class FirstChoice(StrEnum):
    """The way to start that is offered first; the other one is always offered as well."""

    SAME_DEVICE = "same_device"
    QR = "qr"
    ASK = "ask"


BROWSER_NAMES = {
    Browser.SAFARI: "Safari",
    Browser.CHROME: "Chrome",
    Browser.FIREFOX: "Firefox",
    Browser.EDGE: "Edge",
    Browser.OPERA: "Opera",
    Browser.BRAVE: "Brave",
    Browser.SAMSUNG: "Samsung Internet",
    Browser.DUCKDUCKGO: "DuckDuckGo",
}
PLATFORM_NAMES = {
    Platform.IOS: "iOS",
    Platform.ANDROID: "Android",
    Platform.MACOS: "macOS",
    Platform.WINDOWS: "Windows",
}


@dataclass(frozen=True)
class Device:
    """The device and browser that show our page, as its headers describe them."""

    kind: DeviceKind
    platform: Platform
    browser: Browser

    @property
    def first_choice(self) -> FirstChoice:
        """Phone: the app on it; computer: QR; a tablet may be either (Sweden Connect BankID profile)."""
        if self.kind is DeviceKind.PHONE:
            return FirstChoice.SAME_DEVICE
        return FirstChoice.ASK if self.kind is DeviceKind.TABLET else FirstChoice.QR

    @property
    def described(self) -> str | None:
        """Browser and system by name, for a mail to the user; None when both are unknown."""
        names = [BROWSER_NAMES.get(self.browser), PLATFORM_NAMES.get(self.platform)]
        return ", ".join(name for name in names if name) or None

    @property
    def page_device(self) -> PageDevice:
        """The kind of device as `messages.message` takes it."""
        if self.kind is DeviceKind.COMPUTER:
            return "computer"
        return "unknown" if self.kind is DeviceKind.UNKNOWN else "mobile"


@dataclass(frozen=True)
class ReturnUrl:
    """An order's returnUrl. Without `carries_nonce` it only raises the browser, and proves nothing."""

    url: str
    carries_nonce: bool


# The first pattern found decides: nearly every browser also calls itself Safari, many also Chrome.
_IN_APP = r"FBAN/|FBAV/|FB_IAB|Instagram|LinkedInApp|Snapchat|musical_ly|BytedanceWebview|\bLine/|GSA/|; wv\)"
_BROWSERS = (
    (_IN_APP, Browser.IN_APP),
    (r"Brave/", Browser.BRAVE),
    (r"DuckDuckGo/|Ddg/", Browser.DUCKDUCKGO),
    (r"SamsungBrowser/", Browser.SAMSUNG),
    (r"EdgiOS/|EdgA/|Edg/", Browser.EDGE),
    (r"OPiOS/|Opera Mini|HuaweiBrowser/|YaBrowser/|Vivaldi/|UCBrowser/|MiuiBrowser/", Browser.OTHER),
    (r"OPR/|OPT/|OPX/", Browser.OPERA),
    (r"FxiOS/|Firefox/", Browser.FIREFOX),
    (r"CriOS/|Chrome/", Browser.CHROME),
    (r"Version/.*Safari/", Browser.SAFARI),
)
# Browsers that exist on one platform only, also when they ask for the desktop version of a page.
_IOS_ONLY = r"iPhone|iPad|iPod|CriOS/|FxiOS/|EdgiOS/|OPT/|OPiOS/"
_ANDROID_ONLY = r"Android|SamsungBrowser/"


def detect(user_agent: str, *, brands: str = "", touch: bool = False) -> Device:
    """The device and browser that a User-Agent header describes.

    `brands` is the Sec-CH-UA header: Brave names itself only there. `touch` says that the page's script
    found several touch points: the only way to know an iPad, which presents itself as a Macintosh.
    """
    platform = _platform(user_agent, touch=touch)
    browser = next((name for pattern, name in _BROWSERS if re.search(pattern, user_agent)), Browser.OTHER)
    if '"Brave"' in brands:
        browser = Browser.BRAVE
    return Device(_kind(user_agent, platform), platform, browser)


def _platform(user_agent: str, *, touch: bool) -> Platform:
    if re.search(_IOS_ONLY, user_agent):
        return Platform.IOS
    if re.search(_ANDROID_ONLY, user_agent):
        return Platform.ANDROID
    if "Macintosh" in user_agent:
        return Platform.IOS if touch else Platform.MACOS
    return Platform.WINDOWS if "Windows NT" in user_agent else Platform.OTHER


def _kind(user_agent: str, platform: Platform) -> DeviceKind:
    if platform is Platform.IOS:
        return DeviceKind.PHONE if re.search("iPhone|iPod", user_agent) else DeviceKind.TABLET
    if platform is Platform.ANDROID:
        return DeviceKind.PHONE if "Mobi" in user_agent else DeviceKind.TABLET
    if platform in (Platform.WINDOWS, Platform.MACOS) or re.search("X11|CrOS", user_agent):
        return DeviceKind.COMPUTER
    return DeviceKind.UNKNOWN


def launch_url(device: Device, autostart_token: str) -> str:
    """The address of a link that opens the BankID app on this device (BankID RP guide, autostart).

    It is a universal link or app link where the browser follows those, because no other app can claim them.
    Several browsers open it only when the user taps it.
    """
    query = f"?autostarttoken={quote(autostart_token, safe='')}"
    if device.platform is Platform.IOS:
        return APP_LINK + query
    if device.platform is Platform.ANDROID:
        follows = device.browser in (Browser.CHROME, Browser.EDGE, Browser.IN_APP)
        return (APP_LINK if follows else APP_SCHEME) + query
    return f"{APP_SCHEME}{query}&redirect=null"


def return_url(device: Device, page_url: str, nonce: str) -> ReturnUrl | None:
    """Where the app returns after an autostarted order (BankID RP guide, return URL).

    None where the user switches back: everywhere but in the known browsers on iOS. `page_url` is the
    address of the waiting page exactly as the browser shows it, without fragment: Safari on iOS reloads
    that tab only if nothing but the fragment differs, so the nonce stands there. Other browsers on iOS have
    schemes of their own. A scheme that by itself returns to the waiting tab is used alone, and brings no
    nonce back. Raises `ValueError` for any other page_url.
    """
    parts = urlsplit(page_url)
    if parts.scheme not in ("https", "http") or not parts.netloc or "#" in page_url:
        raise ValueError("a return page is an absolute http(s) address without fragment")
    if device.platform is not Platform.IOS:
        return None
    full = f"{page_url}#nonce={quote(nonce, safe='')}"
    match device.browser:
        case Browser.SAFARI:
            return ReturnUrl(full, carries_nonce=True)
        case Browser.CHROME:
            return ReturnUrl("googlechromes://", carries_nonce=False)
        case Browser.FIREFOX:
            return ReturnUrl("firefox://", carries_nonce=False)
        case Browser.EDGE:
            return ReturnUrl(f"microsoft-edge-{full}", carries_nonce=True)
        case Browser.OPERA:
            return ReturnUrl(f"touch-{full}", carries_nonce=True)
        case Browser.BRAVE:
            return ReturnUrl(f"brave://open-url?url={quote(full, safe='')}", carries_nonce=True)
        case Browser.DUCKDUCKGO:
            return ReturnUrl(f"ddgQuickLink:{full.partition(':')[2]}", carries_nonce=True)
    return None
