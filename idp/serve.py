"""The production server: granian with this application in several worker processes."""

import gc
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import Interfaces

BACKLOG = 2048
WORKER_THREADS = 8  # a worker's thread waits for the database or hashes; more only queue for the interpreter
STOP_SECONDS = 10


class Server(Granian):  # type: ignore[misc,valid-type]
    """Granian, except that SIGHUP restarts nothing: workers see changed files by themselves."""

    def signal_handler_reload(self, *_args: Any, **_kwargs: Any) -> None:
        """Workers check clients.yaml and keys/ every second, and keep the old ones if the new are bad."""


def serve(*, host: str, port: int, workers: int, unix_socket: Path | None = None) -> None:
    """Answer requests until SIGINT or SIGTERM; a worker that dies is replaced.

    Each worker reads the settings from the environment.
    """
    # The objects made by now are shared with the workers until one writes to them; their collectors would
    # write to all of them, in their headers, at the first full collection: 15 MiB more in each.
    gc.collect()
    gc.freeze()
    Server(
        "idp.app:create_app_from_environ",
        address=host,
        port=port,
        uds=unix_socket,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=WORKER_THREADS,
        backlog=BACKLOG,
        factory=True,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
    ).serve()
