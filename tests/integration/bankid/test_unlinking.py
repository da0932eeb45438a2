"""An owner unlinks a BankID and ends its sessions."""

from typing import Any

import pytest
import time_machine
from flask import Flask

from idp.clock import utcnow
from idp.extensions import SETTINGS
from idp.users import accounts, bankid_links
from idp.users.mails import Notice
from tests.factories import make_user
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS
from tests.integration.bankid.conftest import BankIdVisitor, Phone, link
from tests.integration.bankid.linking import Account, disable, linked_number
from tests.integration.bankid.orders import audited, complete

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("clock", "linked"),
]


@pytest.fixture
def account(app: Flask, linked: str) -> Account:
    """Anna, whose BankID is linked, logged in by e-mail."""
    found = Account(app)
    found.log_in()
    return found


def text_of(mail: Any) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def test_the_owner_unlinks_the_bankid(
    app: Flask, account: Account, visitor: BankIdVisitor, phone: Phone, linked: str
) -> None:
    page = account.get("/account/bankid/unlink")
    assert 'id="unlink-no-password"' not in page.text
    assert linked_number(app) is not None  # looking changes nothing
    assert account.unlink().headers["Location"] == "/account#bankid-section"
    assert linked_number(app) is None
    assert 'id="bankid-link"' in account.get("/account").text
    (row,) = audited(app, "bankid.unlinked")
    assert (str(row.user_id), row.actor) == (linked, "user")
    (told,) = queued(app, "notice_bankid")
    assert told["Subject"] == "BankID har kopplats bort från ditt konto"
    assert "127.0.0.1" in text_of(told)
    assert complete(app, visitor, phone).status_code == 403


def test_a_second_unlinking_changes_and_mails_nothing(app: Flask, account: Account) -> None:
    page = account.get("/account/bankid/unlink")
    for _ in range(2):
        answer = account.post(page, "/account/bankid/unlink")
        assert answer.headers["Location"] == "/account#bankid-section"
    assert account.get("/account/bankid/unlink").request.path == "/account"
    assert len(audited(app, "bankid.unlinked")) == 1
    assert len(queued(app, "notice_bankid")) == 1


def test_unlinking_needs_the_csrf_token_and_a_recent_login(
    app: Flask, clock: time_machine.Traveller, account: Account
) -> None:
    page = account.get("/account/bankid/unlink")
    assert account.browser.post("/account/bankid/unlink", **HTTPS).status_code == 400
    assert Account(app).get("/account/bankid/unlink").request.path.startswith("/login/")
    clock.shift(901)
    answer = account.post(page, "/account/bankid/unlink")
    login = account.get(answer.headers["Location"])
    assert login.request.path.startswith("/login/")
    assert linked_number(app) is not None
    again = account.log_in(page=account.get(f"/login/{login.request.path.split('/')[2]}/password"))
    page = account.get(again.headers["Location"])
    assert 'id="bankid-unlink-form"' in page.text
    assert linked_number(app) is not None  # asked once more
    account.unlink()
    assert linked_number(app) is None


def test_a_disabled_owner_unlinks_nothing(app: Flask, account: Account) -> None:
    page = account.get("/account/bankid/unlink")
    disable(app)
    assert account.post(page, "/account/bankid/unlink").status_code == 401
    assert linked_number(app) is not None


def test_unlinking_ends_the_bankids_sessions_but_the_own(
    app: Flask, account: Account, visitor: BankIdVisitor, phone: Phone
) -> None:
    elsewhere = Account(app)
    elsewhere.log_in()
    tokens = visitor.rp.exchange(visitor.rp.answer(visitor.rp.follow(complete(app, visitor, phone)))["code"])
    assert visitor.rp.userinfo(tokens.access_token).status_code == 200
    account.unlink()
    assert visitor.rp.userinfo(tokens.access_token).status_code == 401
    assert account.get("/account").request.path == "/account"
    assert elsewhere.get("/account").request.path == "/account"
    by_bankid = Account(app, visitor.rp.browser)
    assert by_bankid.get("/account").request.path.startswith("/login/")


def test_an_owner_who_unlinks_the_bankid_of_this_login_stays_logged_in(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.rp.follow(complete(app, visitor, phone))
    account = Account(app, visitor.rp.browser)
    account.unlink()
    assert linked_number(app) is None
    assert account.get("/account").request.path == "/account"


def test_the_only_way_in_is_explained_and_a_password_offered_first(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone
) -> None:
    with app.app_context():
        bankid_links.unlink(found_id("anna@example.se"), now=utcnow())
        user = make_user(email="cesar@example.se", name="Cesar Ek", password=None)
        link(app, user.id)
    visitor.rp.follow(complete(app, visitor, phone))
    account = Account(app, visitor.rp.browser)
    page = account.get("/account/bankid/unlink")
    assert 'id="unlink-no-password"' in page.text
    assert 'href="/password/reset"' in page.text
    account.unlink()  # a lost phone is a reason to, and a mailed link remains
    assert linked_number(app, "cesar@example.se") is None


def found_id(email: str) -> Any:
    user = accounts.find_by_email(email)
    assert user is not None
    return user.id


def test_an_unlinking_by_somebody_else_shows_no_address(app: Flask) -> None:
    with app.app_context():
        notice = Notice(SETTINGS.of(app))
        assert bankid_links.unlink(found_id("anna@example.se"), now=utcnow(), notice=notice)
    (told,) = queued(app, "notice_bankid")
    assert "IP-adress" not in text_of(told)
    assert "administrerar konton" in text_of(told)
