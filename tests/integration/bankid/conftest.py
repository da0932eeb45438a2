"""The provider with BankID switched on runs against a simulator."""

import logging
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.bankid.api.client import BankIdClient
from idp.bankid.setup import BANKID
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.server import Simulator
from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS
from idp.users import bankid_links
from idp.users.personal_number import PersonalNumber
from tests.factories import make_client, make_user
from tests.fakes.relying_party import HTTPS, RelyingParty

ANNA = PEOPLE[0]
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/19.0 Mobile/15E148 Safari/604.1"
)
KEYS = "k1:" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture(scope="session")
def simulator_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bankid")


@pytest.fixture
def simulator(simulator_dir: Path) -> Iterator[Simulator]:
    with Simulator(simulator_dir) as running:
        yield running


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(login_methods=["bankid", "password"]),
        "bankid-only": make_client(login_methods=["bankid"]),
    }


@pytest.fixture
def changed() -> dict[str, str]:
    """Settings of this test alone; parametrize it."""
    return {}


@pytest.fixture
def environ(
    environ: dict[str, str], simulator: Simulator, simulator_dir: Path, changed: dict[str, str]
) -> dict[str, str]:
    return environ | {
        "IDP_BANKID_ENVIRONMENT": "simulator",
        "IDP_BANKID_SIMULATOR_DIR": str(simulator_dir),
        "IDP_BANKID_CERTIFICATE": str(simulator_dir / "rp.pem"),
        "IDP_BANKID_KEY": str(simulator_dir / "rp.key"),
        "IDP_PERSONAL_NUMBER_KEYS": KEYS,
        "IDP_LIMIT_BANKID_PER_ADDRESS": "1000/minute",
        **changed,
    }


@pytest.fixture
def app(app: Flask) -> Iterator[Flask]:
    """The provider; its connections to BankID end with the test."""
    yield app
    BANKID.of(app).client._http.close()


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """Now, standing still: the simulator's certificates are made at the time of the run."""
    with time_machine.travel(None, tick=False) as traveller:
        yield traveller


@pytest.fixture
def written(app: Flask) -> Iterator[StringIO]:
    """What the provider writes to its log from now on."""
    handler = next(found for found in logging.getLogger().handlers if type(found) is logging.StreamHandler)
    with StringIO() as stream:
        before = handler.setStream(stream)
        yield stream
        handler.setStream(before)


@pytest.fixture
def linked(app: Flask) -> str:
    """anna@example.se with her BankID linked; her id."""
    with app.app_context():
        user = make_user()
        link(app, user.id)
        return str(user.id)


def link(app: Flask, user_id: Any, person: Any = ANNA) -> None:
    keys = NUMBER_KEYS.of(app)
    number = PersonalNumber.from_bankid(person.personal_number)
    bankid_links.link(user_id, number, person.name, keys=keys, now=utcnow())


class Phone:
    """The app of a test person, through the simulator's calls."""

    def __init__(self, simulator: Simulator, personal_number: str = ANNA.personal_number) -> None:
        self.http = httpx2.Client(
            base_url=simulator.phone_url,
            trust_env=False,
            timeout=10,
            verify=False,  # plain HTTP: reading the system's trusted roots would take longer than the call
        )
        self.personal_number = personal_number

    def fault(self, fault: str, value: str, count: int | None = 1, call: str | None = None) -> None:
        """Switch a fault of the simulator on; `count` None: until `no_faults`."""
        body = {"fault": fault, "value": value, "count": count, "call": call}
        response = self.http.post("/api/faults", json=body)
        assert response.status_code == 200, response.text

    def no_faults(self) -> None:
        self.http.post("/api/faults", json={"reset": True})

    def orders(self) -> list[dict[str, Any]]:
        """Every order at BankID, the newest first."""
        found: list[dict[str, Any]] = self.http.get("/api/orders").json()
        return found

    def refused(self, call: str, **body: str) -> str:
        """Why the app refuses."""
        response = self.http.post(f"/api/{call}", json={"personal_number": self.personal_number, **body})
        assert response.status_code == 409, response.text
        return str(response.json()["error"])

    def do(self, call: str, **body: str) -> dict[str, Any]:
        response = self.http.post(f"/api/{call}", json={"personal_number": self.personal_number, **body})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


@pytest.fixture
def phone(simulator: Simulator) -> Iterator[Phone]:
    found = Phone(simulator)
    with found.http:
        yield found


class BankIdVisitor:
    """A browser on the BankID tab."""

    def __init__(self, rp: RelyingParty) -> None:
        self.rp = rp
        self.uid = ""

    def open(self, *, headers: dict[str, str] | None = None, **changes: Any) -> TestResponse:
        """Come to the BankID tab from the relying app."""
        response = self.rp.authorize(**changes)
        self.uid = response.headers["Location"].rsplit("/", 1)[-1]
        return self.get(f"/login/{self.uid}/bankid", headers=headers)

    def get(
        self, path: str, *, headers: dict[str, str] | None = None, browser: FlaskClient | None = None
    ) -> TestResponse:
        for _ in range(6):
            response = (browser or self.rp.browser).get(path, headers=headers, **HTTPS)
            path = response.headers.get("Location", "")
            self.settle()
            if response.status_code != 303 or not path.startswith("/login"):
                return response
        raise AssertionError("redirected round and round")

    def poll(self, *, nonce: str | None = None, browser: FlaskClient | None = None) -> dict[str, Any]:
        response = (browser or self.rp.browser).get(
            f"/login/{self.uid}/bankid/poll", query_string={"nonce": nonce} if nonce else None, **HTTPS
        )
        answer: dict[str, Any] = response.get_json()
        return answer

    def post(self, page: TestResponse, where: str, **fields: str) -> TestResponse:
        """Submit a form of `page` with its CSRF token to this login's `where`."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found is not None
        data = {"csrf_token": found[1], **fields}
        response = self.rp.browser.post(f"/login/{self.uid}/bankid/{where}", data=data, **HTTPS)
        self.settle()
        return response

    def settle(self) -> None:
        """Orders that were left are cancelled at BankID behind the page's back."""
        BANKID.of(self.rp.app).cancels.settle()


@pytest.fixture
def visitor(rp: RelyingParty) -> BankIdVisitor:
    return BankIdVisitor(rp)


class Calls:
    """The calls BankID got, by name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        original = BankIdClient._post

        def post(client: BankIdClient, call: str, *arguments: Any, **named: Any) -> Any:
            self.made.append(call)
            return original(client, call, *arguments, **named)

        monkeypatch.setattr(BankIdClient, "_post", post)

    def count(self, call: str) -> int:
        return self.made.count(call)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)
