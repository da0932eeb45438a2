"""Every refusal is the one that is kept for it: status, code, where it leads, which page and field it shows.

Texts are not kept. A case starts from a valid request (kept too, as "nothing changed") and changes one thing.
`python -m tests.integration.refusals` keeps today's answers instead of comparing with them.
"""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import time_machine
from flask import Flask
from time_machine import Traveller

from idp.oidc.keys import rotation
from tests.factories import NOON, make_user
from tests.integration.refusals import (
    account,
    addresses,
    admin,
    authorization,
    client_authentication,
    decisions,
    dpop,
    interactions,
    logout,
    passwords,
    pushed_requests,
    refresh,
    request_objects,
    resources,
    table,
    token,
    told,
)
from tests.integration.refusals.table import Table, Writer
from tests.integration.refusals.world import ANNA, MANY, World

GROUPS: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        account,
        addresses,
        admin,
        authorization,
        client_authentication,
        decisions,
        dpop,
        interactions,
        logout,
        passwords,
        pushed_requests,
        refresh,
        request_objects,
        resources,
        token,
    )
}


@pytest.fixture(params=GROUPS)
def group(request: pytest.FixtureRequest) -> str:
    """The group of cases that the test is about."""
    return str(request.param)


@pytest.fixture
def writer(request: pytest.FixtureRequest) -> Writer | None:
    """What keeps today's answers, if that is what the run is for."""
    plugins = request.config.pluginmanager.get_plugins()
    return next((plugin for plugin in plugins if isinstance(plugin, Writer)), None)


@pytest.fixture(scope="module")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys to sign with, and one to encrypt to."""
    directory = tmp_path_factory.mktemp("keys")
    for alg in ("RS256", "ES256", "RSA-OAEP"):
        rotation.rotate(directory, alg=alg, now=NOON)
    return directory


@pytest.fixture
def database_url() -> str:
    return "sqlite://"  # what is refused does not depend on the database


@pytest.fixture
def clients(group: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = GROUPS[group].CLIENTS
    return found


@pytest.fixture
def environ(environ: dict[str, str], group: str) -> dict[str, str]:
    quiet = {"IDP_LOG_LEVEL": "error"}  # hundreds of lines would hide what is not as it was
    return environ | MANY | quiet | getattr(GROUPS[group], "SETTINGS", {})


@pytest.fixture
def clock() -> Iterator[Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def world(clock: Traveller, app: Flask, clients: dict[str, dict[str, Any]], clients_file: Path) -> World:
    with app.app_context():
        make_user(email=ANNA)
    return World(app, clock, clients_file, clients)


def answers_of(group: str, world: World) -> Table:
    """What each case of the group is told."""
    titles = told.titles_of_errors(world.app)
    answers: Table = {}
    for case, ask in GROUPS[group].cases(world):
        assert case not in answers, f"two cases are called {case!r}"
        try:
            answers[case] = told.of(ask(), titles)
        except Exception as error:
            error.add_note(f"in the case {case!r}")
            raise
    return answers


def test_each_refusal_is_the_one_that_is_kept(group: str, world: World, writer: Writer | None) -> None:
    answers = answers_of(group, world)
    if writer is not None:
        writer.tables[group] = answers
        return
    found = table.differences(table.read(group), answers)
    assert not found, "\n".join(["not as it is kept:", *found])


def test_what_is_kept_is_of_these_groups_and_in_its_own_form(writer: Writer | None) -> None:
    if writer is not None:
        pytest.skip("the answers are being kept")
    assert table.groups() == sorted(GROUPS)
    assert [group for group in GROUPS if table.text(group) != table.written(table.read(group))] == []
