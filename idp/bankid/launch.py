"""Starting the BankID app on the same device: what is offered first, the link to the app, and the way back.

The device is guessed from headers that anybody can write: it decides defaults and links, never permissions.
"""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, urlsplit

from idp.bankid.api.messages import PageDevice
from idp.user_agent import Browser, Device, DeviceKind, Platform

APP_LINK = "https://app.bankid.com/"
APP_SCHEME = "bankid:///"


class FirstChoice(StrEnum):
    """The way to start that is offered first; the other one is always offered as well."""

    SAME_DEVICE = "same_device"
    QR = "qr"
    ASK = "ask"


@dataclass(frozen=True)
class ReturnUrl:
    """An order's returnUrl. Without `carries_nonce` it only raises the browser, and proves nothing."""

    url: str
    carries_nonce: bool


def first_choice(device: Device) -> FirstChoice:
    """Phone: the app on it; computer: QR; a tablet may be either (Sweden Connect BankID profile)."""
    if device.kind is DeviceKind.PHONE:
        return FirstChoice.SAME_DEVICE
    return FirstChoice.ASK if device.kind is DeviceKind.TABLET else FirstChoice.QR


def page_device(device: Device) -> PageDevice:
    """The device in the words that `messages.message` knows."""
    if device.kind is DeviceKind.COMPUTER:
        return "computer"
    return "unknown" if device.kind is DeviceKind.UNKNOWN else "mobile"


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
