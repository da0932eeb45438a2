"""A mail server's certificate that is trusted, and the worker's log."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from flask import Flask

from tests.integration.mail.worker.delivering import Lines


@pytest.fixture(autouse=True)
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail servers' certificate is trusted, unless a test says otherwise."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "mail-server.pem"))


@pytest.fixture
def inside(app: Flask) -> Iterator[Flask]:
    with app.app_context():
        yield app


@pytest.fixture
def lines(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Every line that the worker has logged."""
    handler = next(found for found in logging.getLogger().handlers if type(found) is logging.StreamHandler)
    stream = StringIO()
    monkeypatch.setattr(handler, "stream", stream)
    return lambda: [
        line
        for line in map(json.loads, stream.getvalue().splitlines())
        if line["logger"] != "mail.log"  # the mail server's own
    ]
