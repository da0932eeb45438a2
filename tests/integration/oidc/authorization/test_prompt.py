"""prompt, max_age, id_token_hint and acr_values say which login a request needs (OIDC Core §3.1.2.1)."""

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.clock import utcnow
from idp.db import db
from idp.login.models import BrowserSession
from idp.oidc.models import Grant
from idp.tokens import base64url
from idp.users import accounts
from tests.factories import PASSWORD, make_client, make_user
from tests.fakes.relying_party import RelyingParty, Tokens

ACR = "https://login.example.se/acr/password"
# Test_interactions and test_token store the same things on PostgreSQL.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(),
        "other": make_client(redirect_uris=["https://other.example.se/cb"]),
        "pairwise": make_client(subject_type="pairwise"),
        "strict": make_client(redirect_uris=["https://strict.example.se/cb"], default_max_age=30),
    }


@pytest.fixture
def bertil(app: Flask) -> str:
    with app.app_context():
        return str(make_user(email="bertil@example.se", name="Bertil Ek").id)


def claims_of(tokens: Tokens) -> dict[str, Any]:
    return claims_in(tokens.id_token)


def claims_in(id_token: str) -> dict[str, Any]:
    payload = id_token.split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def asks_to_log_in(rp: RelyingParty, **changes: Any) -> bool:
    return 'id="login-form"' in rp.follow(rp.authorize(**changes)).text


def error(rp: RelyingParty, **changes: Any) -> str:
    return rp.answer(rp.authorize(**changes)).get("error", "")


def test_prompt_none_answers_only_where_somebody_is_logged_in(rp: RelyingParty, anna: str) -> None:
    assert error(rp, prompt="none") == "login_required"
    first = claims_of(rp.tokens())
    silent = claims_of(rp.exchange(rp.answer(rp.authorize(prompt="none"))["code"]))
    assert (silent["sub"], silent["sid"], silent["auth_time"]) == (anna, first["sid"], first["auth_time"])


def test_prompt_login_asks_again_and_says_when(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str
) -> None:
    first = claims_of(rp.tokens())
    clock.shift(10)
    assert asks_to_log_in(rp, prompt="login")
    again = claims_of(rp.tokens(prompt="login"))
    assert again["auth_time"] == first["auth_time"] + 10
    assert again["sid"] == first["sid"]  # the same person's session goes on
    assert rp.userinfo(rp.tokens().access_token).status_code == 200


def test_a_reload_after_prompt_login_does_not_pass_without_the_login(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str
) -> None:
    rp.code()
    clock.shift(10)
    page = rp.follow(rp.authorize(prompt="login"))
    uid = page.request.path.split("/")[2]
    resumed = rp.follow(rp.browser.get(f"/authorize/{uid}", base_url="https://login.example.se"))
    assert 'id="login-form"' in resumed.text


def test_select_account_lets_another_person_log_in(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str, bertil: str
) -> None:
    tokens = rp.tokens()
    clock.shift(10)
    page = rp.follow(rp.authorize(prompt="select_account"))
    answer = rp.answer(rp.follow(rp.submit(page, email="bertil@example.se", password=PASSWORD)))
    assert claims_of(rp.exchange(answer["code"]))["sub"] == bertil
    assert rp.userinfo(tokens.access_token).status_code == 401  # Anna's session here is over


@pytest.mark.parametrize("max_age", ["0", "59"])
def test_a_login_older_than_max_age_is_made_again(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str, max_age: str
) -> None:
    before = claims_of(rp.tokens())["auth_time"]
    clock.shift(60)
    assert error(rp, max_age=max_age, prompt="none") == "login_required"
    assert asks_to_log_in(rp, max_age=max_age)
    assert claims_of(rp.tokens(max_age=max_age))["auth_time"] == before + 60


def test_a_login_within_max_age_counts(clock: time_machine.Traveller, rp: RelyingParty, anna: str) -> None:
    before = claims_of(rp.tokens())["auth_time"]
    clock.shift(60)
    for max_age in ("60", "10000", "999999999"):
        code = rp.answer(rp.authorize(max_age=max_age, prompt="none"))["code"]
        assert claims_of(rp.exchange(code))["auth_time"] == before


def test_max_age_zero_in_a_fresh_browser_is_one_login(rp: RelyingParty, anna: str) -> None:
    assert claims_of(rp.tokens(max_age="0"))["sub"] == anna


def test_a_clients_default_max_age_counts(
    clock: time_machine.Traveller, app: Flask, browser: FlaskClient, anna: str
) -> None:
    strict = RelyingParty(app, browser, "strict", "https://strict.example.se/cb")
    strict.code()
    clock.shift(31)
    assert error(strict, prompt="none") == "login_required"
    assert "code" in strict.answer(strict.authorize(prompt="none", max_age="31"))


