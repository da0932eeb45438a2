"""Real servers: `idp serve` with two workers, on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import pytest

from tests.conftest import DATABASES
from tests.servers.provider import Server, running


@pytest.fixture(scope="module", params=DATABASES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the tests of one file, one after the other on each kind of database."""
    folder = tmp_path_factory.mktemp("server")
    url = f"sqlite:///{folder}/idp.sqlite3"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").create_database(folder.name)
    with running(folder, url) as running_server:
        yield running_server
