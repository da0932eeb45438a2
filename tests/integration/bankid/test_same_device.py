"""A login by the app on the same device from another address needs the nonce of the way back."""

import re
from io import StringIO

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask

from idp.bankid.models import Order
from idp.clock import utcnow
from idp.db import db
from tests.fakes.relying_party import RelyingParty
from tests.integration.bankid.browsers import ANDROID, nonce_of, sessions
from tests.integration.bankid.conftest import IPHONE, BankIdVisitor, Phone
from tests.integration.bankid.orders import (
    audited,
    due,
    newest_order,
    open_on_phone,
)

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("clock", "linked"),
]


def test_a_victim_who_follows_an_attackers_link_logs_nobody_in(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    _, token = open_on_phone(app, visitor)  # the attacker
    phone.fault("device_ip", "different")
    phone.do("open", autostart_token=token)  # the victim
    phone.do("approve")
    due(app)
    assert visitor.poll()["state"] == "pending"  # the app could be on its way back
    clock.shift(15)
    assert visitor.poll()["state"] == "complete"
    page = visitor.get(f"/login/{visitor.uid}/bankid")
    assert page.status_code == 403
    assert "en annan enhet" in page.text
    assert sessions(app) == 0
    (refused,) = audited(app, "bankid.refused")
    assert refused.detail == {"reason": "other_device"}
    clock.shift(1)
    assert visitor.get(f"/login/{visitor.uid}/bankid").status_code == 200  # and it stays so
    assert sessions(app) == 0


def test_another_address_is_refused_at_once_without_a_way_back(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    _, token = open_on_phone(app, visitor, ANDROID)
    phone.fault("device_ip", "different")
    phone.do("open", autostart_token=token)
    phone.do("approve")
    due(app)
    assert visitor.poll()["state"] == "complete"
    assert visitor.get(f"/login/{visitor.uid}/bankid").status_code == 403
    assert sessions(app) == 0


@pytest.mark.parametrize("changed", [{"IDP_BANKID_SAME_DEVICE": "log"}])
def test_the_policy_log_lets_in_and_says_so(
    app: Flask, visitor: BankIdVisitor, phone: Phone, written: StringIO
) -> None:
    _, token = open_on_phone(app, visitor)
    phone.fault("device_ip", "different")
    phone.do("open", autostart_token=token)
    phone.do("approve")
    due(app)
    assert visitor.poll()["state"] == "complete"
    visitor.get(f"/login/{visitor.uid}/bankid")
    assert sessions(app) == 1
    assert "bankid_other_address" in written.getvalue()


@pytest.mark.parametrize("spelling", ["::ffff:127.0.0.1", "0:0:0:0:0:ffff:7f00:1"])
def test_one_address_spelt_differently_is_one(
    app: Flask, visitor: BankIdVisitor, phone: Phone, spelling: str
) -> None:
    _, token = open_on_phone(app, visitor, ANDROID)
    phone.fault("device_ip", spelling)
    phone.do("open", autostart_token=token)
    phone.do("approve")
    due(app)
    visitor.poll()
    visitor.get(f"/login/{visitor.uid}/bankid")
    assert sessions(app) == 1


def opened_elsewhere(app: Flask, visitor: BankIdVisitor, phone: Phone) -> str:
    """An order completed from another address; the nonce that its app would bring back."""
    _, token = open_on_phone(app, visitor)
    phone.fault("device_ip", "different")
    phone.do("open", autostart_token=token)
    nonce = nonce_of(phone)
    phone.do("approve")
    due(app)
    assert nonce
    return nonce


def test_the_nonce_in_the_same_browser_makes_up_for_another_address(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    nonce = opened_elsewhere(app, visitor, phone)
    # Safari loads the page anew, without the fragment, before its script can send the nonce.
    page = visitor.get(f"/login/{visitor.uid}/bankid", headers={"User-Agent": IPHONE})
    assert page.status_code == 200
    assert 'data-state="pending"' in page.text
    assert sessions(app) == 0
    done = visitor.poll(nonce=nonce)
    assert done["state"] == "complete"
    visitor.get(done["url"], headers={"User-Agent": IPHONE})
    assert sessions(app) == 1


def test_the_return_url_is_the_pages_own_address(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    _, token = open_on_phone(app, visitor)
    phone.do("open", autostart_token=token)
    returned_to, _, fragment = phone.orders()[0]["return_url"].partition("#")
    assert returned_to == f"https://login.example.se/login/{visitor.uid}/bankid"
    assert re.fullmatch(r"nonce=[\w-]{43}", fragment)


@pytest.mark.parametrize("which", ["wrong", "empty", "of another order"])
def test_no_other_nonce_makes_up_for_another_address(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, which: str
) -> None:
    other = BankIdVisitor(RelyingParty(app, app.test_client()))
    _, token = open_on_phone(app, other)
    phone.do("open", autostart_token=token, personal_number="199001012385")
    nonces = {"wrong": "x" * 43, "empty": " ", "of another order": nonce_of(phone)}
    clock.shift(1)
    opened_elsewhere(app, visitor, phone)
    assert visitor.poll(nonce=nonces[which])["state"] == "pending"
    clock.shift(15)
    visitor.poll(nonce=nonces[which])
    assert visitor.get(f"/login/{visitor.uid}/bankid").status_code == 403
    assert sessions(app) == 0


def test_the_nonce_in_another_browser_does_nothing(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    nonce = opened_elsewhere(app, visitor, phone)
    visitor.poll()
    victim = app.test_client()
    assert visitor.poll(nonce=nonce, browser=victim)["state"] == "gone"
    clock.shift(1)
    visitor.get(f"/login/{visitor.uid}/bankid#nonce={nonce}", browser=victim)
    assert newest_order(app).started_at == utcnow()  # the victim's own
    with app.app_context():
        assert db.session.scalars(sa.select(Order.returned_at)).all() == [None, None]
    clock.shift(15)
    assert visitor.get(f"/login/{visitor.uid}/bankid").status_code == 403
    assert sessions(app) == 0


def test_a_reload_does_not_start_the_app_or_an_order_again(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    open_on_phone(app, visitor)
    visitor.get(f"/login/{visitor.uid}/bankid", headers={"User-Agent": IPHONE})
    visitor.get(f"/login/{visitor.uid}/bankid", headers={"User-Agent": ANDROID})
    assert len(phone.orders()) == 1
