"""Refresh tokens: who gets one, what it gives, how it rotates, what ends it (RFC 6749 §6, RFC 9700 §4.14)."""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
import yaml
from flask import Flask

from idp.audit import Event, newest
from idp.bankid.method import REFRESH_IDLE as BANKID_REFRESH_IDLE
from idp.clock import utcnow
from idp.db import db
from idp.login import sessions
from idp.oidc.models import AccessToken, Grant, RefreshToken
from idp.oidc.provider import PROVIDER
from idp.oidc.tokens import refresh
from idp.oidc.tokens.refresh import Presented
from idp.tokens import sha256_hex
from idp.users import accounts
from tests.factories import SECRET, make_client, make_public_client
from tests.fakes.relying_party import HTTPS, RelyingParty, Tokens

SCOPE = "openid profile email offline_access"
GRANTS = ["authorization_code", "refresh_token"]
DAY = 24 * 3600
on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    offline = {"scope": SCOPE, "grant_types": GRANTS}
    return {
        "portal": make_client(**offline),
        "other": make_client(**offline),
        "strict": make_client(**offline, redirect_uris=["https://strict.example.se/cb"], consent="explicit"),
        "spa": make_public_client(**offline, redirect_uris=["https://spa.example.se/cb"]),
        "spa2": make_public_client(**offline, redirect_uris=["https://spa2.example.se/cb"]),
        "bare": make_client(scope=SCOPE, redirect_uris=["https://bare.example.se/cb"]),
        "brief": make_client(
            **offline,
            redirect_uris=["https://brief.example.se/cb"],
            refresh_token_idle_minutes=10,
            refresh_token_hours=1,
        ),
    }


@pytest.fixture
def spa(app: Flask) -> RelyingParty:
    return RelyingParty(app, app.test_client(), "spa", "https://spa.example.se/cb", None)


def log_in(rp: RelyingParty, **changes: Any) -> Tokens:
    return rp.tokens(**{"scope": SCOPE, **changes})


