"""The simulator's RP API serves connections and requests over mutual TLS."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.ports import free_port
from idp.bankid.api import environment
from idp.bankid.simulator.pki import Pki
from idp.bankid.simulator.server import Simulator
from tests.integration.bankid.simulator.conftest import ANNA, RawRelyingParty, SimulatorClock, error

# Transport


def test_a_client_without_a_certificate_is_refused(simulator: Simulator, simulator_directory: Path) -> None:
    tls = ssl.create_default_context(cafile=simulator_directory / "ssl-root.pem")
    with (
        httpx2.Client(verify=tls, trust_env=False) as stranger,
        pytest.raises(httpx2.TransportError, match="CERTIFICATE_REQUIRED"),
    ):
        stranger.post(f"{simulator.base_url}auth", json={"endUserIp": "192.0.2.1"})
    assert simulator.orders.all() == []


def test_a_certificate_from_elsewhere_is_refused(
    simulator: Simulator, simulator_directory: Path, simulator_clock: SimulatorClock, tmp_path: Path
) -> None:
    # Issued by a real authority of this simulator, only not by the one for relying parties.
    pki = Pki.load(simulator_directory)
    user = pki.user_certificate(ANNA, "mobile", "Identification", now=simulator_clock.now)
    (tmp_path / "user.pem").write_bytes(user.certificate.public_bytes(Encoding.PEM))
    key = user.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "user.key").write_bytes(key)
    tls = ssl.create_default_context(cafile=simulator_directory / "ssl-root.pem")
    tls.load_cert_chain(tmp_path / "user.pem", tmp_path / "user.key")
    with httpx2.Client(verify=tls, trust_env=False) as stranger, pytest.raises(httpx2.TransportError):
        stranger.post(f"{simulator.base_url}auth", json={"endUserIp": "192.0.2.1"})
    assert simulator.orders.all() == []


def test_a_connection_is_kept_after_answers_of_every_kind(
    simulator: Simulator, client_tls: ssl.SSLContext
) -> None:
    address = httpx2.URL(simulator.base_url)
    connection = http.client.HTTPSConnection(address.host, address.port, context=client_tls, timeout=10)
    ports = set()
    for body, status in (("{}", 400), ('{"endUserIp": "192.0.2.1"}', 200), ("no", 400), ("", 400)):
        connection.request("POST", "/rp/v6.0/auth", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (status, True)
        ports.add(connection.sock.getsockname())
    connection.close()
    assert len(ports) == 1


def test_a_client_that_never_shakes_hands_holds_up_nobody(
    simulator: Simulator, raw_rp: RawRelyingParty
) -> None:
    address = httpx2.URL(simulator.base_url)
    with socket.create_connection((address.host, address.port or 0)):
        assert raw_rp.start()["orderRef"]


def test_the_environment_file_says_where_everything_is(
    simulator: Simulator, simulator_directory: Path
) -> None:
    told = json.loads((simulator_directory / "environment.json").read_text())
    assert told == {"base_url": simulator.base_url, "phone_url": simulator.phone_url}
    assert environment.simulator(simulator_directory).base_url == simulator.base_url
    assert re.fullmatch(r"https://127\.0\.0\.1:\d+/rp/v6\.0/", simulator.base_url)


def test_a_port_in_use_is_told_and_nothing_keeps_listening(
    simulator: Simulator, simulator_directory: Path
) -> None:
    taken = httpx2.URL(simulator.phone_url).port
    assert taken
    free = free_port()
    with pytest.raises(OSError, match="in use"):
        Simulator(simulator_directory, bankid_port=free, phone_port=taken)
    with socket.socket() as again:
        again.bind(("127.0.0.1", free))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_simulator_runs_until_a_signal(simulator_directory: Path, tmp_path: Path, how: int) -> None:
    for file in simulator_directory.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "environment.json").unlink(missing_ok=True)
    program = f"""
        from pathlib import Path
        from idp.bankid.simulator.server import run
        run(Path({str(tmp_path)!r}), "127.0.0.1", 0, "127.0.0.1", 0, ready=lambda: print("ready", flush=True))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        told = json.loads((tmp_path / "environment.json").read_text())
        assert "SIMULATOR" in httpx2.get(told["phone_url"], trust_env=False).text
        os.kill(process.pid, how)
        assert process.wait(timeout=20) == 0


# HTTP


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_only_post_is_allowed(raw_rp: RawRelyingParty, method: str) -> None:
    response = raw_rp.http.request(method, "auth")
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    if method != "HEAD":
        assert error(response) == (405, "methodNotAllowed")


@pytest.mark.parametrize("path", ["", "login", "auth/", "Auth", "../v5.1/auth", "/auth"])
def test_other_paths_do_not_exist(raw_rp: RawRelyingParty, path: str) -> None:
    url = raw_rp.http.base_url.join(path)
    response = raw_rp.http.post(url, content=b"{}", headers={"Content-Type": "application/json"})
    assert error(response) == (404, "notFound")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/plain", "", None])
def test_the_content_type_is_exactly_json(raw_rp: RawRelyingParty, content_type: str | None) -> None:
    body = b'{"endUserIp": "192.0.2.1"}'
    good = raw_rp.http.post("auth", content=body, headers={"Content-Type": "application/json"})
    assert good.status_code == 200
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert error(raw_rp.http.post("auth", content=body, headers=headers)) == (415, "unsupportedMediaType")


def test_a_bad_request_names_its_field(raw_rp: RawRelyingParty) -> None:
    response = raw_rp.post("auth", endUserIp="192.0.2.1", requirement={"personalNumber": "9001012385"})
    assert error(response) == (400, "invalidParameters")
    assert "requirement.personalNumber" in response.json()["details"]


def test_a_body_too_long_is_refused(raw_rp: RawRelyingParty) -> None:
    long = {"endUserIp": "192.0.2.1", "userVisibleData": "QUFB" * 10, "userNonVisibleData": "QUFB" * 200_000}
    assert error(raw_rp.post("sign", **long)) == (400, "invalidParameters")


@pytest.mark.parametrize("call", ["collect", "cancel"])
def test_an_unknown_order_is_an_invalid_parameter(raw_rp: RawRelyingParty, call: str) -> None:
    response = raw_rp.post(call, orderRef="131daac9-16c6-4618-beb0-365768f37288")
    assert error(response) == (400, "invalidParameters")
