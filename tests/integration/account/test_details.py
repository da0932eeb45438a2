"""The form of Mina uppgifter shows, stores and explains a person's details."""

from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS, PersonalNumberKeys
from idp.db import db
from idp.errors import Busy
from idp.password.hashing import HASHER
from idp.users import accounts, bankid_links
from idp.users.models import User
from idp.users.personal_number import PersonalNumber
from tests.factories import PASSWORD
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import NEW, logs_in
from tests.integration.account.conftest import KEYS, TITLE, Account


def refused(page: TestResponse, field: str, words: str) -> bool:
    return (
        page.status_code == 400
        and f'id="account-{field}-error"' in page.text
        and words in page.text
        and 'id="account-error"' in page.text
    )


def test_the_page_shows_what_is_stored(account: Account) -> None:
    page = account.page()
    for text in (
        "<h1>Mina uppgifter</h1>",
        "Redigera dina uppgifter och inställningar",
        "Ändra mina uppgifter",
        "Personnummer (ÅÅMMDDNNNN)",
        "Exempel: 46703032203. Används endast vid inloggning via SMS",
        "Lösenord (lämna blankt för att behålla ditt gamla)",
        "Skicka e-post vid viktiga händelser",
        "Välkomstsidan",
    ):
        assert text in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert account.fields(page) | {"csrf_token": ""} == {
        "csrf_token": "",
        "version": "0",
        "resume": "",
        "email": "anna@example.se",
        "name": "Anna Åsén",
        "title": "",
        "personal_number": "",
        "phone": "",
        "password": "",
        "confirm": "",
        "locale": "sv",
        "start_page": "",
        "notices": "y",
    }


def test_details_are_stored_and_shown(account: Account) -> None:
    saved = account.save(
        name="Åsa O'Neil 🙂", title=f" {TITLE} ", phone="070-303 22 03", start_page="portal", notices=None
    )
    assert (saved.status_code, saved.location) == (303, "/account")
    user = account.stored()
    assert (user.name, user.title, user.phone) == ("Åsa O'Neil 🙂", TITLE, "+46703032203")
    assert (user.start_page, user.notices, user.version) == ("portal", False, 1)
    page = account.page()
    assert 'id="account-saved"' in page.text
    assert 'id="account-saved"' not in account.page().text
    shown = account.fields(page)
    assert (shown["name"], shown["title"], shown["phone"]) == ("Åsa O'Neil 🙂", TITLE, "46703032203")
    assert shown["start_page"] == "portal"
    assert "notices" not in shown
    assert account.events()[-1] == "user.updated"


@pytest.mark.parametrize("title", ["Rabatt 10%A0", "100 %", "%E5", "%2B"])
def test_a_percent_sign_is_a_letter_like_others(account: Account, title: str) -> None:
    assert account.save(title=title).status_code == 303
    assert account.stored().title == title


def test_emptied_fields_are_removed(account: Account) -> None:
    account.save(title=TITLE, phone="0703032203")
    account.save(title=" ", phone="")
    user = account.stored()
    assert (user.title, user.phone) == (None, None)


def test_saving_what_is_stored_changes_nothing(account: Account) -> None:
    assert account.save().status_code == 303
    assert account.stored().version == 0
    assert "user.updated" not in account.events()


def test_the_language_is_effective_at_once(account: Account) -> None:
    saved = account.save(locale="en")
    assert '<html lang="en">' in account.rp.follow(saved).text
    assert account.stored().locale == "en"
    fresh = account.app.test_client()
    assert '<html lang="en">' in fresh.get("/login/password?lang=en", **HTTPS).text


def test_saving_a_language_is_stronger_than_the_browsers_choice(account: Account) -> None:
    assert '<html lang="en">' in account.browser.get("/account?lang=en", **HTTPS).text
    assert '<html lang="en">' in account.page().text
    saved = account.save(locale="sv")
    assert '<html lang="sv">' in account.rp.follow(saved).text


