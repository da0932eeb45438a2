"""`idp keys` makes, rotates and retires keys, and `idp serve` refuses to start on bad ones."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from time_machine import Traveller

from idp import serve as server
from tests.factories import make_client

Run = Callable[..., Any]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/idp.sqlite3"


@pytest.fixture
def folder(tmp_path: Path, environ: dict[str, str]) -> Path:
    """Where the keys are to be; not made yet."""
    environ["IDP_KEYS_DIR"] = str(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def keys(folder: Path, run: Run, clock: Traveller) -> Callable[..., Any]:
    """Run `idp keys …` at a time that stands still."""
    return lambda *arguments: run("keys", *arguments)


def said(result: Any) -> str:
    assert result.exit_code == 0, result.output
    return str(result.stdout).strip()


def refused(result: Any) -> list[str]:
    """The problems that a command ended with, and nothing worse than that."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert lines
    assert all(line.startswith("error: ") for line in lines), result.stderr
    return [line.removeprefix("error: ") for line in lines]


def states(keys: Callable[..., Any]) -> list[tuple[str, str]]:
    return [(key["alg"], key["state"]) for key in json.loads(said(keys("list", "--json")))]


def test_the_first_keys(keys: Callable[..., Any], folder: Path) -> None:
    lines = said(keys("rotate")).splitlines()
    assert len(lines) == 2
    assert lines[0].endswith(": active, signs RS256")
    assert lines[1].endswith(": next, published for RS256")
    assert states(keys) == [("RS256", "active"), ("RS256", "next")]
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.json")} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    table = said(keys("list")).splitlines()
    assert table[0].split() == ["kid", "alg", "state", "created", "activated", "retired"]
    assert "private" not in "".join(table)


def test_a_rotation(keys: Callable[..., Any], clock: Traveller) -> None:
    said(keys("rotate"))
    before = {key["state"]: key["kid"] for key in json.loads(said(keys("list", "--json")))}
    clock.shift(721)
    lines = said(keys("rotate")).splitlines()
    assert f"{before['next']}: active, signs RS256" in lines
    assert any(line.startswith(f"{before['active']}: retired, published until") for line in lines)
    assert states(keys) == [("RS256", "active"), ("RS256", "next"), ("RS256", "retired")]


def test_a_rotation_too_early_is_refused_unless_forced(keys: Callable[..., Any]) -> None:
    said(keys("rotate"))
    (told,) = refused(keys("rotate"))
    assert "published less than 720 seconds ago" in told
    assert states(keys) == [("RS256", "active"), ("RS256", "next")]
    said(keys("rotate", "--force"))
    assert states(keys) == [("RS256", "active"), ("RS256", "next"), ("RS256", "retired")]


def test_another_algorithm_has_keys_of_its_own(keys: Callable[..., Any]) -> None:
    said(keys("rotate"))
    said(keys("rotate", "--alg", "ES256"))
    assert sorted(states(keys)) == [
        ("ES256", "active"),
        ("ES256", "next"),
        ("RS256", "active"),
        ("RS256", "next"),
    ]
    wrong = keys("rotate", "--alg", "HS256")
    assert wrong.exit_code == 2
    assert "'HS256' is not one of" in wrong.stderr


def test_retiring_a_key(keys: Callable[..., Any]) -> None:
    said(keys("rotate"))
    kid = json.loads(said(keys("list", "--json")))[0]["kid"]
    (told,) = refused(keys("retire", kid))
    assert "tokens it signed may still be in use" in told
    assert f"{kid}: removed" in said(keys("retire", kid, "--force"))
    assert kid not in said(keys("list"))
    assert states(keys) == [("RS256", "active"), ("RS256", "next")]
    assert refused(keys("retire", kid)) == [f"{os.environ['IDP_KEYS_DIR']} has no key {kid}"]


@pytest.mark.parametrize("kid", ["", "../../etc/passwd", "x\udcff"])
def test_an_unknown_key_is_refused(keys: Callable[..., Any], kid: str) -> None:
    said(keys("rotate"))
    (told,) = refused(keys("retire", kid))
    assert " has no key " in told or "not UTF-8" in told
    assert states(keys) == [("RS256", "active"), ("RS256", "next")]


def test_commands_without_a_folder_say_how_to_make_one(keys: Callable[..., Any]) -> None:
    for arguments in (("list",), ("retire", "x")):
        (told,) = refused(keys(*arguments))
        assert "idp keys rotate" in told


