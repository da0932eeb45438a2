"""What visitors of a running provider do, one by one and all at once."""

import asyncio
import base64
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlencode, urljoin

from bench.visitor import Account, Client, FlowError, Granted, LoginPage, Provider, Visitor
from bench.wire import Answer, Browser, WireError
from idp.tokens import s256_challenge
from tests.factories import PASSWORD, SECRET
from tests.servers.provider import EMAIL, PATIENCE_SECONDS, REDIRECT_URI, Server

Result = TypeVar("Result")

PORTAL = Client("portal", SECRET, REDIRECT_URI)
OFFLINE = Client("offline", SECRET, REDIRECT_URI)
MOBILE = Client("mobile", "", REDIRECT_URI)
ANNA = Account(EMAIL, PASSWORD)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """What asynchronous work gives; a server that hangs ends it with `TimeoutError`."""

    async def bounded() -> Result:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await work

    return asyncio.run(bounded())


async def visitors(server: Server, number: int) -> list[Visitor]:
    """So many browsers in which Anna has logged in, each with a connection and a session of its own."""
    provider = await Provider.discover(server.issuer, PORTAL)
    turns = itertools.count()
    found = [Visitor(provider, ANNA, turns) for _ in range(number)]
    await asyncio.gather(*(visitor.log_in() for visitor in found))
    return found


def at(client: Client, person: Visitor) -> Visitor:
    """The same browser and session on the way to a relying app that wants refresh tokens."""
    visitor = Visitor(replace(person.provider, client=client), ANNA, person.turns)
    visitor.browser, visitor.scope = person.browser, f"{visitor.scope} offline_access"
    return visitor


def close(browsers: Iterable[Browser]) -> None:
    for browser in browsers:
        browser.close()


async def connected(server: Server, number: int) -> list[Browser]:
    """So many browsers whose connections are open already, so that what they ask next comes at once."""
    browsers = [Browser(server.issuer) for _ in range(number)]
    await asyncio.gather(*(browser.get(f"{server.issuer}/healthz") for browser in browsers))
    return browsers


async def call(
    server: Server, browser: Browser, client: Client, path: str, form: Mapping[str, str], **headers: str
) -> Answer:
    """What an endpoint answers to the client, which proves who it is by its secret if it has one."""
    if not client.client_secret:
        return await browser.post(server.issuer + path, {**form, "client_id": client.client_id}, headers)
    pair = base64.b64encode(f"{client.client_id}:{client.client_secret}".encode()).decode()
    return await browser.post(server.issuer + path, form, {**headers, "Authorization": f"Basic {pair}"})


async def exchange(server: Server, browser: Browser, granted: Granted, client: Client = PORTAL) -> Answer:
    """The token endpoint's answer to a valid exchange of the client's code."""
    form = {
        "grant_type": "authorization_code",
        "code": granted.code,
        "redirect_uri": client.redirect_uri,
        "code_verifier": granted.verifier,
    }
    return await call(server, browser, client, "/token", form)


async def refresh(server: Server, browser: Browser, client: Client, token: str) -> Answer:
    """The token endpoint's answer to a refresh token."""
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await call(server, browser, client, "/token", form)


async def push(server: Server, browser: Browser, client: Client) -> Answer:
    """The answer to a valid pushed request for a code (RFC 9126 §2)."""
    form = {
        "redirect_uri": client.redirect_uri,
        "response_type": "code",
        "scope": "openid",
        "code_challenge": s256_challenge("v" * 43),
        "code_challenge_method": "S256",
    }
    return await call(server, browser, client, "/par", {**form, "client_id": client.client_id})


async def log_in_up_to_the_answer(server: Server, browser: Browser, **parameters: str) -> str:
    """The URL of the stored request that Anna has just logged in for: the next GET there gives a code."""
    url = f"{server.issuer}/authorize?{urlencode(parameters)}"
    answer = await browser.get(url)
    while answer.status == 303:
        url = urljoin(url, answer.headers["location"])
        answer = await browser.get(url)
    page = LoginPage(answer.body)
    fields = {**page.hidden, "email": ANNA.email, "password": ANNA.password}
    answer = await browser.post(url, fields, {"Origin": server.issuer, "Referer": url})
    assert answer.status == 303, answer
    return urljoin(url, answer.headers["location"])


class Traffic:
    """Visitors who sign on again and again while something happens to the server.

    `refused` are wrong answers, `cut` connections that broke; after one a visitor just goes on.
    """

    def __init__(self, people: list[Visitor]) -> None:
        self.people = people
        self.flows = 0
        self.refused: list[str] = []
        self.cut: list[str] = []
        self._ended = False

    async def during(self, happening: Callable[["Traffic"], Awaitable[Result]]) -> Result:
        """What `happening` gives, with everyone visiting from before it begins until it has ended."""
        visits = [asyncio.create_task(self._visit(person)) for person in self.people]
        try:
            await self.flows_more(len(self.people))
            result = await happening(self)
            await self.flows_more(len(self.people))
        finally:
            self._ended = True
            await asyncio.gather(*visits)
            close(person.browser for person in self.people)
        return result

    async def flows_more(self, number: int) -> None:
        """Return when so many sign-ons more have succeeded."""
        goal = self.flows + number
        while self.flows < goal:
            await asyncio.sleep(0.02)

    async def _visit(self, person: Visitor) -> None:
        while not self._ended:
            try:
                await person.sign_on()
                self.flows += 1
            except FlowError as error:
                self.refused.append(str(error))
            except WireError as error:
                self.cut.append(str(error))
                person.browser.close()
                await asyncio.sleep(0.05)


async def sign_on_for(people: list[Visitor], seconds: float) -> int:
    """How many sign-ons succeeded when everyone repeats theirs for so long, each at least once."""
    end = time.monotonic() + seconds

    async def repeat(person: Visitor) -> int:
        done = 0
        while done == 0 or time.monotonic() < end:
            await person.sign_on()
            done += 1
        return done

    return sum(await asyncio.gather(*(repeat(person) for person in people)))
