"""The BankID tab as a visitor sees it."""

import re

from playwright.sync_api import Page, expect

from tests.browser.visitor import Visitor

APP_LINK = re.compile(r"/open\?autostarttoken=[0-9a-f-]{36}$")
ACR = "http://id.swedenconnect.se/loa/1.0/uncertified-loa3"
WORDS = {
    "sv": {
        "log_in": "Logga in",
        "start": "Starta BankID-appen.",
        "point": "rikta sedan kameran mot QR-koden som visas här på skärmen",
        "code": "Skriv in din säkerhetskod i BankID-appen och välj Identifiera eller Skriv under.",
        "hello": "Hej Anna Åkesson",
        "how": "Mobilt BankID eller BankID på fil, flera faktorer, bekräftat av personen själv",
        "level": "Nivå 3",
    },
    "en": {
        "log_in": "Log in",
        "start": "Start your BankID app.",
        "point": "point the camera at the QR code shown here on the screen",
        "code": "Enter your security code in the BankID app and select Identify or Sign.",
        "hello": "Hello Anna Åkesson",
        "how": "Mobile BankID or BankID on file, several factors, confirmed by the person",
        "level": "Level 3",
    },
}


def open_tab(visitor: Visitor, page: Page) -> None:
    """Come to the BankID tab from the portal."""
    page.goto(visitor.demo.portal + "/login")
    page.locator("#bankid").wait_for()


def is_in(page: Page, name: str = "Hej Anna Åkesson") -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.get_by_role("row", name="acr")).to_contain_text(ACR)
