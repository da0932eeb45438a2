"""Administrators add, change, disable and unlink their company's users."""

from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from time_machine import Traveller

from idp import outbox
from idp.audit import newest
from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS, PersonalNumberKeys
from idp.db import db
from idp.users.accounts import find_by_email
from idp.users.models import BankIdLink, User
from tests.factories import PASSWORD
from tests.fakes.outbox import queued
from tests.fakes.relying_party import RelyingParty
from tests.fakes.reset_pages import link, logs_in, text_of
from tests.integration.account.conftest import KEYS
from tests.integration.admin.conftest import COLLEAGUE, NEW, Company, Person, stored


def audited(app: Flask, user_id: str) -> list[tuple[str, str, Any]]:
    """Event, actor and who did it, oldest first."""
    with app.app_context():
        rows = newest(50, user_id=UUID(user_id))
        return [(row.event, row.actor, row.detail.get("by")) for row in reversed(rows)]


def test_a_new_user_is_welcomed(app: Flask, admin: Person, company: Company) -> None:
    fields = {**NEW, "phone": "070-303 22 03", "title": " Säljare ", "locale": "en"}
    page = admin.follow(admin.post("/admin/users/new", **fields))
    assert 'id="admin-note"' in page.text
    assert 'id="admin-note"' not in admin.get(page.request.path).text, "said once"
    user_id = page.request.path.rpartition("/")[2]
    made = stored(app, user_id)
    assert made["company_id"] == stored(app, company.admin)["company_id"]
    assert (made["phone"], made["title"], made["locale"]) == ("+46703032203", "Säljare", "en")
    assert (made["password_hash"], made["email_verified_at"], made["role"]) == (None, None, "user")
    assert [mail["To"] for mail in queued(app, "welcome")] == ["Nils Ny <nils@example.se>"]
    assert audited(app, user_id) == [("user.created", "administrator", company.admin)]


@pytest.mark.parametrize(
    ("email", "words"),
    [("Anna@Example.se", "i ditt företag"), ("sven@annat.se", "går inte att använda. Kontakta oss")],
)
def test_a_taken_address_is_explained(app: Flask, admin: Person, email: str, words: str) -> None:
    page = admin.post("/admin/users/new", **{**NEW, "email": email})
    assert page.status_code == 409
    assert words in page.text
    assert "Nils Ny" in page.text, "what was typed is kept"
    assert "Sven Annan" not in page.text
    assert queued(app) == []
    with app.app_context():
        anna = find_by_email(COLLEAGUE)
        assert anna is not None
        anna_id = str(anna.id)
    page = admin.save(anna_id, email="sven@annat.se", name="Anna Ny")
    assert (page.status_code, "Kontakta oss" in page.text) == (409, True)
    assert stored(app, anna_id)["name"] == "Anna Åsén", "all or nothing"


BAD = [
    ("name", "", "Skriv användarens namn."),
    ("name", " \t ", "Skriv användarens namn."),
    ("name", "x" * 201, "Skriv högst 200 tecken."),
    ("name", "An\0na", "tecken som inte går att använda"),
    ("name", b"\xc5sa", "tecken som inte går att använda"),
    ("title", "x" * 201, "Skriv högst 200 tecken."),
    ("title", "\x1b[0m", "tecken som inte går att använda"),
    ("email", "", "Skriv användarens e-postadress."),
    ("email", "anna", "ingen fullständig e-postadress"),
    ("email", "a\0@example.se", "ingen fullständig e-postadress"),
    ("email", "a@b@example.se", "ingen fullständig e-postadress"),
    ("email", "x" * 300 + "@example.se", "ingen fullständig e-postadress"),
    ("email", b"\xe5sa@example.se", "ingen fullständig e-postadress"),
    ("phone", "inget", "inget giltigt telefonnummer"),
    ("phone", "1" * 4000, "inget giltigt telefonnummer"),
    ("locale", "de", "Välj ett av alternativen."),
    ("role", "operator", "Välj ett av alternativen."),
    ("role", "", "Välj ett av alternativen."),
]


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_explained(
    app: Flask, admin: Person, company: Company, bad: tuple[str, str | bytes, str]
) -> None:
    field, value, words = bad
    before = stored(app, company.colleague)
    page = admin.save(company.colleague, **{field: value})
    assert (page.status_code, words in page.text) == (400, True), page.text
    page = admin.post("/admin/users/new", **{**NEW, field: value})
    assert (page.status_code, words in page.text) == (400, True), page.text
    assert stored(app, company.colleague) == before
    assert queued(app) == []


