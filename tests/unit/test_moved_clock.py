"""The date of a test run: what is chosen, how it is written, and that the tests meet it."""

import os
import time
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from tests.moved_clock import MOMENT, STOCKHOLM, VARIABLE, ZONES, choose, read, write

LONGEST = timedelta(minutes=10)
CHOSEN = [choose(Random(seed), 2026) for seed in range(1000)]


def test_the_tests_of_a_run_meet_its_date_and_zone(pytestconfig: pytest.Config) -> None:
    moment = pytestconfig.stash[MOMENT]
    begun = moment.astimezone(UTC)
    assert begun <= datetime.now(UTC) < begun + LONGEST
    assert begun.timestamp() <= time.time() < (begun + LONGEST).timestamp()
    assert datetime.now(UTC).astimezone().utcoffset() == datetime.now(moment.tzinfo).utcoffset()
    assert VARIABLE not in os.environ


@pytest.mark.real_clock
def test_a_test_can_keep_the_machines_date(tmp_path_factory: pytest.TempPathFactory) -> None:
    written = tmp_path_factory.mktemp("written").stat().st_mtime
    assert abs(time.time() - written) < LONGEST.total_seconds()


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2027-12-31T23:59:59.900[Pacific/Auckland]", "2027-12-31T10:59:59.900"),
        ("2027-10-31T02:30[Europe/Stockholm]", "2027-10-31T00:30"),
        ("2027-10-31T02:30+01:00[Europe/Stockholm]", "2027-10-31T01:30"),
        ("2028-02-29", "2028-02-29T00:00"),
        ("2028-02-29T00:30+01:00", "2028-02-28T23:30"),
    ],
)
def test_a_written_date_is_read(written: str, utc: str) -> None:
    found = read(written)
    assert found.astimezone(UTC) == datetime.fromisoformat(f"{utc}+00:00")
    assert read(write(found)).astimezone(UTC) == found.astimezone(UTC)


@pytest.mark.parametrize("written", ["2027-02-29", "soon", "2027-01-01[No/Where]", "2027-01-01[/x]", "[UTC]"])
def test_nothing_else_is_read(written: str) -> None:
    with pytest.raises(ValueError, match="is not a time and its zone such as 2027-12-31T23:59:59"):
        read(written)


def test_a_chosen_date_can_be_repeated() -> None:
    repeated = [read(write(moment)) for moment in CHOSEN]
    assert [str(moment.tzinfo) for moment in repeated] == [str(moment.tzinfo) for moment in CHOSEN]
    assert [moment.timestamp() for moment in repeated] == [moment.timestamp() for moment in CHOSEN]
    assert {str(moment.tzinfo) for moment in CHOSEN} == set(ZONES)


def test_a_chosen_date_is_to_come_and_awkward_as_often_as_not() -> None:
    assert min(moment.astimezone(UTC).date() for moment in CHOSEN) >= date(2026, 12, 31)
    assert {moment.astimezone(STOCKHOLM).year for moment in CHOSEN} >= set(range(2027, 2036))
    shortly_before_midnight = [moment for moment in CHOSEN if "T23:59:59." in write(moment)]
    assert len(shortly_before_midnight) > 100
