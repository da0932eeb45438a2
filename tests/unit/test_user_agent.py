"""Devices by their headers: what real browsers are taken for, and what they are called."""

import pytest

from idp.user_agent import Browser, Device, DeviceKind, Platform, recognise
from tests.unit.user_agents import ANDROID, MAC, REAL_BROWSERS, WINDOWS, Seen


@pytest.mark.parametrize("seen", REAL_BROWSERS)
def test_a_browsers_device_and_its_name(seen: Seen) -> None:
    device = recognise(seen.user_agent)
    assert f"{device.kind} {device.platform} {device.browser}" == seen.taken_for
    assert (device.browser_name, device.system_name) == (seen.browser_name, seen.system_name)


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (f"{ANDROID} Chrome/130.0.0.0 Mobile Safari/537.36", "Chrome, Android"),
        (f"{WINDOWS} Trident/7.0; rv:11.0) like Gecko", "Windows"),
        ("Firefox/132.0", "Firefox"),
        ("curl/8.5.0", None),
    ],
)
def test_a_device_as_mails_describe_it(user_agent: str, words: str | None) -> None:
    assert recognise(user_agent).described == words


def test_an_ipad_that_says_macintosh_is_known_by_touch_alone() -> None:
    ipad = f"{MAC} Version/18.1 Safari/605.1.15"
    assert recognise(ipad).kind is DeviceKind.COMPUTER
    assert recognise(ipad, touch=True) == Device(DeviceKind.TABLET, Platform.IOS, Browser.SAFARI)


def test_a_touch_screen_makes_no_windows_computer_a_tablet() -> None:
    assert recognise(f"{WINDOWS} Chrome/130.0.0.0 Safari/537.36", touch=True).kind is DeviceKind.COMPUTER


def test_brave_is_known_by_its_client_hint_alone() -> None:
    user_agent = f"{ANDROID} Chrome/130.0.0.0 Mobile Safari/537.36"
    brands = '"Chromium";v="130", "%s";v="130", "Not?A_Brand";v="99"'
    assert recognise(user_agent, brands=brands % "Google Chrome").browser is Browser.CHROME
    assert recognise(user_agent, brands=brands % "Brave").browser is Browser.BRAVE
