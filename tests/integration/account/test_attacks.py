"""Somebody who means ill at Mina uppgifter, the company users' pages and the mails that they cause."""

import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from html import escape
from io import StringIO
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from time_machine import Traveller
from werkzeug.routing import Rule

from idp import audit
from idp.account import linking_views, sentences
from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS, PersonalNumberKeys
from idp.db import db
from idp.users import accounts, bankid_links
from idp.users.accounts import AddressTaken
from idp.users.fields import BadInput, checked_name
from idp.users.models import Role, User
from idp.users.personal_number import PersonalNumber
from tests.factories import make_user
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import FORM, csrf, encoded, link, logs_in, text_of
from tests.fakes.statements import Statements
from tests.integration.admin.conftest import Person

KEYS = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ANNA, BERIT = "anna@example.se", "berit@example.se"
NEW = "ny@example.se"
OWN_BLUEPRINTS = {"account", "email_change", "activity", "linking", "admin", "login", "password"}
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def colleague(app: Flask, clock: Traveller) -> str:
    """Anna of Exempel AB, whose administrator is Berit; her id."""
    NUMBER_KEYS.put(app, PersonalNumberKeys(KEYS))
    app.register_blueprint(linking_views.blueprint)  # as where BankID is on
    with app.app_context():
        make_user(email=BERIT, name="Berit Öst", role=Role.COMPANY_ADMIN)
        return str(make_user().id)


@pytest.fixture
def admin(app: Flask, colleague: str) -> Person:
    return Person(app, app.test_client()).log_in(BERIT)


@pytest.fixture
def anna(app: Flask, colleague: str) -> Person:
    return Person(app, app.test_client()).log_in(ANNA)


def details(**changes: Any) -> dict[str, Any]:
    """Anna's form at Mina uppgifter, with changes."""
    kept = {"version": "0", "email": ANNA, "name": "Anna Åsén", "locale": "sv", "notices": "y"}
    return kept | {"start_page": "", "title": "", "phone": "", "personal_number": ""} | changes


def new_user(**changes: Any) -> dict[str, Any]:
    """A new user's form, with changes."""
    return {"name": "Nils Ny", "email": NEW, "locale": "sv", "role": "user"} | changes


def stored(app: Flask, user_id: str) -> User:
    with app.app_context():
        user = db.session.get_one(User, UUID(user_id))
        db.session.expunge(user)
        return user


def rules(app: Flask, method: str) -> list[Rule]:
    found = [rule for rule in app.url_map.iter_rules() if method in (rule.methods or ())]
    return [rule for rule in found if rule.endpoint.split(".")[0] in OWN_BLUEPRINTS]


def path_of(app: Flask, rule: Rule, user_id: str) -> str:
    values = {"uid": "x" * 43, "token": "0" * 64, "user_id": UUID(user_id), "session_id": UUID(user_id)}
    named = {name: value for name, value in values.items() if name in rule.arguments}
    return app.url_map.bind("login.example.se").build(rule.endpoint, named)


def confirm_link(app: Flask) -> list[str]:
    """The paths of the links that confirm an address, in the order they were mailed."""
    texts = [text_of(mail) for mail in queued(app, "email_change")]
    return re.findall(r"https://login\.example\.se(/account/email/[0-9a-f]{64})\s", "\n".join(texts))


def confirm(browser: FlaskClient, path: str) -> int:
    page = browser.get(path, **HTTPS)
    return browser.post(path, data={"csrf_token": csrf(page)}, **HTTPS).status_code


# Forged and malformed requests


@on_sqlite
def test_no_form_is_taken_from_another_site_or_browser(app: Flask, admin: Person, colleague: str) -> None:
    foreign = csrf(app.test_client().get("/login/password", **HTTPS))
    paths = [path_of(app, rule, colleague) for rule in rules(app, "POST")]
    assert len(paths) >= 18
    for path in paths:
        for token in (None, "", "x", foreign):
            fields = {} if token is None else {"csrf_token": token}
            answer = admin.browser.post(path, data=fields, **HTTPS)
            assert answer.status_code == 400, (path, token)
    assert stored(app, colleague).is_active


@on_sqlite
def test_malformed_bodies_are_no_errors_of_ours(app: Flask, admin: Person, colleague: str) -> None:
    token = csrf(admin.get("/login/password"))
    bodies = [
        (b"csrf_token=" + token.encode() + b"&name=" + b"x" * 70_000, FORM, 413),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400),
        (b"\xff\x00%zz&=&&==", FORM, 400),
        (b'{"name": "x"}', "application/json", 400),
    ]
    for rule in rules(app, "POST"):
        for body, kind, status in bodies:
            path = path_of(app, rule, colleague)
            answer = admin.browser.post(path, data=body, content_type=kind, **HTTPS)
            assert answer.status_code in (status, 400), (path, kind)


