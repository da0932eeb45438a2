"""The client talks to the simulator over real mutual TLS."""

import socket
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from idp.bankid.api import environment
from idp.bankid.api.answers import BankIdError, Complete, ErrorCode, Failed, Pending
from idp.bankid.api.certificate import RpCertificate
from idp.bankid.api.client import BankIdClient, OrderRequest, make_http_client
from idp.bankid.api.environment import Environment
from idp.bankid.qr import qr_payload
from idp.bankid.simulator.faults import Fault, HttpFault, Switch
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.pki import PASSPHRASE
from idp.bankid.simulator.server import Simulator

SMALLEST = OrderRequest(end_user_ip="192.0.2.7")


class Clock:
    """The simulator's time, moved by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulator")


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def simulator(folder: Path, clock: Clock) -> Iterator[Simulator]:
    with Simulator(folder, now=clock) as running:
        yield running


@pytest.fixture(scope="module")
def simulated(simulator: Simulator, folder: Path) -> Environment:
    return environment.simulator(folder)


@pytest.fixture(scope="module")
def ours(simulator: Simulator, folder: Path) -> RpCertificate:
    return RpCertificate.from_pkcs12(folder / "rp.p12", PASSPHRASE)


@pytest.fixture
def client(simulated: Environment, ours: RpCertificate) -> Iterator[BankIdClient]:
    with make_http_client(simulated, ours) as http:
        yield BankIdClient(simulated, http)


@pytest.fixture
def phone(simulator: Simulator) -> Iterator[Callable[..., None]]:
    """Does something on the simulator's phone."""
    with httpx2.Client(base_url=simulator.phone_url, trust_env=False) as http:

        def do(action: str, **body: str) -> None:
            body["personal_number"] = PEOPLE[0].personal_number
            assert http.post(f"/api/{action}", json=body).is_success

        yield do


def test_a_login_by_qr_code(client: BankIdClient, phone: Callable[..., None], clock: Clock) -> None:
    started = client.auth(replace(SMALLEST, visible_data="Logga in hos Portalen", return_risk=True))
    assert client.collect(started.order_ref) == Pending("outstandingTransaction")
    clock.now += timedelta(seconds=3)
    phone("scan", qr=qr_payload(started.qr_start_token, started.qr_start_secret, 3))
    assert client.collect(started.order_ref) == Pending("userSign")
    phone("approve")
    clock.now += timedelta(seconds=3)
    result = client.collect(started.order_ref)
    assert isinstance(result, Complete)
    data = result.completion_data
    assert data.personal_number == PEOPLE[0].personal_number
    assert data.name == PEOPLE[0].name
    assert b64decode(data.signature).startswith(b"<?xml")
    assert data.bank_id_issue_date is not None
    with pytest.raises(BankIdError) as refusal:
        client.collect(started.order_ref)
    assert refusal.value.order_is_lost


def test_a_signature_on_the_same_device_and_a_cancelled_order(
    client: BankIdClient, phone: Callable[..., None]
) -> None:
    signing = client.sign(
        replace(SMALLEST, visible_data="Avtal", return_url="https://login.example.se/#nonce=n")
    )
    phone("open", autostart_token=signing.auto_start_token)
    phone("cancel")
    assert client.collect(signing.order_ref) == Failed("userCancel")
    other = client.auth(SMALLEST)
    client.cancel(other.order_ref)
    client.cancel(other.order_ref)
    with pytest.raises(BankIdError):
        client.collect(other.order_ref)


