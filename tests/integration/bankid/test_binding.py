"""An order belongs to one browser and one login: what others try with it."""

import json
import re
from io import StringIO

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask, Response

from idp.bankid import qr
from idp.bankid.models import Order
from idp.clock import utcnow
from idp.db import db
from idp.login.models import BrowserSession
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.bankid.conftest import ANNA, IPHONE, BankIdVisitor, Phone
from tests.integration.bankid.orders import (
    audited,
    complete,
    due,
    newest_order,
    open_on_phone,
    qr_text,
    scan_and_approve,
)

ANDROID = (
    "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Mobile Safari/537.36"
)
pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("clock", "linked"),
]


def sessions(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(sa.select(sa.func.count()).select_from(BrowserSession)) or 0


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


# The app on the same device


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


def nonce_of(phone: Phone) -> str:
    url = phone.orders()[0]["return_url"]
    assert url is not None
    return str(url.partition("#nonce=")[2])


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
