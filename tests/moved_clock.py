"""The date and time zone of a test run: chosen anew for each, printed first, repeated by IDP_TEST_DATE.

Every test begins at the same moment of the chosen date, and time passes from there, so that a test that
failed on a date fails on it again, alone too. `IDP_TEST_DATE=2027-12-31T23:59:59.900[Pacific/Auckland]` is a
local time and the machine's zone (RFC 9557); an offset, which only a doubled hour needs, stands before the
zone, and UTC is meant where no zone is given.

What is chosen lies in the years to come: files have the machine's own time of writing, which is never later
than now for a program. Half of the choices are moments at which dates tend to be miscounted: just before a
midnight (here, in Sweden or in UTC) that begins a month, a year or a leap day, and when Swedish time changes.

Tests marked `browser`, `servers` or `real_clock` keep the machine's date, for what they meet has it too:
processes of their own, whose clock nobody in here moves, and times of writing. They run in the chosen zone as
all others.
"""

import os
import re
import time
from collections.abc import Generator
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine

VARIABLE = "IDP_TEST_DATE"
ON_REAL_CLOCKS = ("browser", "servers", "real_clock")
MOMENT = pytest.StashKey[datetime]()

ZONES = (
    *("UTC", "Europe/Stockholm", "Pacific/Auckland", "America/Los_Angeles", "Asia/Kolkata"),
    "Pacific/Kiritimati",  # 14 hours before UTC: the earliest date on earth
)
STOCKHOLM = ZoneInfo("Europe/Stockholm")
_WRITTEN = re.compile(r"(?P<time>[^\[\]]+)(?:\[(?P<zone>[^\[\]]+)\])?")


def pytest_configure(config: pytest.Config) -> None:
    # Taken out of the environment: the provider refuses settings that it does not know.
    written = os.environ.pop(VARIABLE, "")
    written = getattr(config, "workerinput", {}).get(VARIABLE, written)
    try:
        moment = read(written) if written else choose(Random(), datetime.now(UTC).year)
    except ValueError as error:
        raise pytest.UsageError(f"{VARIABLE}: {error}") from error
    config.stash[MOMENT] = moment
    os.environ["TZ"] = str(moment.tzinfo)
    time.tzset()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Let a process of pytest-xdist have the date of all."""
    node.workerinput[VARIABLE] = write(node.config.stash[MOMENT])


def pytest_report_header(config: pytest.Config) -> str:
    return f"{VARIABLE}={write(config.stash[MOMENT])}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Print the date again where a failure is read: `-q` prints no header."""
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        terminalreporter.write_line(pytest_report_header(terminalreporter.config))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if any(item.get_closest_marker(name) for name in ON_REAL_CLOCKS):
        return (yield)
    with time_machine.travel(item.config.stash[MOMENT]):
        return (yield)


def read(written: str) -> datetime:
    """The moment, in its zone. Raises `ValueError` for anything else than a local time and a zone."""
    found = _WRITTEN.fullmatch(written)
    try:
        if found is None:
            raise ValueError
        zone = ZoneInfo(found["zone"] or "UTC")
        moment = datetime.fromisoformat(found["time"])
    except (ValueError, KeyError, OSError) as error:
        example = "2027-12-31T23:59:59.900[Europe/Stockholm]"
        raise ValueError(f"{written!r} is not a time and its zone such as {example}") from error
    return moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)


def write(moment: datetime) -> str:
    """What `read` reads."""
    return f"{moment.isoformat(timespec='milliseconds')}[{moment.tzinfo}]"


def choose(random: Random, this_year: int) -> datetime:
    """A moment in one of the nine years after `this_year`, in some zone; half of them are awkward ones."""
    zone = ZoneInfo(random.choice(ZONES))
    year = this_year + random.randint(1, 9)
    shortly = timedelta(milliseconds=random.randint(0, 300))  # most tests take about as long
    kind = random.choice(("any", "any", "midnight", "change of time"))
    if kind == "any":
        moment = datetime(year, 1, 1, tzinfo=UTC) + timedelta(seconds=random.randrange(365 * 24 * 60 * 60))
    elif kind == "midnight":
        day = random.choice(_awkward_days(year))
        midnight = datetime(day.year, day.month, day.day, tzinfo=random.choice((zone, STOCKHOLM, UTC)))
        moment = midnight.astimezone(UTC) - shortly
    else:
        moment = _change_of_time(year, random.choice((3, 10))) - shortly
        moment += timedelta(minutes=random.choice((0, 0, 30, 60)))
    return moment.astimezone(zone)


def _awkward_days(year: int) -> list[date]:
    """Days that a date, a month or a year begins with."""
    leap_day = date(year + -year % 4, 2, 29)
    firsts = [date(year, month, 1) for month in (1, 1, 1, 2, 3, 5, 11)]
    return [*firsts, date(year, 1, 31), date(year, 2, 28), leap_day, leap_day, date(year, 10, 10)]


def _change_of_time(year: int, month: int) -> datetime:
    """When Swedish time changes: at 01:00 UTC on the month's last Sunday."""
    last = date(year, month, 31)
    sunday = last - timedelta(days=(last.weekday() + 1) % 7)
    return datetime(sunday.year, sunday.month, sunday.day, 1, tzinfo=UTC)
