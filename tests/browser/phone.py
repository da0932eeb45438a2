"""A phone beside the browser reads codes off the screen and approves in the simulated BankID app."""

import json
import time
from http.client import HTTPConnection
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import zxingcpp
from PIL import Image
from playwright.sync_api import Page

ANNA = "189001019802"
BJORN = "199001012385"
TOLVAN = "191212121212"

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/19.0 Mobile/15E148 Safari/604.1"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Mobile Safari/537.36"
)


class Phone:
    """The simulator's HTTP calls."""

    def __init__(self, url: str) -> None:
        self.url = url

    def do(self, call: str, /, **body: Any) -> Any:
        """Make a call that must work; gives its answer."""
        return self._ask("POST", call, body)

    def orders(self) -> list[dict[str, Any]]:
        """Every order that the simulator remembers, the newest first."""
        found: list[dict[str, Any]] = self._ask("GET", "orders")
        return found

    def wait_until_gone(self, number: int) -> None:
        """Return when so many orders have been taken back, which happens behind the page's back."""
        for _ in range(100):
            if sum(order["is_gone"] for order in self.orders()) >= number:
                return
            time.sleep(0.05)
        raise AssertionError("orders were not taken back")

    def _ask(self, method: str, call: str, body: Any = None) -> Any:
        status, answer = self._answer(method, call, body)
        assert status == 200, f"{call}: {answer}"
        return answer

    def _answer(self, method: str, call: str, body: Any = None) -> tuple[int, Any]:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/api/{call}", data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def scan(self, page: Page, personal_number: str = ANNA) -> None:
        """Scan the code that the page shows right now; a camera goes on looking while a code is too old."""
        for _ in range(10):
            body = {"personal_number": personal_number, "qr": read_qr(page)}
            status, answer = self._answer("POST", "scan", body)
            if answer.get("error") != "stale_code":
                assert status == 200, f"scan: {answer}"
                return
        raise AssertionError("every code was too old")

    def log_in(self, page: Page, personal_number: str = ANNA) -> None:
        """Scan and approve."""
        self.scan(page, personal_number)
        self.do("approve", personal_number=personal_number)


def read_qr(page: Page) -> str:
    """The text of the QR code on a screenshot of the page; it must be dark on light, as cameras want."""
    page.locator("#bankid-qr svg").wait_for()
    screen = Image.open(BytesIO(page.screenshot())).convert("L")
    found = zxingcpp.read_barcodes(screen, formats=zxingcpp.BarcodeFormat.QRCode, try_invert=False)
    assert len(found) == 1, f"{len(found)} codes on {page.url}"
    return found[0].text


def frame_number(qr: str) -> int:
    """Which second's frame a QR text is."""
    return int(qr.split(".")[2])


def order_token(qr: str) -> str:
    """Which order a QR text belongs to."""
    return qr.split(".")[1]
