"""A person who waits at the BankID tab: the page with its QR code, and the polls of its script."""

import re
import time
from collections import deque
from html import unescape
from typing import Any
from urllib.parse import urlencode, urljoin

from bench.visitor import SCOPE, FlowError, Visitor, ok, s256

LONGEST_RENEWAL_POLLS = 5  # in a row that show no code
CLIENT_ID = "bench-bankid"  # of the relying app whose people log in with BankID alone


class WaitingVisitor(Visitor):
    """Somebody who has not scanned the code yet."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.poll_url = ""
        self.without_code = self.without_code_now = 0  # polls, in all and since the last code
        self.frames: deque[tuple[float, str]] = deque(maxlen=2)  # the last two, and when they came

    async def open(self) -> None:
        """Come to the page with the QR code in a fresh browser, which starts an order."""
        self.browser.jar.cookies.clear()
        parameters = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": self.provider.client.redirect_uri,
            "scope": SCOPE,
            "state": "s",
            "nonce": "n",
            "code_challenge": s256("v" * 43),
            "code_challenge_method": "S256",
        }
        url = f"{self.provider.metadata['authorization_endpoint']}?{urlencode(parameters)}"
        url, page = await self._follow(url, await self.browser.get(url))
        found = re.search(r'data-poll="([^"]+)"', page.body.decode()) if page else None
        if found is None:
            raise FlowError("no page with a QR code")
        self.poll_url = urljoin(url, unescape(found[1]))
        self.frames.clear()

    async def poll(self) -> None:
        """How the order stands: pending, with a frame that was not shown a second ago or before.

        While a new order is fetched there is none, which is counted, and an error when it lasts.
        At one poll a second that is the frame of two polls ago: the last one may be of the same second.
        """
        sent = time.perf_counter()
        order = ok(await self.browser.get(self.poll_url)).json()
        if order["state"] != "pending":
            raise FlowError(f"{order['state']}, not pending")
        if not (order["qr"] or "").startswith("<svg"):
            self.without_code += 1
            self.without_code_now += 1
            if self.without_code_now > LONGEST_RENEWAL_POLLS:
                raise FlowError("pending, without a QR code")
            return
        self.without_code_now = 0
        if any(frame == order["qr"] and sent - came >= 1 for came, frame in self.frames):
            raise FlowError("the QR code stands still")
        self.frames.append((time.perf_counter(), order["qr"]))
