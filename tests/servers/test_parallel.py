"""Of many requests at once, single-use things are used once and everyone else is served."""

import asyncio
import json
from collections import Counter

import pytest

from bench.visitor import Client, Granted, Visitor
from bench.wire import Answer, Browser
from idp.tokens import s256_challenge
from tests.fakes import assertions, proofs
from tests.servers.provider import REDIRECT_URI, Server
from tests.servers.visits import (
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
    sign_on_for,
    visitors,
)

pytestmark = pytest.mark.servers

EXCHANGES = 50
ANSWERS = 20
TABS = 4
CROWD = 200
CROWD_SECONDS = 4.0
SESSIONS = 20


def test_one_of_parallel_exchanges_of_a_code_wins_and_its_tokens_are_revoked(server: Server) -> None:
    """A code sent again revokes what it gave (RFC 6749 §4.1.2), also when all come within milliseconds."""

    async def scenario() -> None:
        [anna] = await visitors(server, 1)
        clients = await connected(server, EXCHANGES)
        for _ in range(3):
            granted = await anna.authorize()
            answers = await asyncio.gather(*(exchange(server, client, granted) for client in clients))
            assert Counter(answer.status for answer in answers) == {200: 1, 400: EXCHANGES - 1}
            [won] = [json.loads(answer.body) for answer in answers if answer.status == 200]
            errors = {json.loads(answer.body)["error"] for answer in answers if answer.status == 400}
            assert errors == {"invalid_grant"}
            bearer = {"Authorization": f"Bearer {won['access_token']}"}
            userinfo = await anna.browser.get(f"{server.issuer}/userinfo", bearer)
            assert userinfo.status == 401
            assert userinfo.json()["error"] == "invalid_token"
        await anna.sign_on()  # others' tokens are left alone
        close([anna.browser, *clients])

    run(scenario())


def test_one_of_parallel_answers_to_one_request_gives_a_code(server: Server) -> None:
    async def scenario() -> None:
        tabs = await connected(server, ANSWERS)
        url = await log_in_up_to_the_answer(
            server,
            tabs[0],
            client_id=PORTAL.client_id,
            redirect_uri=REDIRECT_URI,
            response_type="code",
            scope="openid",
            code_challenge=s256_challenge("v" * 43),
            code_challenge_method="S256",
        )
        for tab in tabs:
            tab.jar = tabs[0].jar
        answers = await asyncio.gather(*(tab.get(url) for tab in tabs))
        assert Counter(answer.status for answer in answers) == {303: 1, 400: ANSWERS - 1}
        [won] = [answer for answer in answers if answer.status == 303]
        assert won.headers["location"].startswith(f"{REDIRECT_URI}?code=")
        close(tabs)

    run(scenario())


def test_one_of_parallel_answers_to_a_pushed_request_gives_a_code(server: Server) -> None:
    """Also when browsers of different sessions bring its request_uri (RFC 9126 §4)."""

    async def scenario() -> None:
        people = await visitors(server, TABS)
        browsers = await connected(server, ANSWERS)
        for number, browser in enumerate(browsers):
            browser.jar = people[number % TABS].browser.jar
        for _ in range(3):
            pushed = await push(server, browsers[0], PORTAL)
            assert pushed.status == 201
            request_uri = pushed.json()["request_uri"]
            url = f"{server.issuer}/authorize?client_id={PORTAL.client_id}&request_uri={request_uri}"
            answers = await asyncio.gather(*(browser.get(url) for browser in browsers))
            assert Counter(answer.status for answer in answers) == {303: 1, 400: ANSWERS - 1}
            [won] = [answer for answer in answers if answer.status == 303]
            assert won.headers["location"].startswith(f"{REDIRECT_URI}?code=")
        close([*browsers, *(person.browser for person in people)])

    run(scenario())


def test_one_of_parallel_uses_of_a_client_assertion_is_let_in(server: Server) -> None:
    """Whichever endpoint they come to (RFC 7523 §3, point 7)."""

    async def scenario() -> None:
        browsers = await connected(server, ANSWERS)
        for _ in range(3):
            assertion = assertions.sign(assertions.claims("signing", aud=server.issuer))
            credentials = {"client_assertion_type": assertions.TYPE, "client_assertion": assertion}
            own_token, question = {"grant_type": "client_credentials"}, {"token": "t"}
            answers = await asyncio.gather(
                *(
                    browser.post(f"{server.issuer}/token", {**own_token, **credentials})
                    if number % 2
                    else browser.post(f"{server.issuer}/introspect", {**question, **credentials})
                    for number, browser in enumerate(browsers)
                )
            )
            assert Counter(answer.status for answer in answers) == {200: 1, 401: ANSWERS - 1}
            assert {answer.json()["error"] for answer in answers if answer.status == 401} == {
                "invalid_client"
            }
        close(browsers)

    run(scenario())


