"""Wrong input on the way to a new password is explained by its field, and nothing is lost."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.factories import PASSWORD, make_user
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import ANNA, NEW, ask, choose, link, logs_in


@pytest.fixture
def database_url() -> str:
    return "sqlite://"


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    ("email", "words"),
    [
        ("", "Skriv din e-postadress."),
        ("   ", "Skriv din e-postadress."),
        ("anna", "ingen fullständig e-postadress"),
        ("anna@", "ingen fullständig e-postadress"),
        ("@example.se", "ingen fullständig e-postadress"),
        ("a" * 300 + "@example.se", "ingen fullständig e-postadress"),
        ("anna\0@example.se", "ingen fullständig e-postadress"),
        ("anna@example.se\r\nBcc: x@y.se", "ingen fullständig e-postadress"),
        ("\"><script>alert('1')</script>", "ingen fullständig e-postadress"),
        ("anna@example.se, berit@example.se", "ingen fullständig e-postadress"),
    ],
)
def test_an_impossible_address_is_explained(app: Flask, browser: FlaskClient, email: Any, words: str) -> None:
    page = ask(browser, email)
    assert page.status_code == 400
    assert 'id="forgot-email-error"' in page.text
    assert words in page.text
    assert 'aria-invalid="true"' in page.text
    assert "<script>alert" not in page.text
    assert queued(app) == []
    assert ask(browser).status_code == 303


@pytest.mark.usefixtures("anna")
def test_wrongly_encoded_bytes_are_no_text(app: Flask, browser: FlaskClient) -> None:
    page = ask(browser, "\u00e5sa@example.se".encode("latin-1"))
    assert (page.status_code, "ingen fullständig e-postadress" in page.text) == (400, True)
    assert queued(app) == []
    path = link(app, browser)
    page = choose(browser, path, NEW.encode("latin-1"))
    assert (page.status_code, "tecken som inte går att använda" in page.text) == (400, True)
    assert logs_in(app, PASSWORD)
    assert choose(browser, path).status_code == 303, "the link is not used up"


def test_two_addresses_in_one_form_are_one_mail(app: Flask, browser: FlaskClient, anna: str) -> None:
    with app.app_context():
        make_user(email="berit@example.se")
    assert ask(browser, [ANNA, "berit@example.se"]).status_code == 303
    assert [message["To"].addresses[0].addr_spec for message in queued(app)] == [ANNA]


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    ("password", "confirm", "field", "words"),
    [
        ("", "", "password", "Skriv ett nytt lösenord."),
        ("kort", "kort", "password", "minst 12 tecken"),
        ("x7Qp" * 100, "x7Qp" * 100, "password", "högst 256 tecken"),
        ("passwordpassword", "passwordpassword", "password", "för lätt att gissa"),
        ("anna@example.se2026", "anna@example.se2026", "password", "för lätt att gissa"),
        ("leasifyleasify", "leasifyleasify", "password", "för lätt att gissa"),
        (NEW + "\0", NEW + "\0", "password", "tecken som inte går att använda"),
        (NEW + "\n", NEW + "\n", "password", "tecken som inte går att använda"),
        (NEW, NEW + "x", "confirm", "Lösenorden är inte lika."),
        (NEW, "", "confirm", "Lösenorden är inte lika."),
    ],
)
def test_a_bad_password_is_explained_and_the_link_stays(  # noqa: PLR0917 - what is typed and what is told
    app: Flask, browser: FlaskClient, password: Any, confirm: Any, field: str, words: str
) -> None:
    path = link(app, browser)
    page = choose(browser, path, password, confirm)
    assert page.status_code == 400
    assert f'id="reset-{field}-error"' in page.text
    assert words in page.text
    assert NEW not in page.text
    assert logs_in(app, PASSWORD), "nothing has changed"
    assert len(queued(app)) == 1
    assert choose(browser, path).status_code == 303


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    "password", ["<script>alert(1)</script>", "🦆 anka 🦆 båt 🦆 moln", "  tre blå  kameler åt  "]
)
def test_every_sign_a_keyboard_has_is_taken_as_it_is(app: Flask, browser: FlaskClient, password: str) -> None:
    assert choose(browser, link(app, browser), password).status_code == 303
    assert logs_in(app, password)
    assert not logs_in(app, password + " ")


@pytest.mark.usefixtures("anna")
def test_the_two_fields_may_be_composed_differently(app: Flask, browser: FlaskClient) -> None:
    composed, decomposed = "tre blå kameler åt", "tre bla\u030a kameler a\u030at"
    assert choose(browser, link(app, browser), composed, decomposed).status_code == 303
    assert logs_in(app, decomposed)


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize("token", [None, "", "x"])
def test_both_reset_forms_need_their_csrf_token(app: Flask, browser: FlaskClient, token: str | None) -> None:
    path = link(app, browser)
    for target, data in (
        ("/password/reset", {"email": ANNA}),
        (path, {"password": NEW, "confirm": NEW}),
    ):
        if token is not None:
            data["csrf_token"] = token
        assert browser.post(target, data=data, **HTTPS).status_code == 400
    assert len(queued(app)) == 1
    assert choose(browser, path).status_code == 303
