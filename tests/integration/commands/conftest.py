"""A company that a command has added."""

import pytest
from flask import Flask

from tests.integration.commands.outcomes import Run, said


@pytest.fixture
def company(app: Flask, run: Run) -> str:
    """Exempel AB, in a database with its tables."""
    assert said(run("companies", "add", "Exempel AB")) == "added Exempel AB"
    return "Exempel AB"
