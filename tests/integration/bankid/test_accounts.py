"""A BankID login finds the person's account, offers several, or explains that there is none."""

from typing import Any

import pytest
import time_machine
from flask import Flask

from idp.clock import utcnow
from idp.users import accounts, bankid_links
from tests.factories import PASSWORD, make_client, make_user
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.bankid.conftest import BankIdVisitor, Phone, link
from tests.integration.bankid.orders import audited, complete, newest_order
from tests.integration.bankid.test_login import decoded

LOA3 = "http://id.swedenconnect.se/loa/1.0/uncertified-loa3"
PASSWORD_ACR = "https://login.example.se/acr/password"
pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.usefixtures("clock"),
]


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(login_methods=["bankid", "password"]),
        "bankid-only": make_client(login_methods=["bankid"], redirect_uris=["https://b.example.se/cb"]),
        "password-only": make_client(login_methods=["password"], redirect_uris=["https://p.example.se/cb"]),
    }


@pytest.fixture
def bertil(app: Flask) -> str:
    """Another account of the same person's BankID as Anna's."""
    with app.app_context():
        user = make_user(email="anna@annat.example.se", name="Anna Åsén", company="Annat AB")
        link(app, user.id)
        return str(user.id)


def claims(app: Flask, rp: RelyingParty, answered: Any) -> dict[str, Any]:
    tokens = rp.exchange(rp.answer(rp.follow(answered))["code"])
    assert tokens.status == 200, tokens.body
    return decoded(app, tokens.id_token)


def test_a_person_without_an_account_gets_an_explanation_and_a_way_on(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone, anna: str
) -> None:
    page = complete(app, visitor, phone)
    assert page.status_code == 403
    assert "inte kopplat" in page.text
    assert f'href="/login/{visitor.uid}?method=password"' in page.text
    assert audited(app, "bankid.refused")[0].detail == {"reason": "no_account"}
    form = rp.follow(rp.browser.get(f"/login/{visitor.uid}?method=password", **HTTPS))
    offer = rp.follow(rp.submit(form, email="anna@example.se", password=PASSWORD))
    assert "Koppla BankID för" in offer.text
    assert claims(app, rp, visitor.post(offer, "link", answer="no"))["sub"] == anna


def test_a_person_with_several_accounts_chooses_one(
    app: Flask, visitor: BankIdVisitor, phone: Phone, linked: str, bertil: str
) -> None:
    rp = visitor.rp
    page = complete(app, visitor, phone)
    assert page.status_code == 200
    assert linked in page.text
    assert bertil in page.text
    assert claims(app, rp, visitor.post(page, "account", account=bertil))["sub"] == bertil


def test_only_an_account_of_the_person_can_be_chosen(
    app: Flask, visitor: BankIdVisitor, phone: Phone, linked: str, bertil: str
) -> None:
    with app.app_context():
        stranger = str(make_user(email="cesar@example.se", name="Cesar Ek").id)
    page = complete(app, visitor, phone)
    for chosen in (stranger, "", "x", "' or 1=1"):
        again = visitor.post(page, "account", account=chosen)
        assert again.status_code == 200
        assert stranger not in again.text
    assert audited(app, "login.succeeded") == []
    unsigned = visitor.rp.browser.post(
        f"/login/{visitor.uid}/bankid/account", data={"account": linked}, **HTTPS
    )
    assert unsigned.status_code == 400
    assert audited(app, "login.succeeded") == []


def test_an_account_chosen_before_anybody_has_identified_logs_nobody_in(
    app: Flask, visitor: BankIdVisitor, linked: str
) -> None:
    page = visitor.open()
    answer = visitor.post(page, "account", account=linked)
    assert answer.headers["Location"] == f"/login/{visitor.uid}/bankid"
    assert audited(app, "login.succeeded") == []


def test_a_disabled_account_is_refused_without_saying_why(
    app: Flask, visitor: BankIdVisitor, phone: Phone, linked: str
) -> None:
    with app.app_context():
        found = accounts.find_by_email("anna@example.se")
        assert found is not None
        accounts.disable(found.id, now=utcnow())
    page = complete(app, visitor, phone)
    assert page.status_code == 403
    assert "Det gick inte att logga in." in page.text
    assert audited(app, "bankid.refused")[0].detail == {"reason": "disabled"}
    assert audited(app, "login.succeeded") == []


def test_a_disabled_account_is_not_offered_beside_another(
    app: Flask, visitor: BankIdVisitor, phone: Phone, linked: str, bertil: str
) -> None:
    rp = visitor.rp
    with app.app_context():
        found = accounts.find_by_email("anna@example.se")
        assert found is not None
        accounts.disable(found.id, now=utcnow())
    assert claims(app, rp, complete(app, visitor, phone))["sub"] == bertil


