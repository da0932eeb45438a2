"""Ends of what a refresh token came from end it, or take some of its scope."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask

from idp.clock import utcnow
from idp.db import db
from idp.login import sessions
from idp.oidc.provider import PROVIDER
from idp.users import accounts
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.oidc.tokens.refresh.refreshing import (
    SCOPE,
    access_tokens,
    log_in,
    log_out,
    on_sqlite_only,
)


def test_logout_ends_what_was_granted_without_offline_access_alone(rp: RelyingParty, anna: str) -> None:
    offline, plain = log_in(rp), log_in(rp, scope="openid")
    log_out(rp)
    assert rp.userinfo(plain.access_token).status_code == 401
    assert rp.refresh(offline.refresh_token).status == 200


def test_a_password_changed_in_another_session_ends_the_refresh_token(
    app: Flask, rp: RelyingParty, anna: str
) -> None:
    elsewhere = RelyingParty(app, app.test_client())
    lost, own = log_in(elsewhere), log_in(rp)
    page = rp.browser.get("/account", **HTTPS)
    form = page.text.split('id="account-form"')[1].split("</form>")[0]
    fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form))
    new = "gröna hästar äter sena äpplen"
    saved = rp.browser.post(
        "/account", data={**fields, "locale": "sv", "password": new, "confirm": new}, **HTTPS
    )
    assert saved.status_code == 303
    assert elsewhere.refresh(lost.refresh_token).error == "invalid_grant"
    assert rp.refresh(own.refresh_token).status == 200, "what this session led to goes on"


def disable(app: Flask, _file: Path) -> None:
    with app.app_context():
        user = accounts.find_by_email("anna@example.se")
        assert user is not None
        accounts.disable(user.id, now=utcnow())


def disable_and_enable(app: Flask, file: Path) -> None:
    disable(app, file)
    with app.app_context():
        user = accounts.find_by_email("anna@example.se")
        assert user is not None
        accounts.enable(user.id, now=utcnow())


def choose_a_new_password(app: Flask, _file: Path) -> None:
    """What a reset does when it is through; the reset itself is tested with its links."""
    with app.app_context():
        user = accounts.find_by_email("anna@example.se")
        assert user is not None
        sessions.end_all_of(user.id, now=utcnow(), reason="password changed")
        db.session.commit()


def change_entry(app: Flask, file: Path, client_id: str = "portal", **changes: Any) -> None:
    content = yaml.safe_load(file.read_text())
    content["clients"][client_id].update(changes)
    file.write_text(yaml.safe_dump(content))
    PROVIDER.of(app).clients.refresh()


def remove_the_client(app: Flask, file: Path) -> None:
    content = yaml.safe_load(file.read_text())
    del content["clients"]["portal"]
    file.write_text(yaml.safe_dump(content))
    PROVIDER.of(app).clients.refresh()


def take_the_grant_type(app: Flask, file: Path) -> None:
    change_entry(app, file, grant_types=["authorization_code"])


def take_the_scope(app: Flask, file: Path) -> None:
    change_entry(app, file, scope="openid profile")


def take_the_company(app: Flask, file: Path) -> None:
    change_entry(app, file, companies=["Annan AB"])


def take_the_login_method(app: Flask, file: Path) -> None:
    change_entry(app, file, login_methods=["bankid"])


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    ("what_happens", "error"),
    [
        (disable, "invalid_grant"),
        (disable_and_enable, "invalid_grant"),
        (choose_a_new_password, "invalid_grant"),
        (remove_the_client, "invalid_client"),
        (take_the_grant_type, "unauthorized_client"),
        (take_the_scope, "invalid_grant"),
        (take_the_company, "invalid_grant"),
        (take_the_login_method, "invalid_grant"),
    ],
)
def test_a_refresh_token_dies_with_what_it_came_from(
    app: Flask,
    rp: RelyingParty,
    clients_file: Path,
    what_happens: Callable[[Flask, Path], None],
    error: str,
) -> None:
    tokens = log_in(rp)
    assert rp.refresh(tokens.refresh_token).status == 200
    what_happens(app, clients_file)
    before = access_tokens(app)
    assert rp.refresh(tokens.refresh_token).error == error
    assert access_tokens(app) == before


@on_sqlite_only
@pytest.mark.parametrize("what_happens", [take_the_company, take_the_login_method])
def test_a_code_dies_with_what_it_came_from(
    app: Flask, rp: RelyingParty, clients_file: Path, anna: str, what_happens: Callable[[Flask, Path], None]
) -> None:
    assert rp.exchange(rp.code()).status == 200
    code = rp.code()
    what_happens(app, clients_file)
    assert rp.exchange(code).error == "invalid_grant"


@on_sqlite_only
def test_a_scope_that_the_entry_lost_is_not_in_what_a_code_gives(
    app: Flask, rp: RelyingParty, clients_file: Path, anna: str
) -> None:
    first = rp.tokens(scope="openid profile email")
    code = rp.code(scope="openid profile email")
    change_entry(app, clients_file, scope="openid email offline_access")
    answer = rp.exchange(code)
    assert answer.body["scope"] == "openid email"
    for token in (first.access_token, answer.access_token):
        assert rp.introspect(token).get_json()["scope"] == "openid email"


@on_sqlite_only
def test_a_scope_that_the_entry_lost_is_left_out(
    app: Flask, rp: RelyingParty, clients_file: Path, anna: str
) -> None:
    token = log_in(rp).refresh_token
    change_entry(app, clients_file, scope="openid email offline_access")
    answer = rp.refresh(token)
    assert answer.body["scope"] == "openid email offline_access"
    assert "name" not in rp.userinfo(answer.access_token).get_json()
    assert rp.refresh(token, scope="openid profile").error == "invalid_scope"


def test_a_replayed_code_ends_the_refresh_token(rp: RelyingParty, anna: str) -> None:
    code = rp.code(scope=SCOPE)
    token = rp.exchange(code).refresh_token
    assert rp.exchange(code).error == "invalid_grant"
    assert rp.refresh(token).error == "invalid_grant"
