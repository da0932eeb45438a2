"""A running BankID simulator on a clock of its own, with a relying party and a phone."""

import json
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from idp.bankid.simulator.people import PEOPLE, Person
from idp.bankid.simulator.pki import Pki
from idp.bankid.simulator.server import Simulator

ANNA = PEOPLE[0]


class SimulatorClock:
    """The simulator's time: moves only when the test says so."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class RawRelyingParty:
    """A relying party that says just what it is told to: posts JSON, gives the response."""

    def __init__(self, base_url: str, tls: ssl.SSLContext) -> None:
        self.http = httpx2.Client(base_url=base_url, verify=tls, timeout=10, trust_env=False)

    def post(self, call: str, /, **body: Any) -> httpx2.Response:
        headers = {"Content-Type": "application/json"}
        return self.http.post(call, content=json.dumps(body), headers=headers)

    def start(self, call: str = "auth", /, **body: Any) -> dict[str, str]:
        if not call.startswith("phone/"):
            body.setdefault("endUserIp", "192.0.2.1")
        response = self.post(call, **body)
        assert response.status_code == 200, response.text
        started: dict[str, str] = response.json()
        return started

    def collect(self, started: Mapping[str, str]) -> dict[str, Any]:
        response = self.post("collect", orderRef=started["orderRef"])
        assert response.status_code == 200, response.text
        collected: dict[str, Any] = response.json()
        return collected


class Phone:
    """A test person's phone, through the simulator's HTTP calls."""

    def __init__(self, phone_url: str, person: Person = ANNA) -> None:
        self.http = httpx2.Client(
            base_url=phone_url,
            timeout=10,
            trust_env=False,
            verify=False,  # plain HTTP: reading the system's trusted roots would take longer than the call
        )
        self.person = person

    def do(self, call: str, /, **body: Any) -> httpx2.Response:
        return self.http.post(f"/api/{call}", json={"personal_number": self.person.personal_number, **body})

    def open(self, started: Mapping[str, str], **body: Any) -> dict[str, Any]:
        response = self.do("open", autostart_token=started["autoStartToken"], **body)
        assert response.status_code == 200, response.text
        opened: dict[str, Any] = response.json()
        return opened

    def approve(self, started: Mapping[str, str]) -> None:
        self.open(started)
        response = self.do("approve")
        assert (response.status_code, response.json()["status"]) == (200, "complete")

    def switch(self, fault: str, value: str, **body: Any) -> None:
        response = self.http.post("/api/faults", json={"fault": fault, "value": value, **body})
        assert response.status_code == 200, response.text


@pytest.fixture(scope="session")
def simulator_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulator's certificates, made once."""
    directory = tmp_path_factory.mktemp("simulator")
    Pki.make(directory)
    return directory


@pytest.fixture
def simulator_clock() -> SimulatorClock:
    return SimulatorClock()


@pytest.fixture
def simulator(simulator_directory: Path, simulator_clock: SimulatorClock) -> Iterator[Simulator]:
    with Simulator(simulator_directory, now=simulator_clock) as running:
        yield running


@pytest.fixture
def client_tls(simulator_directory: Path) -> ssl.SSLContext:
    """What a relying party of the simulator connects with."""
    tls = ssl.create_default_context(cafile=simulator_directory / "ssl-root.pem")
    tls.load_cert_chain(simulator_directory / "rp.pem", simulator_directory / "rp.key")
    return tls


@pytest.fixture
def raw_rp(simulator: Simulator, client_tls: ssl.SSLContext) -> Iterator[RawRelyingParty]:
    relying_party = RawRelyingParty(simulator.base_url, client_tls)
    yield relying_party
    relying_party.http.close()


@pytest.fixture
def phone(simulator: Simulator) -> Iterator[Phone]:
    """Anna's."""
    anna = Phone(simulator.phone_url)
    yield anna
    anna.http.close()


def error(response: httpx2.Response) -> tuple[int, str]:
    assert response.headers["Content-Type"].startswith("application/json")
    return response.status_code, response.json()["errorCode"]
