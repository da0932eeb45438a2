"""A Redis server of one's own: in a temporary folder, on a socket there, gone afterwards."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

HOW_TO_INSTALL = "install it with: apt-get install redis-server"
START_SECONDS = 30


class RedisError(Exception):
    """Redis is not installed, or does not start; says what to do or what it answered."""


class PrivateRedis:
    """A running server for as long as the `with` block lasts; the folder goes with it.

    It listens on no network address and writes nothing to the disk. `stop` and `start` are an outage.
    Entering raises `RedisError`.
    """

    def __enter__(self) -> Self:
        program = shutil.which("redis-server")
        if program is None:
            raise RedisError(f"redis-server is not on this machine; {HOW_TO_INSTALL}")
        self._program = program
        self._server: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="idp-redis-"))
        self._socket = self.folder / "socket"
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    @property
    def url(self) -> str:
        """What IDP_REDIS_URL says."""
        return f"unix://{self._socket}"

    def stored_keys(self) -> list[str]:
        """Every key there is."""
        with redis.Redis(unix_socket_path=str(self._socket)) as client:
            return sorted(key.decode() for key in client.keys("*"))

    def start(self) -> None:
        log = self.folder / "log"
        options = ["--port", "0", "--unixsocket", self._socket, "--save", "", "--appendonly", "no"]
        with log.open("wb") as output:
            self._server = subprocess.Popen(
                [self._program, *options, "--dir", self.folder],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is ours to pass on
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RedisError(f"Redis did not start: {log.read_text().strip()}")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait()
            self._server = None

    def _answers(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(self._socket)) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
