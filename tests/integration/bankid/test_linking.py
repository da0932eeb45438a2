"""A person links a BankID on Mina uppgifter to their own account and confirms it."""

from io import StringIO
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask

from idp.audit import AuditRow
from idp.bankid.models import Evidence, Order
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.server import Simulator
from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS
from idp.db import db
from idp.users import accounts, bankid_links
from idp.users.personal_number import PersonalNumber
from tests.factories import make_user
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS
from tests.integration.bankid.conftest import ANNA, IPHONE, BankIdVisitor, Phone, link
from tests.integration.bankid.linking import Account, disable, linked_number
from tests.integration.bankid.orders import (
    audited,
    complete,
    due,
    newest_order,
    qr_text,
    scan_and_approve,
)

BJORN = PEOPLE[1]
pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("clock"),
]


@pytest.fixture
def account(app: Flask, anna: str) -> Account:
    """Anna, logged in by e-mail."""
    found = Account(app)
    found.log_in()
    return found


@pytest.fixture
def bertil(app: Flask) -> str:
    """bertil@example.se, somebody else."""
    with app.app_context():
        return str(make_user(email="bertil@example.se", name="Bertil Ek").id)


def state_number(app: Flask, digits: str) -> None:
    """What Anna has typed as her number."""
    with app.app_context():
        user = accounts.find_by_email("anna@example.se")
        assert user is not None
        keys = NUMBER_KEYS.of(app)
        bankid_links.state_number(user.id, PersonalNumber(digits), keys=keys, now=utcnow())
        db.session.commit()


def test_a_bankid_is_linked_and_then_logs_in(
    app: Flask, clock: time_machine.Traveller, account: Account, phone: Phone, visitor: BankIdVisitor
) -> None:
    page = account.get("/account")
    assert 'id="bankid-link"' in page.text
    assert 'id="bankid-unlink"' not in page.text
    order = account.begin()
    assert 'id="bankid-qr"' in order.text
    assert 'id="tab-password"' not in order.text
    assert "Tillbaka till Mina uppgifter" in order.text
    assert newest_order(app).visible_data == "Koppla BankID till ditt konto anna@example.se hos Leasify"
    scan_and_approve(app, phone)
    confirmation = account.get(account.poll()["url"])
    assert f"Koppla BankID för {ANNA.name}?" in confirmation.text
    assert linked_number(app) is None
    answer = account.answer(confirmation)
    assert answer.headers["Location"] == "/account#bankid-section"
    assert linked_number(app) == ANNA.personal_number
    page = account.get("/account")
    assert f"{ANNA.personal_number[:8]}-****" in page.text
    assert 'id="bankid-unlink"' in page.text
    (row,) = audited(app, "bankid.linked")
    assert row.detail == {"replaced": False}
    with app.app_context():
        assert db.session.scalars(sa.select(Evidence.user_id)).one() == row.user_id
        assert db.session.scalars(sa.select(Order.result)).one() is None
    clock.shift(1)
    assert complete(app, visitor, phone).status_code == 303


def test_the_owner_is_mailed_of_the_link(app: Flask, account: Account, phone: Phone) -> None:
    account.answer(account.prove(phone))
    (told,) = queued(app, "notice_bankid")
    assert told["To"].addresses[0].addr_spec == "anna@example.se"
    assert told["Subject"] == "BankID har kopplats till ditt konto"
    body = told.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert "127.0.0.1" in text
    assert "/login" not in text
    assert ANNA.personal_number[-8:] not in text


def test_a_declined_confirmation_links_nothing(app: Flask, account: Account, phone: Phone) -> None:
    page = account.prove(phone)
    assert account.answer(page, "no").headers["Location"] == "/account#bankid-section"
    assert account.answer(page).status_code == 404
    assert linked_number(app) is None
    assert newest_order(app).state == "cancelled"
    assert queued(app, "notice_bankid") == []


def test_a_form_without_the_csrf_token_links_nothing(app: Flask, account: Account, phone: Phone) -> None:
    assert account.browser.post("/account/bankid", data={"device": "other"}, **HTTPS).status_code == 400
    account.prove(phone)
    path = f"/account/bankid/{account.uid}/confirm"
    assert account.browser.post(path, data={"answer": "link"}, **HTTPS).status_code == 400
    assert account.browser.get(path, **HTTPS).status_code == 405
    assert linked_number(app) is None


