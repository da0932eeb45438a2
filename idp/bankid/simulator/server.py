"""The simulator as two servers in one process: the RP API over mutual TLS, and the phone page."""

import json
import signal
import ssl
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from idp.bankid.simulator import phone
from idp.bankid.simulator.api import PREFIX, RpApi
from idp.bankid.simulator.completion import make_completion
from idp.bankid.simulator.faults import Faults
from idp.bankid.simulator.http_server import Server
from idp.bankid.simulator.orders import Orders
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.pki import POLICIES, Pki
from idp.clock import utcnow

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - how this machine reaches such a server
PHONE_URL = "phone_url"
BASE_URL = "base_url"


class Simulator:
    """A running simulator; a context manager that stops it.

    It keeps its certificates in `directory` and tells there where it is: `environment.json` holds
    `base_url` of the RP API and `phone_url`. `now` gives the time. Port 0 takes a free one.
    Raises `OSError` when a port cannot be had.
    """

    def __init__(
        self,
        directory: Path,
        *,
        host: str = "127.0.0.1",
        bankid_port: int = 0,
        phone_host: str = "127.0.0.1",
        phone_port: int = 0,
        now: Callable[[], datetime] = utcnow,
    ) -> None:
        self.pki = Pki.make(directory)
        self.faults = Faults()
        complete = partial(make_completion, pki=self.pki, faults=self.faults)
        self.orders = Orders(now=now, complete=complete, people=PEOPLE, policies=POLICIES)
        self._api = Server(host, bankid_port, RpApi(self.orders, self.faults), tls=_tls(self.pki))
        try:
            self._phone = Server(phone_host, phone_port, phone.create_app(self.orders, self.faults))
        except OSError:
            self._api.server_close()
            raise
        self.base_url = f"https://{_named(host)}:{self._api.port}{PREFIX}"
        self.phone_url = f"http://{_named(phone_host)}:{self._phone.port}"

    def __enter__(self) -> Self:
        facts = {BASE_URL: self.base_url, PHONE_URL: self.phone_url}
        _write(self.pki.directory / "environment.json", json.dumps(facts, indent=2) + "\n")
        self._api.start()
        self._phone.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._phone.stop()
        self._api.stop()


def run(
    directory: Path,
    host: str,
    bankid_port: int,
    phone_host: str,
    phone_port: int,
    *,
    ready: Callable[[], None] | None = None,
) -> None:
    """Run the simulator until SIGINT or SIGTERM; `ready` is called when both servers answer.

    Raises `OSError` when a port or the directory cannot be had. Must run in the main thread.
    """
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with Simulator(
        directory, host=host, bankid_port=bankid_port, phone_host=phone_host, phone_port=phone_port
    ):
        if ready is not None:
            ready()
        stopped.wait()


def _tls(pki: Pki) -> ssl.SSLContext:
    """A context that accepts only clients with a certificate of the relying parties' CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki.directory / "ssl-server.pem", pki.directory / "ssl-server.key")
    context.load_verify_locations(pki.directory / "rp-ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _named(host: str) -> str:
    host = ANY_ADDRESS.get(host, host)
    return f"[{host}]" if ":" in host else host


def _write(path: Path, text: str) -> None:
    """Write a file atomically: a reader gets the whole file or the one before."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
