"""A running server goes on while workers die, files change and people sign on."""

import asyncio
import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from bench.visitor import Provider, Visitor
from bench.wire import Browser
from tests.servers.provider import REDIRECT_URI, WORKERS, Server, clients, clients_yaml, worker
from tests.servers.visits import Traffic, close, connected, exchange, run, sign_on_for, visitors

pytestmark = pytest.mark.servers

PEOPLE = 8
NEW_CLIENT = {**clients()["spa"], "client_name": "Ny"}
PROBES = 16


@pytest.fixture(autouse=True)
def files_as_they_were(server: Server) -> Iterator[None]:
    """Leave the clients of the next test in force on every worker."""
    text = server.clients_file.read_text()
    yield
    if server.clients_file.read_text() != text:
        server.write_clients(text)
        run(_until_known(server, "portal", known=True))
        run(_until_known(server, "new", known=False))


async def _known(server: Server, client_id: str) -> set[bool]:
    """What connections opened just now, many at once so that no worker is left out, say of a client."""
    request = f"/authorize?client_id={client_id}&redirect_uri={REDIRECT_URI}&response_type=code&prompt=none"

    async def probe() -> bool:
        browser = Browser(server.issuer)
        answer = await browser.get(server.issuer + request)
        browser.close()
        assert answer.status in (303, 400), answer
        return answer.status == 303  # known clients get their errors by redirect

    return set(await asyncio.gather(*(probe() for _ in range(PROBES))))


async def _until_known(server: Server, client_id: str, *, known: bool) -> None:
    """Return when every worker knows the client or none does: three rounds agree."""
    agreed = 0
    while agreed < 3:
        agreed = agreed + 1 if await _known(server, client_id) == {known} else 0
        await asyncio.sleep(0.05)


async def _until_logged(server: Server, words: str, times: int) -> None:
    """Return when the words are in the log so many times; asks meanwhile, as workers look when asked."""
    while server.log().count(words) < times:
        await _known(server, "portal")
        await asyncio.sleep(0.05)


def test_a_killed_worker_is_replaced_and_the_others_go_on(server: Server) -> None:
    async def kill_one(traffic: Traffic) -> None:
        started = server.log().count("Started worker-")
        os.kill(min(server.workers()), signal.SIGKILL)
        await traffic.flows_more(PEOPLE)
        while server.log().count("Started worker-") == started:
            await asyncio.sleep(0.05)

    async def scenario() -> Traffic:
        traffic = Traffic(await visitors(server, PEOPLE))
        await traffic.during(kill_one)
        # Connections opened now reach the new worker too.
        people = await visitors(server, PEOPLE)
        await sign_on_for(people, 0)
        close(person.browser for person in people)
        return traffic

    assert len(server.workers()) == WORKERS
    traffic = run(scenario())
    assert traffic.refused == []
    assert len(traffic.cut) <= PEOPLE  # those who had a connection to it, once each
    assert len(server.workers()) == WORKERS


def test_a_hangup_disturbs_nobody(server: Server) -> None:
    async def hang_up(traffic: Traffic) -> None:
        for _ in range(3):
            os.kill(server.pid, signal.SIGHUP)
            await traffic.flows_more(PEOPLE)

    async def scenario() -> Traffic:
        traffic = Traffic(await visitors(server, PEOPLE))
        await traffic.during(hang_up)
        return traffic

    before = server.workers()
    traffic = run(scenario())
    assert (traffic.refused, traffic.cut) == ([], [])
    assert server.workers() == before


def test_a_new_client_is_known_and_a_removed_one_refused(server: Server) -> None:
    async def scenario() -> None:
        assert await _known(server, "new") == {False}
        [anna] = await visitors(server, 1)
        others = await connected(server, PROBES)
        granted = await anna.authorize()
        left = {name: entry for name, entry in clients().items() if name != "portal"}
        server.write_clients(clients_yaml({**left, "new": NEW_CLIENT}))
        await _until_known(server, "new", known=True)
        await _until_known(server, "portal", known=False)
        for other in others:
            answer = await exchange(server, other, granted)
            assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
        bearer = {"Authorization": f"Bearer {anna.access_token}"}
        assert (await anna.browser.get(f"{server.issuer}/userinfo", bearer)).status == 401
        close([anna.browser, *others])

    run(scenario())


