"""Names that hide, mislead or hold markup."""

from html import escape

import pytest
from flask import Flask

from idp.users.fields import BadInput, checked_name
from tests.fakes.outbox import queued
from tests.fakes.reset_pages import link
from tests.integration.account.attacks.forms import ANNA, NEW, details, users_id
from tests.integration.admin.conftest import Person

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
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