@pytest.mark.parametrize(
    "name", ["<b onclick=x>Å</b>", 'O\'Brien "Bo"', "Åsa 🦊 Öberg", "{{ 7*7 }} %(x)s", "Rabatt 10%A0"]
)
def test_odd_names_are_names(app: Flask, admin: Person, company: Company, name: str) -> None:
    page = admin.follow(admin.save(company.colleague, name=name, title=name))
    assert page.status_code == 200
    assert "<b onclick" not in page.text
    assert stored(app, company.colleague)["name"] == name
    assert admin.get("/admin/users").status_code == 200


def test_doubled_fields_count_once(app: Flask, admin: Person, company: Company) -> None:
    assert (
        admin.save(company.colleague, name=["Ett", "Två"], role=["user", "company_admin"]).status_code == 303
    )
    after = stored(app, company.colleague)
    assert (after["name"], after["role"]) == ("Ett", "user")


def test_only_the_forms_own_fields_are_stored(app: Flask, admin: Person, company: Company) -> None:
    before = stored(app, company.colleague)
    forged = {
        "company_id": stored(app, company.stranger)["company_id"].hex,
        "id": company.admin,
        "status": "disabled",
        "email_verified": "1",
        "email_verified_at": "2026-01-01",
        "email_key": "x",
        "password": "ett helt nytt lösenord",
        "confirm": "ett helt nytt lösenord",
        "password_hash": "x",
        "personal_number": "199001012385",
        "stated_number": "199001012385",
        "start_page": "portal",
        "notices": "",
        "created_at": "2000-01-01",
    }
    assert admin.save(company.colleague, name="Anna Ny", **forged).status_code == 303
    after = stored(app, company.colleague)
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"name", "name_key", "version", "updated_at"}
    assert after["name"] == "Anna Ny"
    created = admin.post("/admin/users/new", **NEW, **forged)
    made = stored(app, created.location.rpartition("/")[2])
    assert made["company_id"] == before["company_id"]
    assert (made["status"], made["password_hash"], made["email_verified_at"]) == ("active", None, None)


def test_two_pages_never_overwrite_silently(app: Flask, admin: Person, company: Company) -> None:
    second = admin.filled(company.colleague, name="Anna Andra")
    assert admin.save(company.colleague, name="Anna Första").status_code == 303
    page = admin.post(f"/admin/users/{company.colleague}", **second)
    assert page.status_code == 409
    assert 'id="user-conflict"' in page.text
    assert "Anna Andra" in page.text
    assert "Sparat nu: Anna Första" in page.text
    assert stored(app, company.colleague)["name"] == "Anna Första"
    again = {**second, "version": stored(app, company.colleague)["version"]}
    assert f'value="{again["version"]}"' in page.text
    assert admin.post(f"/admin/users/{company.colleague}", **again).status_code == 303
    for version in ("", "x", "-1", "9" * 30):
        assert admin.save(company.colleague, name="Nej", version=version).status_code == 409


