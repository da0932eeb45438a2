"""A mail tells a person of their first login by another method than before."""

import pytest
import sqlalchemy as sa
from flask import Flask

from idp.db import db
from idp.login.models import MethodUse
from idp.users.models import User
from tests.factories import PASSWORD
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.bankid.conftest import BankIdVisitor, Phone
from tests.integration.bankid.orders import complete

pytestmark = pytest.mark.usefixtures("linked")


def log_in_by_password(rp: RelyingParty) -> None:
    uid = rp.authorize(prompt="login").headers["Location"].rsplit("/", 1)[-1]
    page = rp.browser.get(f"/login/{uid}/password", **HTTPS)
    assert rp.submit(page, email="anna@example.se", password=PASSWORD).status_code == 303


def test_the_first_login_of_all_is_no_news(app: Flask, rp: RelyingParty) -> None:
    log_in_by_password(rp)
    log_in_by_password(rp)
    assert queued(app, "notice_method") == []


def test_a_second_method_is_mailed_once(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone
) -> None:
    log_in_by_password(rp)
    for _ in range(2):
        complete(app, visitor, phone, prompt="login")
    (told,) = queued(app, "notice_method")
    assert told["To"] == "Anna Åsén <anna@example.se>"
    assert told["Subject"] == "Nytt sätt att logga in på ditt konto"
    body = told.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert "med BankID" in text
    assert "127.0.0.1" in text
    assert "http" not in text.replace("https://www.", ""), "no link that logs in"


def test_a_password_after_bankid_is_mailed_in_english(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone
) -> None:
    with app.app_context():
        db.session.execute(sa.update(User).values(locale="en"))
        db.session.commit()
    complete(app, visitor, phone)
    assert queued(app, "notice_method") == []
    log_in_by_password(rp)
    (told,) = queued(app, "notice_method")
    assert told["Subject"] == "A new way of logging in to your account"
    with app.app_context():
        assert set(db.session.scalars(sa.select(MethodUse.method))) == {"bankid", "password"}