def claims_of(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def access_tokens(app: Flask) -> list[tuple[str, str]]:
    """Hash and scope of each that is stored, in order."""
    with app.app_context():
        rows = db.session.execute(sa.select(AccessToken.token_hash, AccessToken.scope))
        return sorted((row.token_hash, row.scope) for row in rows)


def log_out(rp: RelyingParty) -> None:
    page = rp.browser.get("/logout", **HTTPS)
    assert rp.submit(page).status_code == 200


def test_only_offline_access_and_the_grant_type_give_a_refresh_token(
    rp: RelyingParty, app: Flask, anna: str
) -> None:
    assert log_in(rp).refresh_token
    assert "refresh_token" not in log_in(rp, scope="openid profile").body
    bare = RelyingParty(app, rp.browser, "bare", "https://bare.example.se/cb")
    answer = log_in(bare)
    assert "refresh_token" not in answer.body
    assert answer.body["scope"] == "openid profile email"
    assert bare.refresh(log_in(rp).refresh_token).error == "unauthorized_client"


def test_consent_covers_offline_access(app: Flask, anna: str) -> None:
    strict = RelyingParty(app, app.test_client(), "strict", "https://strict.example.se/cb")
    page = strict.log_in(scope=SCOPE)
    assert "consent-allow" in page.text
    code = strict.answer(strict.follow(strict.submit(page, answer="allow")))["code"]
    assert strict.exchange(code).refresh_token
    assert log_in(strict).refresh_token  # remembered


def test_the_answer_to_a_confidential_client(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str
) -> None:
    first = log_in(rp)
    clock.shift(3600)
    second = rp.refresh(first.refresh_token)
    assert set(second.body) == {
        *("access_token", "token_type", "expires_in", "scope", "id_token", "refresh_token"),
    }
    assert second.refresh_token == first.refresh_token  # it does not rotate
    assert second.access_token != first.access_token
    assert second.headers["Cache-Control"] == "no-store"
    assert rp.userinfo(second.access_token).get_json()["email"] == "anna@example.se"
    assert rp.refresh(first.refresh_token).status == 200


def test_the_id_token_tells_of_the_same_login(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str
) -> None:
    first = log_in(rp)
    clock.shift(3600)
    again = rp.refresh(first.refresh_token)
    before, after = claims_of(first.id_token), claims_of(again.id_token)
    for name in ("iss", "sub", "aud", "auth_time", "acr", "amr", "sid"):
        assert before[name] == after[name]
    assert after["iat"] == before["iat"] + 3600
    assert after["exp"] == after["iat"] + 300
    assert after["at_hash"] != before["at_hash"]
    assert "nonce" in before
    assert "nonce" not in after  # OIDC Core §12.2


def test_a_refresh_with_one_thing_wrong_is_refused(
    rp: RelyingParty, app: Flask, anna: str, subtests: pytest.Subtests
) -> None:
    tokens = log_in(rp)
    token = tokens.refresh_token
    before = access_tokens(app)
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "no token": ({"refresh_token": None}, "invalid_request"),
        "empty token": ({"refresh_token": ""}, "invalid_request"),
        "unknown token": ({"refresh_token": "x" * 43}, "invalid_grant"),
        "cut token": ({"refresh_token": token[:-1]}, "invalid_grant"),
        "longer token": ({"refresh_token": token + "A"}, "invalid_grant"),
        "another case": ({"refresh_token": token.swapcase()}, "invalid_grant"),
        "not ASCII": ({"refresh_token": "å" * 43}, "invalid_grant"),
        "long": ({"refresh_token": "x" * 20_000}, "invalid_grant"),
        "NUL": ({"refresh_token": token + "\x00"}, "invalid_request"),
        "its hash": ({"refresh_token": sha256_hex(token)}, "invalid_grant"),
        "an access token": ({"refresh_token": tokens.access_token}, "invalid_grant"),
        "an ID token": ({"refresh_token": tokens.id_token}, "invalid_grant"),
        "a code": ({"refresh_token": rp.code(scope=SCOPE)}, "invalid_grant"),
        "another client": ({"basic": ("other", SECRET)}, "invalid_grant"),
        "wrong secret": ({"basic": ("portal", "wrong")}, "invalid_client"),
        "no client": ({"basic": None}, "invalid_client"),
        "wider scope": ({"scope": SCOPE + " phone"}, "invalid_scope"),
        "unknown scope": ({"scope": "openid secrets"}, "invalid_scope"),
        "as a code": ({"grant_type": "authorization_code"}, "invalid_request"),
    }
    for name, (changes, error) in cases.items():
        with subtests.test(name):
            answer = rp.refresh(**{"refresh_token": token, **changes})
            assert (answer.status, answer.error) == (401 if error == "invalid_client" else 400, error)
            assert set(answer.body) == {"error", "error_description"}
            assert answer.body["error_description"].isascii()
            assert access_tokens(app) == before, "one that nobody is told is not kept"
    assert rp.refresh(token).status == 200  # none of them spent or ended it


@on_sqlite_only
def test_a_doubled_parameter_is_refused(rp: RelyingParty, app: Flask, anna: str) -> None:
    token = log_in(rp).refresh_token
    body = f"grant_type=refresh_token&refresh_token={token}&refresh_token={token}"
    form = "application/x-www-form-urlencoded"
    answer = app.test_client().post("/token", data=body, content_type=form, **HTTPS)
    assert answer.get_json()["error"] == "invalid_request"


def test_the_scope_may_be_narrowed_for_one_answer(rp: RelyingParty, app: Flask, anna: str) -> None:
    token = log_in(rp).refresh_token
    narrow = rp.refresh(token, scope="openid")
    assert narrow.body["scope"] == "openid"
    assert (sha256_hex(narrow.access_token), "openid") in access_tokens(app)
    assert rp.introspect(narrow.access_token).get_json()["scope"] == "openid"
    assert set(rp.userinfo(narrow.access_token).get_json()) == {"sub"}
    bare = rp.refresh(token, scope="email")
    assert "id_token" not in bare.body
    refused = rp.userinfo(bare.access_token)
    assert (refused.status_code, refused.get_json()["error"]) == (403, "insufficient_scope")
    assert rp.refresh(token).body["scope"] == SCOPE


