"""Keep today's answers: `python -m tests.integration.refusals`. Read the diff before you commit it."""

import sys
from pathlib import Path

import pytest

from tests.integration.refusals.table import Writer

if __name__ == "__main__":
    sys.exit(pytest.main(["-q", str(Path(__file__).with_name("test_refusals.py"))], plugins=[Writer()]))
