"""An app's entry in clients.yaml sets terms for its BankID logins."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from flask import Flask

from idp.bankid.api import messages
from idp.bankid.api.messages import RfaId
from idp.bankid.setup import BANKID
from idp.bankid.simulator.pki import Pki
from idp.bankid.simulator.server import Simulator
from idp.oidc.provider import PROVIDER
from tests.factories import make_client
from tests.integration.bankid.conftest import BankIdVisitor, Phone
from tests.integration.bankid.orders import audited, due, qr_text, scan_and_approve

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
MOBILE_IN_TEST = "1.2.3.4.25"

REFUSED = messages.TEXTS[RfaId.RFA22][0]


@pytest.fixture
def bankid() -> dict[str, Any]:
    """The entry's `bankid`; parametrize it."""
    return {}


@pytest.fixture
def clients(bankid: dict[str, Any]) -> dict[str, dict[str, Any]]:
    methods = ["bankid", "password"]
    return {
        "portal": make_client(login_methods=methods, bankid=bankid),
        "plain": make_client(login_methods=methods),
    }


@pytest.fixture
def changed(tmp_path: Path, simulator_dir: Path, simulator: Simulator) -> dict[str, str]:
    """A second certificate of ours: one that did not start an order can neither collect nor cancel it."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    pki = Pki.load(simulator_dir)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "FP SIMULATOR Customer")])
    pki._issue_tls("customer", name, "rp-ca", ExtendedKeyUsageOID.CLIENT_AUTH)
    for file_name in ("customer.pem", "customer.key"):
        shutil.copy(simulator_dir / file_name, folder)
    return {"IDP_BANKID_CERTIFICATES_DIR": str(folder)}


def ends_as(app: Flask, visitor: BankIdVisitor, phone: Phone) -> str:
    """How the login ends once somebody has scanned and approved."""
    visitor.open()
    scan_and_approve(app, phone)
    state: str = visitor.poll()["state"]
    return state


@on_sqlite
@pytest.mark.parametrize(
    "bankid",
    [
        {
            "requirement": {
                "pinCode": True,
                "mrtd": True,
                "certificatePolicies": ["card", "mobile"],
                "cardReader": "class2",
            }
        }
    ],
)
def test_the_demands_reach_bankid(
    app: Flask, visitor: BankIdVisitor, phone: Phone, simulator: Simulator, linked: str
) -> None:
    assert ends_as(app, visitor, phone) == "complete"
    asked = simulator.orders.all()[0].request.requirement
    assert asked.pinCode
    assert asked.mrtd
    assert asked.cardReader == "class2"
    assert asked.certificatePolicies is not None
    assert set(asked.certificatePolicies) == {"1.2.3.4.10", MOBILE_IN_TEST}


@on_sqlite
def test_an_entry_without_demands_requires_nothing(
    visitor: BankIdVisitor, simulator: Simulator, linked: str
) -> None:
    visitor.open()
    asked = simulator.orders.all()[0].request.requirement
    assert (asked.pinCode, asked.mrtd, asked.certificatePolicies) == (False, False, None)


@on_sqlite
@pytest.mark.usefixtures("linked")
@pytest.mark.parametrize(
    ("bankid", "kind", "amr"),
    [
        ({}, "mobile", ["swk", "mfa", "user"]),
        ({"requirement": {"pinCode": True}}, "mobile", ["swk", "mfa", "user", "pin"]),
        ({"requirement": {"pinCode": True}}, "card", ["sc", "hwk", "mfa", "pin"]),
        ({}, "file", ["swk", "mfa", "user"]),
        ({}, "card", ["sc", "hwk", "mfa", "pin"]),
    ],
)
def test_the_token_tells_how_the_person_was_authenticated(
    app: Flask, visitor: BankIdVisitor, phone: Phone, kind: str, amr: list[str]
) -> None:
    visitor.open()
    phone.do("scan", qr=qr_text(app), kind=kind)
    phone.do("approve")
    due(app)
    rp = visitor.rp
    answer = rp.answer(rp.follow(visitor.get(visitor.poll()["url"])))
    claims = PROVIDER.of(app).keys.verify(rp.exchange(answer["code"]).id_token)
    assert claims["amr"] == amr


@on_sqlite
@pytest.mark.parametrize("bankid", [{"requirement": {"mrtd": True}}])
def test_an_identity_document_that_was_not_read_is_refused(
    app: Flask, visitor: BankIdVisitor, phone: Phone, linked: str
) -> None:
    phone.fault("mrtd", "no")
    visitor.open()
    scan_and_approve(app, phone)
    answer = visitor.poll()
    assert (answer["state"], answer["text"]) == ("refused", REFUSED)
    assert audited(app, "bankid.refused")[0].detail == {"reason": "no_identity_document"}


@on_sqlite
@pytest.mark.parametrize("bankid", [{"requirement": {"certificatePolicies": ["mobile"]}}])
def test_another_kind_of_bankid_cannot_complete_the_order(
    app: Flask, visitor: BankIdVisitor, phone: Phone, linked: str
) -> None:
    visitor.open()
    phone.do("scan", qr=qr_text(app), kind="file")
    due(app)
    assert visitor.poll()["state"] == "failed"
    visitor.get(f"/login/{visitor.uid}/bankid?again=1")
    scan_and_approve(app, phone)
    assert visitor.poll()["state"] == "complete"


@on_sqlite
@pytest.mark.parametrize(
    ("bankid", "changed_risk", "state"),
    [
        ({}, "refuse", "refused"),
        ({"high_risk": "allow"}, "refuse", "logged in"),
        ({}, "allow", "logged in"),
        ({"high_risk": "refuse"}, "allow", "refused"),
    ],
)
def test_the_setting_decides_on_a_high_risk(
    environ: dict[str, str],
    changed_risk: str,
    state: str,
    request: pytest.FixtureRequest,
) -> None:
    environ["IDP_BANKID_HIGH_RISK"] = changed_risk
    app: Flask = request.getfixturevalue("app")
    visitor: BankIdVisitor = request.getfixturevalue("visitor")
    phone: Phone = request.getfixturevalue("phone")
    request.getfixturevalue("linked")
    phone.fault("risk", "high")
    assert ends_as(app, visitor, phone) == "complete"
    visitor.get(f"/login/{visitor.uid}/bankid")
    assert bool(audited(app, "login.succeeded")) == (state == "logged in")
    assert bool(audited(app, "bankid.refused")) == (state == "refused")


@on_sqlite
@pytest.mark.parametrize("bankid", [{"certificate": "customer"}])
def test_a_named_certificate_asks(app: Flask, visitor: BankIdVisitor, phone: Phone, linked: str) -> None:
    BANKID.of(app).client._http.close()  # the first certificate's connections are no use
    assert ends_as(app, visitor, phone) == "complete"
    assert visitor.open(client_id="plain").status_code == 500
    page = visitor.open()
    visitor.post(page, "cancel")
    assert phone.orders()[0]["is_gone"]  # by the certificate that started it
    BANKID.of(app).others["customer"].client._http.close()
