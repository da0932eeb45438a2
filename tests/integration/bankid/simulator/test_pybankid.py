"""pybankid works with the simulator, unmodified apart from address and trust root."""

from collections.abc import Iterator
from pathlib import Path

import bankid.baseclient
import pytest
from bankid import BankIDClient
from bankid.exceptions import AlreadyInProgressError, InvalidParametersError, MaintenanceError

from idp.bankid.simulator.server import Simulator
from tests.integration.bankid.simulator.conftest import ANNA, Phone, SimulatorClock

ENDPOINTS = {
    "_auth_endpoint": "auth",
    "_sign_endpoint": "sign",
    "_phone_auth_endpoint": "phone/auth",
    "_phone_sign_endpoint": "phone/sign",
    "_collect_endpoint": "collect",
    "_cancel_endpoint": "cancel",
}
TEXT = "Jag godkänner *avtalet*."

pytestmark = pytest.mark.filterwarnings("ignore:`cert=:DeprecationWarning")


@pytest.fixture
def pybankid(
    simulator: Simulator, simulator_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BankIDClient]:
    root = str(simulator_directory / "ssl-root.pem")
    monkeypatch.setattr(bankid.baseclient, "resolve_cert_path", lambda _name: root)
    certificates = (str(simulator_directory / "rp.pem"), str(simulator_directory / "rp.key"))
    client = BankIDClient(certificates, test_server=True)
    for attribute, path in ENDPOINTS.items():
        setattr(client, attribute, simulator.base_url + path)
    yield client
    client.client.close()


def test_an_auth_order_by_qr_code(
    pybankid: BankIDClient, phone: Phone, simulator_clock: SimulatorClock
) -> None:
    order = pybankid.authenticate(end_user_ip="192.0.2.1", user_visible_data=TEXT)
    begun = simulator_clock.now
    assert pybankid.collect(order["orderRef"])["hintCode"] == "outstandingTransaction"
    qr = pybankid.generate_qr_code_content(order["qrStartToken"], begun, order["qrStartSecret"])
    scanned = phone.do("scan", qr=qr)
    assert (scanned.status_code, scanned.json()["visible_text"]) == (200, TEXT)
    assert pybankid.collect(order["orderRef"])["hintCode"] == "userSign"
    phone.do("approve")
    collected = pybankid.collect(order["orderRef"])
    assert collected["status"] == "complete"
    assert collected["completionData"]["user"]["personalNumber"] == ANNA.personal_number
    with pytest.raises(InvalidParametersError):
        pybankid.collect(order["orderRef"])


def test_a_sign_order_on_the_same_device(pybankid: BankIDClient, phone: Phone) -> None:
    order = pybankid.sign(
        end_user_ip="2001:db8::1",
        user_visible_data=TEXT,
        user_non_visible_data="bound",
        user_visible_data_format="simpleMarkdownV1",
        requirement={"certificatePolicies": ["1.2.3.4.25"]},
    )
    assert phone.open(order)["is_signature"] is True
    phone.do("approve")
    collected = pybankid.collect(order["orderRef"])
    assert collected["status"] == "complete"
    assert {"signature", "ocspResponse", "user", "device"} <= set(collected["completionData"])


def test_a_cancelled_order(pybankid: BankIDClient, phone: Phone) -> None:
    order = pybankid.authenticate(end_user_ip="192.0.2.1")
    assert pybankid.cancel(order["orderRef"]) is True
    with pytest.raises(InvalidParametersError):
        pybankid.collect(order["orderRef"])
    assert phone.do("open", autostart_token=order["autoStartToken"]).json() == {"error": "ended"}


def test_the_person_cancels(pybankid: BankIDClient, phone: Phone) -> None:
    order = pybankid.authenticate(end_user_ip="192.0.2.1")
    phone.open(order)
    phone.do("cancel")
    collected = pybankid.collect(order["orderRef"])
    assert (collected["status"], collected["hintCode"]) == ("failed", "userCancel")


def test_phone_calls(pybankid: BankIDClient, phone: Phone) -> None:
    order = pybankid.phone_authenticate(ANNA.personal_number, "RP")
    with pytest.raises(AlreadyInProgressError):
        pybankid.phone_sign(ANNA.personal_number, "user", TEXT)
    assert pybankid.collect(order["orderRef"])["hintCode"] == "cancelled"
    order = pybankid.phone_sign(ANNA.personal_number, "user", TEXT)
    phone.do("answer")
    phone.do("approve")
    assert pybankid.collect(order["orderRef"])["status"] == "complete"


def test_a_simulator_under_maintenance(pybankid: BankIDClient, phone: Phone) -> None:
    phone.switch("http", "503")
    with pytest.raises(MaintenanceError):
        pybankid.authenticate(end_user_ip="192.0.2.1")
