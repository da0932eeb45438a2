"""Cancelling an order and leaving its page."""

import re
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask

from idp.bankid import service
from idp.bankid.api.client import BankIdClient
from idp.bankid.models import Evidence
from idp.bankid.setup import BANKID
from idp.db import db
from tests.factories import PASSWORD
from tests.fakes.relying_party import HTTPS
from tests.integration.bankid.conftest import BankIdVisitor, Phone
from tests.integration.bankid.orders import (
    audited,
    is_gone,
    newest_order,
    qr_text,
    scan_and_approve,
    states,
)

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
pytestmark = pytest.mark.usefixtures("clock", "linked")


def test_our_cancel_button_cancels_in_the_app_too(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    page = visitor.open()
    answer = visitor.post(page, "cancel")
    assert is_gone(phone)
    assert states(app) == ["cancelled"]
    page = visitor.get(answer.headers["Location"])
    assert "Åtgärden avbröts." in page.text
    clock.shift(1)
    assert 'id="bankid-qr"' in visitor.get(f"/login/{visitor.uid}/bankid?again=1").text
    assert states(app) == ["cancelled", "pending"]


@on_sqlite
def test_a_new_order_cancels_the_old(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    old = qr_text(app)
    for where in ("again=1", "device=this", "device=other"):
        clock.shift(1)
        visitor.get(f"/login/{visitor.uid}/bankid?{where}")
    assert states(app) == ["cancelled", "cancelled", "cancelled", "pending"]
    assert [order["is_gone"] for order in phone.orders()] == [False, True, True, True]
    assert phone.refused("scan", qr=old) == "ended"


@on_sqlite
def test_approval_that_comes_after_a_cancel_logs_nobody_in(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    page = visitor.open()
    scan_and_approve(app, phone)
    visitor.post(page, "cancel")
    assert visitor.poll()["state"] == "cancelled"
    visitor.get(f"/login/{visitor.uid}/bankid")
    assert audited(app, "login.succeeded") == []


@on_sqlite
def test_a_result_that_meets_a_cancel_is_not_kept(
    app: Flask, visitor: BankIdVisitor, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.open()
    scan_and_approve(app, phone)
    original = BankIdClient.collect

    def collect(client: BankIdClient, order_ref: str) -> Any:
        answer = original(client, order_ref)
        with app.app_context():
            service.abandon(BANKID.of(app), visitor.uid, now=newest_order(app).started_at)
        return answer

    monkeypatch.setattr(BankIdClient, "collect", collect)
    assert visitor.poll()["state"] == "abandoned"
    with app.app_context():
        assert db.session.scalars(sa.select(Evidence)).all() == []
    assert audited(app, "bankid.completed") == []


def test_the_email_tab_ends_the_order_and_bankid_begins_a_new_one(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    visitor.get(f"/login/{visitor.uid}/password")
    assert is_gone(phone)
    assert states(app) == ["abandoned"]
    clock.shift(1)
    page = visitor.get(f"/login/{visitor.uid}/bankid")
    assert 'id="bankid-qr"' in page.text
    assert "avbröts" not in page.text
    assert states(app) == ["abandoned", "pending"]


@on_sqlite
def test_logging_in_by_email_ends_the_order(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    rp = visitor.rp
    visitor.open()
    form = visitor.get(f"/login/{visitor.uid}/password")
    clock.shift(1)
    visitor.get(f"/login/{visitor.uid}/bankid")  # the other tab goes on meanwhile
    assert not is_gone(phone)
    answered = rp.submit(form, email="anna@example.se", password=PASSWORD)
    assert "code" in rp.answer(rp.follow(answered))
    visitor.settle()
    assert is_gone(phone)
    assert visitor.poll()["state"] == "gone"


@on_sqlite
def test_a_wrong_password_ends_no_order(
    clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    form = visitor.get(f"/login/{visitor.uid}/password")
    clock.shift(1)
    visitor.get(f"/login/{visitor.uid}/bankid")
    visitor.rp.submit(form, email="anna@example.se", password="wrong")
    assert visitor.poll()["state"] == "pending"
    assert not is_gone(phone)


@on_sqlite
def test_going_back_to_the_relying_app_ends_the_order(visitor: BankIdVisitor, phone: Phone) -> None:
    page = visitor.open()
    (back,) = re.findall(r'href="([^"]+)" id="login-cancel"', page.text)
    answer = visitor.rp.answer(visitor.rp.browser.get(back, **HTTPS))
    assert answer["error"] == "access_denied"
    visitor.settle()
    assert is_gone(phone)
    assert visitor.poll()["state"] == "gone"


@on_sqlite
def test_leaving_one_login_ends_no_order_of_another(
    clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    left = visitor.uid
    clock.shift(1)
    visitor.open()
    visitor.get(f"/login/{left}/password")
    assert [order["is_gone"] for order in phone.orders()] == [False, True]
    assert visitor.poll()["state"] == "pending"
