"""The benchmark as one command: starts the provider and its database, drives them, prints a table."""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg

from bench.driver import BANKID_WAIT, SCENARIOS, USER_LISTS, Plan, Run
from bench.provider import StartError, purging, running, simulated
from bench.seed import fill, note_logins
from idp.config import PasswordSettings
from idp.password.hashing import PasswordHasher
from tests.fakes.postgres import PostgresError, PrivatePostgres

COLUMNS = {
    "ops/s": ("operations_per_second", ".1f"),
    "p50 ms": ("p50_ms", ".1f"),
    "p99 ms": ("p99_ms", ".1f"),
    "max ms": ("max_ms", ".0f"),
    "provider": ("cpu_ms.provider", ".2f"),
    "database": ("cpu_ms.database", ".2f"),
    "driver": ("cpu_ms.driver", ".2f"),
    "requests/op": ("requests_per_operation", ".1f"),
    "elsewhere %": ("elsewhere_percent", ".1f"),
}

COLLEAGUES = 10_000  # in the list that USER_LISTS show a page of
HASHES = 5


class DriverError(Exception):
    """The second process broke down; what it said is on standard error."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code: 0, 1 when an operation failed, 2 when it could not start."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _leave)
    try:
        runs = list(benchmark(options))
    except (StartError, PostgresError, DriverError) as error:
        print(error, file=sys.stderr)
        return 2
    summary = summarise(runs)
    print(table(summary))
    if "cpu_ms.provider" in summary.get("login", {}):
        print(hash_share(summary["login"]["cpu_ms.provider"], hash_ms()))
    for run in runs:
        if run.bankid:
            print(bankid_figures(run, options.waiting))
    if options.purge:
        print(purge_figures(summary))
    if options.json is not None:
        options.json.write_text(json.dumps(report(options, runs, summary), indent=1) + "\n")
    for run in runs:
        for message in run.first_errors:
            print(f"{run.scenario}: {message}", file=sys.stderr)
    return int(any(run.errors for run in runs))


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit("stopped")  # an exception, so that every server is stopped on the way out


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, help=f"measured window of a run (default 5; {BANKID_WAIT} 40)"
    )
    parser.add_argument("--concurrency", type=int, default=8, help="visitors at once (default 8)")
    parser.add_argument(
        "--waiting", type=int, default=300, help=f"people who wait in {BANKID_WAIT} (default 300)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of each scenario (default 3)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the provider (default 2)")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="with commas (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run and the medians there")
    parser.add_argument(
        "--grants",
        type=int,
        default=0,
        help="issued in the year before (default 0)",
    )
    parser.add_argument(
        "--clients",
        type=int,
        default=3,
        help="in clients.yaml (default 3, which are those that are measured)",
    )
    parser.add_argument("--purge", action="store_true", help="remove what is over again and again meanwhile")
    database = parser.add_mutually_exclusive_group()
    database.add_argument(
        "--database-url",
        help="a PostgreSQL database to use instead of a private server; accounts are written to it, and "
        "its CPU time is not seen",
    )
    database.add_argument("--sqlite", action="store_true", help="an SQLite file instead of PostgreSQL")
    options = parser.parse_args(arguments)
    options.scenarios = options.scenarios.split(",")
    if unknown := [name for name in options.scenarios if name not in SCENARIOS]:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    if options.grants and options.sqlite:
        parser.error("--grants needs PostgreSQL")
    limits = {
        "seconds": 60,
        "concurrency": 64,
        "waiting": 2000,
        "repeat": 20,
        "workers": 32,
        "clients": 20_000,
    }
    for name, most in limits.items():
        if (value := getattr(options, name)) is not None and not 0 < value <= most:
            parser.error(f"--{name} must be above 0 and at most {most}")
    return options


def benchmark(options: argparse.Namespace) -> Iterator[Run]:
    """Every run, as it ends. Raises `StartError`, `PostgresError` or `DriverError`."""
    with ExitStack() as stack:
        processes = {}
        database_url = options.database_url
        if database_url is None and not options.sqlite:
            _tell("starting PostgreSQL")
            database = stack.enter_context(PrivatePostgres())
            database_url = database.create_database("idp")
            processes["database"] = database.pid
        simulator = None
        if BANKID_WAIT in options.scenarios:
            _tell("starting BankID's simulator")
            simulator = stack.enter_context(simulated())
            processes["simulator"] = simulator.pid
        _tell("setting up the provider")
        provider = stack.enter_context(
            running(
                database_url=database_url,
                workers=options.workers,
                accounts=options.concurrency,
                colleagues=COLLEAGUES if USER_LISTS.keys() & set(options.scenarios) else 0,
                clients=options.clients,
                simulator=simulator,
            )
        )
        processes["provider"] = provider.pid
        if options.grants:
            _tell(f"issuing {options.grants} grants")
            fill(database_url, grants=options.grants)
        plan = Plan(
            issuer=provider.issuer,
            client=provider.client,
            accounts=provider.accounts,
            scenarios=options.scenarios,
            seconds=options.seconds,
            repeat=options.repeat,
            processes=processes,
            waiting=options.waiting,
            simulator_url=simulator.url if simulator else None,
        )
        if database_url is not None:
            note_logins(database_url)
            _give_statistics(plan, database_url)
        if options.purge:
            processes["purge"] = stack.enter_context(purging(provider.environ))
        for run in _driven(plan):
            _tell(f"{run.scenario}: {run.operations} operations, {run.errors} errors")
            yield run


def _give_statistics(plan: Plan, database_url: str) -> None:
    """Fill the tables a little and let PostgreSQL look at them.

    Any database that has been in use for a minute has statistics. The planner of one that has none
    guesses, and joins so badly that it would be the first minute that is measured.
    """
    _tell("filling the tables")
    for _ in _driven(replace(plan, scenarios=["sso_flow"], seconds=1.0, repeat=1)):
        pass  # what fails here fails again where it is counted
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _driven(plan: Plan) -> Iterator[Run]:
    """What the second process reports, window by window. Raises `DriverError`."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.driver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is ours to pass on
    ) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        try:
            driver.stdin.write(json.dumps(asdict(plan)))
            driver.stdin.close()
            for line in driver.stdout:
                yield Run(**json.loads(line))
        except BaseException:
            driver.terminate()
            raise
    if driver.returncode:
        raise DriverError(f"the driving process ended with exit code {driver.returncode}")


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def summarise(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """For each scenario the median over its runs of every figure, and the errors of all of them."""
    summary: dict[str, dict[str, Any]] = {}
    for scenario in dict.fromkeys(run.scenario for run in runs):
        own = [run for run in runs if run.scenario == scenario]
        figures = [_flat(run) for run in own]
        summary[scenario] = {
            name: statistics.median(values)
            for name in dict.fromkeys(name for flat in figures for name in flat)
            if (values := [flat[name] for flat in figures if name in flat])
        }
        summary[scenario]["errors"] = sum(run.errors for run in own)
        summary[scenario]["worker_memory_mib"] = own[-1].worker_memory_mib
    return summary


def _flat(run: Run) -> dict[str, float]:
    values = asdict(run)
    plain = {name: values[name] for name, _ in COLUMNS.values() if values.get(name) is not None}
    return plain | {f"cpu_ms.{process}": ms for process, ms in run.cpu_ms.items()}


def table(summary: dict[str, dict[str, Any]]) -> str:
    """The medians as plain text; CPU columns are milliseconds for each operation."""
    rows = [["", *COLUMNS, "errors", "workers MiB"]]
    for scenario, figures in summary.items():
        cells = [format(figures[name], form) if name in figures else "-" for name, form in COLUMNS.values()]
        memory = _sizes(figures["worker_memory_mib"]) or "-"
        rows.append([scenario, *cells, str(figures["errors"]), memory])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *rest in rows:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *numbers]))
    note = "medians; provider, database and driver: CPU milliseconds (user + system) for each operation"
    return "\n".join([*lines, note])


