"""A person who waits at the BankID tab: the page with its QR code, and the polls of its script."""

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode, urljoin

from bench.visitor import SCOPE, FlowError, Visitor, ok, s256

CLIENT_ID = "bench-bankid"  # of the relying app whose people log in with BankID alone


class WaitingVisitor(Visitor):
    """Somebody who has not scanned the code yet."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._poll_url = ""
        self._frames: tuple[str | None, str | None] = (None, None)  # the last two

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
        self._poll_url = urljoin(url, unescape(found[1]))
        self._frames = (None, None)

    async def poll(self) -> None:
        """How the order stands: pending, with a frame that is not the one of two polls ago.

        Two polls a second apart may meet the same second of the code; three may not.
        """
        order = ok(await self.browser.get(self._poll_url)).json()
        if order["state"] != "pending" or not (order["qr"] or "").startswith("<svg"):
            raise FlowError(f"{order['state']}, {'with' if order.get('qr') else 'without'} a QR code")
        if order["qr"] == self._frames[0]:
            raise FlowError("the QR code stands still")
        self._frames = (self._frames[1], order["qr"])
