"""The demo's child processes: start, wait until they answer, stop with all they have started."""

import ctypes
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from idp.config import ConfigError

ANSWER_SECONDS = 90
STOP_SECONDS = 5
CHECK_SECONDS = 0.1
STANDARD_ERROR = 2
PR_SET_PDEATHSIG = 1


class Part:
    """One child process, in a process group of its own, so that Ctrl-C reaches only this process.

    `address` is the host, port and path that it answers at; None for a process that serves nothing.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environ: Mapping[str, str],
        address: tuple[str, int, str] | None,
    ) -> None:
        self.name = name
        self._address = address
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, *arguments],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=STANDARD_ERROR,  # standard output is for what scripts read
            start_new_session=True,
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 - nothing has started a thread yet
        )

    def answers(self) -> bool:
        """Whether its address answers 200; a process without one always answers."""
        if self._address is None:
            return True
        host, port, path = self._address
        connection = http.client.HTTPConnection(host, port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def check(self) -> None:
        """Raise `ConfigError` if the process has ended."""
        status = self._process.poll()
        if status is not None:
            how = f"signal {-status}" if status < 0 else f"status {status}"
            raise ConfigError([f"{self.name} has stopped ({how}), so the demo ends; see its messages above"])

    def ask_to_stop(self) -> None:
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """Wait a few seconds for the process to end, then kill the rest of its group."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def _end_with_parent() -> Callable[[], None] | None:
    """A function that a child runs first, so that it ends even when this process is killed (Linux only)."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_for_answers(parts: Sequence[Part], *, stopping: Callable[[], bool]) -> None:
    """Wait until every part answers, or `stopping()`. Raises `ConfigError` for a silent part."""
    deadline = time.monotonic() + ANSWER_SECONDS
    waiting = list(parts)
    while waiting and not stopping():
        for part in parts:
            part.check()
        waiting = [part for part in waiting if not part.answers()]
        if time.monotonic() > deadline:
            raise ConfigError([f"{waiting[0].name} has not answered within {ANSWER_SECONDS} seconds"])
        time.sleep(CHECK_SECONDS)


def watch(parts: Sequence[Part], *, stopping: Callable[[], bool]) -> None:
    """Wait until `stopping()`. Raises `ConfigError` when a part ends by itself."""
    while not stopping():
        for part in parts:
            part.check()
        time.sleep(CHECK_SECONDS)


def stop_all(parts: Sequence[Part]) -> None:
    """End every part, together."""
    for part in parts:
        part.ask_to_stop()
    for part in parts:
        part.stop()