def test_a_nul_in_a_hidden_field_is_no_error_of_ours(app: Flask, anna: Person, clock: Traveller) -> None:
    assert anna.post("/account", **details(title="Chef", resume="\0")).status_code == 303
    answer = anna.post("/account", **details(version="\0", name="Anna B"))
    assert answer.status_code == 409
    clock.shift(901)
    asked = anna.post("/account", **details(version="1", email=NEW, resume="\0"))
    assert anna.follow(asked).status_code == 200


def test_a_nul_in_an_administrators_hidden_field_is_no_error_of_ours(
    admin: Person, colleague: str, clock: Traveller
) -> None:
    clock.shift(901)
    asked = admin.save(colleague, version="\0", email=NEW)
    assert admin.follow(asked).status_code == 200


@on_sqlite
def test_every_page_about_people_stays_out_of_caches_and_frames(
    app: Flask, admin: Person, colleague: str
) -> None:
    for rule in rules(app, "GET"):
        path = path_of(app, rule, colleague)
        answer = admin.get(path)
        assert answer.status_code < 500, path
        assert answer.headers["Cache-Control"] == "no-store", path
        if answer.mimetype == "text/html":
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
            assert answer.headers["X-Frame-Options"] == "DENY", path
            assert "unsafe" not in answer.headers["Content-Security-Policy"], path


@on_sqlite
@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_no_parameter_leads_away(app: Flask, anna: Person, target: str) -> None:
    query = urlencode(dict.fromkeys(("next", "return_to", "start_page", "resume", "url", "path"), target))
    for path in ("/login", "/account", "/account/start", "/account/resume/x", "/admin/resume/x", "/logout"):
        location = anna.get(f"{path}?{query}").headers.get("Location", "/")
        assert re.fullmatch(r"/[^/\\].*|/", location), (path, location)
    assert anna.post("/account", **details(start_page=target)).status_code == 400


# Names


SHOWS_NOTHING = ["\u200b", "\u200b \u200b", "\u2060\u200d", "\u00ad", "\u0301"]
TURNED = ["Anna \u202eesrever", "\u2066Anna", "A\u2069nna"]


@pytest.mark.parametrize("name", SHOWS_NOTHING + TURNED)
def test_a_name_can_be_seen_and_turns_nothing_round(name: str) -> None:
    with pytest.raises(BadInput):
        checked_name(name, "name")


@pytest.mark.parametrize("name", ["O'Neill", "Åsa 👩\u200d💻", "Å", "李", "محمد", "Anna \u200eB"])
def test_unusual_names_are_accepted(name: str) -> None:
    assert checked_name(name, "name") == name


NASTY = "<img src=x onerror=alert(1)>\"',; {{7*7}}"


@on_sqlite
def test_markup_in_a_name_is_text_on_pages_and_in_mails(app: Flask, admin: Person, anna: Person) -> None:
    assert anna.post("/account", **details(name=NASTY, title=NASTY)).status_code == 303
    user_id = users_id(app, ANNA)
    assert (
        anna.post("/account", **details(version="1", name=NASTY, title=NASTY, email=NEW)).status_code == 303
    )
    assert admin.post(f"/admin/users/{user_id}/welcome").status_code == 303
    pages = [person.get(path) for person, path in ((anna, "/account"), (anna, "/account/history"))]
    pages += [admin.get(path) for path in ("/admin/users", f"/admin/users/{user_id}")]
    pages += [admin.get(f"/admin/users/{user_id}/disable"), anna.get("/logout")]
    for page in pages:
        assert page.status_code == 200
        assert "<img src=x" not in page.text, page.request.path
    assert escape(NASTY, quote=False)[:20] in pages[0].text
    mails = queued(app)
    assert len(mails) >= 3
    for mail in mails:
        html = mail.get_body(("html",))
        assert html is not None
        assert "<img src=x" not in html.get_content()
        assert "{{7*7}}" in mail["To"].addresses[0].display_name
        assert len(mail["To"].addresses) == 1


@on_sqlite
@pytest.mark.parametrize("name", ["Anna\r\nBcc: x@evil.example", "Anna\nSubject: x", "Anna\x85Bcc: x"])
def test_no_name_begins_a_header(app: Flask, anna: Person, name: str) -> None:
    anna.post("/account", **details(name=name))
    link(app, app.test_client())
    for mail in queued(app, "password_reset"):
        assert "Bcc" not in mail
        assert mail["Subject"] == "Återställning av lösenord"
        assert [one.addr_spec for one in mail["To"].addresses] == [ANNA]


def users_id(app: Flask, email: str) -> UUID:
    with app.app_context():
        user = accounts.find_by_email(email)
        assert user is not None
        return user.id


# Addresses


SPELLINGS = ["åsa@Exempel-Å.se", "A\u030aSA@exempel-å.se", "åsa@xn--exempel--h0a.se", "ÅSA@EXEMPEL-Å.SE"]


