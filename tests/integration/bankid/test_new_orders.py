"""A new order has its time zero, its login, its device and its browser."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.bankid import collecting, models, order_result, reencryption, service
from idp.bankid.api import messages
from idp.bankid.api.messages import RfaId
from idp.bankid.models import Order
from idp.bankid.setup import BANKID, OPENER
from idp.clock import utcnow
from idp.crypto import Sealer
from idp.db import db
from idp.users.personal_number import PersonalNumber
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.bankid.browsers import nonce_of
from tests.integration.bankid.conftest import KEYS, BankIdVisitor, Calls, Phone
from tests.integration.bankid.orders import (
    due,
    newest_order,
    open_on_phone,
    qr_text,
    scan_and_approve,
    states,
)
from tests.integration.bankid.test_outage import logged

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
pytestmark = pytest.mark.usefixtures("linked")
IPAD = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/19.0 Safari/605.1.15"
)
TABLET = (
    "Mozilla/5.0 (Linux; Android 16; SM-X910) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Mobile Safari/537.36"
)
BRAVE = '"Brave";v="142", "Chromium";v="142"'


def twin(visitor: BankIdVisitor) -> FlaskClient:
    """The same browser in another tab, without what this one is told from now on."""
    cookie = visitor.rp.browser.get_cookie("__Host-idp_browser", domain="login.example.se")
    assert cookie is not None
    browser = visitor.rp.app.test_client()
    browser.set_cookie("__Host-idp_browser", cookie.value, domain="login.example.se", secure=True)
    return browser


# Time zero


@on_sqlite
@pytest.mark.parametrize("again", [False, True])
def test_codes_of_an_order_that_was_slow_to_start_are_fresh(
    app: Flask, visitor: BankIdVisitor, phone: Phone, again: bool
) -> None:
    if again:
        visitor.open()
    phone.fault("slow", "2.5", 1, "auth")
    if again:
        visitor.get(f"/login/{visitor.uid}/bankid?again=1")
    else:
        visitor.open()
    phone.do("scan", qr=qr_text(app))
    due(app)
    assert visitor.poll()["qr"] is None


# One for each login


@on_postgresql
def test_one_of_two_orders_that_start_together_stays(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    browsers = [twin(visitor) for _ in range(2)]
    phone.fault("slow", "0.3", 2, "auth")
    with ThreadPoolExecutor(2) as pool:
        pages = pool.map(
            lambda browser: visitor.get(f"/login/{visitor.uid}/bankid?again=1", browser=browser), browsers
        )
        assert {page.status_code for page in pages} == {200}
    visitor.settle()
    assert sorted(set(states(app))) in (["abandoned", "cancelled", "pending"], ["cancelled", "pending"])
    assert states(app).count("pending") == 1
    assert [order["is_gone"] for order in phone.orders()].count(False) == 1
    scan_and_approve(app, phone)
    assert visitor.poll()["state"] == "complete"  # the one that is left is the one on the page


@on_postgresql
@pytest.mark.usefixtures("clock")
def test_a_renewal_that_meets_somebody_leaving_leaves_no_order(
    app: Flask,
    clock: time_machine.Traveller,
    visitor: BankIdVisitor,
    phone: Phone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visitor.open()
    original = service._start_at_bankid

    def ask_while_they_leave(*arguments: object, **named: object) -> Order:
        renewed = original(*arguments, **named)  # type: ignore[arg-type]
        service.abandon(BANKID.of(app), visitor.uid, now=utcnow())
        return renewed

    monkeypatch.setattr(service, "_start_at_bankid", ask_while_they_leave)
    clock.shift(31)
    assert visitor.poll()["state"] == "abandoned"
    visitor.settle()
    assert states(app) == ["abandoned"]
    assert phone.orders()[0]["is_gone"]


@on_sqlite
@pytest.mark.usefixtures("clock")
def test_a_code_that_is_being_replaced_is_still_one_to_scan(app: Flask, visitor: BankIdVisitor) -> None:
    visitor.open()
    with app.app_context():
        until = utcnow() + timedelta(seconds=30)
        db.session.execute(sa.update(Order).values(hint_code=models.RENEWING, next_collect_at=until))
        db.session.commit()
    answer = visitor.poll()
    assert (answer["state"], answer["qr"]) == ("pending", None)
    assert answer["text"] == messages.TEXTS[RfaId.RFA1][0]


@on_sqlite
def test_a_head_request_starts_no_order(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    visitor.open()
    for query in ("again=1", "device=this"):
        assert visitor.rp.browser.head(f"/login/{visitor.uid}/bankid?{query}", **HTTPS).status_code == 200
    assert states(app) == ["pending"]
    assert len(phone.orders()) == 1


@on_sqlite
@pytest.mark.usefixtures("clock")
def test_a_second_tab_waits_for_the_login_that_the_first_has_made(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    slower = twin(visitor)
    scan_and_approve(app, phone)
    visitor.get(visitor.poll()["url"])
    page = visitor.get(f"/login/{visitor.uid}/bankid", browser=slower)
    assert 'data-state="pending"' in page.text
    assert messages.TEXTS[RfaId.RFA21][0] in page.text
    assert states(app) == ["used"]
    clock.shift(10)  # that login went elsewhere: the tab has one of its own
    visitor.get(f"/login/{visitor.uid}/bankid", browser=slower)
    assert states(app) == ["used", "pending"]


# Answers that come slowly, or say odd things


@on_sqlite
@pytest.mark.usefixtures("clock")
def test_an_answer_that_never_comes_to_its_end_is_not_waited_for(
    app: Flask, visitor: BankIdVisitor, phone: Phone, written: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.open()
    monkeypatch.setattr("idp.bankid.api.client.ANSWER_SECONDS", 0.2)
    phone.fault("slow_body", "3", 1, "collect")
    due(app)
    assert visitor.poll()["state"] == "pending"
    (line,) = logged(written, "bankid_collect_failed")
    assert line["code"] == "noAnswer"
    assert "was not complete in time" in line["details"]


@on_sqlite
@pytest.mark.usefixtures("clock")
def test_a_check_digit_that_is_wrong_in_a_verified_answer_is_logged(
    app: Flask, visitor: BankIdVisitor, phone: Phone, written: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PersonalNumber, "has_right_check_digit", False)
    visitor.open()
    scan_and_approve(app, phone)
    assert visitor.poll()["state"] == "complete"
    assert len(logged(written, "bankid_check_digit")) == 1


@on_sqlite
@pytest.mark.usefixtures("clock")
def test_a_result_that_waits_outlives_the_key_it_was_sealed_with(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open()
    scan_and_approve(app, phone)
    assert visitor.poll()["state"] == "complete"
    new = "k2:" + "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="
    with app.app_context():
        assert reencryption.reencrypt(Sealer(f"{new},{KEYS}")) == 1
        order = db.session.scalars(sa.select(Order)).one()
        with_new = replace(BANKID.of(app), sealer=Sealer(new))
        assert order_result.person_of(with_new, order).name == "Anna Åkesson"


# Which device, which browser


@on_sqlite
def test_an_ipad_is_known_by_its_touch_points(app: Flask, visitor: BankIdVisitor) -> None:
    headers = {"User-Agent": IPAD}
    visitor.open(headers=headers)
    visitor.get(f"/login/{visitor.uid}/bankid?device=this", headers=headers)
    order = newest_order(app)
    assert (order.device, order.nonce_hash) == ("computer", None)
    visitor.get(f"/login/{visitor.uid}/bankid?device=this&again=1&touch=1", headers=headers)
    order = newest_order(app)
    assert order.device == "mobile"
    assert order.nonce_hash is not None  # its app comes back here


@on_sqlite
@pytest.mark.parametrize(
    ("brands", "link"),
    [("", "https://app.bankid.com/?autostarttoken="), (BRAVE, "bankid:///?autostarttoken=")],
)
def test_brave_names_itself_in_a_header_of_its_own(
    app: Flask, visitor: BankIdVisitor, brands: str, link: str
) -> None:
    OPENER.put(app, None)  # the real app's links
    page = visitor.open(headers={"User-Agent": ANDROID, "Sec-CH-UA": brands})
    assert f'id="bankid-open" href="{link}' in page.text


@on_sqlite
def test_a_tablet_is_asked_where_the_bankid_is(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    headers = {"User-Agent": TABLET}
    page = visitor.open(headers=headers)
    assert messages.TEXTS[RfaId.RFA20][0] in page.text
    assert phone.orders() == []
    for device, started_by in (("this", "autostart"), ("other", "qr")):
        assert f'href="/login/{visitor.uid}/bankid?device={device}"' in page.text
        visitor.get(f"/login/{visitor.uid}/bankid?device={device}", headers=headers)
        assert newest_order(app).started_by == started_by


@on_sqlite
@pytest.mark.usefixtures("clock")
def test_a_person_whom_the_app_brings_to_another_browser_is_told_to_go_back(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    _page, token = open_on_phone(app, visitor)
    phone.do("open", autostart_token=token)
    nonce = nonce_of(phone)
    assert "elsewhere" not in visitor.poll(nonce=nonce)
    clock.shift(1)
    other = BankIdVisitor(RelyingParty(app, app.test_client()))
    other.open()
    assert other.poll(nonce=nonce)["elsewhere"] is True
    assert "elsewhere" not in other.poll()


@on_sqlite
@pytest.mark.usefixtures("clock")
def test_renewals_of_an_order_are_bounded(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, calls: Calls
) -> None:
    visitor.open()
    for _ in range(3 * collecting.MAX_ATTEMPTS):
        clock.shift(31)
        visitor.poll()
        visitor.poll()
    assert calls.count("auth") == collecting.MAX_ATTEMPTS
