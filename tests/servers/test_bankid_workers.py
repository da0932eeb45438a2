"""Many worker processes share one BankID order, and a dead one loses nothing."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest
import sqlalchemy as sa
from flask import Flask

from bench.provider import Simulator, simulated
from bench.visitor import Account, Client, Provider
from bench.waiting import CLIENT_ID, WaitingVisitor
from bench.wire import Answer, Browser, WireError
from idp.app import create_tool_app
from idp.audit import AuditRow
from idp.bankid import qr
from idp.bankid.models import Order
from idp.bankid.simulator.people import PEOPLE
from idp.clock import utcnow
from idp.config import Settings
from idp.crypto import PersonalNumberKeys
from idp.db import db
from idp.login.models import BrowserSession
from idp.users import accounts, bankid_links
from idp.users.personal_number import PersonalNumber
from tests.factories import make_client
from tests.fakes.postgres import PrivatePostgres
from tests.servers.provider import EMAIL, REDIRECT_URI, Server, running
from tests.servers.visits import close, connected, run

pytestmark = pytest.mark.servers

WORKERS = 8
CONNECTIONS = 32  # opened at once
ANNA = PEOPLE[0]
SLOW_SECONDS = "0.5"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulated() as running_simulator:
        yield running_simulator


@pytest.fixture(scope="module")
def server(
    simulator: Simulator, postgres: PrivatePostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bankid_workers")
    entry = make_client(redirect_uris=[REDIRECT_URI], initiate_login_uri=None, login_methods=["bankid"])
    with running(
        folder,
        postgres.create_database(folder.name),
        {CLIENT_ID: entry},
        settings=simulator.environ,
        workers=WORKERS,
    ) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def tools(server: Server) -> Iterator[Flask]:
    """The server's database, for the test itself; Anna's BankID opens her account."""
    tools = create_tool_app(Settings.from_environ(server.environ))
    with tools.app_context():
        keys = PersonalNumberKeys(server.environ["IDP_PERSONAL_NUMBER_KEYS"])
        account = accounts.find_by_email(EMAIL)
        assert account is not None
        bankid_links.link(
            account.id, PersonalNumber.from_bankid(ANNA.personal_number), ANNA.name, keys=keys, now=utcnow()
        )
        db.session.commit()
    yield tools
    with tools.app_context():
        db.engine.dispose()


class Phone:
    """Anna's BankID app, and the switches of the simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self.url = f"{simulator.url}/api"

    def do(self, call: str, /, **body: Any) -> None:
        answer = httpx2.post(f"{self.url}/{call}", json=body, trust_env=False)
        assert answer.status_code == 200, answer.text

    def see(self, what: str) -> Any:
        return httpx2.get(f"{self.url}/{what}", trust_env=False).json()

    def approve(self, tools: Flask) -> None:
        """Scan the code of the newest order and approve."""
        with tools.app_context():
            order = db.session.scalars(sa.select(Order).order_by(Order.started_at.desc())).first()
            assert order is not None
            elapsed = int((utcnow() - order.started_at).total_seconds())
            text = qr.qr_payload(order.qr_start_token, order.qr_start_secret, elapsed)
        self.do("scan", personal_number=ANNA.personal_number, qr=text)
        self.do("approve", personal_number=ANNA.personal_number)


async def at_the_code(server: Server) -> WaitingVisitor:
    """Somebody before the QR code of a new order."""
    provider = await Provider.discover(server.issuer, Client(CLIENT_ID, "", REDIRECT_URI))
    visitor = WaitingVisitor(provider, Account("", ""), itertools.count())
    await visitor.open()
    return visitor


async def one_for_each_worker(server: Server) -> list[Browser]:
    """A connection to every worker: as many are opened as it takes to meet them all."""
    found: dict[int, Browser] = {}
    while len(found) < WORKERS:
        for browser in await connected(server, CONNECTIONS):
            if found.setdefault(server.worker_of(browser.own_port), browser) is not browser:
                browser.close()
    return list(found.values())


async def go_on(visitor: WaitingVisitor, url: str) -> tuple[str, Answer]:
    """Where the browser ends that goes on from the page: at a page of ours, or at the relying app."""
    url = urljoin(visitor.poll_url, url)
    answer = await visitor.browser.get(url)
    while answer.status == 303:
        url = urljoin(url, answer.headers["location"])
        if url.startswith(REDIRECT_URI):
            break
        answer = await visitor.browser.get(url)
    return url, answer


def count(tools: Flask, statement: sa.Select[Any]) -> int:
    with tools.app_context():
        return len(db.session.scalars(statement).all())


def test_eight_workers_that_poll_together_collect_once_in_two_seconds(
    server: Server, simulator: Simulator
) -> None:
    async def scenario() -> None:
        visitor = await at_the_code(server)
        browsers = await one_for_each_worker(server)
        for browser in browsers:
            browser.jar = visitor.browser.jar
        before, begun = Phone(simulator).see("counts")["collects"], time.monotonic()
        collects = 0
        while collects < 2:
            answers = await asyncio.gather(*(browser.get(visitor.poll_url) for browser in browsers))
            assert {answer.json()["state"] for answer in answers} == {"pending"}
            # As many collects as there are full periods in the time that has passed, and the first.
            collects = Phone(simulator).see("counts")["collects"] - before
            assert collects <= (time.monotonic() - begun) / 2 + 1
            await asyncio.sleep(0.1)
        close([visitor.browser, *browsers])

    run(scenario())


def test_a_worker_killed_while_it_collects_logs_nobody_in(
    server: Server, simulator: Simulator, tools: Flask
) -> None:
    """BankID has handed the result out, to nobody: the person is told, and a new order logs them in."""
    phone = Phone(simulator)

    async def poll_until_cut(browser: Browser, url: str) -> None:
        while True:
            await browser.get(url)
            await asyncio.sleep(0.05)

    async def scenario() -> None:
        visitor = await at_the_code(server)
        phone.approve(tools)
        collects = phone.see("counts")["collects"]
        phone.do("faults", fault="slow", value=SLOW_SECONDS, call="collect")
        worker = server.worker_of(visitor.browser.own_port)
        polling = asyncio.create_task(poll_until_cut(visitor.browser, visitor.poll_url))
        while await asyncio.to_thread(phone.see, "faults"):
            await asyncio.sleep(0.01)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(WireError):
            await polling
        visitor.browser.close()
        while phone.see("counts")["collects"] == collects:
            await asyncio.sleep(0.02)
        waits = (await visitor.browser.get(visitor.poll_url)).json()
        assert waits["state"] == "pending"  # to the others it is being collected still
        with tools.app_context():
            db.session.execute(sa.update(Order).values(next_collect_at=utcnow()))  # the lease ends
            db.session.commit()
        told = (await visitor.browser.get(visitor.poll_url)).json()
        assert told["state"] == "failed"
        assert told["text"]
        url, page = await go_on(visitor, told["url"])
        assert (page.status, b"again=1" in page.body) == (200, True)
        assert count(tools, sa.select(BrowserSession.id)) == 0
        assert count(tools, sa.select(AuditRow.id).where(AuditRow.event == "login.succeeded")) == 0

        await go_on(visitor, f"{url}?again=1")
        phone.approve(tools)
        while (told := (await visitor.browser.get(visitor.poll_url)).json())["state"] == "pending":
            await asyncio.sleep(0.1)
        assert told["state"] == "complete"
        url, _ = await go_on(visitor, told["url"])
        assert url.startswith(f"{REDIRECT_URI}?code=")
        assert count(tools, sa.select(BrowserSession.id)) == 1
        visitor.browser.close()

    run(scenario())
