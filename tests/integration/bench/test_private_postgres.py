"""The private PostgreSQL of tests and benchmark starts, serves and leaves nothing."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.fakes import postgres
from tests.fakes.postgres import PostgresError, PrivatePostgres

pytestmark = pytest.mark.postgresql


@pytest.fixture(scope="module")
def server() -> Iterator[PrivatePostgres]:
    with PrivatePostgres(durable=False) as running:
        yield running


def ask(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    return row[0]


def test_a_new_database_is_empty_and_separate(server: PrivatePostgres) -> None:
    first, second = server.create_database("first"), server.create_database('se"cond å')
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE note (text varchar)")
        connection.execute("INSERT INTO note VALUES ('å')")
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert ask(first, "SELECT text FROM note") == "å"
    assert ask(second, tables) == 0
    assert ask(second, "SELECT current_database()") == 'se"cond å'


def test_the_server_listens_on_its_own_socket_only(server: PrivatePostgres) -> None:
    assert ask(server.url, "SHOW listen_addresses") == ""
    assert ask(server.url, "SHOW unix_socket_directories") == str(server.folder)
    assert server.folder.stat().st_mode & 0o077 == 0


def test_only_a_server_for_tests_skips_the_disk(server: PrivatePostgres) -> None:
    assert ask(server.url, "SHOW fsync") == "off"
    with PrivatePostgres() as durable:
        assert ask(durable.url, "SHOW fsync") == "on"
        assert ask(durable.url, "SHOW synchronous_commit") == "on"


def test_a_crashed_server_goes_on_with_what_was_committed() -> None:
    with PrivatePostgres() as durable:
        with psycopg.connect(durable.url) as connection:
            connection.execute("CREATE TABLE note (text varchar)")
        with psycopg.connect(durable.url) as open_still:
            open_still.execute("INSERT INTO note VALUES ('never committed')")
            durable.crash()
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(durable.url)
            with pytest.raises(psycopg.OperationalError):
                open_still.execute("SELECT 1")
        durable.start_again()
        assert ask(durable.url, "SELECT count(*) FROM note") == 0


def test_the_server_leaves_no_process_and_no_folder() -> None:
    with PrivatePostgres(durable=False) as server:
        pid, folder = server.pid, server.folder
        assert f"{folder}/data" in Path(f"/proc/{pid}/cmdline").read_text()
        lingering = psycopg.connect(server.url)  # an open connection holds nothing up
    lingering.close()
    assert not Path(f"/proc/{pid}").exists()
    assert not folder.exists()


def test_a_failing_start_says_why_and_leaves_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "NOT_DURABLE", ("no_such_setting = 1",))
    server = PrivatePostgres(durable=False)
    with pytest.raises(PostgresError, match="no_such_setting"):
        server.__enter__()
    assert not server.folder.exists()


def test_a_machine_without_postgresql_is_told_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgres, "INSTALLED", tmp_path)
    with pytest.raises(PostgresError, match="apt-get install postgresql"):
        PrivatePostgres().__enter__()


def test_the_newest_version_installed_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for version in ("9.6", "15", "17", "8"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "initdb").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgres, "INSTALLED", tmp_path)
    assert postgres._programs() == tmp_path / "17" / "bin"
