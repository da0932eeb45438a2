"""Logs, tables, administrators and answers do not show the secrets of an account."""

import logging
import re
from collections.abc import Iterator
from functools import partial
from io import StringIO
from urllib.parse import urlencode
from uuid import UUID

import pytest
from flask import Flask

from idp import audit
from idp.account import sentences
from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS
from idp.db import db
from idp.users import accounts, bankid_links
from idp.users.personal_number import PersonalNumber
from tests.factories import make_user
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import FORM, csrf
from tests.fakes.statements import Statements
from tests.integration.account.attacks.forms import ANNA, NEW, confirm, confirm_link, details, path_of, rules
from tests.integration.admin.conftest import Person

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


# Sessions


def test_a_new_password_gives_the_session_a_new_handle(app: Flask, anna: Person) -> None:
    before = anna.browser.get_cookie("__Host-idp_session", domain="login.example.se")
    assert before is not None
    chosen = "vinterlig saxofon trampar gräs"
    assert anna.post("/account", **details(password=chosen, confirm=chosen)).status_code == 303
    thief = app.test_client()
    thief.set_cookie(
        "__Host-idp_session", before.decoded_value, domain="login.example.se", secure=True, path="/"
    )
    assert thief.get("/account", **HTTPS).status_code == 303, "logged out"
    assert anna.get("/account").status_code == 200


# What nobody learns


@pytest.fixture
def written(app: Flask) -> Iterator[StringIO]:
    """What the provider writes to standard error from now on."""
    handler = next(found for found in logging.getLogger().handlers if type(found) is logging.StreamHandler)
    with StringIO() as stream:
        before = handler.setStream(stream)
        yield stream
        handler.setStream(before)


def test_no_table_log_or_audit_holds_what_opens_an_account(
    app: Flask, anna: Person, written: StringIO
) -> None:
    chosen, number = "vinterlig saxofon trampar gräs", "199001012385"
    fields = details(password=chosen, confirm=chosen, email=NEW, personal_number=number)
    assert anna.post("/account", **fields).status_code == 303
    where = confirm_link(app)[-1]
    app.test_client().post(where, **HTTPS)  # no CSRF token: logged with its path
    assert confirm(app.test_client(), where) == 303
    assert "/account/email/…" in written.getvalue()
    with app.app_context():
        tables = {table.name: db.session.execute(table.select()).all() for table in db.metadata.sorted_tables}
    secrets = (where.rsplit("/", 1)[-1], chosen, number, number[2:], f"{number[2:8]}-{number[8:]}")
    for secret in secrets:
        assert secret not in written.getvalue()
        for name, rows in tables.items():
            assert secret not in repr(rows), name
    for address in (ANNA, NEW):
        assert address not in written.getvalue()
        assert address not in repr(tables["audit_events"])


@on_sqlite
def test_no_administrator_sees_a_personal_number(app: Flask, admin: Person, colleague: str) -> None:
    stated, linked = PersonalNumber("199001012385"), PersonalNumber("189001019802")
    with app.app_context():
        keys = NUMBER_KEYS.of(app)
        bankid_links.state_number(UUID(colleague), stated, keys=keys, now=utcnow())
        bankid_links.link(UUID(colleague), linked, "Anna Åkesson", keys=keys, now=utcnow())
    pages = [admin.get(path_of(app, rule, colleague)) for rule in rules(app, "GET") if "/admin" in rule.rule]
    pages.append(admin.save(colleague, email="x", version="0"))
    assert any('id="bankid-unlink"' in page.text for page in pages)
    for page in pages:
        for number in (stated, linked):
            assert not any(part in page.text for part in (number.digits[:8], number.digits[2:8])), page
            assert number.digits[2:] not in page.text
        assert "Åkesson" not in page.text, "whose BankID it is, is theirs to know"


@on_sqlite
def test_the_history_says_why_a_bankids_sessions_ended(app: Flask) -> None:
    with app.test_request_context():
        told = sentences.sentence(audit.Event.SESSION_ENDED, "user", {"reason": "BankID unlinked"})
    assert "BankID" in told


@on_sqlite
def test_asking_for_anybodys_address_says_and_costs_the_same(
    app: Flask, anna: Person, statements: Statements
) -> None:
    with app.app_context():
        make_user(email="tagen@example.se", company="Annat AB")
        accounts.disable(make_user(email="borta@example.se").id, now=utcnow())
    anna.post("/account", **details(email="forst@example.se"))  # from now on an older wish is there
    seen = []
    for version, email in enumerate((NEW, "tagen@example.se", "borta@example.se"), start=1):
        body = urlencode(details(version=version, email=email, csrf_token=csrf(anna.get("/account"))))
        send = partial(anna.browser.post, "/account", data=body, content_type=FORM, **HTTPS)
        answer, sent = statements.of(send)
        asked = [statement for statement, _ in sent]
        page = anna.get("/account").text.replace(email, "…")
        page = re.sub(r'name="(csrf_token|version)"[^>]* value="[^"]+"', "", page)
        assert answer.status_code == 303
        seen.append((answer.location, answer.text, asked, page))
    assert seen[1] == seen[0]
    assert seen[2] == seen[0]
