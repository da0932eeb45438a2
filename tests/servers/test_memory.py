"""Thousands of sign-ons leave a worker as large as they found it."""

import asyncio

import pytest

from bench.usage import PROC
from bench.visitor import Visitor
from tests.servers.provider import Server
from tests.servers.visits import close, run, visitors

pytestmark = pytest.mark.servers

PEOPLE = 15
WARM_UP_ROUNDS = 30
ROUNDS = 100  # 1500 sign-ons: a leak of 8 KiB in each would be 12 MiB in the two workers together
MOST_GROWTH_MIB = 5.0


def pss_mib(server: Server) -> dict[int, float]:
    """Each worker's share of memory (PSS), files left out: other programs map the same."""
    found = {}
    for pid in server.workers():
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        [size] = [line.split()[1] for line in lines if line.startswith("Pss_Anon:")]
        found[pid] = int(size) / 1024
    return found


async def sign_on(people: list[Visitor], rounds: int) -> None:
    async def repeat(person: Visitor) -> None:
        for _ in range(rounds):
            await person.sign_on()

    await asyncio.gather(*(repeat(person) for person in people))


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_workers_do_not_grow(server: Server) -> None:
    async def scenario() -> tuple[dict[int, float], dict[int, float]]:
        people = await visitors(server, PEOPLE)
        await sign_on(people, WARM_UP_ROUNDS)
        before = pss_mib(server)
        await sign_on(people, ROUNDS)
        after = pss_mib(server)
        close(person.browser for person in people)
        return before, after

    before, after = run(scenario())
    assert before.keys() == after.keys() == server.workers()
    growth = [after[pid] - before[pid] for pid in before]
    assert max(growth) < MOST_GROWTH_MIB, f"{before} then {after} MiB"
