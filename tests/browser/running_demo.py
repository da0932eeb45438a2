"""`idp demo` runs as the command that a user starts, and tests watch it from outside."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.ports import free_port

START_SECONDS = 120
STOP_SECONDS = 20
# Cheap hashes, and no limit that a test meets by accident.
TEST_SETTINGS = {
    "IDP_PASSWORD_HASH_MEMORY_KIB": "8",
    "IDP_PASSWORD_HASH_TIME": "1",
    "IDP_LIMIT_LOGIN_PER_ADDRESS": "10000/minute",
    "IDP_LIMIT_LOGIN_PER_ACCOUNT": "10000/minute",
    "IDP_LIMIT_BANKID_PER_ADDRESS": "10000/minute",
}


def environment(**changes: str) -> dict[str, str]:
    """This process's variables without any IDP_* of its own, and the changes."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}
    return {**inherited, **TEST_SETTINGS, **changes}


class RunningDemo:
    """A demo on free ports; `start()` returns when it has said `ready`."""

    def __init__(self, directory: Path, *, options: Sequence[str] = (), **settings: str) -> None:
        self.directory = directory
        self.options = options
        self.settings = settings
        self.port, self.portal_port, self.phone_port, self.bankid_port = (free_port() for _ in range(4))
        self.output: list[str] = []

    def start(self) -> "RunningDemo":
        ports = ["--port", str(self.port), "--portal-port", str(self.portal_port)]
        ports += ["--phone-port", str(self.phone_port), "--bankid-port", str(self.bankid_port)]
        self.errors = (self.directory.parent / f"{self.directory.name}.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "idp", "demo", *ports, "--data-dir", str(self.directory), *self.options],
            env=environment(**self.settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + START_SECONDS
        while not (self.output and self.output[-1].startswith("ready ")):
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = ""
            if not line:
                self.stop(signal.SIGKILL)
                raise AssertionError(f"the demo did not get ready:\n{self.output}\n{self.log()}")
            self.output.append(line.rstrip("\n"))
        self.facts: dict[str, Any] = json.loads((self.directory / "demo.json").read_text())
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def log(self) -> str:
        """What the demo and its parts wrote on standard error."""
        self.errors.seek(0)
        return self.errors.read()

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send the signal; gives the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(STOP_SECONDS)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    @property
    def issuer(self) -> str:
        return str(self.facts["issuer"])

    @property
    def portal(self) -> str:
        return str(self.facts["portal_url"])

    @property
    def anna(self) -> dict[str, str]:
        found: dict[str, str] = self.facts["users"][0]
        return found

    @property
    def bjorn(self) -> dict[str, str]:
        found: dict[str, str] = self.facts["users"][1]
        return found

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an `idp` command beside the demo, with its env file."""
        return subprocess.run(
            [sys.executable, "-m", "idp", "--env-file", str(self.directory / "idp.env"), *arguments],
            env={name: value for name, value in os.environ.items() if not name.startswith("IDP_")},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def descendants(pid: int) -> set[int]:
    """Every process that the process has started, and those they have."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = children.get(waiting.pop(), [])
        found.update(new)
        waiting += new
    return found


def left_running(pids: set[int], *, within_seconds: float = 10) -> set[int]:
    """Those of the processes that still run after a while; a zombie does not run."""
    deadline = time.monotonic() + within_seconds
    while True:
        left = {pid for pid in pids if _runs(pid)}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
