"""Answers, their cost and logs give nothing away about a forgotten password."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from time_machine import Traveller

from idp import audit
from idp.clock import utcnow
from idp.db import db
from idp.password.models import ResetLink
from idp.users import accounts
from tests.factories import make_user
from tests.fakes.hash_work import count_hashes
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import ANNA, NEW, ask, choose, csrf, events, link

MINUTE = 60
SAVEPOINT_ENDS = re.compile(r"(RELEASE|ROLLBACK TO) SAVEPOINT .*")


def make_everybody(app: Flask) -> dict[str, str]:
    """Addresses whose askers are all to be told the same."""
    with app.app_context():
        make_user()
        make_user(email="utan@example.se", password=None)
        accounts.disable(make_user(email="borta@example.se").id, now=utcnow())
    return {
        "known": ANNA,
        "no password": "utan@example.se",
        "disabled": "borta@example.se",
        "unknown": "x@y.se",
    }


@pytest.fixture
def statements(app: Flask) -> Iterator[list[str]]:
    """What is sent to the database, and every commit."""
    sent: list[str] = []
    heard: dict[str, Callable[..., None]] = {
        "before_cursor_execute": lambda _c, _cursor, statement, *_rest: sent.append(statement),
        "commit": lambda *_args: sent.append("commit"),
    }
    with app.app_context():
        engine = db.engine
    for name, listener in heard.items():
        sa.event.listen(engine, name, listener)
    yield sent
    for name, listener in heard.items():
        sa.event.remove(engine, name, listener)


def test_every_address_costs_and_says_the_same(app: Flask, statements: list[str]) -> None:
    everybody = make_everybody(app)
    answers: dict[str, Any] = {}
    costs: dict[str, Counter[str]] = {}
    for who, email in everybody.items():
        for _ in range(2):  # the second time an older link is there
            browser = app.test_client()
            page = browser.get("/password/reset", **HTTPS)
            data = {"csrf_token": csrf(page), "email": email}
            statements.clear()
            answer = browser.post("/password/reset", data=data, **HTTPS)
            costs[who] = Counter(SAVEPOINT_ENDS.sub("savepoint ends", one) for one in statements)
        shown = browser.get(answer.location, **HTTPS)
        text = re.sub(r'name="csrf_token" value="[^"]+"', "", shown.text)
        headers = sorted((set(answer.headers.keys()), set(shown.headers.keys())), key=str)
        answers[who] = (answer.status_code, answer.location, answer.text, text, headers)
    assert (costs["known"]["commit"], costs["known"]["savepoint ends"]) == (1, 1)
    assert any(one.startswith("INSERT INTO reset_links") for one in costs["known"])
    for who in everybody:
        assert costs[who] == costs["known"], who
        assert answers[who] == answers["known"], who
    assert [message["To"].addresses[0].addr_spec for message in queued(app)] == [ANNA] * 2 + [
        "utan@example.se"
    ] * 2
    with app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(ResetLink)) == 2


def test_no_address_pays_for_a_hash(
    app: Flask, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = make_everybody(app)
    computed = count_hashes(monkeypatch)
    for email in everybody.values():
        assert ask(browser, email).status_code == 303
    assert browser.get("/password/reset/" + "0" * 64, **HTTPS).status_code == 404
    data = {"csrf_token": csrf(browser.get("/password/reset", **HTTPS)), "password": NEW, "confirm": NEW}
    assert browser.post("/password/reset/" + "0" * 64, data=data, **HTTPS).status_code == 404
    assert computed == []


@pytest.mark.parametrize("email", [ANNA, "okand@example.se"])
@pytest.mark.usefixtures("anna", "clock")
def test_the_limit_of_an_address_is_silent(app: Flask, email: str) -> None:
    answers = []
    for _ in range(7):
        answer = ask(app.test_client(), email)
        answers.append((answer.status_code, answer.location, answer.text))
    assert answers == [answers[0]] * 7
    assert len(queued(app)) == (5 if email == ANNA else 0)
    assert events(app) == ["password.reset_asked"] * 5 + ["password.reset_limited"] * 2


@pytest.mark.usefixtures("anna")
def test_the_limit_is_over_after_its_time(app: Flask, browser: FlaskClient, clock: Traveller) -> None:
    for _ in range(6):
        ask(browser)
    assert len(queued(app)) == 5
    clock.shift(61 * MINUTE)
    assert choose(browser, link(app, browser)).status_code == 303


class TestLimitPerLine:
    """Many accounts asked for from one line."""

    @pytest.fixture
    def environ(self, environ: dict[str, str]) -> dict[str, str]:
        return {**environ, "IDP_LIMIT_RESET_PER_ADDRESS": "2/hour"}

    @pytest.mark.usefixtures("clock")
    def test_the_limit_is_silent_and_other_addresses_go_on(
        self, app: Flask, browser: FlaskClient, anna: str
    ) -> None:
        for _ in range(2):
            ask(browser, "x@y.se")
        assert ask(browser).status_code == 303
        assert queued(app) == []
        ask(browser, environ_base={"REMOTE_ADDR": "192.0.2.7"})
        assert len(queued(app)) == 1


@pytest.fixture
def written(app: Flask) -> Iterator[StringIO]:
    """What the provider writes to standard error from now on."""
    handler = next(found for found in logging.getLogger().handlers if type(found) is logging.StreamHandler)
    with StringIO() as stream:
        before = handler.setStream(stream)
        yield stream
        handler.setStream(before)


@pytest.mark.usefixtures("anna")
def test_logs_and_audit_hold_neither_link_nor_password(
    app: Flask, browser: FlaskClient, written: StringIO
) -> None:
    path = link(app, browser)
    token = path.split("/")[3].split("?")[0]
    browser.post(path, data={"password": NEW}, **HTTPS)  # no CSRF token: logged with its path
    browser.get(f"/password/reset/{token}/", **HTTPS)  # not found: logged with its path
    choose(browser, path)
    logged = written.getvalue()
    assert logged.count("/password/reset/…") == 2
    with app.app_context():
        audited = repr([row.__dict__ for row in audit.newest(100)])
    for text in (logged, audited):
        assert token not in text
        assert NEW not in text
        assert ANNA not in text
