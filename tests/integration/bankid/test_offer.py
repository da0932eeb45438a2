"""After a BankID that opens no account, the login that follows may link it once."""

from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from werkzeug.test import TestResponse

from idp.bankid.models import Order
from idp.bankid.simulator.people import PEOPLE
from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS
from idp.db import db
from idp.users import accounts, bankid_links
from idp.users.personal_number import PersonalNumber
from tests.factories import PASSWORD, make_user
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.bankid.conftest import ANNA, BankIdVisitor, Phone, link
from tests.integration.bankid.linking import Account, disable, linked_number
from tests.integration.bankid.orders import audited, complete, newest_order, scan_and_approve
from tests.integration.bankid.test_login import decoded

BJORN = PEOPLE[1]
pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("clock", "anna"),
]


def email_login(visitor: BankIdVisitor, email: str = "anna@example.se") -> TestResponse:
    """The direct answer to the login by e-mail that follows in the same interaction."""
    form = visitor.get(f"/login/{visitor.uid}?method=password")
    return visitor.rp.submit(form, email=email, password=PASSWORD)


def offered(app: Flask, visitor: BankIdVisitor, phone: Phone) -> TestResponse:
    """The page that offers Anna to link."""
    assert complete(app, visitor, phone).status_code == 403
    page = visitor.rp.follow(email_login(visitor))
    assert 'id="bankid-offer"' in page.text, page.text[:3000]
    return page


