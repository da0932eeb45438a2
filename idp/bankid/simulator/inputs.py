"""A person's input to the app: a scanned QR code, a launch link, a security code."""

import re
from urllib.parse import parse_qs, urlsplit

from idp.bankid.simulator.order import Order
from idp.bankid.simulator.orders import Orders, Refusal, RefusedError
from idp.bankid.simulator.people import Person
from idp.bankid.simulator.pki import Kind

CODE = re.compile(r"[0-9]{6}")
RIGHT_CODE = "123456"
WRONG_CODE = "000000"
"""Every other code of six digits is right."""
TOKEN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class NotACodeError(Exception):
    """The entered code is not six digits."""


def read_text(orders: Orders, text: str, person: Person, kind: Kind) -> Order:
    """The order of a QR text, an autostart token or a launch link, open in the person's app.

    Raises `RefusedError`.
    """
    text = text.strip()
    if text.startswith("bankid."):
        return orders.scan(text, person, kind)
    token, redirect = (text, None) if TOKEN.fullmatch(text) else _launch_link(text)
    return orders.open(token, person, kind, redirect=redirect)


def launch_redirect(value: str | None) -> str | None:
    """The address in a launch link's `redirect`; None for BankID's `null`."""
    return None if value in {None, "", "null"} else value


def enter_code(orders: Orders, number: int, code: str) -> Order:
    """The order after a security code. Raises `NotACodeError` and `RefusedError`."""
    if not CODE.fullmatch(code):
        raise NotACodeError
    return orders.enter_wrong_code(number) if code == WRONG_CODE else orders.approve(number)


def _launch_link(text: str) -> tuple[str, str | None]:
    try:
        query = parse_qs(urlsplit(text).query)
    except ValueError:
        raise RefusedError(Refusal.NOT_A_CODE) from None
    tokens = query.get("autostarttoken", [])
    if len(tokens) != 1 or not TOKEN.fullmatch(tokens[0]):
        raise RefusedError(Refusal.NOT_A_CODE)
    return tokens[0], launch_redirect(query.get("redirect", [None])[0])
