"""BankID out of reach, slow, or asked too often: its own tab says so (503, 429), and orders go on or end."""

from functools import partial

from werkzeug.test import TestResponse

from idp.bankid.setup import BANKID
from idp.bankid.simulator.faults import HttpFault
from tests.factories import make_client
from tests.fakes.relying_party import HTTPS
from tests.integration.bankid.conftest import BankIdVisitor
from tests.integration.bankid.linking import Account
from tests.integration.refusals.bankid import approve, link, poll, show, visit
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import ANNA, World, log_in

WITH_BANKID = True
SETTINGS = {"IDP_LIMIT_BANKID_PER_ADDRESS": "3/10 seconds"}
CLIENTS = {"portal": make_client(login_methods=["bankid", "password"])}


def cases(world: World) -> Cases:
    link(world, ANNA)
    for fault in HttpFault:
        world.clock.shift(60)
        world.phone.fault("http", fault, 1, "auth")
        yield f"start, {fault}", partial(_start, world)
        world.phone.no_faults()
        assert _start(world).status_code == 200  # or the provider would ask no more for a while
    for fault in HttpFault:
        world.clock.shift(60)
        visitor, _ = visit(world)
        approve(world)
        world.phone.fault("http", fault, 1, "collect")
        yield f"collect, {fault}: poll", partial(poll, visitor)
        world.phone.no_faults()
        world.clock.shift(2)
        yield f"collect, {fault}: next poll", partial(poll, visitor)
    for fault in (HttpFault.MAINTENANCE, HttpFault.FORBIDDEN):
        world.clock.shift(60)
        visitor, page = visit(world)
        world.phone.fault("http", fault, 1, "cancel")
        yield f"cancel, {fault}", partial(visitor.post, page, "cancel")
        world.phone.no_faults()
    yield from _all_places_taken(world)
    yield from _limits(world)
    yield from _long_silence(world)


def _start(world: World) -> TestResponse:
    return visit(world)[1]


def _all_places_taken(world: World) -> Cases:
    """As many calls to BankID at once as there may be."""
    world.clock.shift(60)
    visitor, _ = visit(world)
    calls, taken = BANKID.of(world.app).calls, 0
    while calls.acquire(blocking=False):
        taken += 1
    try:
        yield "no place for a call: start", partial(_start, world)
        world.clock.shift(2)
        yield "no place for a call: poll", partial(poll, visitor)
    finally:
        for _ in range(taken):
            calls.release()
    yield "a place for a call again: start", partial(_start, world)


def _limits(world: World) -> Cases:
    world.clock.shift(60)
    for number in range(1, 5):
        yield f"start {number} of an address", partial(_at_once, world)
    account = Account(world.app)
    log_in(account.browser, world.person())
    yield "linking begun at the same address", account.begin
    world.clock.shift(60)
    yield "start of an address after a while", partial(_at_once, world)


def _at_once(world: World) -> TestResponse:
    return BankIdVisitor(world.rp()).open()


def _long_silence(world: World) -> Cases:
    """Last, for the provider asks no more for a while."""
    world.clock.shift(60)
    visitor, _ = visit(world)
    world.phone.fault("http", HttpFault.MAINTENANCE, None)
    for number in range(1, 8):
        world.clock.shift(2)
        yield f"silence: poll {number}", partial(poll, visitor)
    other = BankIdVisitor(world.rp())
    yield "silence: another start", other.open
    uid = other.uid
    yield (
        "silence: by e-mail instead",
        partial(other.rp.browser.get, f"/login/{uid or other.uid}/password", **HTTPS),
    )
    world.clock.shift(240)
    yield "silence: poll after minutes", partial(poll, visitor)
    yield "silence: page after minutes", partial(show, visitor)
    world.phone.no_faults()
