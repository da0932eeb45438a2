"""The userinfo endpoint gives a valid token's holder the granted claims (OIDC Core §5.3, RFC 6750)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
import yaml
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.clock import utcnow
from idp.db import db
from idp.oidc.provider import PROVIDER
from idp.users import accounts
from idp.users.models import User
from tests.factories import PASSWORD, make_user
from tests.fakes.relying_party import HTTPS, RelyingParty

FORM = "application/x-www-form-urlencoded"
CHALLENGE = 'Bearer realm="https://login.example.se"'
on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def is_refused(answer: TestResponse) -> bool:
    return (
        answer.status_code == 401
        and answer.headers["WWW-Authenticate"].startswith(f'{CHALLENGE}, error="invalid_token"')
        and answer.get_json()["error"] == "invalid_token"
        and answer.headers["Cache-Control"] == "no-store"
    )


def test_the_token_goes_in_the_header_or_the_form(rp: RelyingParty, browser: FlaskClient, anna: str) -> None:
    token = rp.tokens().access_token
    answers = [
        browser.get("/userinfo", headers=bearer(token), **HTTPS),
        browser.post("/userinfo", headers=bearer(token), **HTTPS),
        browser.post("/userinfo", data={"access_token": token}, **HTTPS),
        browser.get("/userinfo", headers={"Authorization": f"bearer {token}"}, **HTTPS),  # RFC 9110 §11.1
    ]
    for answer in answers:
        assert (answer.status_code, answer.get_json()["sub"]) == (200, anna)
        assert answer.content_type == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_request_with_one_thing_changed_gets_no_claims(
    rp: RelyingParty, browser: FlaskClient, anna: str, subtests: pytest.Subtests
) -> None:
    token = rp.tokens().access_token
    twice = f"access_token={token}&access_token={token}"

    def post(body: object, **more: Any) -> TestResponse:
        return browser.post("/userinfo", data=body, **more, **HTTPS)

    def get(headers: dict[str, str]) -> TestResponse:
        return browser.get("/userinfo", headers=headers, **HTTPS)

    cases: dict[str, tuple[TestResponse, int, str | None]] = {
        "nothing": (browser.get("/userinfo", **HTTPS), 401, None),
        "Basic": (get({"Authorization": f"Basic {token}"}), 401, None),
        "no scheme": (get({"Authorization": token}), 401, None),
        "Bearer alone": (get({"Authorization": "Bearer"}), 401, None),
        "form by GET": (browser.get("/userinfo", data={"access_token": token}, **HTTPS), 401, None),
        "JSON": (browser.post("/userinfo", json={"access_token": token}, **HTTPS), 401, None),
        "query": (browser.get(f"/userinfo?access_token={token}", **HTTPS), 400, "invalid_request"),
        "query and header": (
            browser.get(f"/userinfo?access_token={token}", headers=bearer(token), **HTTPS),
            400,
            "invalid_request",
        ),
        "header and form": (post({"access_token": token}, headers=bearer(token)), 400, "invalid_request"),
        "form twice": (post(twice, content_type=FORM), 400, "invalid_request"),
        "too large": (post({"access_token": token, "x": "y" * 100_000}), 413, "invalid_request"),
        "cut": (get(bearer(token[:-1])), 401, "invalid_token"),
        "longer": (get(bearer(token + "A")), 401, "invalid_token"),
        "another case": (get(bearer(token.swapcase())), 401, "invalid_token"),
        "not ASCII": (get(bearer("å" * 43)), 401, "invalid_token"),
        "NUL": (post({"access_token": token + "\x00"}), 401, "invalid_token"),
        "a code": (get(bearer(rp.code())), 401, "invalid_token"),
        "an ID token": (get(bearer(rp.tokens().id_token)), 401, "invalid_token"),
    }
    for name, (answer, status, error) in cases.items():
        with subtests.test(name):
            assert answer.status_code == status
            assert (answer.get_json() or {}).get("error") == error
            assert "sub" not in (answer.get_json() or {})
            assert answer.headers["Cache-Control"] == "no-store"
            if status == 401:
                challenge = answer.headers["WWW-Authenticate"]
                assert challenge.startswith(CHALLENGE)
                assert ("error=" in challenge) is (error is not None)


@on_sqlite_only
def test_methods_but_get_and_post_are_refused(browser: FlaskClient) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        answer = browser.open("/userinfo", method=method, **HTTPS)
        assert answer.status_code == 405
        assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize(
    ("scope", "claims"),
    [
        ("openid", {"sub"}),
        ("openid email", {"sub", "email", "email_verified"}),
        (
            "openid profile",
            {"sub", "name", "given_name", "family_name", "preferred_username", "locale", "updated_at"},
        ),
        ("openid phone", {"sub"}),  # Anna has none: left out, not empty
        ("openid unknown", {"sub"}),
    ],
)
@on_sqlite_only
def test_each_scope_releases_its_claims(rp: RelyingParty, anna: str, scope: str, claims: set[str]) -> None:
    assert set(rp.userinfo(rp.tokens(scope=scope).access_token).get_json()) == claims


def test_claims_are_the_accounts_as_it_is_now(rp: RelyingParty, app: Flask, anna: str) -> None:
    token = rp.tokens(scope="openid profile email phone").access_token
    with app.app_context():
        user = db.session.scalars(sa.select(User)).one()
        user.phone, user.name, user.email_verified_at = "+46703032203", "Anna Maria Åsén", utcnow()
        user.locale, moment = "en", int(user.updated_at.timestamp())
        db.session.commit()
    assert rp.userinfo(token).get_json() == {
        "sub": anna,
        "name": "Anna Maria Åsén",
        "given_name": "Anna Maria",
        "family_name": "Åsén",
        "preferred_username": "anna@example.se",
        "locale": "en",
        "updated_at": moment,
        "email": "anna@example.se",
        "email_verified": True,
        "phone_number": "+46703032203",
        "phone_number_verified": False,
    }


def test_a_name_of_one_word_is_neither_given_nor_family(rp: RelyingParty, app: Flask) -> None:
    with app.app_context():
        make_user(email="cher@example.se", name="Cher")
    tokens = rp.exchange(rp.code(email="cher@example.se"))
    claims = rp.userinfo(tokens.access_token).get_json()
    assert claims["name"] == "Cher"
    assert not claims.keys() & {"given_name", "family_name"}


def test_a_token_lives_ten_minutes(clock: time_machine.Traveller, rp: RelyingParty, anna: str) -> None:
    token = rp.tokens().access_token
    clock.shift(599)
    assert rp.userinfo(token).status_code == 200
    clock.shift(1)
    assert is_refused(rp.userinfo(token))


def disable(app: Flask, _rp: RelyingParty, _file: Path) -> None:
    with app.app_context():
        user = accounts.find_by_email("anna@example.se")
        assert user is not None
        accounts.disable(user.id, now=utcnow())


def log_out(_app: Flask, rp: RelyingParty, _file: Path) -> None:
    page = rp.browser.get("/logout", **HTTPS)
    assert rp.submit(page).status_code == 200


def remove_the_client(app: Flask, _rp: RelyingParty, file: Path) -> None:
    content = yaml.safe_load(file.read_text())
    del content["clients"]["portal"]
    file.write_text(yaml.safe_dump(content))
    PROVIDER.of(app).clients.refresh()


def log_in_as_another(app: Flask, rp: RelyingParty, _file: Path) -> None:
    with app.app_context():
        make_user(email="bertil@example.se", name="Bertil Ek")
    page = rp.follow(rp.browser.get("/login/password", **HTTPS))
    assert rp.submit(page, email="bertil@example.se", password=PASSWORD).status_code == 303


@pytest.mark.parametrize("what_happens", [disable, log_out, remove_the_client, log_in_as_another])
def test_a_token_dies_with_what_it_came_from(
    app: Flask,
    rp: RelyingParty,
    clients_file: Path,
    anna: str,
    what_happens: Callable[[Flask, RelyingParty, Path], None],
) -> None:
    token = rp.tokens().access_token
    assert rp.userinfo(token).status_code == 200
    what_happens(app, rp, clients_file)
    assert is_refused(rp.userinfo(token))


def test_a_token_of_somebody_disabled_stays_dead_when_they_are_enabled(
    rp: RelyingParty, app: Flask, anna: str, clients_file: Path
) -> None:
    token = rp.tokens().access_token
    disable(app, rp, clients_file)
    with app.app_context():
        user = accounts.find_by_email("anna@example.se")
        assert user is not None
        accounts.enable(user.id, now=utcnow())
    assert is_refused(rp.userinfo(token))


def test_a_code_of_somebody_disabled_gives_nothing(
    rp: RelyingParty, app: Flask, anna: str, clients_file: Path
) -> None:
    code = rp.code()
    disable(app, rp, clients_file)
    assert rp.exchange(code).error == "invalid_grant"
