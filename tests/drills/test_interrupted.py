"""Flows survive a database that is lost for a while and a server that is restarted."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin

import pytest

from bench.visitor import Granted, LoginPage, Visitor
from bench.wire import Answer, Browser
from idp.tokens import s256_challenge
from tests.conftest import DATABASES
from tests.fakes import assertions, proofs
from tests.fakes.postgres import PrivatePostgres
from tests.servers.provider import REDIRECT_URI, Server, restart, running
from tests.servers.visits import (
    ANNA,
    MOBILE,
    OFFLINE,
    PORTAL,
    at,
    call,
    close,
    connected,
    exchange,
    log_in_up_to_the_answer,
    push,
    refresh,
    run,
    visitors,
)

pytestmark = [pytest.mark.servers, pytest.mark.drills]

OUTAGE_SECONDS = 5.0
APPS = 8
CODES = 25  # for each app
PAGES = ("login page", "login", "answer", "pushed request")
REQUEST = {
    "client_id": PORTAL.client_id,
    "redirect_uri": REDIRECT_URI,
    "response_type": "code",
    "scope": "openid",
    "code_challenge": s256_challenge("v" * 43),
    "code_challenge_method": "S256",
}

Step = Callable[[], Awaitable[Answer]]


@pytest.fixture(scope="module")
def database() -> Iterator[PrivatePostgres]:
    """A PostgreSQL to be lost, which keeps what is committed as one in use does."""
    with PrivatePostgres() as server:
        yield server


@pytest.fixture(scope="module", params=DATABASES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    url = f"sqlite:///{folder}/idp.sqlite3"
    if request.param == "postgresql":
        url = request.getfixturevalue("database").create_database("idp")
    with running(folder, url) as running_server:
        yield running_server


@dataclass
class Halfway:
    """Flows that have come to every point where they can be interrupted, each with its next step.

    A step can be tried until it succeeds. `spent` are requests that have succeeded and must never again.
    """

    browsers: list[Browser] = field(default_factory=list)
    steps: dict[str, Step] = field(default_factory=dict)
    spent: dict[str, Step] = field(default_factory=dict)

    @classmethod
    async def reach(cls, server: Server) -> "Halfway":
        people = await visitors(server, 2)
        browsers = await connected(server, 3)
        halfway = cls([*browsers, *(person.browser for person in people)])
        await halfway._log_in(server, *browsers[:2])
        await halfway._bring_a_pushed_request(server, people[0])
        await halfway._use_tokens(server, people[1], browsers[2])
        await halfway._spend(server, people[0], browsers[2])
        return halfway

    async def _log_in(self, server: Server, at_the_page: Browser, logged_in: Browser) -> None:
        url = f"{server.issuer}/authorize?{urlencode(REQUEST)}"
        page = await at_the_page.get(url)
        while page.status == 303:
            url = urljoin(url, page.headers["location"])
            page = await at_the_page.get(url)
        fields = {**LoginPage(page.body).hidden, "email": ANNA.email, "password": ANNA.password}
        came_from = {"Origin": server.issuer, "Referer": url}
        answer = await log_in_up_to_the_answer(server, logged_in, **REQUEST)
        self.steps |= {
            "login page": lambda: at_the_page.get(url),
            "login": lambda: at_the_page.post(url, fields, came_from),
            "answer": lambda: logged_in.get(answer),
        }

    async def _bring_a_pushed_request(self, server: Server, anna: Visitor) -> None:
        request_uri = (await push(server, anna.browser, PORTAL)).json()["request_uri"]
        query = urlencode({"client_id": PORTAL.client_id, "request_uri": request_uri})
        self.steps["pushed request"] = lambda: anna.browser.get(f"{server.issuer}/authorize?{query}")

    async def _use_tokens(self, server: Server, anna: Visitor, app: Browser) -> None:
        granted = await anna.authorize()
        rotating, lasting = [
            (await exchange(server, app, await at(client, anna).authorize(), client)).json()["refresh_token"]
            for client in (MOBILE, OFFLINE)
        ]
        own_token, bearer = {"grant_type": "client_credentials"}, f"Bearer {anna.access_token}"
        self.steps |= {
            "code": lambda: exchange(server, app, granted),
            "rotating refresh token": lambda: refresh(server, app, MOBILE, rotating),
            "refresh token": lambda: refresh(server, app, OFFLINE, lasting),
            "introspection": lambda: call(server, app, OFFLINE, "/introspect", {"token": lasting}),
            "own token": lambda: call(server, app, OFFLINE, "/token", own_token),
            "push": lambda: push(server, app, PORTAL),
            "userinfo": lambda: app.get(f"{server.issuer}/userinfo", {"Authorization": bearer}),
        }

    async def _spend(self, server: Server, anna: Visitor, app: Browser) -> None:
        granted = await anna.authorize()
        assertion = assertions.sign(assertions.claims("signing", aud=server.issuer))
        credentials = {"client_assertion_type": assertions.TYPE, "client_assertion": assertion}
        own_token = {"grant_type": "client_credentials"}
        proof = {"DPoP": proofs.sign(proofs.claims(htu=f"{server.issuer}/token"))}
        self.spent = {
            "code": lambda: exchange(server, app, granted),
            "assertion": lambda: app.post(f"{server.issuer}/token", {**own_token, **credentials}),
            "proof": lambda: call(server, app, OFFLINE, "/token", own_token, **proof),
        }
        for name, use in self.spent.items():
            assert (await use()).status == 200, name

    async def go_on(self) -> None:
        """Every flow ends right from where it was, and what was spent stays spent."""
        for name, step in self.steps.items():
            answer = await step()
            expected = 303 if name in PAGES[1:] else 201 if name == "push" else 200
            assert answer.status == expected, (name, answer)
            if name in ("answer", "pushed request"):
                assert answer.headers["location"].startswith(f"{REDIRECT_URI}?code="), name
        for name, use in self.spent.items():
            assert (await use()).status in (400, 401), name


@dataclass
class App:
    """A relying app that exchanges one code after the other until it is told to come back later."""

    browser: Browser
    codes: list[Granted]
    exchanged: list[Granted] = field(default_factory=list)

    async def work(self, server: Server) -> None:
        while self.codes:
            answer = await exchange(server, self.browser, self.codes[0])
            if answer.status != 200:
                assert answer.status == 503, answer
                return
            self.exchanged.append(self.codes.pop(0))

    async def check(self, server: Server) -> None:
        """The rest can be exchanged, nothing for a second time, and at most once what was interrupted."""
        interrupted, unused = self.codes[:2]
        statuses = [
            (await exchange(server, self.browser, code)).status
            for code in (interrupted, interrupted, unused, unused, *self.exchanged[-2:])
        ]
        assert statuses[0] in (200, 400)  # it may have been committed
        assert statuses[1:4] == [400, 200, 400]
        assert set(statuses[4:]) <= {400}


def check_refusal(name: str, answer: Answer) -> None:
    """People get a page, relying apps an RFC 6749 error; both are told that it will pass."""
    assert answer.status == 503, (name, answer)
    if name in PAGES:
        assert b'id="error-page"' in answer.body, name
        assert answer.headers["retry-after"]
    else:
        assert answer.json()["error"] == "temporarily_unavailable", name


@pytest.mark.parametrize("server", DATABASES[1:], indirect=True)
def test_the_database_is_lost_for_five_seconds(server: Server, database: PrivatePostgres) -> None:
    async def codes(person: Visitor) -> list[Granted]:
        return [await person.authorize() for _ in range(CODES)]

    async def scenario() -> None:
        people = await visitors(server, APPS)
        stored = await asyncio.gather(*(codes(person) for person in people))
        halfway = await Halfway.reach(server)
        browsers = await connected(server, APPS)
        apps = [App(browser, own) for browser, own in zip(browsers, stored, strict=True)]
        working = [asyncio.create_task(app.work(server)) for app in apps]
        while sum(len(app.exchanged) for app in apps) < APPS:
            await asyncio.sleep(0)
        await asyncio.to_thread(database.crash)
        lost = time.monotonic()
        await asyncio.gather(*working)
        assert all(app.codes for app in apps), "all was done before the database was lost"
        for name, step in halfway.steps.items():
            check_refusal(name, await step())
        for path, status in {"/healthz": 200, "/readyz": 503, "/jwks": 200}.items():
            assert (await browsers[0].get(server.issuer + path)).status == status
        await asyncio.sleep(OUTAGE_SECONDS - (time.monotonic() - lost))
        await asyncio.to_thread(database.start_again)
        await halfway.go_on()
        for app in apps:
            await app.check(server)
        close([*browsers, *halfway.browsers, *(person.browser for person in people)])

    before = server.workers()
    run(scenario())
    assert server.workers() == before


def test_the_server_is_restarted(server: Server) -> None:
    async def scenario() -> None:
        halfway = await Halfway.reach(server)
        close(halfway.browsers)
        await asyncio.to_thread(restart, server)
        await halfway.go_on()
        close(halfway.browsers)

    before = server.workers()
    run(scenario())
    assert not before & server.workers()