# Rotation


def test_a_public_clients_token_rotates(spa: RelyingParty, anna: str) -> None:
    first = log_in(spa)
    second = spa.refresh(first.refresh_token)
    third = spa.refresh(second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert [tokens.status for tokens in (second, third)] == [200, 200]
    assert spa.userinfo(third.access_token).status_code == 200


def test_a_lost_answer_is_given_again_for_thirty_seconds(
    clock: time_machine.Traveller, spa: RelyingParty, app: Flask, anna: str
) -> None:
    first = log_in(spa)
    lost = spa.refresh(first.refresh_token)
    clock.shift(29)
    again = spa.refresh(first.refresh_token)
    assert again.refresh_token == lost.refresh_token
    assert again.access_token != lost.access_token
    assert spa.refresh(again.refresh_token).status == 200
    with app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(RefreshToken)) == 3


@pytest.mark.parametrize("how", ["late", "after its successor"])
def test_reuse_ends_the_family(
    clock: time_machine.Traveller, spa: RelyingParty, app: Flask, anna: str, how: str
) -> None:
    bystander = log_in(spa)
    first = log_in(spa)
    newest_tokens = spa.refresh(first.refresh_token)
    if how == "late":
        clock.shift(30)
    else:
        newest_tokens = spa.refresh(newest_tokens.refresh_token)
    before = access_tokens(app)
    assert spa.refresh(first.refresh_token).error == "invalid_grant"
    assert spa.refresh(newest_tokens.refresh_token).error == "invalid_grant"
    assert access_tokens(app) == before
    assert spa.userinfo(newest_tokens.access_token).status_code == 401
    assert spa.refresh(bystander.refresh_token).status == 200
    with app.app_context():
        [row] = newest(10, event=Event.REFRESH_TOKEN_REUSED)
        assert (row.client_id, row.actor, row.detail) == ("spa", "client", {})


def test_another_client_can_neither_use_nor_end_a_rotated_token(
    clock: time_machine.Traveller, spa: RelyingParty, app: Flask, anna: str
) -> None:
    first = log_in(spa)
    second = spa.refresh(first.refresh_token)
    clock.shift(60)
    assert spa.refresh(first.refresh_token, client_id="spa2").error == "invalid_grant"
    assert spa.refresh(second.refresh_token).status == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_one_of_parallel_refreshes_rotates_and_all_get_the_same_token(
    spa: RelyingParty, app: Flask, anna: str
) -> None:
    token = log_in(spa).refresh_token
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(spa.refresh, [token] * 16))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.refresh_token for answer in answers}) == 1
    assert len({answer.access_token for answer in answers}) == 16
    with app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(RefreshToken)) == 2
    assert spa.refresh(answers[0].refresh_token).status == 200


