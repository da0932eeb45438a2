"""The device behind a User-Agent header, as far as the header tells honestly."""

import re
from dataclasses import dataclass
from functools import lru_cache

# First match wins: nearly every browser also names those it descends from.
BROWSERS = (
    ("Edge", re.compile(r"\b(?:Edg|EdgA|EdgiOS)/")),
    ("Opera", re.compile(r"\b(?:OPR|OPT)/")),
    ("Samsung Internet", re.compile(r"\bSamsungBrowser/")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/")),
    ("Chrome", re.compile(r"\b(?:Chrome|HeadlessChrome|CriOS)/")),
    ("Safari", re.compile(r"\bVersion/[\d.]+ (?:Mobile/\w+ )?Safari/")),
)
SYSTEMS = (
    ("iPhone", re.compile(r"\biPhone\b")),
    ("iPad", re.compile(r"\biPad\b")),
    ("Android", re.compile(r"\bAndroid\b")),
    ("Windows", re.compile(r"\bWindows NT\b")),
    ("ChromeOS", re.compile(r"\bCrOS\b")),
    ("Mac", re.compile(r"\bMacintosh\b")),
    ("Linux", re.compile(r"\bLinux\b")),
)


@dataclass(frozen=True)
class Device:
    """Browser and system by the names people know; None where the header does not say."""

    browser: str | None
    system: str | None


@lru_cache(maxsize=1000)
def recognise(user_agent: str | None) -> Device:
    """What the header says. No versions: browsers freeze them, so they would mislead."""
    header = user_agent or ""
    return Device(
        browser=next((name for name, pattern in BROWSERS if pattern.search(header)), None),
        system=next((name for name, pattern in SYSTEMS if pattern.search(header)), None),
    )
