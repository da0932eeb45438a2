"""`idp doctor` tells what is missing, part by part."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'idp.sqlite3'}"


@pytest.fixture
def doctor(run: Callable[..., Any]) -> Callable[[], tuple[int, dict[str, str]]]:
    def examine() -> tuple[int, dict[str, str]]:
        result = run("doctor", "--json")
        return result.exit_code, {row["part"]: row["state"] for row in json.loads(result.stdout)}

    return examine


def test_all_is_well(run: Callable[..., Any], doctor: Callable[[], tuple[int, dict[str, str]]]) -> None:
    assert run("db", "upgrade").exit_code == 0
    status, states = doctor()
    assert status == 0
    assert states == {
        "database": "ok",
        "keys": "ok",
        "clients": "ok",
        "bankid": "ok",
        "counters": "warning",
    }


def test_a_database_behind_is_an_error(doctor: Callable[[], tuple[int, dict[str, str]]]) -> None:
    status, states = doctor()
    assert (status, states["database"], states["keys"]) == (1, "error", "ok")


def test_a_bad_clients_file_is_an_error_and_hides_nothing(
    run: Callable[..., Any], doctor: Callable[[], tuple[int, dict[str, str]]], clients_file: Path
) -> None:
    run("db", "upgrade")
    clients_file.write_text("version: 1\nclients: {portal: {redirect_uri: x}}\n")
    status, states = doctor()
    assert (status, states["clients"], states["database"]) == (1, "error", "ok")


def test_bankid_without_certificate_is_an_error(
    run: Callable[..., Any],
    doctor: Callable[[], tuple[int, dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("db", "upgrade")
    monkeypatch.setenv("IDP_BANKID_ENVIRONMENT", "test")
    monkeypatch.setenv("IDP_PERSONAL_NUMBER_KEYS", "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    status, states = doctor()
    assert (status, states["bankid"]) == (1, "error")