def test_a_confirmation_before_identification_links_nothing(app: Flask, account: Account) -> None:
    page = account.begin()
    answer = account.answer(page)
    assert answer.headers["Location"] == f"/account/bankid/{account.uid}"
    assert linked_number(app) is None


# Whose


def test_another_browser_of_the_same_person_can_do_nothing(
    app: Flask, account: Account, phone: Phone
) -> None:
    page = account.prove(phone)
    other = Account(app)
    other.log_in()
    other.uid = account.uid
    assert other.poll()["state"] == "gone"
    assert other.get(f"/account/bankid/{account.uid}").status_code == 404
    assert other.answer(other.get("/account")).status_code == 404
    assert linked_number(app) is None
    account.answer(page)
    assert linked_number(app) == ANNA.personal_number


@pytest.mark.parametrize("moment", ["pending", "complete"])
def test_another_persons_login_in_the_same_browser_gets_no_link(
    app: Flask, account: Account, phone: Phone, bertil: str, moment: str
) -> None:
    if moment == "pending":
        account.begin()
    else:
        account.prove(phone)
    account.post(account.get("/logout"), "/logout")
    assert account.poll()["state"] == "gone"
    account.log_in("bertil@example.se")
    if moment == "pending":
        scan_and_approve(app, phone)
    assert account.poll()["state"] == "gone"
    assert account.get(f"/account/bankid/{account.uid}").status_code == 404
    assert account.answer(account.get("/account")).status_code == 404
    assert linked_number(app) is None
    assert linked_number(app, "bertil@example.se") is None


def test_a_session_that_ended_links_nothing(app: Flask, account: Account, phone: Phone) -> None:
    page = account.prove(phone)
    account.post(account.get("/logout"), "/logout")
    assert account.answer(page).headers["Location"] == "/account"
    assert linked_number(app) is None


def test_a_user_disabled_meanwhile_links_nothing(app: Flask, account: Account, phone: Phone) -> None:
    page = account.prove(phone)
    disable(app)
    assert account.poll()["state"] == "gone"
    assert account.answer(page).headers["Location"] == "/account"
    assert linked_number(app) is None