def test_connections_are_kept(client: BankIdClient, simulated: Environment, ours: RpCertificate) -> None:
    connections: list[str] = []

    def trace(event: str, _info: object) -> None:
        if event.endswith("start_tls.complete"):
            connections.append(event)

    with make_http_client(simulated, ours) as http:
        http.event_hooks["request"] = [lambda request: request.extensions.update(trace=trace)]
        traced = BankIdClient(simulated, http)
        order = traced.auth(SMALLEST)
        for _ in range(3):
            traced.collect(order.order_ref)
    assert len(connections) == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (HttpFault.UNAUTHORIZED, ErrorCode.UNAUTHORIZED),
        (HttpFault.FORBIDDEN_HTML, ErrorCode.UNAUTHORIZED),
        (HttpFault.TOO_MANY, ErrorCode.TOO_MANY_REQUESTS),
        (HttpFault.INTERNAL, ErrorCode.INTERNAL_ERROR),
        (HttpFault.BAD_GATEWAY_HTML, ErrorCode.INTERNAL_ERROR),
        (HttpFault.MAINTENANCE, ErrorCode.MAINTENANCE),
        (HttpFault.UNAVAILABLE_HTML, ErrorCode.MAINTENANCE),
        (HttpFault.EMPTY, ErrorCode.UNREADABLE_ANSWER),
        (HttpFault.HTML, ErrorCode.UNREADABLE_ANSWER),
        (HttpFault.IN_PROGRESS, ErrorCode.ALREADY_IN_PROGRESS),
        (HttpFault.DROP, ErrorCode.NO_ANSWER),
    ],
)
def test_the_simulators_faults(
    client: BankIdClient, simulator: Simulator, fault: HttpFault, code: ErrorCode
) -> None:
    assert client.auth(SMALLEST)
    simulator.faults.add(Switch(Fault.HTTP, fault, left=1))
    with pytest.raises(BankIdError) as refusal:
        client.auth(SMALLEST)
    assert refusal.value.code is code
    assert client.auth(SMALLEST)


def test_a_server_from_another_root_is_not_trusted(
    client: BankIdClient, simulated: Environment, ours: RpCertificate
) -> None:
    assert client.auth(SMALLEST)
    elsewhere = replace(simulated, ssl_root=environment.production().ssl_root)
    with make_http_client(elsewhere, ours) as http, pytest.raises(BankIdError) as refusal:
        BankIdClient(elsewhere, http).auth(SMALLEST)
    assert refusal.value.code is ErrorCode.UNTRUSTED_SERVER
    assert refusal.value.alarms_operators


def test_a_server_with_another_name_is_not_trusted(
    client: BankIdClient, simulated: Environment, ours: RpCertificate
) -> None:
    assert client.auth(SMALLEST)
    with make_http_client(simulated, ours) as http:
        name = {"sni_hostname": "appapi2.bankid.com"}  # what the certificate is then checked against
        http.event_hooks["request"] = [lambda request: request.extensions.update(name)]
        with pytest.raises(BankIdError) as refusal:
            BankIdClient(simulated, http).auth(SMALLEST)
    assert refusal.value.code is ErrorCode.UNTRUSTED_SERVER


def test_a_certificate_that_bankid_does_not_know_is_told_as_such(
    client: BankIdClient, simulator: Simulator, simulated: Environment
) -> None:
    assert client.auth(SMALLEST)
    foreign = simulator.pki.pair("ssl-server")
    with (
        make_http_client(simulated, RpCertificate(foreign.certificate, foreign.key)) as http,
        pytest.raises(BankIdError) as refusal,
    ):
        BankIdClient(simulated, http).auth(SMALLEST)
    assert refusal.value.code is ErrorCode.UNAUTHORIZED
    assert refusal.value.alarms_operators


def test_setting_up_a_connection_is_tried_three_times(simulated: Environment, ours: RpCertificate) -> None:
    """Against a server that hangs up on every handshake, as BankID's does now and then."""
    hung_up = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    server.accept()[0].close()
                    hung_up.append(1)

        thread = threading.Thread(target=hang_up)
        thread.start()
        elsewhere = replace(simulated, base_url=f"https://127.0.0.1:{server.getsockname()[1]}/rp/v6.0/")
        with make_http_client(elsewhere, ours) as http, pytest.raises(BankIdError) as refusal:
            BankIdClient(elsewhere, http).auth(SMALLEST)
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert refusal.value.code is ErrorCode.UNREACHABLE
    assert len(hung_up) == 3