def test_a_token_used_between_read_and_claim_is_read_again(
    clock: time_machine.Traveller,
    rp: RelyingParty,
    app: Flask,
    anna: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here by a worker that still has the client as a public one: its first look finds the token unused."""
    token = log_in(rp).refresh_token
    use, answers = refresh.rotate_or_extend, []

    def late(presented: Presented, **values: Any) -> tuple[str, str] | None:
        if not answers:
            answers.append(use(presented_elsewhere(presented), **{**values, "rotate": True}))
        answers.append(use(presented, **values))
        return answers[-1]

    def presented_elsewhere(presented: Presented) -> Presented:
        return replace(presented, secret="of another request")

    monkeypatch.setattr(refresh, "rotate_or_extend", late)
    clock.shift(120)  # its end moves
    before = access_tokens(app)
    answer = rp.refresh(token)
    elsewhere, first, second = answers
    assert elsewhere is not None
    assert first is None
    assert second == (answer.access_token, answer.refresh_token)
    assert answer.refresh_token == elsewhere[1], "as to anybody whose answer got lost"
    [stored] = set(access_tokens(app)) - set(before)
    assert stored[0] == sha256_hex(answer.access_token)


def test_tokens_are_stored_as_hashes(spa: RelyingParty, app: Flask, anna: str) -> None:
    tokens = spa.refresh(log_in(spa).refresh_token)
    with app.app_context():
        stored = [str(tuple(row)) for row in db.session.execute(sa.text("SELECT * FROM refresh_tokens"))]
        hashes = set(db.session.scalars(sa.select(RefreshToken.token_hash)))
    assert sha256_hex(tokens.refresh_token) in hashes
    assert tokens.refresh_token not in "".join(stored)


# Lifetimes


@pytest.mark.parametrize(("client_id", "limits"), [("portal", (30 * DAY, 180 * DAY)), ("brief", (600, 3600))])
def test_a_refresh_token_has_idle_and_absolute_limits(
    clock: time_machine.Traveller, app: Flask, anna: str, client_id: str, limits: tuple[int, int]
) -> None:
    idle, absolute = limits
    rp = RelyingParty(app, app.test_client(), client_id, f"https://{client_id}.example.se/cb")
    token = log_in(rp).refresh_token
    clock.shift(idle)
    before = access_tokens(app)
    assert rp.refresh(token).error == "invalid_grant"
    assert access_tokens(app) == before
    token = log_in(rp, prompt="login").refresh_token
    for _ in range(absolute // idle * 2 - 1):
        clock.shift(idle / 2)
        assert rp.refresh(token).status == 200
    clock.shift(idle / 2)
    assert rp.refresh(token).error == "invalid_grant"


def test_a_use_is_noted_when_it_moves_the_end_enough(
    clock: time_machine.Traveller, app: Flask, anna: str, clients_file: Path
) -> None:
    """By a sixtieth of the idle limit: what a use right after another would write is not worth its cost."""
    rp = RelyingParty(app, app.test_client(), "brief", "https://brief.example.se/cb")
    token = log_in(rp).refresh_token

    def seconds_left() -> float:
        with app.app_context():
            end = db.session.scalars(sa.select(RefreshToken.expires_at)).one()
            return (end - utcnow()).total_seconds()

    for passed, left in ((9, 591), (1, 600), (9, 591), (590, 600)):
        clock.shift(passed)
        answer = rp.refresh(token)
        assert (answer.status, answer.refresh_token) == (200, token)
        assert rp.userinfo(answer.access_token).status_code == 200
        assert seconds_left() == pytest.approx(left, abs=0.5)
    change_entry(app, clients_file, "brief", refresh_token_idle_minutes=5)
    assert rp.refresh(token).status == 200
    assert seconds_left() == pytest.approx(300, abs=0.5), "a limit that was made shorter holds at once"


def test_rotation_does_not_lengthen_the_absolute_limit(
    clock: time_machine.Traveller, spa: RelyingParty, anna: str
) -> None:
    token = log_in(spa).refresh_token
    for _ in range(7):
        clock.shift(25 * DAY)
        token = spa.refresh(token).refresh_token
    clock.shift(5 * DAY)
    assert spa.refresh(token).error == "invalid_grant"


def test_a_refresh_token_after_bankid_lies_idle_for_two_hours_at_most(
    clock: time_machine.Traveller, rp: RelyingParty, app: Flask, anna: str, clients_file: Path
) -> None:
    code = rp.code(scope=SCOPE)
    change_entry(app, clients_file, login_methods=["bankid", "password"])
    with app.app_context():
        db.session.execute(sa.update(Grant).values(method="bankid"))
        db.session.commit()
    token = rp.exchange(code).refresh_token
    for _ in range(3):
        clock.shift(BANKID_REFRESH_IDLE.total_seconds() - 1)
        assert rp.refresh(token).status == 200
    clock.shift(BANKID_REFRESH_IDLE.total_seconds())
    assert rp.refresh(token).error == "invalid_grant"


# What ends it, and what does not


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
