"""The second process: drives the scenarios and measures each in a window of its own.

Reads a `Plan` as JSON on standard input and writes one `Run` as a JSON line on standard output after each
window. Measuring happens here, right before the first operation and right after the last, so that
neither set-up nor warm-up is charged to an operation.
"""

import asyncio
import json
import math
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from typing import Any

from bench.service import ServiceVisitor
from bench.usage import cpu_ms, machine_ms, worker_memory_mib
from bench.visitor import Account, Client, Provider, Visitor, ok
from bench.waiting import WaitingVisitor
from bench.wire import Browser

WARM_UP_SECONDS = 2.0
SET_UP_SECONDS = 90.0
OPERATION_SECONDS = 30.0  # no operation may take longer
MOST_FAILURES_IN_A_ROW = 10  # a visitor gives up: the scenario does not work at all
FIRST_ERRORS = 3


@dataclass(frozen=True)
class Scenario:
    """What one operation is, what each visitor does before the first, and how long a window is.

    Visitors begin an operation when the last has ended or, with `every` given, so many seconds after it was
    due, however late it was: what waits in the provider's queue is then seen as latency.
    """

    operation: Callable[[Any], Awaitable[None]]
    prepare: Callable[[Any], Awaitable[None]] | None = None
    visitor: type[Visitor] = Visitor
    seconds: float = 5.0
    every: float | None = None


def _endpoint(name: str) -> Callable[[Visitor], Awaitable[None]]:
    return lambda visitor: visitor.plain(visitor.provider.metadata[name])


def _path(path: str) -> Callable[[Visitor], Awaitable[None]]:
    return lambda visitor: visitor.plain(visitor.provider.issuer + path)


async def _authorize(visitor: Visitor) -> None:
    await visitor.authorize()


BANKID_WAIT = "bankid_wait"
USER_LISTS = {  # what is asked of a long list
    "admin_users": "",
    "admin_search": "?q=kollega+77",
    "admin_last_page": "?page=999999",
    "admin_by_login": "?sort=login&order=desc",
}
SCENARIOS = {
    "discovery": Scenario(_path("/.well-known/openid-configuration")),
    "jwks": Scenario(_endpoint("jwks_uri")),
    "health": Scenario(_path("/healthz")),
    "authorize_only": Scenario(_authorize, prepare=Visitor.log_in),
    "userinfo": Scenario(Visitor.read_userinfo, prepare=Visitor.log_in),
    "sso_flow": Scenario(Visitor.sign_on, prepare=Visitor.log_in),
    "login": Scenario(Visitor.log_in),
    "account": Scenario(_path("/account"), prepare=Visitor.log_in),
    **{
        name: Scenario(_path(f"/admin/users{query}"), prepare=Visitor.log_in)
        for name, query in USER_LISTS.items()
    },
    "refresh": Scenario(ServiceVisitor.refresh, prepare=ServiceVisitor.log_in, visitor=ServiceVisitor),
    "introspect": Scenario(ServiceVisitor.introspect, prepare=ServiceVisitor.log_in, visitor=ServiceVisitor),
    "client_credentials": Scenario(ServiceVisitor.get_own_token, visitor=ServiceVisitor),
    "par": Scenario(ServiceVisitor.push, visitor=ServiceVisitor),
    BANKID_WAIT: Scenario(  # longer than an order waits for its code to be scanned, so that each is renewed
        WaitingVisitor.poll, prepare=WaitingVisitor.open, visitor=WaitingVisitor, seconds=40.0, every=1.0
    ),
}


@dataclass(frozen=True)
class Plan:
    """What to drive: one visitor for each account, the scenarios round robin `repeat` times.

    `seconds` None: each scenario's own window. `waiting` people wait for BankID, whose simulator's calls are
    at `simulator_url`. `processes` names the process trees whose CPU time is charged to the operations;
    "provider" is one.
    """

    issuer: str
    client: Client
    accounts: list[Account]
    scenarios: list[str]
    seconds: float | None
    repeat: int
    processes: dict[str, int]
    waiting: int = 0
    simulator_url: str | None = None

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        values = json.loads(text)
        client = Client(**values.pop("client"))
        accounts = [Account(**account) for account in values.pop("accounts")]
        return cls(client=client, accounts=accounts, **values)

    def window(self, name: str) -> float:
        """How many seconds of a scenario are measured."""
        return self.seconds or SCENARIOS[name].seconds

    def people(self, name: str) -> list[Account]:
        """Whose visits a scenario is made of. Whoever waits for BankID has no account."""
        return [Account("", "")] * self.waiting if name == BANKID_WAIT else self.accounts


@dataclass(frozen=True)
class Run:
    """One window. Times are milliseconds, CPU time per operation that succeeded; None: there was none."""

    scenario: str
    operations: int
    errors: int
    first_errors: list[str]
    operations_per_second: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    requests_per_operation: float | None = None
    cpu_ms: dict[str, float] = field(default_factory=dict)
    elsewhere_percent: float | None = None
    memory_before_mib: list[float] = field(default_factory=list)
    worker_memory_mib: list[float] = field(default_factory=list)
    bankid: dict[str, int] = field(default_factory=dict)  # what the simulator was asked for