def hash_ms() -> float:
    """CPU milliseconds of checking one password at the default cost, here and now: a median."""
    hasher = PasswordHasher(PasswordSettings(), lambda: None)
    stored = hasher.hash("korrekt häst")
    spent = []
    for _ in range(HASHES):
        start = time.process_time()
        hasher.check("korrekt häst", stored)
        spent.append((time.process_time() - start) * 1000)
    return statistics.median(spent)


def hash_share(login_ms: float, hashing_ms: float) -> str:
    """How much of a login's CPU time in the provider is the password's hash."""
    return f"login: {hashing_ms:.1f} of {login_ms:.1f} ms are the password hash, {hashing_ms / login_ms:.0%}"


def bankid_figures(run: Run, waiting: int) -> str:
    """What waiting for BankID did beside answering polls. An order may be collected once in two seconds."""
    assert run.operations_per_second is not None
    collects, orders = run.bankid["collects"], run.bankid["orders"]
    two_seconds = run.operations / run.operations_per_second / 2
    return (
        f"{run.scenario}: {waiting} waited; {collects} collects, {collects / waiting / two_seconds:.2f} in "
        f"two seconds for each; {orders} orders renewed, {run.bankid['without_code']} polls without a code "
        f"meanwhile; simulator {run.cpu_ms['simulator']:.2f} ms; "
        f"workers {_sizes(run.memory_before_mib)} MiB before, {_sizes(run.worker_memory_mib)} after"
    )


def purge_figures(summary: Mapping[str, Mapping[str, Any]]) -> str:
    """What the purge's own process used, for each operation that went on meanwhile."""
    shares = (
        f"{scenario} {figures['cpu_ms.purge']:.2f}"
        for scenario, figures in summary.items()
        if "cpu_ms.purge" in figures
    )
    return f"purge beside, CPU milliseconds for each operation: {', '.join(shares)}"


def _sizes(memory: Sequence[float]) -> str:
    return " ".join(f"{size:.0f}" for size in memory)


def report(
    options: argparse.Namespace, runs: Sequence[Run], summary: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Everything, for a machine to read. The database URL is left out: it may hold a password."""
    kept = (
        "seconds",
        "concurrency",
        "waiting",
        "repeat",
        "workers",
        "scenarios",
        "grants",
        "clients",
        "purge",
    )
    return {
        "options": {name: getattr(options, name) for name in kept},
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
        "summary": summary,
        "runs": [asdict(run) for run in runs],
    }