def test_the_login_that_follows_links_and_goes_on(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    page = offered(app, visitor, phone)
    assert f"Koppla BankID för {ANNA.name}?" in page.text
    assert "https://portal.example.se" in page.headers["Content-Security-Policy"]
    assert linked_number(app) is None
    rp = visitor.rp
    tokens = rp.exchange(rp.answer(rp.follow(visitor.post(page, "link", answer="link")))["code"])
    assert decoded(app, tokens.id_token)["amr"] == ["pwd"]
    assert linked_number(app) == ANNA.personal_number
    (told,) = queued(app, "notice_bankid")
    assert told["To"].addresses[0].addr_spec == "anna@example.se"
    assert len(audited(app, "bankid.linked")) == 1


def test_a_direct_login_links_too(app: Flask, phone: Phone) -> None:
    account = Account(app)
    page = account.get("/login/bankid")
    account.uid = page.request.path.split("/")[2]
    scan_and_approve(app, phone)
    account.browser.get(f"/login/{account.uid}/bankid/poll", **HTTPS)
    assert account.get(f"/login/{account.uid}/bankid").status_code == 403
    login = account.log_in(page=account.get(f"/login/{account.uid}/password"))
    offer = account.get(login.headers["Location"])
    assert 'id="bankid-offer"' in offer.text
    done = account.post(offer, f"/login/{account.uid}/bankid/link", answer="link")
    assert account.get(done.headers["Location"]).request.path == "/account"
    assert linked_number(app) == ANNA.personal_number


@pytest.mark.parametrize("answer", ["no", "", "x"])
def test_a_declined_offer_lets_the_login_go_on(
    app: Flask, visitor: BankIdVisitor, phone: Phone, answer: str
) -> None:
    page = offered(app, visitor, phone)
    declined = visitor.post(page, "link", answer=answer)
    assert linked_number(app) is None
    with app.app_context():
        assert db.session.scalars(sa.select(Order.result)).one() is None
    visitor.post(page, "link", answer="link")  # no second thought
    assert linked_number(app) is None
    assert "code" in visitor.rp.answer(visitor.rp.follow(declined))


def test_the_offers_page_can_be_seen_again_until_answered(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    complete(app, visitor, phone)
    assert ANNA.name in visitor.get(f"/login/{visitor.uid}/bankid").text
    page = visitor.rp.follow(email_login(visitor))
    again = visitor.get(page.request.path)
    assert 'id="bankid-offer"' in again.text


def test_a_newer_order_ends_the_offer(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    complete(app, visitor, phone)
    clock.shift(1)
    visitor.get(f"/login/{visitor.uid}/bankid?again=1")
    answer = email_login(visitor)
    assert "/bankid/link" not in answer.headers["Location"]
    with app.app_context():
        assert db.session.scalars(sa.select(Order.result)).all() == [None, None]


def test_an_offer_is_kept_for_ten_minutes(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    complete(app, visitor, phone)
    clock.shift(601)
    assert "/bankid/link" not in email_login(visitor).headers["Location"]
    assert linked_number(app) is None


def test_an_offer_answered_too_late_links_nothing(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    page = offered(app, visitor, phone)
    clock.shift(601)
    late = visitor.post(page, "link", answer="link")
    assert linked_number(app) is None
    assert late.status_code == 303  # the login goes on


def test_a_replayed_answer_links_nothing(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    page = offered(app, visitor, phone)
    visitor.post(page, "link", answer="link")
    with app.app_context():
        db.session.execute(sa.text("DELETE FROM bankid_links"))
        db.session.commit()
    visitor.post(page, "link", answer="link")
    assert linked_number(app) is None


def test_the_answer_needs_the_csrf_token(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    offered(app, visitor, phone)
    path = f"/login/{visitor.uid}/bankid/link"
    assert visitor.rp.browser.post(path, data={"answer": "link"}, **HTTPS).status_code == 400
    assert linked_number(app) is None


# Whose


def test_another_browser_gets_no_offer(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    complete(app, visitor, phone)
    other = BankIdVisitor(RelyingParty(app, app.test_client()))
    other.uid = visitor.uid
    copy = other.get(f"/login/{visitor.uid}/password").request.path.split("/")[2]
    assert copy != visitor.uid
    page = other.get(f"/login/{copy}/password")
    answer = other.rp.submit(page, email="anna@example.se", password=PASSWORD)
    assert "/bankid/link" not in answer.headers["Location"]
    stolen = other.post(page, "link", answer="link")
    assert "/bankid/link" not in stolen.headers["Location"]
    assert linked_number(app) is None


def test_another_interaction_of_the_browser_offers_nothing(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    complete(app, visitor, phone)
    first = visitor.uid
    clock.shift(1)
    visitor.open()
    assert visitor.uid != first
    assert "/bankid/link" not in email_login(visitor).headers["Location"]
    assert linked_number(app) is None


def test_only_the_account_that_logged_in_first_is_offered(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    with app.app_context():
        make_user(email="bertil@example.se", name="Bertil Ek")
    page = offered(app, visitor, phone)
    answer = email_login(visitor, "bertil@example.se")
    assert "/bankid/link" not in answer.headers["Location"]
    visitor.post(page, "link", answer="link")
    assert linked_number(app, "bertil@example.se") is None
    assert linked_number(app) is None


def test_an_offer_without_a_login_links_nothing(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    complete(app, visitor, phone)
    form = visitor.get(f"/login/{visitor.uid}?method=password")
    visitor.post(form, "link", answer="link")
    assert linked_number(app) is None


def test_a_wrong_password_links_nothing(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    complete(app, visitor, phone)
    form = visitor.get(f"/login/{visitor.uid}?method=password")
    assert visitor.rp.submit(form, email="anna@example.se", password="fel").status_code == 401
    visitor.post(form, "link", answer="link")
    assert linked_number(app) is None


def test_a_user_disabled_meanwhile_links_nothing(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    page = offered(app, visitor, phone)
    disable(app)
    visitor.post(page, "link", answer="link")
    assert linked_number(app) is None


def test_a_high_risk_is_never_offered(app: Flask, visitor: BankIdVisitor, phone: Phone) -> None:
    phone.fault("risk", "high")
    assert complete(app, visitor, phone).status_code == 403
    assert newest_order(app).state == "refused"
    assert "/bankid/link" not in email_login(visitor).headers["Location"]


@pytest.mark.parametrize("has", ["another bankid", "another number stated"])
def test_an_account_of_somebody_else_is_not_offered(
    app: Flask, visitor: BankIdVisitor, phone: Phone, has: str
) -> None:
    with app.app_context():
        user: Any = accounts.find_by_email("anna@example.se")
        if has == "another bankid":
            link(app, user.id, BJORN)
        else:
            keys = NUMBER_KEYS.of(app)
            number = PersonalNumber(BJORN.personal_number)
            bankid_links.state_number(user.id, number, keys=keys, now=utcnow())
            db.session.commit()
    complete(app, visitor, phone)
    assert "/bankid/link" not in email_login(visitor).headers["Location"]
