"""Two people who link at the same moment and an operator in another process do not cross."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from idp.users import accounts
from tests.fakes.outbox import queued
from tests.integration.bankid.conftest import ANNA, BankIdVisitor, Phone, link
from tests.integration.bankid.linking import Account, linked_number
from tests.integration.bankid.orders import audited, complete

pytestmark = [
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
    pytest.mark.usefixtures("clock", "anna"),
]


def test_parallel_confirmations_link_once(app: Flask, phone: Phone) -> None:
    account = Account(app)
    account.log_in()
    page = account.prove(phone)
    browsers = [Account(app, account.browser), Account(app)]
    for name in ("__Host-idp_browser", "__Host-idp_session"):
        cookie = account.browser.get_cookie(name, domain="login.example.se")
        assert cookie is not None
        browsers[1].browser.set_cookie(
            name, cookie.decoded_value, domain="login.example.se", secure=True, path="/"
        )
    browsers[1].uid = browsers[0].uid = account.uid
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda one: one.answer(page).status_code, browsers))
    assert sorted(answers) in ([303, 303], [303, 404])
    assert linked_number(app) == ANNA.personal_number
    assert len(audited(app, "bankid.linked")) == 1
    assert len(queued(app, "notice_bankid")) == 1


def test_the_operators_command_ends_the_sessions_too(
    app: Flask, visitor: BankIdVisitor, phone: Phone, run: Callable[..., Any]
) -> None:
    with app.app_context():
        anna = accounts.find_by_email("anna@example.se")
        assert anna is not None
        link(app, anna.id)
    visitor.rp.follow(complete(app, visitor, phone))
    result = run("users", "unlink-bankid", "anna@example.se")
    assert result.exit_code == 0, result.output
    assert Account(app, visitor.rp.browser).get("/account").request.path.startswith("/login/")