def test_an_account_unlinked_while_choosing_is_not_logged_in(
    app: Flask, visitor: BankIdVisitor, phone: Phone, linked: str, bertil: str
) -> None:
    page = complete(app, visitor, phone)
    with app.app_context():
        for email in ("anna@example.se", "anna@annat.example.se"):
            found = accounts.find_by_email(email)
            assert found is not None
            bankid_links.unlink(found.id, now=utcnow())
    answer = visitor.post(page, "account", account=linked)
    assert answer.status_code == 403
    assert audited(app, "login.succeeded") == []


def test_the_person_of_the_hint_must_be_the_one(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, anna: str
) -> None:
    rp = visitor.rp
    with app.app_context():
        other = make_user(email="cesar@example.se", name="Cesar Ek")
        link(app, other.id)
    page = rp.follow(rp.authorize(acr_values=PASSWORD_ACR))
    answered = rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD))
    hint = rp.exchange(rp.answer(answered)["code"]).id_token
    clock.shift(1)
    page = complete(app, visitor, phone, id_token_hint=hint, prompt="login")
    assert page.status_code == 403
    assert "ett annat konto" in page.text
    assert 'id="bankid-retry"' in page.text
    assert [row.user_id for row in audited(app, "login.succeeded")] == [found(app, "anna@example.se")]
    assert audited(app, "login.refused")[0].detail == {"lacks": "user"}


def found(app: Flask, email: str) -> Any:
    with app.app_context():
        user = accounts.find_by_email(email)
        assert user is not None
        return user.id


def test_a_client_gets_only_its_methods(app: Flask, rp: RelyingParty, linked: str) -> None:
    page = rp.follow(rp.authorize())
    assert 'id="tab-bankid"' in page.text
    assert 'id="tab-password"' in page.text
    page = rp.follow(rp.authorize(client_id="bankid-only", redirect_uri="https://b.example.se/cb"))
    assert 'id="bankid-qr"' in page.text
    assert 'id="tab-password"' not in page.text
    uid = page.request.path.split("/")[2]
    page = rp.follow(rp.browser.get(f"/login/{uid}/password", **HTTPS))
    assert 'id="login-form"' not in page.text
    page = rp.follow(rp.authorize(client_id="password-only", redirect_uri="https://p.example.se/cb"))
    assert 'id="login-form"' in page.text
    assert 'id="tab-bankid"' not in page.text
    uid = page.request.path.split("/")[2]
    page = rp.follow(rp.browser.get(f"/login/{uid}/bankid", **HTTPS))
    assert 'id="login-form"' in page.text


def test_acr_values_choose_the_method(rp: RelyingParty) -> None:
    assert 'id="tab-password"' not in rp.follow(rp.authorize(acr_values=LOA3)).text
    page = rp.follow(rp.authorize(acr_values=PASSWORD_ACR))
    assert 'id="login-form"' in page.text
    assert 'id="tab-bankid"' not in page.text


def test_bankid_logs_in_to_other_clients_too_until_a_new_login_is_asked_for(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, linked: str
) -> None:
    rp = visitor.rp
    first = claims(app, rp, complete(app, visitor, phone))
    clock.shift(10)
    silent = claims(app, rp, rp.authorize(prompt="none"))
    assert (silent["acr"], silent["amr"]) == (LOA3, ["swk", "mfa", "user"])
    assert (silent["auth_time"], silent["sid"]) == (first["auth_time"], first["sid"])
    again = claims(app, rp, complete(app, visitor, phone, prompt="login"))
    assert again["auth_time"] == first["auth_time"] + 10
    assert again["sid"] == first["sid"]


def test_auth_time_is_when_the_person_identified(
    clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, linked: str, bertil: str
) -> None:
    rp, app = visitor.rp, visitor.rp.app
    page = complete(app, visitor, phone)
    identified = newest_order(app).finished_at
    assert identified is not None
    clock.shift(60)
    logged_in = claims(app, rp, visitor.post(page, "account", account=linked))
    assert logged_in["auth_time"] == int(identified.timestamp())


def test_a_password_session_does_not_reach_bankids_level(
    app: Flask, clock: time_machine.Traveller, visitor: BankIdVisitor, phone: Phone, linked: str
) -> None:
    rp = visitor.rp
    page = rp.follow(rp.authorize(acr_values=PASSWORD_ACR))
    rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD))
    assert rp.answer(rp.authorize(acr_values=LOA3, prompt="none"))["error"] == "login_required"
    stepped_up = claims(app, rp, complete(app, visitor, phone, acr_values=LOA3))
    assert stepped_up["acr"] == LOA3