def test_a_login_and_a_linking_interaction_do_not_pass_for_each_other(
    app: Flask, clock: time_machine.Traveller, account: Account, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.rp.browser = account.browser
    clock.shift(1)
    visitor.open(prompt="login")
    scan_and_approve(app, phone)
    visitor.poll()
    account.uid = visitor.uid
    assert account.poll()["state"] == "gone"
    assert account.answer(account.get("/account")).status_code == 404
    assert linked_number(app) is None
    clock.shift(1)
    account.prove(phone)
    logins = len(audited(app, "login.succeeded"))
    visitor.uid = account.uid
    assert visitor.poll()["state"] == "gone"
    page = visitor.get(f"/login/{account.uid}/bankid")  # a linking waits for an own login alone
    assert 'id="login-form"' in page.text
    assert len(audited(app, "login.succeeded")) == logins
    assert linked_number(app) is None


def test_a_confirmation_counts_once_and_for_ten_minutes(
    app: Flask, clock: time_machine.Traveller, account: Account, phone: Phone
) -> None:
    page = account.prove(phone)
    account.answer(page)
    with app.app_context():
        db.session.execute(sa.text("DELETE FROM bankid_links"))
        db.session.commit()
    assert account.answer(page).status_code == 404
    assert linked_number(app) is None
    clock.shift(1)
    page = account.prove(phone)
    clock.shift(601)
    assert account.answer(page).status_code == 404
    assert linked_number(app) is None


def test_an_old_login_is_renewed_before_linking_goes_on(
    app: Flask, clock: time_machine.Traveller, account: Account, phone: Phone, bertil: str
) -> None:
    clock.shift(901)
    answer = account.post(account.get("/account"), "/account/bankid", device="other")
    assert 'id="login-form"' in account.get(answer.headers["Location"]).text
    account.uid = answer.headers["Location"].rsplit("/", 1)[-1]
    assert account.get(f"/account/bankid/{account.uid}").request.path.startswith("/login/")
    page = account.get(f"/login/{account.uid}/password")
    assert account.log_in("bertil@example.se", page).status_code == 403
    again = account.log_in(page=page)
    page = account.get(again.headers["Location"])
    assert page.request.path == f"/account/bankid/{account.uid}"
    assert newest_order(app).purpose == "link"
    scan_and_approve(app, phone)
    account.answer(account.get(account.poll()["url"]))
    assert linked_number(app) == ANNA.personal_number


# Who it was


def test_the_stated_number_locks_the_order(app: Flask, account: Account, phone: Phone) -> None:
    state_number(app, BJORN.personal_number)
    account.begin()
    assert phone.refused("scan", qr=qr_text(app))
    assert account.poll()["state"] == "pending"
    assert linked_number(app) is None


def test_another_person_than_stated_is_refused_whatever_the_app_said(
    app: Flask, account: Account, phone: Phone
) -> None:
    page = account.prove(phone)
    state_number(app, BJORN.personal_number)  # meanwhile, in another tab
    refused = account.answer(page)
    assert refused.status_code == 403
    assert "går inte att koppla" in refused.text
    assert BJORN.personal_number[:8] not in refused.text
    assert linked_number(app) is None
    assert audited(app, "bankid.refused")[0].detail == {"reason": "other_person"}


def test_the_stated_person_is_linked(app: Flask, account: Account, phone: Phone) -> None:
    state_number(app, ANNA.personal_number)
    account.answer(account.prove(phone))
    assert linked_number(app) == ANNA.personal_number


def test_one_bankid_may_be_linked_to_several_accounts(
    app: Flask, account: Account, phone: Phone, bertil: str
) -> None:
    with app.app_context():
        link(app, UUID(bertil))
    account.answer(account.prove(phone))
    assert linked_number(app) == linked_number(app, "bertil@example.se") == ANNA.personal_number


def test_another_bankid_replaces_the_linked_one_after_a_warning(
    app: Flask, linked: str, simulator: Simulator
) -> None:
    account = Account(app)
    account.log_in()
    phone = Phone(simulator, BJORN.personal_number)
    with phone.http:
        page = account.prove(phone)
    assert 'id="bankid-replaces"' in page.text
    assert ANNA.name in page.text
    assert linked_number(app) == ANNA.personal_number
    account.answer(page)
    assert linked_number(app) == BJORN.personal_number
    assert audited(app, "bankid.linked")[-1].detail == {"replaced": True}
    (told,) = queued(app, "notice_bankid")
    assert told["Subject"] == "Ett annat BankID har kopplats till ditt konto"


def test_a_high_risk_is_refused(app: Flask, account: Account, phone: Phone) -> None:
    phone.fault("risk", "high")
    account.begin()
    scan_and_approve(app, phone)
    refused = account.get(account.poll()["url"])
    assert refused.status_code == 403
    assert 'id="bankid-confirm"' not in refused.text
    assert 'id="bankid-retry"' in refused.text
    assert audited(app, "bankid.refused")[0].detail == {"reason": "high_risk"}


def test_a_link_to_the_app_followed_elsewhere_is_refused(
    app: Flask, clock: time_machine.Traveller, account: Account, phone: Phone
) -> None:
    page = account.begin("this", **{"User-Agent": IPHONE})
    token = newest_order(app).autostart_token
    assert token in page.text
    phone.do("open", autostart_token=token)
    phone.fault("device_ip", "different")
    phone.do("approve")
    due(app)
    account.poll()
    clock.shift(30)
    refused = account.get(f"/account/bankid/{account.uid}")
    assert refused.status_code == 403
    assert linked_number(app) is None
    assert audited(app, "bankid.refused")[0].detail == {"reason": "other_device"}


@pytest.mark.parametrize("changed", [{"IDP_LOG_LEVEL": "debug"}])
def test_the_number_is_nowhere_in_clear(
    app: Flask, account: Account, phone: Phone, written: StringIO
) -> None:
    page = account.prove(phone)
    account.answer(page)
    account.unlink()
    with app.app_context():
        audit_rows = [str(row.detail) for row in db.session.scalars(sa.select(AuditRow))]
        stored = [
            str(tuple(row))
            for table in db.metadata.sorted_tables
            for row in db.session.execute(sa.select(table))
        ]
    everything = "\n".join([*audit_rows, *stored, written.getvalue(), page.text])
    assert ANNA.personal_number not in everything
    assert ANNA.personal_number[2:] not in everything