@dataclass
class Window:
    """What the visitors saw: the latency of every operation, and what went wrong."""

    latencies_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def percentile(ordered: list[float], percent: float) -> float:
    """The smallest of the ordered values that at least so many percent of them do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


async def drive(scenario: Scenario, visitors: Sequence[Visitor], seconds: float) -> Window:
    """Let every visitor repeat the operation for so long; what is under way then is finished and counted."""
    window = Window()
    start = time.perf_counter()
    end = start + seconds

    async def visit(visitor: Visitor, due: float) -> None:
        failures = 0
        while due < end and failures < MOST_FAILURES_IN_A_ROW:
            await asyncio.sleep(due - time.perf_counter())
            try:
                async with asyncio.timeout(OPERATION_SECONDS):
                    await scenario.operation(visitor)
            except Exception as error:  # whatever went wrong, it is the operation that failed
                failures += 1
                window.errors.append(f"{type(error).__name__}: {error}")
                visitor.browser.close()
            else:
                failures = 0
                window.latencies_ms.append((time.perf_counter() - due) * 1000)
            due = due + scenario.every if scenario.every else time.perf_counter()

    share = (scenario.every or 0) / len(visitors)  # not all at once
    await asyncio.gather(*(visit(visitor, start + share * turn) for turn, visitor in enumerate(visitors)))
    return window


async def measure(name: str, provider: Provider, plan: Plan, turns: "count[int]") -> Run:
    """Set up, warm up, then one measured window of a scenario."""
    scenario = SCENARIOS[name]
    visitors = [scenario.visitor(provider, account, turns) for account in plan.people(name)]
    try:
        if scenario.prepare:
            async with asyncio.timeout(SET_UP_SECONDS):
                await asyncio.gather(*map(scenario.prepare, visitors))
        await drive(scenario, visitors, WARM_UP_SECONDS)
        for visitor in visitors:
            visitor.browser.requests = 0
        memory = worker_memory_mib(plan.processes["provider"])
        asked = await simulator_counts(plan, name)
        worked, passed = machine_ms()
        used = {process: cpu_ms(pid) for process, pid in plan.processes.items()}
        own, start = time.process_time(), time.perf_counter()
        window = await drive(scenario, visitors, plan.window(name))
        elapsed, own = time.perf_counter() - start, (time.process_time() - own) * 1000
        used = {process: cpu_ms(pid) - used[process] for process, pid in plan.processes.items()}
        worked, passed = (
            after - before for before, after in zip((worked, passed), machine_ms(), strict=True)
        )
        asked = {call: count - asked[call] for call, count in (await simulator_counts(plan, name)).items()}
        if asked:
            asked["without_code"] = sum(getattr(visitor, "without_code", 0) for visitor in visitors)
    except Exception as error:  # the server may be gone or refuse: say so and go on to the next scenario
        return Run(name, 0, 1, [f"set-up: {type(error).__name__}: {error}"])
    finally:
        for visitor in visitors:
            visitor.browser.close()
    used["driver"] = own
    operations, errors = len(window.latencies_ms), len(window.errors)
    first_errors = list(dict.fromkeys(window.errors))[:FIRST_ERRORS]
    if not operations:
        return Run(name, 0, errors, first_errors)
    ordered = sorted(window.latencies_ms)
    return Run(
        scenario=name,
        operations=operations,
        errors=errors,
        first_errors=first_errors,
        operations_per_second=operations / elapsed,
        p50_ms=percentile(ordered, 50),
        p99_ms=percentile(ordered, 99),
        max_ms=ordered[-1],
        requests_per_operation=sum(visitor.browser.requests for visitor in visitors) / (operations + errors),
        cpu_ms={process: ms / operations for process, ms in used.items()},
        elsewhere_percent=max(0.0, 100 * (worked - sum(used.values())) / passed),
        memory_before_mib=memory,
        worker_memory_mib=worker_memory_mib(plan.processes["provider"]),
        bankid=asked,
    )


async def simulator_counts(plan: Plan, name: str) -> dict[str, int]:
    """How many orders BankID's simulator has started, and how often it was asked how one stands."""
    if name != BANKID_WAIT or plan.simulator_url is None:
        return {}
    browser = Browser(plan.simulator_url)
    try:
        counts: dict[str, int] = ok(await browser.get(f"{plan.simulator_url}/api/counts")).json()
    finally:
        browser.close()
    return counts


async def follow(plan: Plan) -> None:
    """Run the whole plan, one JSON line for each window. Raises `TimeoutError` when it hangs."""
    least = SET_UP_SECONDS + WARM_UP_SECONDS + 2 * OPERATION_SECONDS  # two last operations
    longest = sum(least + plan.window(name) for name in plan.scenarios)
    async with asyncio.timeout(plan.repeat * longest):
        provider = await Provider.discover(plan.issuer, plan.client)
        turns = count()
        for _ in range(plan.repeat):
            for name in plan.scenarios:
                print(json.dumps(asdict(await measure(name, provider, plan, turns))), flush=True)


def loop_factory() -> Any:
    """uvloop's event loop where it is installed (half the driver's CPU time), else None: asyncio's own."""
    return import_module("uvloop").new_event_loop if find_spec("uvloop") else None


def main() -> None:
    plan = Plan.from_json(sys.stdin.read())
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(follow(plan))


if __name__ == "__main__":
    main()