def test_the_right_persons_hint_is_met(rp: RelyingParty, anna: str) -> None:
    hint = rp.tokens().id_token
    assert "code" in rp.answer(rp.authorize(prompt="none", id_token_hint=hint))


def test_an_expired_hint_still_names_the_person(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str
) -> None:
    hint = rp.tokens().id_token
    clock.shift(3500)  # the ID token lived for five minutes, the session goes on
    assert "code" in rp.answer(rp.authorize(prompt="none", id_token_hint=hint))


@pytest.mark.parametrize("client_id", ["portal", "pairwise"])
def test_a_hint_outlives_its_session(
    clock: time_machine.Traveller, app: Flask, anna: str, bertil: str, client_id: str
) -> None:
    rp = RelyingParty(app, app.test_client(), client_id)
    hint = rp.tokens().id_token
    with app.app_context():
        db.session.execute(sa.delete(Grant))
        db.session.execute(sa.delete(BrowserSession))  # as the purge does in time
        db.session.commit()
    assert error(rp, prompt="none", id_token_hint=hint) == "login_required"  # nobody is logged in
    assert claims_of(rp.tokens(id_token_hint=hint))["sub"] == claims_in(hint)["sub"]
    assert "code" in rp.answer(rp.authorize(prompt="none", id_token_hint=hint))
    other = RelyingParty(app, app.test_client(), client_id)
    other.code(email="bertil@example.se")
    assert error(other, prompt="none", id_token_hint=hint) == "login_required"


def test_another_persons_hint_asks_for_that_person(
    rp: RelyingParty, app: Flask, anna: str, bertil: str
) -> None:
    elsewhere = RelyingParty(app, app.test_client())
    hint = elsewhere.exchange(elsewhere.code(email="bertil@example.se")).id_token
    rp.code()
    assert error(rp, prompt="none", id_token_hint=hint) == "login_required"
    page = rp.follow(rp.authorize(id_token_hint=hint))
    refused = rp.submit(page, email="anna@example.se", password=PASSWORD)
    assert refused.status_code == 403
    assert 'id="login-error"' in refused.text
    answer = rp.answer(rp.follow(rp.submit(page, email="bertil@example.se", password=PASSWORD)))
    assert claims_of(rp.exchange(answer["code"]))["sub"] == bertil


def test_a_hint_that_is_not_ours_for_this_client_is_refused(
    rp: RelyingParty, app: Flask, browser: FlaskClient, anna: str, subtests: pytest.Subtests
) -> None:
    hint = rp.tokens().id_token
    others = RelyingParty(app, browser, "other", "https://other.example.se/cb").tokens().id_token
    header, payload, signature = hint.split(".")
    unsigned = base64url(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    cases = {
        "another client's": others,
        "payload of another": f"{header}.{others.split('.')[1]}.{signature}",
        "signature cut": f"{header}.{payload}.{signature[:-4]}",
        "no signature": f"{header}.{payload}.",
        "alg none": f"{unsigned}.{payload}.",
        "two parts": f"{header}.{payload}",
        "no token": "anna@example.se",
        "not ASCII": "å.ä.ö",
    }
    assert "code" in rp.answer(rp.authorize(prompt="none", id_token_hint=hint))
    for name, value in cases.items():
        with subtests.test(name):
            assert error(rp, prompt="none", id_token_hint=value) == "invalid_request"


def test_the_hint_of_somebody_disabled_is_login_required(rp: RelyingParty, app: Flask, anna: str) -> None:
    hint = rp.tokens().id_token
    with app.app_context():
        user = accounts.find_by_email("anna@example.se")
        assert user is not None
        accounts.disable(user.id, now=utcnow())
    assert error(rp, id_token_hint=hint) == "login_required"


def test_acr_values_known_and_unknown(rp: RelyingParty, anna: str) -> None:
    for asked in (ACR, f"urn:unknown {ACR}", "urn:unknown"):
        assert claims_of(rp.tokens(acr_values=asked))["acr"] == ACR


def test_an_idle_or_old_session_is_no_login(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str
) -> None:
    rp.code()
    for _ in range(11):  # in use, 54 minutes apart, for nearly ten hours
        clock.shift(54 * 60)
        assert "code" in rp.answer(rp.authorize(prompt="none"))
    clock.shift(6 * 60)
    assert error(rp, prompt="none") == "login_required"
    rp.code()
    clock.shift(61 * 60)
    assert error(rp, prompt="none") == "login_required"


def test_prompt_none_is_answered_without_any_page(rp: RelyingParty) -> None:
    for changes in ({}, {"max_age": "0"}, {"acr_values": ACR}, {"response_mode": "query"}):
        response = rp.authorize(prompt="none", **changes)
        assert response.status_code == 303
        assert response.headers["Location"].startswith("https://portal.example.se/cb?error=login_required")
