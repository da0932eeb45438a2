"""Consent is asked for once, remembered, and refused in order (OIDC Core §3.1.2.4)."""

import json
import re
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.audit import AuditRow, Event
from idp.clock import utcnow
from idp.db import db
from idp.oidc.models import Consent
from tests.factories import PASSWORD, make_client, make_user
from tests.fakes.relying_party import HTTPS, RelyingParty

FIELDS = {"email": "anna@example.se", "password": PASSWORD}


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(
            consent="explicit",
            policy_uri="https://portal.example.se/privacy",
            tos_uri="https://portal.example.se/terms",
        ),
        "first-party": make_client(redirect_uris=["https://first.example.se/cb"]),
        "closed": make_client(redirect_uris=["https://closed.example.se/cb"], companies=["Annat AB"]),
        "closed-asking": make_client(
            redirect_uris=["https://asking.example.se/cb"], companies=["Annat AB"], consent="explicit"
        ),
    }


@pytest.fixture
def first_party(app: Flask, browser: FlaskClient) -> RelyingParty:
    return RelyingParty(app, browser, "first-party", "https://first.example.se/cb")


def is_question(page: TestResponse) -> bool:
    return all(f'id="{name}"' in page.text for name in ("consent-allow", "consent-deny"))


def events(app: Flask) -> list[str]:
    with app.app_context():
        return [row.event for row in db.session.scalars(sa.select(AuditRow).order_by(AuditRow.id))]


def test_consent_is_asked_once_and_again_for_more(rp: RelyingParty, app: Flask, anna: str) -> None:
    page = rp.log_in(scope="openid email")
    assert is_question(page)
    assert "code" in rp.answer(rp.follow(rp.submit(page, answer="allow")))
    for scope in ("openid email", "email openid", "openid"):
        assert "code" in rp.answer(rp.authorize(scope=scope, prompt="none"))
    assert rp.answer(rp.authorize(scope="openid email phone", prompt="none"))["error"] == "consent_required"
    more = rp.follow(rp.authorize(scope="openid phone"))
    assert is_question(more)
    assert "code" in rp.answer(rp.follow(rp.submit(more, answer="allow")))
    assert "code" in rp.answer(rp.authorize(scope="openid email phone", prompt="none"))
    assert events(app).count(Event.CONSENT_GIVEN) == 2


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("https://id.oidc.se/claim/authnProvider", "På vilket sätt du loggade in"),
        ("https://id.oidc.se/claim/deviceIp", "Den IP-adress som du loggade in från"),
        ("txn", "Ett referensnummer för din inloggning"),
        ("https://id.oidc.se/claim/credentialValidFrom", "Startdatum för ditt BankID"),
        ("https://id.oidc.se/claim/credentialValidTo", "Slutdatum för ditt BankID"),
    ],
)
def test_claims_about_the_login_need_consent_too(rp: RelyingParty, anna: str, claim: str, text: str) -> None:
    rp.follow(rp.submit(rp.log_in(scope="openid"), answer="allow"))
    asked = {"scope": "openid", "claims": json.dumps({"id_token": {claim: None}})}
    assert rp.answer(rp.authorize(prompt="none", **asked))["error"] == "consent_required"
    page = rp.follow(rp.authorize(**asked))
    assert is_question(page)
    assert text in page.text
    assert "code" in rp.answer(rp.follow(rp.submit(page, answer="allow")))
    assert "code" in rp.answer(rp.authorize(prompt="none", **asked))
    assert text in rp.browser.get("/account/apps", **HTTPS).text


def test_the_question_says_who_asks_for_what(rp: RelyingParty, anna: str) -> None:
    page = rp.log_in(scope="openid email")
    assert "Dela uppgifter med Portalen?" in page.text
    assert "Din e-postadress" in page.text
    assert "Ditt telefonnummer" not in page.text
    assert "anna@example.se" in page.text
    assert 'href="https://portal.example.se/privacy"' in page.text
    assert 'href="https://portal.example.se/terms"' in page.text
    assert "form-action 'self' https://portal.example.se" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"


def test_a_denial_goes_back_to_the_client_and_is_not_remembered(
    rp: RelyingParty, app: Flask, anna: str
) -> None:
    page = rp.log_in()
    refused = rp.submit(page, answer="deny")
    answer = rp.answer(refused)
    assert (answer["error"], answer["state"]) == ("access_denied", "the-state")
    assert answer["iss"] == "https://login.example.se"
    assert rp.submit(page, answer="deny").status_code == 400  # one request, one answer
    assert rp.submit(page, answer="allow").status_code == 400
    assert is_question(rp.follow(rp.authorize()))
    assert events(app).count(Event.CONSENT_DENIED) == 1
    assert events(app).count(Event.CONSENT_GIVEN) == 0


def test_prompt_none_never_asks(rp: RelyingParty, anna: str) -> None:
    assert rp.answer(rp.authorize(prompt="none"))["error"] == "login_required"
    rp.log_in()
    assert rp.answer(rp.authorize(prompt="none"))["error"] == "consent_required"
    posted = rp.follow(rp.authorize("POST", prompt="none"))
    assert rp.answer(posted)["error"] == "consent_required"


