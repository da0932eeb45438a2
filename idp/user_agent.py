"""The device behind a User-Agent header: browser, platform and kind, by the names that people know.

All of it is guessed from headers that anybody can write. It chooses words, defaults and links, and decides
nothing about what is allowed.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


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
    CHROMEOS = "chromeos"
    LINUX = "linux"
    OTHER = "other"


class Browser(StrEnum):
    """The browsers that people know by name. IN_APP is a web view inside another app."""

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
    Platform.WINDOWS: "Windows",
    Platform.MACOS: "Mac",
    Platform.ANDROID: "Android",
    Platform.CHROMEOS: "ChromeOS",
    Platform.LINUX: "Linux",
}


@dataclass(frozen=True)
class Device:
    """The sender of a request, by its headers. No versions: browsers freeze them, so they mislead."""

    kind: DeviceKind
    platform: Platform
    browser: Browser

    @property
    def browser_name(self) -> str | None:
        """The browser by name; None where the header does not name it, and for a web view inside an app."""
        return BROWSER_NAMES.get(self.browser)

    @property
    def system_name(self) -> str | None:
        """The system, or the device where people know that better; None where the header names neither."""
        if self.platform is Platform.IOS:
            return "iPhone" if self.kind is DeviceKind.PHONE else "iPad"
        return PLATFORM_NAMES.get(self.platform)

    @property
    def described(self) -> str | None:
        """Browser and system by name, for a mail to the user; None where the header names neither."""
        return ", ".join(name for name in (self.browser_name, self.system_name) if name) or None


# The first pattern found decides: nearly every browser also calls itself Safari, many also Chrome.
_IN_APP = r"FBAN/|FBAV/|FB_IAB|Instagram|LinkedInApp|Snapchat|musical_ly|BytedanceWebview|\bLine/|GSA/|; wv\)"
_BROWSERS = tuple(
    (re.compile(pattern), browser)
    for pattern, browser in (
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
)
# Browsers that exist on one platform only, also when they ask for the desktop version of a page.
_IOS_ONLY = re.compile(r"iPhone|iPad|iPod|CriOS/|FxiOS/|EdgiOS/|OPT/|OPiOS/")
_ANDROID_ONLY = re.compile(r"Android|SamsungBrowser/")
_COMPUTERS = (
    ("Windows NT", Platform.WINDOWS),
    ("CrOS", Platform.CHROMEOS),
    ("Linux", Platform.LINUX),
)


def recognise(user_agent: str, *, brands: str = "", touch: bool = False) -> Device:
    """The device that a User-Agent header seems to come from.

    `brands` is the Sec-CH-UA header: Brave names itself only there. `touch` means that the page's script
    found several touch points: the only way to know an iPad, which presents itself as a Macintosh.
    """
    platform = _platform(user_agent, touch=touch)
    browser = next((found for pattern, found in _BROWSERS if pattern.search(user_agent)), Browser.OTHER)
    if '"Brave"' in brands:
        browser = Browser.BRAVE
    if browser is Browser.SAFARI and platform is Platform.ANDROID:
        browser = Browser.OTHER  # Android's own of many years ago
    return Device(_kind(user_agent, platform), platform, browser)


def _platform(user_agent: str, *, touch: bool) -> Platform:
    if _IOS_ONLY.search(user_agent):
        return Platform.IOS
    if _ANDROID_ONLY.search(user_agent):
        return Platform.ANDROID
    if "Macintosh" in user_agent:
        return Platform.IOS if touch else Platform.MACOS
    return next((platform for word, platform in _COMPUTERS if word in user_agent), Platform.OTHER)


def _kind(user_agent: str, platform: Platform) -> DeviceKind:
    if platform is Platform.IOS:
        return DeviceKind.PHONE if re.search("iPhone|iPod", user_agent) else DeviceKind.TABLET
    if platform is Platform.ANDROID:
        return DeviceKind.PHONE if "Mobi" in user_agent else DeviceKind.TABLET
    if platform in (Platform.WINDOWS, Platform.MACOS) or re.search("X11|CrOS", user_agent):
        return DeviceKind.COMPUTER
    return DeviceKind.UNKNOWN