def test_an_older_page_of_a_disabled_user_says_so(app: Flask, admin: Person, company: Company) -> None:
    page = f"/admin/users/{company.colleague}"
    opened = admin.filled(company.colleague, email="anna.ny@example.se")
    assert admin.post(f"{page}/disable").status_code == 303
    refused = admin.post(page, **opened)
    assert refused.status_code == 409
    assert 'id="user-conflict"' in refused.text
    assert 'id="user-disabled"' in refused.text
    shut_out = admin.filled(company.colleague)
    assert admin.post(f"{page}/enable").status_code == 303
    assert admin.post(page, **shut_out).status_code == 409
    assert admin.save(company.colleague, email="anna.ny@example.se").status_code == 303
    assert stored(app, company.colleague)["email"] == "anna.ny@example.se"


def test_another_address_of_a_user(app: Flask, admin: Person, company: Company) -> None:
    anna = app.test_client()
    tokens = RelyingParty(app, anna).tokens()
    reset = link(app, app.test_client(), COLLEAGUE)
    assert admin.save(company.colleague, email="anna.ny@example.se").status_code == 303
    after = stored(app, company.colleague)
    assert (after["email"], after["email_key"]) == ("anna.ny@example.se", "anna.ny@example.se")
    assert after["email_verified_at"] is None
    notices = queued(app, "email_notice")
    assert {mail["To"].addresses[0].addr_spec for mail in notices} == {COLLEAGUE, "anna.ny@example.se"}
    for mail in notices:
        said = text_of(mail)
        assert all(word in said for word in (COLLEAGUE, "anna.ny@example.se", "Berit Öst"))
        assert "http" not in said, "no link that logs in"
    assert app.test_client().get(reset, base_url="https://login.example.se").status_code == 404
    assert anna.get("/account", base_url="https://login.example.se").status_code == 303, "logged out"
    assert RelyingParty(app, anna).userinfo(tokens.access_token).status_code == 401
    assert logs_in(app, PASSWORD, "anna.ny@example.se")
    assert not logs_in(app, PASSWORD, COLLEAGUE)
    assert ("email.changed", "administrator", company.admin) in audited(app, company.colleague)


def account_notices(app: Flask) -> list[str]:
    return [text_of(mail) for mail in queued(app, "account_notice")]


def test_a_user_hears_of_changes_if_they_want_notices(app: Flask, admin: Person, company: Company) -> None:
    page = f"/admin/users/{company.colleague}"
    admin.save(company.colleague)
    admin.save(company.admin, name="Berit Ny")
    assert account_notices(app) == [], "nothing has changed, or nobody else's"
    admin.save(company.colleague, name="Anna Ny", phone="0703032203", role="company_admin")
    (told,) = account_notices(app)
    assert "Ändrat: Namn, Telefonnummer, Roll" in " ".join(told.split())
    assert "Berit Ny" in told
    assert "http" not in told, "no link that logs in"
    for ending, words in (("disable", "har stängt av ditt konto"), ("enable", "har öppnat ditt konto")):
        admin.post(f"{page}/{ending}")
        admin.post(f"{page}/{ending}")
        assert words in account_notices(app)[-1]
    assert len(account_notices(app)) == 3
    with app.app_context():
        db.session.get_one(User, UUID(company.colleague)).notices = False
        db.session.commit()
    admin.save(company.colleague, name="Anna Igen", role="user")
    admin.post(f"{page}/disable")
    assert len(account_notices(app)) == 3
    admin.post(f"{page}/enable")
    admin.save(company.colleague, email="anna.ny@example.se")
    assert len(account_notices(app)) == 3
    assert len(queued(app, "email_notice")) == 2, "what concerns security is told regardless"


def test_a_refused_change_mails_nobody(app: Flask, admin: Person, company: Company) -> None:
    assert admin.save(company.colleague, name="Anna Ny", email="sven@annat.se").status_code == 409
    assert account_notices(app) == []


def test_a_role_is_given_and_taken(app: Flask, admin: Person, company: Company) -> None:
    assert admin.save(company.colleague, role="company_admin").status_code == 303
    anna = Person(app, app.test_client()).log_in(COLLEAGUE)
    assert anna.get("/admin/users").status_code == 200
    assert admin.save(company.colleague, role="user").status_code == 303
    assert anna.get("/admin/users").status_code == 404
    assert ("user.updated", "administrator", company.admin) in audited(app, company.colleague)


