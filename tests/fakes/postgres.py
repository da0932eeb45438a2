"""A PostgreSQL server of one's own: in a temporary folder, on a socket there, gone afterwards."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

INSTALLED = Path("/usr/lib/postgresql")  # where Debian keeps one folder for each major version
SUPERUSER = "postgres"
UNPRIVILEGED = "postgres"  # the account that Debian's package makes
HOW_TO_INSTALL = "install it with: apt-get install postgresql"
START_SECONDS = STOP_SECONDS = 60
NOT_DURABLE = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")


class PostgresError(Exception):
    """PostgreSQL is not installed, or does not start; says what to do or what it answered."""


class PrivatePostgres:
    """A running server for as long as the `with` block lasts; the folder goes with it.

    It listens on no network address, and its socket lies in a folder that only its own account (and
    root) may enter, so that no password is needed. PostgreSQL refuses to run as root: started by root it
    runs as the user `postgres`. `durable=False` leaves out waiting for the disk, for tests that do not
    measure it. Entering raises `PostgresError`.
    """

    def __init__(self, *, durable: bool = True) -> None:
        self.durable = durable

    def __enter__(self) -> Self:
        self._programs = _programs()
        self._account = _account()
        self._server: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="idp-postgres-"))
        try:
            if self._account is not None:
                shutil.chown(self.folder, self._account, self._account)
            self._initialise()
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def url(self) -> str:
        """The server's own database `postgres`, as `postgresql://…`."""
        return self._url("postgres")

    @property
    def pid(self) -> int:
        """The postmaster: every other process of the server is its child."""
        assert self._server is not None
        return self._server.pid

    def create_database(self, name: str) -> str:
        """The URL of a new, empty database. A name already taken raises psycopg's `DuplicateDatabase`."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._url(name)

    def crash(self) -> None:
        """Stop at once, as a failing machine does: connections break, and what is not committed is gone.

        Not `durable`, what was committed right before may be gone too.
        """
        assert self._server is not None
        self._server.send_signal(signal.SIGQUIT)  # "immediate"
        self._server.wait(STOP_SECONDS)

    def start_again(self) -> None:
        """Recover from the crash and serve the same databases again. Raises `PostgresError`."""
        self._start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?host={quote(str(self.folder), safe='')}"

    def _initialise(self) -> None:
        options = ("-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        made = subprocess.Popen(
            [self._programs / "initdb", "-D", self._data, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **self._surroundings(),
        )
        _, said = made.communicate()
        if made.returncode:
            raise PostgresError(f"initdb failed: {said.strip()}")
        socket_folder = str(self.folder).replace("'", "''")
        settings = ["listen_addresses = ''", f"unix_socket_directories = '{socket_folder}'"]
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{line}\n" for line in (*settings, *(() if self.durable else NOT_DURABLE)))

    def _start(self) -> None:
        # Our own child, not a daemon of pg_ctl's: what we start we can also wait for.
        log = self.folder / "log"
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is ours to pass on, when its clients are gone
                **self._surroundings(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL did not start: {log.read_text().strip()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def _stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)  # "fast": ends connections, writes everything
            try:
                self._server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._server.send_signal(signal.SIGQUIT)  # "immediate"
                self._server.wait()
        shutil.rmtree(self.folder)

    def _surroundings(self) -> dict[str, Any]:
        return {
            "cwd": self.folder,  # the present one may be closed to the other account
            "env": {"PATH": os.defpath, "LC_ALL": "C"},
            "user": self._account,
            "group": self._account,
            "extra_groups": None if self._account is None else [],
        }


def _programs() -> Path:
    """The folder of initdb and postgres: that of the PATH, else the newest version installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = [folder for folder in INSTALLED.glob("*/bin") if (folder / "initdb").exists()]
    if not versions:
        raise PostgresError(f"PostgreSQL's initdb and postgres are not on this machine; {HOW_TO_INSTALL}")
    return max(versions, key=lambda folder: float(folder.parent.name))


def _account() -> str | None:
    """Whom to run the server as; None: as we are."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(UNPRIVILEGED).pw_name
    except KeyError:
        raise PostgresError(
            f"PostgreSQL refuses to run as root, and there is no user {UNPRIVILEGED}; {HOW_TO_INSTALL}"
        ) from None