def test_one_address_has_one_account_in_every_spelling(app: Flask, colleague: str) -> None:
    with app.app_context():
        make_user(email=SPELLINGS[0], password=None)
        for spelling in SPELLINGS:
            found = accounts.find_by_email(spelling)
            assert found is not None, spelling
            with pytest.raises(AddressTaken):
                make_user(email=spelling, password=None)


def test_letters_that_only_look_alike_are_another_address(app: Flask, anna: Person) -> None:
    cyrillic = "\u0430nna@example.se"
    with app.app_context():
        assert accounts.find_by_email(cyrillic) is None
    before = len(queued(app, "password_reset"))
    page = anna.get("/password/reset")
    body = encoded(csrf_token=csrf(page), email=cyrillic)
    assert anna.browser.post("/password/reset", data=body, content_type=FORM, **HTTPS).status_code == 303
    assert len(queued(app, "password_reset")) == before


@on_postgresql
def test_one_of_two_people_who_confirm_an_address_at_once_gets_it(app: Flask, anna: Person) -> None:
    with app.app_context():
        make_user(email="cesar@example.se", name="César Ek")
    cesar = Person(app, app.test_client()).log_in("cesar@example.se")
    assert anna.post("/account", **details(email=NEW)).status_code == 303
    assert cesar.post("/account", **details(email=NEW, name="César Ek")).status_code == 303
    links = confirm_link(app)
    assert len(links) == 2
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda path: confirm(app.test_client(), path), links))
    assert sorted(answers) == [303, 404]
    with app.app_context():
        owner = accounts.find_by_email(NEW)
        assert owner is not None
        changed = [row for row in audit.newest(50) if row.event == audit.Event.EMAIL_CHANGED]
        assert [row.user_id for row in changed] == [owner.id]


@on_postgresql
def test_a_reset_and_a_confirmation_at_once_never_both_count(app: Flask, anna: Person) -> None:
    assert anna.post("/account", **details(email=NEW)).status_code == 303
    confirming, (reset, _, _) = confirm_link(app)[-1], link(app, app.test_client()).partition("?")
    chosen = "vinterlig saxofon trampar gräs"

    def choose() -> int:
        browser = app.test_client()
        token = csrf(browser.get(reset, **HTTPS))
        fields = {"csrf_token": token, "password": chosen, "confirm": chosen}
        return browser.post(reset, data=fields, **HTTPS).status_code

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(choose), pool.submit(confirm, app.test_client(), confirming)
        answers = (first.result(), second.result())
    assert answers in ((303, 404), (303, 410), (404, 303), (410, 303)), answers
    assert logs_in(app, chosen, ANNA) == (answers[0] == 303)


def test_a_reset_link_to_the_address_left_is_worth_nothing(app: Flask, anna: Person) -> None:
    reset = link(app, app.test_client())
    assert anna.post("/account", **details(email=NEW)).status_code == 303
    assert confirm(app.test_client(), confirm_link(app)[-1]) == 303
    assert app.test_client().get(reset, **HTTPS).status_code == 404


@on_sqlite
def test_the_confirmation_names_the_account_that_gets_the_address(app: Flask, anna: Person) -> None:
    """Or somebody could have another confirm their address for an account that is not theirs."""
    assert anna.post("/account", **details(email=NEW, name="Verkliga Ägaren")).status_code == 303
    (mail,) = [mail for mail in queued(app, "email_change") if mail["To"].addresses[0].addr_spec == NEW]
    assert ANNA in text_of(mail)
    page = app.test_client().get(confirm_link(app)[-1], **HTTPS)
    assert f'id="email-old">{ANNA}<' in page.text


# Limits


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestCompanyLimit:
    """Administrators' mails to addresses of their choice, and what a taken address tells, are bounded."""

    @pytest.fixture
    def environ(self, environ: dict[str, str]) -> dict[str, str]:
        return environ | {"IDP_LIMIT_USERS_PER_COMPANY": "2/hour"}

    def test_new_users_are_limited(self, app: Flask, admin: Person) -> None:
        assert admin.post("/admin/users/new", **new_user()).status_code == 303
        assert admin.post("/admin/users/new", **new_user()).status_code == 409, "taken counts too"
        answer = admin.post("/admin/users/new", **new_user(email="en.till@example.se", name="Eva Till"))
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "3600"
        assert 'value="Eva Till"' in answer.text, "nothing is lost"
        assert len(queued(app, "welcome")) == 1

    def test_changed_addresses_are_limited(self, app: Flask, admin: Person, colleague: str) -> None:
        for number in range(2):
            assert admin.save(colleague, email=f"anna{number}@example.se").status_code == 303
        assert admin.save(colleague, email="anna2@example.se").status_code == 429
        assert stored(app, colleague).email == "anna1@example.se"
        assert admin.save(colleague, title="Chef").status_code == 303, "other details are not counted"


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