def test_disabling_and_enabling_a_user(app: Flask, admin: Person, company: Company) -> None:
    rp = RelyingParty(app, app.test_client())
    tokens = rp.tokens()
    path = f"/admin/users/{company.colleague}"
    assert 'id="user-disable-confirm"' in admin.get(f"{path}/disable").text
    assert stored(app, company.colleague)["status"] == "active", "asking does nothing"
    page = admin.follow(admin.post(f"{path}/disable"))
    assert 'id="user-disabled"' in page.text
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert not logs_in(app, PASSWORD)
    assert admin.post(f"{path}/disable").status_code == 303
    assert admin.post(f"{path}/welcome").status_code == 404
    assert admin.save(company.colleague, title="Chef", email="x@example.se").status_code == 303
    assert stored(app, company.colleague)["email"] == COLLEAGUE, "no new address while disabled"
    admin.post(f"{path}/enable")
    assert logs_in(app, PASSWORD)
    events = audited(app, company.colleague)
    assert events.count(("user.disabled", "administrator", company.admin)) == 1
    assert events.count(("user.enabled", "administrator", company.admin)) == 1


def test_a_welcome_that_was_not_delivered_is_shown(
    app: Flask, admin: Person, company: Company, clock: Traveller
) -> None:
    page = f"/admin/users/{company.colleague}"
    for reached in (False, True):
        admin.post(f"{page}/welcome")
        assert 'id="user-undelivered"' not in admin.get(page).text
        with app.app_context():
            claimed = outbox.lease_next(now=utcnow())
            assert claimed is not None
            if reached:
                outbox.mark_delivered(claimed, now=utcnow())
            else:
                outbox.give_up(claimed, "the mail server refuses the recipient (550)", now=utcnow())
        assert ('id="user-undelivered"' in admin.get(page).text) is not reached
        clock.shift(1)


def test_the_page_does_not_mention_bankid_where_it_is_off(
    app: Flask, admin: Person, company: Company
) -> None:
    path = f"/admin/users/{company.colleague}"
    assert "BankID" not in admin.get(path).text
    NUMBER_KEYS.put(app, PersonalNumberKeys(KEYS))
    assert "Bara användaren kan koppla sitt BankID" in admin.get(path).text


def test_unlinking_a_users_bankid(app: Flask, admin: Person, company: Company) -> None:
    NUMBER_KEYS.put(app, PersonalNumberKeys(KEYS))  # as where BankID is on
    with app.app_context():
        db.session.add(
            BankIdLink(
                user_id=UUID(company.colleague),
                number_lookup="x",
                number_encrypted="sealed 19900101",
                name="Anna Vid Banken",
                linked_at=utcnow(),
            )
        )
        db.session.commit()
    path = f"/admin/users/{company.colleague}"
    page = admin.get(path)
    assert 'id="bankid-unlink"' in page.text
    for secret in ("1990", "****", "Anna Vid Banken"):
        assert secret not in page.text
    assert 'id="bankid-unlink-confirm"' in admin.get(f"{path}/unlink").text
    page = admin.follow(admin.post(f"{path}/unlink"))
    assert 'id="bankid-unlink"' not in page.text
    assert len(queued(app, "notice_bankid")) == 1
    assert admin.post(f"{path}/unlink").status_code == 303
    assert len(queued(app, "notice_bankid")) == 1, "there was none any more"
    assert audited(app, company.colleague).count(("bankid.unlinked", "administrator", company.admin)) == 1


def test_the_welcome_is_sent_again_within_limits(app: Flask, admin: Person, company: Company) -> None:
    for _ in range(8):
        assert admin.post(f"/admin/users/{company.colleague}/welcome").status_code == 303
    assert len(queued(app, "welcome")) == 5
    assert ("user.welcomed", "administrator", company.admin) in audited(app, company.colleague)
