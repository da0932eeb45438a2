"""Low limits, and a database in memory: counters are not in it."""

import pytest

from tests.integration.web.limits.visitor import SETTINGS


@pytest.fixture
def database_url() -> str:
    return "sqlite://"  # counters are not in the database


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, **SETTINGS}
