"""`idp clients`: what is registered, and everything that is wrong with a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.factories import make_client

Run = Callable[..., Any]


@pytest.fixture
def database_url() -> str:
    return "sqlite://"  # not asked


def write(path: Path, **clients: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({"version": 1, "clients": clients}, allow_unicode=True))
    return path


def refused(result: Any) -> list[str]:
    """The problems that a command ended with, and nothing worse than that."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines
    assert all(line.startswith("error: ") for line in lines), result.stderr
    return [line.removeprefix("error: ") for line in lines]


def test_check_the_configured_file(run: Run, clients_file: Path) -> None:
    result = run("clients", "check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{clients_file}: 2 clients, no problems\n"


def test_check_another_file(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "new.yaml", en=make_client())
    result = run("clients", "check", str(path))
    assert (result.exit_code, result.stdout) == (0, f"{path}: 1 client, no problems\n")


def test_check_needs_no_settings_for_a_file_given(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IDP_ISSUER", "IDP_SECRET_KEY"):
        monkeypatch.delenv(name)
    assert run("clients", "check", str(write(tmp_path / "new.yaml", en=make_client()))).exit_code == 0


def test_check_tells_every_problem_with_its_place(run: Run, clients_file: Path) -> None:
    write(
        clients_file,
        a=make_client(redirect_uris=["http://portal.example.se/cb"]),
        b=make_client(scope="openid everything"),
        c=make_client(redirect_uri=["https://portal.example.se/cb"]),
    )
    told = refused(run("clients", "check"))
    assert all(line.startswith("clients.yaml:") for line in told)
    for client, field in (("a", "redirect_uris"), ("b", "scope"), ("c", "redirect_uri")):
        assert any(f'client "{client}"' in line and field in line for line in told), told


@pytest.mark.parametrize("name", ["", "missing.yaml", "."])
def test_check_a_file_that_is_none(run: Run, tmp_path: Path, name: str) -> None:
    assert refused(run("clients", "check", str(tmp_path / name)))


def test_list_clients(run: Run) -> None:
    result = run("clients", "list", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [
        {
            "client_id": "portal",
            "name": "Portalen",
            "authentication": "client_secret_basic",
            "scope": "openid profile email phone",
        },
        {
            "client_id": "spa",
            "name": "Appen",
            "authentication": "none",
            "scope": "openid profile email phone",
        },
    ]
    table = run("clients", "list").stdout.splitlines()
    assert table[0].split() == ["client_id", "name", "authentication", "scope"]
    assert len(table) == 3


def test_list_no_clients(run: Run, clients_file: Path) -> None:
    write(clients_file)
    result = run("clients", "list")
    assert result.exit_code == 0
    assert result.stdout == f"{clients_file} has no clients yet\n"


def test_list_a_broken_file(run: Run, clients_file: Path) -> None:
    write(clients_file, a=make_client(scope="everything"))
    assert 'client "a"' in refused(run("clients", "list"))[0]


def test_a_list_shows_no_secret(run: Run, clients: dict[str, dict[str, Any]]) -> None:
    digest = clients["portal"]["client_secrets"][0]["sha256"]
    for arguments in (("list",), ("list", "--json"), ("check",)):
        assert digest not in run("clients", *arguments).output
