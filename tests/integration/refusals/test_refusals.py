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

from idp.bankid.setup import BANKID
from idp.bankid.simulator.server import Simulator
from idp.clock import utcnow
from idp.oidc.keys import rotation
from tests.factories import NOON, make_user
from tests.integration.bankid.conftest import KEYS, Phone
from tests.integration.refusals import (
    account,
    addresses,
    admin,
    authorization,
    bankid,
    bankid_linking,
    bankid_outages,
    client_authentication,
    client_keys,
    decisions,
    dpop,
    interactions,
    limits,
    logout,
    outages,
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
        bankid,
        bankid_linking,
        bankid_outages,
        client_authentication,
        client_keys,
        decisions,
        dpop,
        interactions,
        limits,
        logout,
        outages,
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


@pytest.fixture(scope="module")
def bankid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, dict[str, str]]]:
    """A running simulator of BankID, and the settings that lead to it."""
    folder = tmp_path_factory.mktemp("bankid")
    settings = {
        "IDP_BANKID_ENVIRONMENT": "simulator",
        "IDP_BANKID_SIMULATOR_DIR": str(folder),
        "IDP_BANKID_CERTIFICATE": str(folder / "rp.pem"),
        "IDP_BANKID_KEY": str(folder / "rp.key"),
        "IDP_PERSONAL_NUMBER_KEYS": KEYS,
    }
    with Simulator(folder) as running:
        yield running, settings


@pytest.fixture
def environ(environ: dict[str, str], group: str, request: pytest.FixtureRequest) -> dict[str, str]:
    quiet = {"IDP_LOG_LEVEL": "error"}  # hundreds of lines would hide what is not as it was
    with_bankid = request.getfixturevalue("bankid")[1] if needs_bankid(group) else {}
    return environ | MANY | quiet | with_bankid | getattr(GROUPS[group], "SETTINGS", {})


def needs_bankid(group: str) -> bool:
    return hasattr(GROUPS[group], "WITH_BANKID")


@pytest.fixture
def clock(group: str) -> Iterator[Traveller]:
    """Noon, or now where there is BankID, whose simulator made its certificates just before."""
    with time_machine.travel(utcnow() if needs_bankid(group) else NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def phone(group: str, request: pytest.FixtureRequest) -> Iterator[Phone | None]:
    """The BankID app of a test person, in groups that need one."""
    if not needs_bankid(group):
        yield None
        return
    found = Phone(request.getfixturevalue("bankid")[0])
    with found.http:
        yield found


@pytest.fixture
def world(
    group: str, clock: Traveller, app: Flask, clients_file: Path, phone: Phone | None
) -> Iterator[World]:
    with app.app_context():
        make_user(email=ANNA)
    yield World(app, clock, clients_file, GROUPS[group].CLIENTS, phone)
    if phone is not None:
        BANKID.of(app).client._http.close()


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


def test_the_kept_answers_are_of_these_groups_and_in_their_own_form(writer: Writer | None) -> None:
    if writer is not None:
        pytest.skip("the answers are being kept")
    assert table.groups() == sorted(GROUPS)
    assert [group for group in GROUPS if table.text(group) != table.written(table.read(group))] == []
