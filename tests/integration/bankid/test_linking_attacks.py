"""An old page and a stale login link no BankID."""

import pytest
import time_machine
from flask import Flask

from idp.bankid.simulator.people import PEOPLE
from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS
from idp.users import bankid_links
from idp.users.personal_number import PersonalNumber
from tests.fakes.outbox import queued
from tests.integration.bankid.conftest import BankIdVisitor, Phone, link
from tests.integration.bankid.linking import Account, linked_number
from tests.integration.bankid.orders import newest_order
from tests.integration.bankid.test_offer import offered

BJORN = PEOPLE[1]
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_an_old_login_links_nothing_however_long_its_page_was_left(
    app: Flask, clock: time_machine.Traveller, anna: str
) -> None:
    account = Account(app)
    account.log_in()
    clock.shift(901)
    asked = account.post(account.get("/account"), "/account/bankid", device="other")
    account.uid = asked.headers["Location"].rsplit("/", 1)[-1]
    again = account.log_in(page=account.get(asked.headers["Location"]))
    assert account.get(again.headers["Location"]).request.path == f"/account/bankid/{account.uid}"
    order = newest_order(app).id
    clock.shift(1501)
    page = account.get(f"/account/bankid/{account.uid}?again=1")
    assert page.status_code == 404
    assert newest_order(app).id == order, "nothing is begun"
    assert account.poll()["state"] == "gone"


@pytest.mark.usefixtures("clock", "anna")
@pytest.mark.parametrize("meanwhile", ["another bankid", "another number"])
def test_an_old_offer_replaces_nothing(
    app: Flask, visitor: BankIdVisitor, phone: Phone, meanwhile: str
) -> None:
    page = offered(app, visitor, phone)
    with app.app_context():
        keys = NUMBER_KEYS.of(app)
        user_id = newest_order(app).user_id
        assert user_id is not None
        if meanwhile == "another bankid":
            link(app, user_id, BJORN)
        else:
            number = PersonalNumber(BJORN.personal_number)
            bankid_links.state_number(user_id, number, keys=keys, now=utcnow())
            bankid_links.unlink(user_id, now=utcnow())  # commits
    assert visitor.post(page, "link", answer="link").status_code == 303, "the login goes on"
    assert linked_number(app) == (BJORN.personal_number if meanwhile == "another bankid" else None)
    assert queued(app, "notice_bankid") == []