def test_a_busy_hasher_loses_nothing_that_was_typed(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasher = HASHER.of(account.app)

    def busy(_password: str) -> str:
        raise Busy("no place")

    with monkeypatch.context() as patch:
        patch.setattr(hasher, "hash", busy)
        page = account.save(title=TITLE, email="ny@example.se", password=NEW, confirm=NEW)
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert "Vänta en liten stund och välj Spara igen." in page.text
    shown = account.fields(page)
    assert (shown["title"], shown["email"], shown["password"]) == (TITLE, "ny@example.se", "")
    assert (account.stored().title, queued(account.app)) == (None, [])
    assert account.send(shown | {"password": NEW, "confirm": NEW}).status_code == 303
    assert logs_in(account.app, NEW)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"name": ""}, "name", "Skriv ditt namn."),
        ({"name": " \t "}, "name", "Skriv ditt namn."),
        ({"name": "å" * 201}, "name", "högst 200 tecken"),
        ({"name": "An\0na"}, "name", "tecken som inte går att använda"),
        ({"name": "A\ufffdna"}, "name", "tecken som inte går att använda"),
        ({"name": b"\xc5sa"}, "name", "tecken som inte går att använda"),
        ({"title": b"\xc5"}, "title", "tecken som inte går att använda"),
        ({"email": b"\xe5sa@example.se"}, "email", "ingen fullständig e-postadress"),
        ({"phone": b"070\xa03032203"}, "phone", "inget giltigt telefonnummer"),
        ({"password": b"\xe5" * 20, "confirm": b"\xe5" * 20}, "password", "tecken som inte går att använda"),
        ({"title": "x" * 201}, "title", "högst 200 tecken"),
        ({"title": "\x07"}, "title", "tecken som inte går att använda"),
        ({"email": ""}, "email", "Skriv din e-postadress."),
        ({"email": "anna@"}, "email", "ingen fullständig e-postadress"),
        ({"email": "anna\0@example.se"}, "email", "ingen fullständig e-postadress"),
        ({"email": "a" * 300 + "@example.se"}, "email", "ingen fullständig e-postadress"),
        ({"email": "ny@example.se\r\nBcc: x@y.se"}, "email", "ingen fullständig e-postadress"),
        ({"phone": "hej"}, "phone", "inget giltigt telefonnummer"),
        ({"phone": "703032203"}, "phone", "inget giltigt telefonnummer"),
        ({"phone": "0\0"}, "phone", "inget giltigt telefonnummer"),
        ({"personal_number": "9001011234567"}, "personal-number", "inget giltigt personnummer"),
        ({"personal_number": "900101-0000"}, "personal-number", "inget giltigt personnummer"),
        ({"personal_number": "901301-0017"}, "personal-number", "inget giltigt personnummer"),
        ({"personal_number": "\0"}, "personal-number", "inget giltigt personnummer"),
        ({"password": "kort", "confirm": "kort"}, "password", "minst 12 tecken"),
        ({"password": "anna@example.se2026", "confirm": "anna@example.se2026"}, "password", "lätt att gissa"),
        ({"password": "vinterlig saxofon trampar gräs"}, "confirm", "Lösenorden är inte lika."),
        ({"confirm": "vinterlig saxofon trampar gräs"}, "confirm", "Lösenorden är inte lika."),
        ({"locale": "de"}, "locale", "Välj ett av alternativen."),
        ({"start_page": "other"}, "start-page", "Välj ett av alternativen."),
        ({"start_page": "api"}, "start-page", "Välj ett av alternativen."),
        ({"start_page": "https://evil.example"}, "start-page", "Välj ett av alternativen."),
    ],
)
def test_a_bad_field_is_explained_and_nothing_is_stored(
    account: Account, changes: dict[str, Any], field: str, words: str
) -> None:
    page = account.save(**{"title": "<b>Chef</b>", **changes})
    assert refused(page, field, words), page.text
    assert "<b>Chef" not in page.text
    if "title" not in changes:
        assert account.fields(page)["title"] == "<b>Chef</b>", "what was typed is kept"
    assert account.fields(page)["password"] == ""
    user = account.stored()
    assert (user.name, user.title, user.version) == ("Anna Åsén", None, 0)
    assert queued(account.app) == []
    assert account.send(account.fields() | {"title": "Chef"}).status_code == 303


def test_a_doubled_field_counts_once(account: Account) -> None:
    assert account.save(name=["Första", "Andra"], notices=["y", "y"]).status_code == 303
    assert account.stored().name == "Första"


def test_fields_that_the_form_lacks_are_not_stored(account: Account) -> None:
    before = account.stored()
    saved = account.save(
        title=TITLE,
        id="6fe4b7a2-1b8d-4f2a-9d8e-0c6c8a7f3b11",
        role="company_admin",
        status="disabled",
        company_id="1",
        company="Annan AB",
        email_key="x@example.se",
        email_verified_at="2026-01-01",
        email_verified="true",
        password_hash="x",
        stated_number="x",
        user_id="1",
    )
    assert saved.status_code == 303
    after = account.stored()
    assert after.title == TITLE
    untouched = {column.name for column in User.__table__.columns} - {
        "title",
        "title_key",
        "version",
        "updated_at",
    }
    assert {name: getattr(after, name) for name in untouched} == {
        name: getattr(before, name) for name in untouched
    }


def test_the_form_needs_its_csrf_token(account: Account) -> None:
    for token in (None, "", "x"):
        assert account.save(csrf_token=token, title=TITLE).status_code == 400
    assert account.stored().title is None


def test_a_user_disabled_meanwhile_stores_nothing(account: Account) -> None:
    fields = account.fields()
    with account.app.app_context():
        accounts.disable(account.stored().id, now=utcnow())
    refused = account.send(fields | {"title": TITLE})
    assert refused.status_code == 401
    assert '<a class="button primary" href="/account">Logga in</a>' in refused.text
    assert account.stored().title is None
    assert account.page().status_code == 303


