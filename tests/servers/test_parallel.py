"""Many at once: what must happen only once, and what must go well for everyone."""

import asyncio
import json
from collections import Counter

import pytest

from idp.tokens import s256_challenge
from tests.servers.provider import REDIRECT_URI, Server
from tests.servers.visits import (
    PORTAL,
    close,
    connected,
    exchange,
    log_in_up_to_the_answer,
    run,
    sign_on_for,
    visitors,
)

pytestmark = pytest.mark.servers

EXCHANGES = 50
ANSWERS = 20
CROWD = 200
CROWD_SECONDS = 4.0


def test_of_parallel_exchanges_of_a_code_one_wins_and_its_tokens_are_revoked(server: Server) -> None:
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


def test_of_parallel_answers_to_one_request_one_gives_a_code(server: Server) -> None:
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


def test_a_crowd_signs_on(server: Server) -> None:
    """No refusal, no error of the server's and nobody left waiting, with a connection for each person."""

    async def scenario() -> int:
        people = await visitors(server, CROWD)
        done = await sign_on_for(people, CROWD_SECONDS)
        close(person.browser for person in people)
        return done

    assert run(scenario()) >= CROWD