def test_one_of_parallel_uses_of_a_dpop_proof_counts(server: Server) -> None:
    """Also when different clients send it (RFC 9449 §11.1)."""

    async def scenario() -> None:
        browsers = await connected(server, ANSWERS)
        for _ in range(3):
            proof = {"DPoP": proofs.sign(proofs.claims(htu=f"{server.issuer}/token"))}
            own_token = {"grant_type": "client_credentials"}
            answers = await asyncio.gather(
                *(call(server, browser, OFFLINE, "/token", own_token, **proof) for browser in browsers)
            )
            assert Counter(answer.status for answer in answers) == {200: 1, 400: ANSWERS - 1}
            refused = [answer.json()["error"] for answer in answers if answer.status == 400]
            assert set(refused) == {"invalid_dpop_proof"}
        close(browsers)

    run(scenario())


def test_parallel_uses_of_a_rotating_refresh_token_have_one_outcome(server: Server) -> None:
    """Everyone within 30 seconds gets the same successor, and one family comes of it, which ends as one."""

    async def scenario() -> None:
        [anna] = await visitors(server, 1)
        granted = await at(MOBILE, anna).authorize()
        clients = await connected(server, ANSWERS)

        async def all_with(*tokens: str) -> list[Answer]:
            uses = (
                refresh(server, client, MOBILE, tokens[number % len(tokens)])
                for number, client in enumerate(clients)
            )
            return await asyncio.gather(*uses)

        tokens = ok(await exchange(server, clients[0], granted, MOBILE))
        family, given = [tokens["refresh_token"]], [tokens["access_token"]]
        for _ in range(3):
            answers = [ok(answer) for answer in await all_with(family[-1])]
            [successor] = {answer["refresh_token"] for answer in answers}
            given += [answer["access_token"] for answer in answers]
            family.append(successor)
        assert len(set(family)) == 4
        assert len(set(given)) == 3 * ANSWERS + 1
        assert await in_force(server, anna.browser, given) == {200: len(given)}
        answers = await all_with(family[1], family[-1])  # one that has been followed comes again
        assert {answer.status for answer in answers} <= {200, 400}
        assert all(answer.json()["error"] == "invalid_grant" for answer in answers[::2])
        given += [answer.json()["access_token"] for answer in answers if answer.status == 200]
        assert await in_force(server, anna.browser, given) == {401: len(given)}
        assert {answer.status for answer in await all_with(*family)} == {400}
        await anna.sign_on()  # the session and other clients' tokens are left alone
        close([anna.browser, *clients])

    run(scenario())


async def in_force(server: Server, browser: Browser, access_tokens: list[str]) -> Counter[int]:
    """How many of the tokens userinfo accepts, and how many not."""
    url = f"{server.issuer}/userinfo"
    return Counter([(await browser.get(url, {"Authorization": f"Bearer {t}"})).status for t in access_tokens])


def ok(answer: Answer) -> dict[str, str]:
    assert answer.status == 200, answer
    tokens: dict[str, str] = answer.json()
    return tokens


def test_a_crowd_of_relying_apps_is_served(server: Server) -> None:
    """Codes, refresh tokens, introspection, own tokens and PAR, with a connection for each of 200 apps."""

    async def codes(person: Visitor, client: Client) -> list[Granted]:
        return [await at(client, person).authorize() for _ in range(CROWD // SESSIONS)]

    async def work(browser: Browser, client: Client, granted: Granted) -> None:
        refresh_token = ok(await exchange(server, browser, granted, client))["refresh_token"]
        tokens = ok(await refresh(server, browser, client, refresh_token))
        pushed = await push(server, browser, client)
        assert pushed.status == 201, pushed
        if client is OFFLINE:
            own = ok(await call(server, browser, client, "/token", {"grant_type": "client_credentials"}))
            for token in (own["access_token"], tokens["access_token"], tokens["refresh_token"]):
                told = ok(await call(server, browser, client, "/introspect", {"token": token}))
                assert told["active"] is True
        refresh_token = tokens["refresh_token"]
        assert (await call(server, browser, client, "/revoke", {"token": refresh_token})).status == 200
        ended = await refresh(server, browser, client, refresh_token)
        assert (ended.status, ended.json()["error"]) == (400, "invalid_grant")

    async def scenario() -> None:
        people = await visitors(server, SESSIONS)
        owners = [(person, (OFFLINE, MOBILE)[turn % 2]) for turn, person in enumerate(people)]
        granted = await asyncio.gather(*(codes(*owner) for owner in owners))
        apps = await connected(server, CROWD)
        jobs = [(client, code) for (_, client), own in zip(owners, granted, strict=True) for code in own]
        await asyncio.gather(*(work(app, *job) for app, job in zip(apps, jobs, strict=True)))
        close([*apps, *(person.browser for person in people)])

    run(scenario())


def test_a_crowd_signs_on(server: Server) -> None:
    """No refusal, no error of the server's and nobody left waiting, with a connection for each person."""

    async def scenario() -> int:
        people = await visitors(server, CROWD)
        done = await sign_on_for(people, CROWD_SECONDS)
        close(person.browser for person in people)
        return done

    assert run(scenario()) >= CROWD