def test_a_change_and_a_hangup_are_in_force_within_two_seconds(server: Server) -> None:
    async def scenario() -> None:
        assert await _known(server, "new") == {False}
        server.write_clients(clients_yaml({**clients(), "new": NEW_CLIENT}))
        os.kill(server.pid, signal.SIGHUP)
        await asyncio.sleep(2)
        await _known(server, "new")  # a worker that nobody has asked looks now
        assert await _known(server, "new") == {True}

    run(scenario())


def test_a_hangup_lets_the_worker_read_the_file_and_go_on(server: Server) -> None:
    log = server.folder / "worker.log"

    def until_logged(words: str) -> None:
        ends = time.monotonic() + 20
        while words not in log.read_text():
            assert time.monotonic() < ends, log.read_text()
            time.sleep(0.05)

    text = server.clients_file.read_text()
    with worker(server) as process:
        until_logged("worker_started")
        server.write_clients("version: 1\n")
        process.send_signal(signal.SIGHUP)
        until_logged("the section clients is missing")
        server.write_clients(text)
        assert process.poll() is None


def test_a_broken_clients_file_changes_nothing_until_it_is_mended(server: Server) -> None:
    async def break_and_mend(traffic: Traffic) -> None:
        broken = clients_yaml({**clients(), "new": {**NEW_CLIENT, "scope": "profile"}})
        seen = server.log().count("must contain openid")
        server.write_clients(broken)
        await _until_logged(server, "must contain openid", seen + WORKERS)
        await traffic.flows_more(PEOPLE)
        assert await _known(server, "new") == {False}
        server.write_clients(clients_yaml({**clients(), "new": NEW_CLIENT}))
        await _until_known(server, "new", known=True)

    async def scenario() -> Traffic:
        traffic = Traffic(await visitors(server, PEOPLE))
        await traffic.during(break_and_mend)
        return traffic

    traffic = run(scenario())
    assert (traffic.refused, traffic.cut) == ([], [])


def test_tokens_verify_with_keys_fetched_before_and_after_a_rotation(server: Server) -> None:
    """What a relying app keeps of /jwks, as long as it may, lasts through a rotation: the next was in it."""

    async def scenario() -> None:
        people = await visitors(server, PEOPLE)
        kept = people[0].provider.keys
        tokens = [await _id_token(server, person) for person in people]
        old = {_kid(token) for token in tokens}
        assert len(old) == 1
        with pytest.raises(AssertionError, match="published less than 720 seconds ago"):
            server.idp("keys", "rotate")
        _publish_earlier(server, timedelta(seconds=720))
        server.idp("keys", "rotate")
        new: set[str] = set()
        while old & new or not new:  # until no worker signs with the old one
            round_of_tokens = await asyncio.gather(*(_id_token(server, person) for person in people))
            new = {_kid(token) for token in round_of_tokens}
            tokens += round_of_tokens
        fetched = (await Provider.discover(server.issuer, people[0].provider.client)).keys
        assert {key.kid for key in fetched.keys} > old | new
        for token in tokens:
            for keys in (kept, fetched):
                assert jws.deserialize_compact(token, keys, algorithms=["RS256"]).payload
        assert len({_kid(token) for token in tokens}) == 2
        close(person.browser for person in people)

    run(scenario())


def _publish_earlier(server: Server, by: timedelta) -> None:
    """Let the next RS256 key have been out for longer: what relying apps have kept since holds it."""
    for path in (server.folder / "keys").glob("*.json"):
        body = json.loads(path.read_text())
        if (body["alg"], body["state"]) == ("RS256", "next"):
            body["created_at"] = (datetime.fromisoformat(body["created_at"]) - by).isoformat()
            path.write_text(json.dumps(body))


async def _id_token(server: Server, person: Visitor) -> str:
    answer = await exchange(server, person.browser, await person.authorize())
    assert answer.status == 200, answer
    token: str = answer.json()["id_token"]
    keys = KeySet.import_key_set((await person.browser.get(f"{server.issuer}/jwks")).json())
    assert jws.deserialize_compact(token, keys, algorithms=["RS256"]).payload
    return token


def _kid(token: str) -> str:
    header = token.split(".", maxsplit=1)[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])
