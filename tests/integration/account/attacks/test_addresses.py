"""One address has one account, however it is spelt and however many claim it at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from idp import audit
from idp.users import accounts
from idp.users.accounts import AddressTaken
from tests.factories import make_user
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import FORM, csrf, encoded, link, logs_in, text_of
from tests.integration.account.attacks.forms import (
    ANNA,
    NEW,
    confirm,
    confirm_link,
    details,
    new_user,
    stored,
)
from tests.integration.admin.conftest import Person

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


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
