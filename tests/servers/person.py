"""A person with an ordinary browser, on the way between a relying app and the provider."""

import re
from html import unescape
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import httpx2

from bench.visitor import LoginPage
from tests.factories import PASSWORD
from tests.servers.provider import EMAIL


class Person:
    """Keeps cookies and stops where the browser would leave the provider."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.http = httpx2.Client(trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()

    def visit(self, url: str) -> httpx2.Response:
        """The provider's last answer to a GET: a page, or a redirect to somewhere else."""
        return self._to_the_end(self.http.get(url))

    def log_in(self, url: str) -> httpx2.Response:
        """The last answer after a login by e-mail and password on the page that the URL leads to."""
        page = self.visit(url)
        form = LoginPage(page.content)
        assert form.action is not None, f"no login form: {page.text[:2000]}"
        fields = {**form.hidden, "email": EMAIL, "password": PASSWORD}
        came_from = {"Origin": self.issuer, "Referer": str(page.url)}
        return self._to_the_end(self.http.post(page.url, data=fields, headers=came_from))

    def log_out(self) -> httpx2.Response:
        """The last answer after a logout on the provider's own page."""
        page = self.visit(f"{self.issuer}/logout")
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text)
        fields = {name: unescape(value) for name, value in hidden}
        came_from = {"Origin": self.issuer, "Referer": str(page.url)}
        return self._to_the_end(self.http.post(page.url, data=fields, headers=came_from))

    def _to_the_end(self, answer: httpx2.Response) -> httpx2.Response:
        while answer.has_redirect_location and str(answer.next_request.url).startswith(self.issuer):
            answer = self.http.send(answer.next_request)
        assert answer.status_code in (200, 303), answer.text[:2000]
        return answer


def posted_form(page: httpx2.Response) -> str:
    """What a page that posts itself sends, as a form's body (OAuth 2.0 Form Post Response Mode §2)."""
    inputs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text)
    assert inputs, page.text
    return urlencode({name: unescape(value) for name, value in inputs})