def test_two_tabs_never_overwrite_silently(account: Account) -> None:
    first, second = account.fields(), account.fields()
    assert account.send(first | {"title": TITLE, "phone": "0703032203"}).status_code == 303
    page = account.send(second | {"name": "Anna Nysén"})
    assert page.status_code == 409
    assert account.stored().name == "Anna Åsén"
    assert 'id="account-title-stored"' in page.text, "the stored value beside what was typed"
    assert TITLE in page.text
    shown = account.fields(page)
    assert (shown["name"], shown["title"], shown["version"]) == ("Anna Nysén", "", "1")
    assert account.send(shown | {"title": TITLE, "phone": "0703032203"}).status_code == 303
    user = account.stored()
    assert (user.name, user.title, user.phone) == ("Anna Nysén", TITLE, "+46703032203")


def test_a_conflict_is_explained_where_only_the_password_differs(account: Account) -> None:
    stale = account.fields()
    account.save(title=TITLE)
    page = account.send(stale | {"title": TITLE, "password": NEW, "confirm": NEW})
    assert page.status_code == 409
    assert 'id="account-error"' in page.text
    assert "Skriv det nya lösenordet en gång till" in page.text
    shown = account.fields(page)
    assert account.send(shown | {"password": NEW, "confirm": NEW}).status_code == 303
    assert logs_in(account.app, NEW)


def test_a_new_password_is_not_replaced_silently(account: Account) -> None:
    stale = account.fields()
    account.save(password=NEW, confirm=NEW)
    other = NEW.replace("saxofon", "klarinett")
    assert account.send(stale | {"password": other, "confirm": other}).status_code == 409
    assert logs_in(account.app, NEW)


@pytest.mark.parametrize("number", ["", "191212121212"])
def test_a_masked_number_is_no_typed_one(account: Account, number: str) -> None:
    account.save(personal_number="9001012385")
    stale = account.fields()
    account.save(personal_number=number)
    page = account.send(stale | {"title": TITLE})
    assert page.status_code == 409, "explained as what it is"
    shown = account.fields(page)
    assert shown["personal_number"] == ("19121212-****" if number else "")
    assert account.send(shown).status_code == 303
    assert account.fields()["personal_number"] == shown["personal_number"]


@pytest.mark.parametrize("change", [{"title": TITLE}, {}])
def test_a_number_stored_while_the_password_is_hashed_stays(account: Account, change: dict[str, str]) -> None:
    hasher = HASHER.of(account.app)
    number = PersonalNumber.parse("191212121212", today=utcnow().date())
    user_id, keys = account.stored().id, PersonalNumberKeys(KEYS)

    class Slow:
        def hash(self, password: str) -> str:
            bankid_links.state_number(user_id, number, keys=keys, now=utcnow())
            db.session.commit()
            return str(hasher.hash(password))

    HASHER.put(account.app, Slow())
    page = account.save(personal_number="9001012385", password=NEW, confirm=NEW, **change)
    assert page.status_code == 409
    HASHER.put(account.app, hasher)
    assert account.fields()["personal_number"] == "19121212-****"
    assert account.stored().title is None
    assert logs_in(account.app, PASSWORD)


@pytest.mark.parametrize("version", [None, "", "1", "-1", "9" * 40, "x", "\0"])
def test_another_version_stores_nothing(account: Account, version: Any) -> None:
    assert account.save(version=version, title=TITLE).status_code == 409
    assert account.save(version=version).status_code == 409
    assert account.stored().title is None


def test_a_personal_number_is_stored_sealed_and_shown_masked(account: Account) -> None:
    assert account.save(personal_number="19900101-2385").status_code == 303
    assert account.fields()["personal_number"] == "19900101-****"
    sealed = account.stored().stated_number
    assert sealed is not None
    assert "2385" not in sealed
    assert "2385" not in account.page().text
    assert account.save(title=TITLE).status_code == 303, "sent back masked, it stays"
    assert account.stored().stated_number == sealed
    assert account.events().count("personal_number.stated") == 1
    assert account.save(personal_number="").status_code == 303
    assert account.stored().stated_number is None
    assert "personal_number.removed" in account.events()


@pytest.mark.parametrize(
    "typed", ["9001012385", "900101-2385", "199001012385", " 900101 2385", "900101–2385"]
)
def test_spellings_of_a_personal_number(account: Account, typed: str) -> None:
    assert account.save(personal_number=typed).status_code == 303
    assert account.fields()["personal_number"] == "19900101-****"


def test_the_form_asks_for_no_number_without_number_keys(account: Account) -> None:
    NUMBER_KEYS.put(account.app, None)
    assert "personal_number" not in account.fields()
    assert account.save(personal_number="9001012385", title=TITLE).status_code == 303
    assert account.stored().stated_number is None
    assert account.stored().title == TITLE


def test_a_conflict_is_explained_without_number_keys_too(account: Account) -> None:
    NUMBER_KEYS.put(account.app, None)
    stale = account.fields()
    account.save(title=TITLE)
    page = account.send(stale | {"name": "Anna Nysén"})
    assert page.status_code == 409
    assert 'id="account-title-stored"' in page.text
    assert account.stored().name == "Anna Åsén"


def test_an_app_that_is_gone_is_no_start_page(account: Account) -> None:
    with account.app.app_context():
        db.session.execute(sa.update(User).values(start_page="gone"))
        db.session.commit()
    assert account.fields()["start_page"] == ""