def test_changes_of_keys_are_audited(keys: Callable[..., Any], run: Run) -> None:
    without_tables = keys("rotate")
    assert said(without_tables)
    assert "not audited" in without_tables.stderr
    said(run("db", "upgrade"))
    kid = json.loads(said(keys("list", "--json")))[0]["kid"]
    said(keys("rotate", "--force"))
    said(keys("retire", kid, "--force"))
    rows = json.loads(said(run("audit", "list", "--json")))
    assert [(row["event"], row["detail"], row["actor"]) for row in rows] == [
        ("key.retired", {"kid": kid}, "operator"),
        ("key.rotated", {"alg": "RS256"}, "operator"),
    ]


# idp serve


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `idp serve` would start the server with."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(server, "serve", lambda **options: calls.append(options))
    return calls


@pytest.fixture
def ready(run: Run, keys_dir: Path) -> None:
    """All that `idp serve` needs."""
    said(run("db", "upgrade"))


@pytest.mark.usefixtures("ready")
def test_serve_serves_when_all_is_well(run: Run, served: list[dict[str, Any]]) -> None:
    said(run("serve", "--host", "0.0.0.0", "--port", "9000", "--workers", "3"))
    assert served == [{"host": "0.0.0.0", "port": 9000, "workers": 3, "unix_socket": None}]


@pytest.mark.usefixtures("ready")
def test_serve_refuses_a_database_behind_on_migrations(run: Run, served: list[dict[str, Any]]) -> None:
    said(run("db", "downgrade", "base", "--yes"))
    (told,) = refused(run("serve"))
    assert "idp db upgrade" in told
    assert served == []


def test_serve_refuses_an_empty_database(run: Run, served: list[dict[str, Any]]) -> None:
    (told,) = refused(run("serve"))
    assert "the database is at migration None" in told
    assert "idp db upgrade" in told
    assert served == []


@pytest.mark.usefixtures("ready")
def test_serve_tells_every_problem_of_keys_and_clients(
    run: Run, served: list[dict[str, Any]], clients_file: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("IDP_KEYS_DIR", str(tmp_path / "none"))
    bad = {"a": make_client(redirect_uris=["not a uri"]), "b": make_client(no_such_field=1)}
    clients_file.write_text(yaml.safe_dump({"version": 1, "clients": bad}))
    told = refused(run("serve"))
    assert "idp keys rotate" in told[0]
    assert any('client "a"' in line and "redirect_uris" in line for line in told)
    assert any('client "b"' in line and "no_such_field" in line for line in told)
    assert served == []


def test_serve_tells_every_problem_of_the_settings(
    run: Run, served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDP_ISSUER", "http://login.example.se")
    monkeypatch.setenv("IDP_SECRET_KEY", "change-me")
    monkeypatch.setenv("IDP_SESION_HOURS", "3")
    told = refused(run("serve"))
    assert len(told) == 3
    assert served == []


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_text(""), "clients.yaml"),
        (lambda path: path.write_text("clients: ["), "this is not YAML"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "UTF-8"),
        (lambda path: (path.unlink(), path.mkdir()), "clients.yaml"),
    ],
    ids=["missing", "empty", "cut off", "not text", "a folder"],
)
@pytest.mark.usefixtures("ready")
def test_serve_refuses_a_broken_clients_file(
    run: Run, served: list[dict[str, Any]], clients_file: Path, break_it: Any, problem: str
) -> None:
    break_it(clients_file)
    told = refused(run("serve"))
    assert problem in "\n".join(told)
    assert served == []


def test_serve_refuses_a_key_that_others_may_read(
    keys: Callable[..., Any], run: Run, served: list[dict[str, Any]], folder: Path
) -> None:
    said(run("db", "upgrade"))
    said(keys("rotate"))
    path = sorted(folder.glob("*.json"))[0]
    path.chmod(0o644)
    (told,) = refused(run("serve"))
    assert path.name in told
    assert "others may read it" in told
    path.chmod(0o600)
    said(run("serve"))
    assert len(served) == 1


def test_a_refusal_as_an_operator_meets_it(environ: dict[str, str], tmp_path: Path) -> None:
    """The command itself, in a process of its own: words on standard error, no traceback, status 1."""
    surroundings = {"PATH": os.environ["PATH"], **environ, "IDP_KEYS_DIR": str(tmp_path / "none")}
    done = subprocess.run(
        [sys.executable, "-m", "idp", "serve"],
        env=surroundings,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "error: " in done.stderr
    assert "idp keys rotate" in done.stderr
    assert "Traceback" not in done.stderr
