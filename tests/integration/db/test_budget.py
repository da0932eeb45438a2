"""A login takes few statements, and no request sends one twice."""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from flask import Flask
from time_machine import Traveller

from tests.factories import PASSWORD, make_client
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.fakes.statements import Statements

Result = TypeVar("Result")
WRITES = ("INSERT", "UPDATE", "DELETE")


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(),
        "service": make_client(
            redirect_uris=["https://service.example.se/cb"],
            scope="openid offline_access",
            grant_types=["authorization_code", "refresh_token", "client_credentials"],
        ),
    }


def reads_and_writes(sent: list[tuple[str, str]]) -> tuple[int, int]:
    writes = sum(statement.lstrip().upper().startswith(WRITES) for statement, _values in sent)
    return len(sent) - writes, writes


def is_lean(sent: list[tuple[str, str]]) -> bool:
    """Whether no question was asked twice."""
    return not [asked for asked, times in Counter(sent).items() if times > 1]


@pytest.mark.usefixtures("anna", "clock")
def test_the_statements_of_single_sign_on(rp: RelyingParty, statements: Statements) -> None:
    rp.log_in()
    response, sent = statements.of(rp.authorize)
    assert reads_and_writes(sent) == (1, 1), sent
    code = rp.answer(response)["code"]
    tokens, sent = statements.of(lambda: rp.exchange(code))
    assert tokens.status == 200
    assert len(sent) <= 2, sent
    info, sent = statements.of(lambda: rp.userinfo(tokens.access_token))
    assert info.status_code == 200
    assert reads_and_writes(sent) == (1, 0), sent


@pytest.mark.usefixtures("anna", "clock")
def test_the_statements_of_tokens(app: Flask, rp: RelyingParty, statements: Statements) -> None:
    """A confidential client's refresh reads its token and stores an access token."""
    service = RelyingParty(app, rp.browser, "service", "https://service.example.se/cb")
    tokens = service.tokens(scope="openid offline_access")
    refreshed, sent = statements.of(lambda: service.refresh(tokens.refresh_token))
    assert refreshed.status == 200
    assert reads_and_writes(sent) == (1, 1), sent
    own, sent = statements.of(service.client_token)
    assert own.status == 200
    assert reads_and_writes(sent) == (0, 1), sent
    told, sent = statements.of(lambda: service.introspect(tokens.refresh_token))
    assert told.get_json()["active"] is True
    assert reads_and_writes(sent) == (1, 0), sent


@pytest.mark.usefixtures("anna")
def test_a_sessions_use_is_noted_once_a_minute(
    rp: RelyingParty, statements: Statements, clock: Traveller
) -> None:
    rp.log_in()
    counts = []
    for seconds in (1, 58, 1, 1, 58, 1):
        clock.shift(seconds)
        response, sent = statements.of(lambda: rp.browser.get("/account", **HTTPS))
        assert response.status_code == 200
        counts.append(reads_and_writes(sent)[1])
    assert counts == [0, 0, 1, 0, 0, 1]


@pytest.mark.usefixtures("anna", "clock")
def test_the_statements_of_a_whole_login(rp: RelyingParty, statements: Statements) -> None:
    """At most ten reads and seven writes for the request, the login and the code."""
    rp.submit(rp.follow(rp.authorize()), email="nobody@example.se", password="x")  # looks for older hashes
    totals = Counter[str]()

    def step(request: Callable[[], Result]) -> Result:
        result, sent = statements.of(request)
        assert is_lean(sent), sent
        reads, writes = reads_and_writes(sent)
        totals.update(reads=reads, writes=writes)
        return result

    response = step(rp.authorize)
    while response.status_code == 303:
        location = response.location
        response = step(lambda to=location: rp.browser.get(to, **HTTPS))  # type: ignore[misc]
    response = step(lambda: rp.submit(response, email="anna@example.se", password=PASSWORD))
    response = step(lambda: rp.browser.get(response.location, **HTTPS))
    code = rp.answer(response)["code"]
    assert totals["reads"] <= 10, totals
    # the request, the session with its method, last login and audit row, the answer with its grant
    assert totals["writes"] <= 7, totals
    assert step(lambda: rp.exchange(code)).status == 200


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    "path",
    [
        "/jwks",
        "/.well-known/openid-configuration",
        "/healthz",
        "/brand.css",
        "/static/style.css",
        "/login/password",
    ],
)
def test_pages_without_a_session_take_no_statement(
    rp: RelyingParty, statements: Statements, path: str
) -> None:
    response, sent = statements.of(lambda: rp.browser.get(path, **HTTPS))
    response.close()
    assert response.status_code == 200
    assert sent == []


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize("path", ["/logout", "/login/password", "/nowhere"])
def test_a_page_reads_its_session_once(
    rp: RelyingParty, statements: Statements, clock: Traveller, path: str
) -> None:
    rp.log_in()
    _, sent = statements.of(lambda: rp.browser.get(path, **HTTPS))
    assert reads_and_writes(sent) == (1, 0), sent


@pytest.mark.usefixtures("anna", "clock")
def test_the_account_page_takes_few_statements(rp: RelyingParty, statements: Statements) -> None:
    """Who is there, the details, and what its other sections show."""
    rp.log_in()
    response, sent = statements.of(lambda: rp.browser.get("/account", **HTTPS))
    assert response.status_code == 200
    reads, writes = reads_and_writes(sent)
    assert reads == 3, sent
    assert writes == 0
    assert is_lean(sent), sent
