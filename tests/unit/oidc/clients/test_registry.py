"""The registry of clients follows the file and keeps serving the last good one."""

import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from idp.config import ConfigError
from idp.oidc.clients import registry as client_registry
from idp.oidc.clients.registry import ClientRegistry
from tests.unit.oidc.clients.clients_yaml import NOW, VALID, with_field


class File:
    """A clients.yaml whose every write has a time of its own, long past."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = 0
        self.write(VALID)

    def write(self, text: str) -> None:
        """Replace the file as editors do: by a rename."""
        new = self.path.with_suffix(".new")
        new.write_text(text)
        self._written += 1
        os.utime(new, (self._written, self._written))
        new.replace(self.path)

    def registry(
        self, interval: float = 0, algs: Callable[[], Collection[str]] | None = None
    ) -> ClientRegistry:
        return ClientRegistry(
            self.path,
            login_methods=["bankid", "password"],
            signing_algs=algs,
            clock=lambda: NOW,
            check_interval_seconds=interval,
        )


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "clients.yaml")


def test_registry_refuses_to_begin_with_a_bad_file(file: File) -> None:
    file.write(VALID.replace("openid email", "email"))
    with pytest.raises(ConfigError, match="must contain openid"):
        file.registry()


def test_registry_follows_the_file(file: File, caplog: pytest.LogCaptureFixture) -> None:
    registry = file.registry()
    reports = registry.get("reports")
    assert reports is not None
    assert registry.get("nobody") is None
    caplog.set_level(logging.INFO, "idp.clients")
    file.write(VALID.replace("openid email", "openid").replace("  phone:", "  tablet:"))
    assert registry.get("reports") != reports
    assert registry.get("tablet") is not None
    assert registry.get("phone") is None
    assert [record.getMessage().partition(" loaded: ")[2] for record in caplog.records] == [
        "1 clients added, 1 changed, 1 removed"
    ]


def test_registry_knows_who_begins_logins_by_themselves(file: File) -> None:
    registry = file.registry()
    before = registry.initiating()
    assert dict(before) == {}
    file.write(with_field("initiate_login_uri: https://reports.example.se/login"))
    assert dict(registry.initiating()) == {"reports": registry.get("reports")}
    assert dict(before) == {}, "one moment's set"


@pytest.mark.parametrize("broken", [VALID.replace("openid", "oppenid"), VALID[:100], "", None])
def test_a_bad_file_changes_nothing_and_is_logged_once(
    file: File, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    registry = file.registry()
    before = [registry.get("reports"), registry.get("phone")]
    if broken is None:
        file.path.unlink()
    else:
        file.write(broken)
    for _ in range(3):
        assert [registry.get("reports"), registry.get("phone")] == before
        registry.refresh()
    assert registry.problems
    [record] = caplog.records
    assert (record.name, record.levelname) == ("idp.clients", "ERROR")
    assert record.getMessage().splitlines()[1:] == registry.problems
    file.write(VALID)
    assert [registry.get("reports"), registry.get("phone")] == before
    assert registry.problems == []


def test_a_new_signing_key_puts_the_file_in_force_that_waits_for_it(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time_ns() + 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    algs = {"RS256"}
    registry = file.registry(algs=lambda: algs)
    file.write(with_field("id_token_signed_response_alg: ES256").replace("  phone:", "  tablet:"))
    assert registry.get("tablet") is None
    assert "there is no signing key for ES256, only for RS256" in registry.problems[0]
    algs.add("ES256")
    assert registry.get("tablet") is not None
    assert registry.problems == []


def test_registry_warns_of_expired_clients_once_per_load(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    file.write(VALID.replace("2027-06-30", "2026-05-31"))
    registry = file.registry()
    assert registry.get("reports") is not None
    assert registry.problems == []
    file.write(VALID.replace("2027-06-30", "2026-05-30"))
    assert registry.get("reports") is not None
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert (
        warnings
        == [f'{file.path}: every secret of "reports" has expired; make one with: idp clients secret'] * 2
    )
    file.write(VALID)
    assert registry.get("reports") is not None
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 2


def test_registry_looks_at_most_once_per_interval(file: File) -> None:
    registry = file.registry(interval=3600)
    file.write(VALID.replace("  phone:", "  tablet:"))
    assert registry.get("tablet") is None
    registry.refresh()
    assert registry.get("tablet") is not None


def test_refresh_reads_a_file_that_looks_the_same(file: File) -> None:
    registry = file.registry()
    times = file.path.stat()
    file.path.write_text(VALID.replace("Rapporter", "Reporting"))
    os.utime(file.path, ns=(times.st_atime_ns, times.st_mtime_ns))
    registry.refresh()
    reports = registry.get("reports")
    assert reports is not None
    assert reports.client_name == "Reporting"


@pytest.mark.real_clock
def test_an_unchanged_file_is_not_read_again(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time_ns() + 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    registry = file.registry()
    read: list[Path] = []

    def counted(path: Path) -> bytes:
        read.append(path)
        return path.read_bytes()

    monkeypatch.setattr(client_registry, "read_file", counted)
    assert registry.get("reports") is not None
    assert read == []
    registry.refresh()
    assert read == [file.path]


def test_a_second_write_within_the_file_systems_tick_is_seen(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    # every stat answers the same: two writes of one size that the times cannot tell apart
    stamp = file.path.stat()
    monkeypatch.setattr(time, "time_ns", lambda: stamp.st_ctime_ns + 1)
    registry = file.registry()
    monkeypatch.setattr(Path, "stat", lambda self, **_: stamp)
    file.path.write_text(VALID.replace("Rapporter", "Reporting"))
    found = registry.get("reports")
    assert found is not None
    assert found.client_name == "Reporting"


def test_readers_go_on_while_the_file_is_read(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = file.registry()
    file.write(VALID.replace("  phone:", "  tablet:"))
    reading, go_on = threading.Event(), threading.Event()

    def slow(path: Path) -> bytes:
        reading.set()
        assert go_on.wait(5)
        return path.read_bytes()

    monkeypatch.setattr(client_registry, "read_file", slow)
    monkeypatch.setattr(client_registry, "PATIENCE_SECONDS", 0.01)
    for _ in range(2):  # whoever finds the change waits a moment at most, the others not at all
        assert registry.get("phone") is not None
    assert reading.wait(5)
    go_on.set()
    registry.refresh()  # waits for the reader
    assert registry.get("phone") is None
    assert registry.get("tablet") is not None