def test_prompt_consent_asks_again(
    clock: time_machine.Traveller, rp: RelyingParty, first_party: RelyingParty, anna: str
) -> None:
    rp.follow(rp.submit(rp.log_in(), answer="allow"))
    for asking in (rp, first_party):
        clock.shift(10)
        page = asking.follow(asking.authorize(prompt="consent"))
        assert is_question(page)
        assert "code" in asking.answer(asking.follow(asking.submit(page, answer="allow")))
        assert "code" in asking.answer(asking.authorize())


def test_prompt_login_and_consent_together(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str
) -> None:
    rp.follow(rp.submit(rp.log_in(), answer="allow"))
    clock.shift(10)
    page = rp.follow(rp.authorize(prompt="login consent"))
    assert 'id="login-form"' in page.text
    question = rp.log_in(prompt="login consent")
    assert is_question(question)
    assert "code" in rp.answer(rp.follow(rp.submit(question, answer="allow")))


def test_a_first_party_client_never_asks(first_party: RelyingParty, app: Flask, anna: str) -> None:
    assert "code" in first_party.answer(first_party.log_in())
    with app.app_context():
        assert db.session.scalars(sa.select(Consent)).all() == []


def test_each_person_consents_for_themselves(rp: RelyingParty, app: Flask, anna: str) -> None:
    rp.follow(rp.submit(rp.log_in(), answer="allow"))
    with app.app_context():
        make_user(email="bertil@example.se", name="Bertil Ek")
    elsewhere = RelyingParty(app, app.test_client())
    assert is_question(elsewhere.log_in(email="bertil@example.se"))


def test_the_answer_needs_its_own_form(rp: RelyingParty, app: Flask, anna: str) -> None:
    page = rp.log_in()
    path = page.request.path
    forged = rp.browser.post(path, data={"answer": "allow"}, **HTTPS)
    assert (forged.status_code, 'id="error-page"' in forged.text) == (400, True)
    assert is_question(rp.submit(page, answer="maybe"))  # neither yes nor no: asked again
    thief = RelyingParty(app, app.test_client())
    assert 'id="login-form"' in thief.follow(thief.browser.get(path, **HTTPS)).text
    assert events(app).count(Event.CONSENT_GIVEN) == 0


def test_the_answer_needs_the_person_who_logged_in(rp: RelyingParty, anna: str) -> None:
    page = rp.log_in()
    rp.submit(rp.browser.get("/logout", **HTTPS))
    assert 'id="login-form"' in rp.follow(rp.browser.get(page.request.path, **HTTPS)).text


def test_two_answers_at_once_give_one_consent(
    rp: RelyingParty, app: Flask, anna: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = rp.log_in(scope="openid email")
    look = db.session.get

    def look_just_before_another_answer(*args: Any, **more: Any) -> Any:
        found = look(*args, **more)
        if more.get("with_for_update"):
            monkeypatch.setattr(db.session, "get", look)
            other = {
                "user_id": UUID(anna),
                "client_id": "portal",
                "scope": "openid phone",
                "given_at": utcnow(),
            }
            with db.engine.begin() as connection:
                connection.execute(sa.insert(Consent.__table__), other)
        return found

    monkeypatch.setattr(db.session, "get", look_just_before_another_answer)
    assert "code" in rp.answer(rp.follow(rp.submit(page, answer="allow")))
    with app.app_context():
        assert db.session.scalars(sa.select(Consent)).one().scope == "email openid phone"
    assert events(app).count(Event.CONSENT_GIVEN) == 1


@pytest.mark.parametrize("client_id", ["closed", "closed-asking"])
def test_a_person_of_another_company_is_denied_and_not_asked(
    app: Flask, browser: FlaskClient, anna: str, client_id: str
) -> None:
    host = {"closed": "closed", "closed-asking": "asking"}[client_id]
    closed = RelyingParty(app, browser, client_id, f"https://{host}.example.se/cb")
    answer = closed.answer(closed.log_in())
    assert (answer["error"], answer["state"]) == ("access_denied", "the-state")
    assert closed.answer(closed.authorize(prompt="none"))["error"] == "access_denied"


def test_a_person_of_the_company_is_let_in(app: Flask, browser: FlaskClient) -> None:
    with app.app_context():
        make_user(email="bertil@example.se", name="Bertil Ek", company="Annat AB")
    closed = RelyingParty(app, browser, "closed", "https://closed.example.se/cb")
    assert "code" in closed.answer(closed.log_in(email="bertil@example.se"))


def test_a_person_cannot_consent_to_a_client_that_they_may_not_use(
    app: Flask, browser: FlaskClient, anna: str
) -> None:
    RelyingParty(app, browser, "first-party", "https://first.example.se/cb").log_in()
    asking = RelyingParty(app, browser, "closed-asking", "https://asking.example.se/cb")
    waiting = asking.authorize(prompt="login").headers["Location"].split("?", maxsplit=1)[0]
    uid = waiting.rsplit("/", 1)[1]
    page = asking.follow(asking.authorize(prompt="login"))
    token = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)[0]
    login = browser.post(f"/login/{uid}/password", data={**FIELDS, "csrf_token": token}, **HTTPS)
    assert login.headers["Location"] == f"/authorize/{uid}"
    answer = browser.post(f"/consent/{uid}", data={"answer": "allow", "csrf_token": token}, **HTTPS)
    assert answer.headers["Location"] == f"/authorize/{uid}"
    with app.app_context():
        assert db.session.scalar(sa.select(Consent)) is None
    assert asking.answer(asking.follow(answer))["error"] == "access_denied"
