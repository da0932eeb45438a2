"""One of all requests and workers collects an order, every other second."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import time_machine
from flask import Flask

from idp.app import create_app
from idp.bankid import collecting, order_result
from idp.bankid.api.client import BankIdClient
from idp.bankid.setup import BANKID
from idp.bankid.simulator.server import Simulator
from idp.config import Settings
from idp.db import db
from tests.fakes.relying_party import HTTPS
from tests.integration.bankid.conftest import BankIdVisitor, Calls, Phone
from tests.integration.bankid.orders import (
    audited,
    due,
    scan_and_approve,
)

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
pytestmark = pytest.mark.usefixtures("clock", "linked")


@on_sqlite
def test_a_crash_between_collect_and_commit_logs_nobody_in(
    app: Flask,
    clock: time_machine.Traveller,
    visitor: BankIdVisitor,
    phone: Phone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visitor.open()
    scan_and_approve(app, phone)
    with monkeypatch.context() as patch:

        def die(*_arguments: Any) -> None:
            raise RuntimeError("the worker dies")

        patch.setattr(collecting, "_complete", die)
        broken = visitor.rp.browser.get(f"/login/{visitor.uid}/bankid/poll", **HTTPS)
        assert broken.status_code == 500
    assert visitor.poll()["state"] == "pending"
    clock.shift(collecting.COLLECT_LEASE.total_seconds())
    answer = visitor.poll()
    assert (answer["state"], answer["text"]) == ("failed", "Något gick fel. Försök igen.")
    assert 'id="bankid-retry"' in visitor.get(answer["url"]).text
    assert audited(app, "bankid.failed")[0].detail == {"hint": "lost"}
    assert audited(app, "login.succeeded") == []


def test_an_order_is_collected_every_other_second_at_most(
    clock: time_machine.Traveller, visitor: BankIdVisitor, calls: Calls
) -> None:
    visitor.open()
    for _ in range(40):
        clock.shift(0.25)
        visitor.poll()
    assert calls.count("collect") == 5


@pytest.fixture
def workers(app: Flask, environ: dict[str, str]) -> Iterator[list[Flask]]:
    """Eight providers on one database."""
    others = [create_app(Settings.from_environ(environ)) for _ in range(7)]
    yield [app, *others]
    for other in others:
        BANKID.of(other).client._http.close()
        with other.app_context():
            db.engine.dispose()


def poll_together(workers: list[Flask], visitor: BankIdVisitor) -> list[dict[str, Any]]:
    """Polls of one browser at the same time, one at each worker."""
    cookie = visitor.rp.browser.get_cookie("__Host-idp_browser", domain="login.example.se")
    assert cookie is not None

    def poll(worker: Flask) -> dict[str, Any]:
        browser = worker.test_client()
        browser.set_cookie("__Host-idp_browser", cookie.value, domain="login.example.se", secure=True)
        return visitor.poll(browser=browser)

    with ThreadPoolExecutor(len(workers)) as pool:
        return list(pool.map(poll, workers))


@on_postgresql
def test_one_of_many_polls_collects(
    workers: list[Flask], clock: time_machine.Traveller, visitor: BankIdVisitor, calls: Calls
) -> None:
    visitor.open()
    for second in range(1, 11):
        clock.shift(1)
        assert {answer["state"] for answer in poll_together(workers, visitor)} == {"pending"}
        assert calls.count("collect") == second // 2


@on_postgresql
def test_a_slow_bankid_has_one_collector(
    workers: list[Flask], clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, calls: Calls
) -> None:
    visitor.open()
    phone.fault("slow", "0.5", 1, "collect")
    clock.shift(2)
    answers = poll_together(workers, visitor)
    assert {answer["state"] for answer in answers} == {"pending"}
    assert calls.count("collect") == 1


@on_postgresql
def test_one_of_many_polls_renews(
    workers: list[Flask], clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, calls: Calls
) -> None:
    visitor.open()
    phone.fault("slow", "0.3", 1, "auth")
    clock.shift(31)
    for _ in range(3):
        assert {answer["state"] for answer in poll_together(workers, visitor)} == {"pending"}
    assert calls.count("auth") == 2
    assert visitor.poll()["qr"]


@on_postgresql
def test_a_completed_order_is_used_once_by_parallel_requests(
    app: Flask,
    visitor: BankIdVisitor,
    phone: Phone,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    all_at_once, claim = Barrier(4, timeout=20), order_result.claim

    def claim_together(*arguments: Any, **named: Any) -> bool:
        """One that came after the others would find the order used, which has an answer of its own."""
        all_at_once.wait()
        return claim(*arguments, **named)

    monkeypatch.setattr(order_result, "claim", claim_together)
    visitor.open()
    scan_and_approve(app, phone)
    assert visitor.poll()["state"] == "complete"
    cookie = visitor.rp.browser.get_cookie("__Host-idp_browser", domain="login.example.se")
    assert cookie is not None

    def go_on(_number: int) -> int:
        browser = app.test_client()
        browser.set_cookie("__Host-idp_browser", cookie.value, domain="login.example.se", secure=True)
        return browser.get(f"/login/{visitor.uid}/bankid", **HTTPS).status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(go_on, range(4))) == {303}
    assert len(audited(app, "login.succeeded")) == 1


@on_postgresql
def test_no_database_connection_waits_for_bankid(
    app: Flask,
    clock: time_machine.Traveller,
    visitor: BankIdVisitor,
    phone: Phone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[tuple[str, int]] = []
    original = BankIdClient._post
    with app.app_context():
        pool: Any = db.engine.pool

    def post(client: BankIdClient, call: str, *arguments: Any, **named: Any) -> Any:
        held.append((call, pool.checkedout()))
        return original(client, call, *arguments, **named)

    monkeypatch.setattr(BankIdClient, "_post", post)
    page = visitor.open()
    clock.shift(2)
    visitor.poll()
    clock.shift(29)
    visitor.poll()
    due(app)
    visitor.get(f"/login/{visitor.uid}/bankid")
    visitor.post(page, "cancel")
    assert held == [(call, 0) for call in ("auth", "collect", "collect", "auth", "collect", "cancel")]
