"""An address with an account costs and answers the same as any other, over many requests."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import process_time

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.test import TestResponse

from idp.db import db
from idp.password import service
from idp.password.hashing import PasswordHasher, Verdict
from tests.factories import make_user
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import csrf

REQUESTS = 200
SAME_WORK = 0.75  # of the dearer median, at least; a missing hash leaves less than half of it
KNOWN = "anna.andersson@example.se"
UNKNOWN = "olle.andersson@example.se"  # as long: the page repeats what was typed
SAVEPOINT_ENDS = re.compile(r"(RELEASE|ROLLBACK TO) SAVEPOINT .*")
TOKEN = re.compile(r'name="csrf_token" value="[^"]+"')


@dataclass
class Costs:
    """What each of many requests took."""

    seconds: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    statements: list[Counter[str]] = field(default_factory=list)
    answers: set[tuple[int, str | None, str]] = field(default_factory=set)


@pytest.fixture
def environ(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """No limit in the way, and hashes dear enough to be seen among the rest of a request."""
    monkeypatch.setattr(service, "LEGACY_LOOK_SECONDS", math.inf)  # it would be in one request of many
    many = "1000000/hour"
    limits = (
        "LOGIN_PER_ACCOUNT",
        "LOGIN_PER_ADDRESS",
        "LOGIN_OVERALL",
        "RESET_PER_ACCOUNT",
        "RESET_PER_ADDRESS",
    )
    return {
        **environ,
        **{f"IDP_LIMIT_{name}": many for name in limits},
        "IDP_PASSWORD_HASH_MEMORY_KIB": "4096",
        "IDP_PASSWORD_HASH_TIME": "2",
    }


def log_in(app: Flask, email: str) -> Callable[[], TestResponse]:
    return _form(app, "/login/password", email=email, password="fel")


def reset(app: Flask, email: str) -> Callable[[], TestResponse]:
    return _form(app, "/password/reset", email=email)


def _form(app: Flask, path: str, **typed: str) -> Callable[[], TestResponse]:
    """Sending a page's form in a browser that has the page already."""
    browser = app.test_client()
    data = {**typed, "csrf_token": csrf(browser.get(path, **HTTPS))}
    return lambda: browser.post(path, data=data, **HTTPS)


@contextmanager
def heard(app: Flask) -> Iterator[list[str]]:
    """What is sent to the database, and every commit."""
    sent: list[str] = []
    listeners: dict[str, Callable[..., None]] = {
        "before_cursor_execute": lambda _c, _cursor, statement, *_rest: sent.append(
            SAVEPOINT_ENDS.sub("savepoint ends", statement)
        ),
        "commit": lambda *_args: sent.append("commit"),
    }
    with app.app_context():
        engine = db.engine
    for name, listener in listeners.items():
        sa.event.listen(engine, name, listener)
    yield sent
    for name, listener in listeners.items():
        sa.event.remove(engine, name, listener)


def measure(
    app: Flask, step: Callable[[Flask, str], Callable[[], TestResponse]], times: int
) -> dict[str, Costs]:
    """The costs of both addresses, taken in turns so that whatever else changes touches both."""
    costs = {KNOWN: Costs(), UNKNOWN: Costs()}
    senders = {email: step(app, email) for email in costs}
    for send in senders.values():
        send()  # the first one pays for what is kept from then on
    with heard(app) as sent:
        for _ in range(times):
            for email, cost in costs.items():
                sent.clear()
                before = process_time()
                answer = senders[email]()
                cost.seconds.append(process_time() - before)
                cost.statements.append(Counter(sent))
                cost.sizes.append(len(answer.data))
                words = TOKEN.sub("", answer.text).replace(email, "ADDRESS")
                cost.answers.add((answer.status_code, answer.headers.get("Location"), words))
    return costs


def share(costs: dict[str, Costs]) -> float:
    """The cheaper median of CPU work, as a part of the dearer."""
    medians = sorted(median(cost.seconds) for cost in costs.values())
    return medians[0] / medians[1]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("step", [log_in, reset])
def test_answers_and_their_cost_do_not_show_which_addresses_have_accounts(
    app: Flask, step: Callable[[Flask, str], Callable[[], TestResponse]]
) -> None:
    with app.app_context():
        make_user(email=KNOWN)
    costs = measure(app, step, REQUESTS)
    known, unknown = costs[KNOWN], costs[UNKNOWN]
    assert known.answers == unknown.answers
    assert len(known.answers) == 1
    assert median(known.sizes) == median(unknown.sizes)
    assert all(one == known.statements[0] for one in known.statements + unknown.statements)
    assert known.statements[0]["commit"] == 1
    assert share(costs) > SAME_WORK, {email: median(cost.seconds) for email, cost in costs.items()}


def test_a_missing_hash_would_be_seen(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure itself: without the hash for unknown addresses it tells them apart."""
    with app.app_context():
        make_user(email=KNOWN)
    check = PasswordHasher.check

    def only_known(hasher: PasswordHasher, password: str, stored: str | None) -> Verdict:
        return Verdict(False) if stored is None else check(hasher, password, stored)

    monkeypatch.setattr(PasswordHasher, "check", only_known)
    assert share(measure(app, log_in, 30)) < SAME_WORK
