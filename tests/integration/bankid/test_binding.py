"""An order belongs to one browser and one login, whatever others try with it."""

import json
import re
from io import StringIO

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask, Response

from idp.bankid import qr
from idp.bankid.models import Order
from idp.db import db
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.bankid.browsers import ANDROID, sessions
from tests.integration.bankid.conftest import ANNA, IPHONE, BankIdVisitor, Phone
from tests.integration.bankid.orders import (
    audited,
    complete,
    due,
    newest_order,
    qr_text,
    scan_and_approve,
)

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("clock", "linked"),
]


# Another browser


def test_another_browser_cannot_poll_and_gets_a_login_of_its_own(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    other = app.test_client()
    assert visitor.poll(browser=other)["state"] == "gone"
    page = visitor.get(f"/login/{visitor.uid}/bankid", browser=other)
    assert page.status_code == 200
    assert visitor.uid not in page.text
    assert len(phone.orders()) == 2  # the copy has an order of its own
    assert visitor.poll()["state"] == "pending"


def test_another_browser_cannot_complete(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    visitor.open()
    scan_and_approve(app, phone)
    other = app.test_client()
    assert visitor.poll(browser=other)["state"] == "gone"
    visitor.get(f"/login/{visitor.uid}/bankid", browser=other)
    visitor.get(f"/authorize/{visitor.uid}", browser=other)
    assert sessions(app) == 0
    assert visitor.poll()["state"] == "complete"  # whoever began goes on
    visitor.get(f"/login/{visitor.uid}/bankid")
    assert sessions(app) == 1


def test_another_browser_cannot_cancel_or_choose(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    visitor.open()
    other = BankIdVisitor(RelyingParty(app, app.test_client()))
    page = other.open()
    other.uid = visitor.uid  # its own CSRF token, the first one's login
    for where in ("cancel", "account"):
        other.post(page, where, account="x")
    assert [order["is_gone"] for order in phone.orders()] == [False, False]
    assert visitor.poll()["state"] == "pending"


def test_a_form_without_the_browsers_csrf_token_cancels_nothing(visitor: BankIdVisitor, phone: Phone) -> None:
    visitor.open()
    assert visitor.rp.browser.post(f"/login/{visitor.uid}/bankid/cancel", **HTTPS).status_code == 400
    assert not phone.orders()[0]["is_gone"]


def test_the_order_of_one_login_does_nothing_for_another_of_the_same_browser(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    first, text = visitor.uid, qr_text(app)
    clock.shift(1)
    visitor.open()
    assert visitor.uid != first
    phone.do("scan", qr=text)
    phone.do("approve")
    due(app)
    assert visitor.poll()["state"] == "pending"
    visitor.uid = first
    assert visitor.poll()["state"] == "complete"


@pytest.mark.parametrize("uid", ["unknown", "x" * 200])
def test_an_unknown_login_has_nothing_to_poll(visitor: BankIdVisitor, uid: str) -> None:
    visitor.open()
    assert visitor.poll()["state"] == "pending"
    visitor.uid = uid
    assert visitor.poll()["state"] == "gone"


def test_a_browser_that_lost_its_cookies_is_another_browser(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    scan_and_approve(app, phone)
    rp.browser.delete_cookie("__Host-idp_browser", domain="login.example.se")
    assert visitor.poll()["state"] == "gone"
    assert sessions(app) == 0


def test_a_completed_order_logs_in_once(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.rp.follow(complete(app, visitor, phone))
    assert sessions(app) == 1
    visitor.rp.browser.delete_cookie("__Host-idp_session", domain="login.example.se")
    clock.shift(1)
    page = visitor.get(f"/login/{visitor.uid}/bankid")
    assert page.status_code == 400  # that login is over
    assert visitor.open().status_code == 200
    assert sessions(app) == 1
    assert newest_order(app).state == "pending"  # a new one


def test_an_expired_login_polls_nothing(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor
) -> None:
    visitor.open()
    clock.shift(3600)
    assert visitor.poll()["state"] == "gone"


# What leaves us


@pytest.mark.parametrize("changed", [{"IDP_LOG_LEVEL": "info"}, {"IDP_LOG_LEVEL": "debug"}])
def test_secrets_of_orders_reach_neither_browser_nor_log(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, written: StringIO
) -> None:
    sent: list[str] = []

    @app.after_request
    def keep(response: Response) -> Response:
        if not response.is_streamed:
            sent.append(f"{response.headers}\n{response.get_data(as_text=True)}")
        return response

    phone.fault("http", "503", call="collect")
    visitor.open()
    due(app)
    visitor.poll()
    clock.shift(1)
    page = visitor.get(f"/login/{visitor.uid}/bankid?device=this", headers={"User-Agent": ANDROID})
    autostart = newest_order(app)
    assert autostart.autostart_token in page.text
    clock.shift(1)
    visitor.get(f"/login/{visitor.uid}/bankid?device=other")
    phone.fault("evidence", "bad_digest")
    scan_and_approve(app, phone)
    assert visitor.poll()["state"] == "refused"
    clock.shift(1)
    complete(app, visitor, phone)
    with app.app_context():
        orders = list(db.session.scalars(sa.select(Order)))
    assert len(orders) == 4
    assert len(sent) > 8
    assert "bankid_evidence_refused" in written.getvalue()
    everything = "\n".join(sent)
    for order in orders:
        for secret in (order.order_ref, order.qr_start_secret, order.qr_start_token):
            assert secret not in everything
            assert secret not in written.getvalue()
        assert order.autostart_token not in written.getvalue()
        assert (order.autostart_token in everything) == (order.id == autostart.id)
    for text in (everything, written.getvalue(), audit_trail(app)):
        assert ANNA.personal_number not in text
        assert ANNA.personal_number[2:] not in text


def audit_trail(app: Flask) -> str:
    kept = [
        f"{row.event} {json.dumps(row.detail)} {row.actor} {row.client_id}"
        for event in ("bankid.started", "bankid.refused", "bankid.completed", "login.succeeded")
        for row in audited(app, event)
    ]
    assert len(kept) >= 6
    return "\n".join(kept)


def test_page_and_poll_are_kept_by_nobody(visitor: BankIdVisitor) -> None:
    assert "no-store" in visitor.open().headers["Cache-Control"]
    answer = visitor.rp.browser.get(f"/login/{visitor.uid}/bankid/poll", **HTTPS)
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_qr_orders_page_never_holds_its_launch_link(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor
) -> None:
    for agent in (IPHONE, ANDROID, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0.0.0"):
        visitor.open(headers={"User-Agent": agent})
        clock.shift(1)
        page = visitor.get(f"/login/{visitor.uid}/bankid?device=other", headers={"User-Agent": agent})
        order = newest_order(app)
        assert order.started_by == "qr"
        assert order.autostart_token not in page.text
        assert not re.search("autostarttoken", page.text, re.IGNORECASE)


# The QR code


def test_the_code_of_the_page_is_the_one_of_the_whole_second(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    order = newest_order(app)
    for seconds, elapsed in ((0.0, 0), (0.999, 0), (0.001, 1), (8.9, 9)):
        clock.shift(seconds)
        expected = qr.qr_svg(qr.qr_payload(order.qr_start_token, order.qr_start_secret, elapsed))
        assert visitor.poll()["qr"] == expected


def test_a_stale_code_is_refused_and_so_is_one_scanned_twice(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    old = qr_text(app)
    clock.shift(4)
    assert phone.refused("scan", qr=old) == "stale_code"
    fresh = qr_text(app)
    phone.do("scan", qr=fresh)
    assert phone.refused("scan", qr=fresh, personal_number="199001012385") == "already_used"


@pytest.mark.parametrize("hint", ["noClient", "started", "userSign", "processing", "somethingNew"])
def test_the_code_is_shown_only_while_nobody_has_the_order(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, hint: str
) -> None:
    visitor.open()
    assert visitor.poll()["qr"]
    phone.fault("pending_hint", hint, None)
    clock.shift(2)
    assert visitor.poll()["qr"] is None
    phone.no_faults()
    clock.shift(2)
    assert visitor.poll()["qr"]
