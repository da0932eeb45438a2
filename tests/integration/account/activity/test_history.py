"""The security history tells its owner of each event in plain words or leaves it out on purpose."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from time_machine import Traveller

from idp import audit
from idp.account import activity, sentences
from idp.audit import Event
from idp.clock import utcnow
from idp.db import db
from idp.users import accounts
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.fakes.reset_pages import ask, choose, link
from tests.integration.account.activity.pages import entries, get

HISTORY = "/account/history"


def note(app: Flask, user_id: str, event: Event, **facts: Any) -> None:
    with app.app_context():
        audit.record(event, now=utcnow(), user_id=UUID(user_id), **facts)
        db.session.commit()


def test_every_event_is_told_or_deliberately_not() -> None:
    assert set(Event) == sentences.SHOWN | sentences.HIDDEN
    assert not sentences.SHOWN & sentences.HIDDEN


@pytest.mark.parametrize("language", ["sv", "en"])
def test_every_event_has_words(app: Flask, language: str) -> None:
    with app.test_request_context(f"/?lang={language}", **HTTPS):
        for event in sentences.SHOWN:
            for actor in ("user", "operator", "administrator", "worker", "client", "somebody new"):
                text = sentences.sentence(event, actor, {})
                assert text
                assert event.value not in text


@pytest.mark.usefixtures("clock")
def test_a_login_with_its_app_device_and_place(phone: RelyingParty, anna: str) -> None:
    phone.log_in()
    newest = entries(get(phone, HISTORY))[0]
    assert newest == (
        "Inloggning (E-postinloggning) 22 november 2026 13:00 · Portalen · Chrome på Android · 198.51.100.7"
    )


def test_the_history_is_newest_first_and_its_owners_alone(
    app: Flask, rp: RelyingParty, bertil: RelyingParty, anna: str
) -> None:
    rp.log_in(password="fel")
    rp.log_in()
    own = [re.split(r" \(| \d", one)[0] for one in entries(get(rp, HISTORY))]
    assert own == [
        "Inloggning",
        "Misslyckat inloggningsförsök",
        "Kontot skapades av tjänstens driftpersonal",
    ]
    assert not any("Misslyckat" in one for one in entries(get(bertil, HISTORY)))


@pytest.mark.usefixtures("clock")
def test_limited_tries_are_shown_and_repetitions_once(
    app: Flask, rp: RelyingParty, device: Callable[..., FlaskClient], anna: str
) -> None:
    rp.log_in()
    guesser = RelyingParty(app, device("curl/8.5.0", "203.0.113.9"))
    for _ in range(12):
        guesser.log_in(password="fel")
    shown = entries(get(rp, HISTORY))
    tries = [one for one in shown if "203.0.113.9" in one]
    assert len(tries) == 2
    assert tries[0].startswith("Inloggningsförsök stoppades: för många försök 2 gånger, senast")
    assert tries[1].startswith("Misslyckat inloggningsförsök 10 gånger, senast")


def test_a_new_password_and_what_it_ended(app: Flask, rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    assert (
        choose(app.test_client(), link(app, app.test_client()), "vinterlig saxofon trampar").status_code
        == 303
    )
    ask(app.test_client())
    rp.log_in(password="vinterlig saxofon trampar")
    told = " | ".join(entries(get(rp, HISTORY)))
    for text in (
        "En länk för nytt lösenord begärdes",
        "Lösenordet byttes",
        "Utloggning: lösenordet byttes",
    ):
        assert text in told


def test_another_actor_is_named_without_an_address(app: Flask, rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    with app.test_request_context("/", environ_base={"REMOTE_ADDR": "203.0.113.77"}, **HTTPS):
        app.preprocess_request()
        audit.record(
            Event.USER_UPDATED, now=utcnow(), user_id=UUID(anna), actor="administrator", by=str(uuid4())
        )
        db.session.commit()
    note(app, anna, Event.BANKID_UNLINKED)
    by_operator, by_administrator = entries(get(rp, HISTORY))[:2]
    assert by_operator.startswith("BankID kopplades bort från kontot av tjänstens driftpersonal")
    assert by_administrator.startswith("Kontots uppgifter ändrades av en administratör på ditt företag")
    assert "203.0.113.77" not in by_administrator


def test_details_of_events_stay_in_the_audit(app: Flask, rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    for event in Event:
        note(app, anna, event, reason="<b>inside</b>", method="unheard-of", by="0123456789")
    page = get(rp, HISTORY)
    assert entries(page)
    assert "inside" not in page.text
    assert "0123456789" not in page.text


def test_the_history_shows_the_last_fifty_events(app: Flask, rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    for number in range(60):
        note(app, anna, (Event.USER_UPDATED, Event.EMAIL_CHANGED)[number % 2])
    assert len(entries(get(rp, HISTORY))) == activity.MAX_EVENTS


def test_events_that_anybody_can_cause_displace_no_others(app: Flask, rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    note(app, anna, Event.PASSWORD_CHANGED)
    with app.app_context():
        for number in range(600):
            event = (Event.LOGIN_FAILED, Event.PASSWORD_RESET_ASKED)[number % 2]
            audit.record(event, now=utcnow(), user_id=UUID(anna), mailed=number % 3 == 0)
        for number in range(30):
            audit.record(Event.LOGIN_FAILED, now=utcnow(), user_id=UUID(anna), place=number)
        db.session.commit()
    shown = entries(get(rp, HISTORY))
    assert len(shown) == activity.MAX_BY_ANYBODY + 3
    assert [one.split(" av ")[0].split(" (")[0] for one in shown[-3:]] == [
        "Lösenordet byttes",
        "Inloggning",
        "Kontot skapades",
    ]


def test_repeated_events_are_shown_once_with_the_last_time(app: Flask, rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    for _ in range(2):
        note(app, anna, Event.LOGIN_FAILED)
        note(app, anna, Event.PASSWORD_RESET_ASKED)
    note(app, anna, Event.USER_UPDATED)
    note(app, anna, Event.USER_UPDATED)
    updated, asked, failed, *_ = entries(get(rp, HISTORY))
    assert "2 gånger i följd" in updated
    assert "En länk för nytt lösenord begärdes av tjänstens driftpersonal 2 gånger, senast" in asked
    assert "Misslyckat inloggningsförsök av tjänstens driftpersonal 2 gånger, senast" in failed


def test_a_removed_app_is_named_by_its_id(app: Flask, rp: RelyingParty, anna: str) -> None:
    rp.log_in()
    note(app, anna, Event.CONSENT_GIVEN, client_id="gone<1>")
    assert "gone<1>" in entries(get(rp, HISTORY))[0]


def test_an_empty_history(rp: RelyingParty, anna: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rp.log_in()
    monkeypatch.setattr(sentences, "SHOWN", frozenset())
    assert "Inget har hänt ännu." in get(rp, HISTORY).text


def test_the_history_needs_a_login(app: Flask, rp: RelyingParty, anna: str, clock: Traveller) -> None:
    for path in (HISTORY, "/account/apps"):
        answer = rp.browser.get(path, **HTTPS)
        assert (answer.status_code, answer.location.split("/")[1]) == (303, "login")
    rp.log_in()
    for path in (HISTORY, "/account/apps"):
        page = get(rp, path)
        assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    with app.app_context():
        accounts.disable(UUID(anna), now=utcnow())
    assert rp.browser.get(HISTORY, **HTTPS).status_code == 303


def test_a_login_on_the_way_leads_back_to_the_history(rp: RelyingParty, anna: str) -> None:
    page = rp.follow(rp.browser.get(HISTORY, **HTTPS))
    after = rp.follow(rp.submit(page, email="anna@example.se", password="korrekt häst batteri klammer"))
    assert (after.status_code, after.request.path) == (200, HISTORY)
