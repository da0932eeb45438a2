"""Limits slow guessing down, and lock nobody out of the browser they use."""

import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from time_machine import Traveller

from idp import audit
from idp.app import create_app
from idp.config import Settings
from idp.db import db
from idp.password.hashing import HASHER
from idp.ratelimit import LIMITER
from tests.factories import PASSWORD, make_user
from tests.fakes.hash_work import count_hashes
from tests.integration.web.limits.visitor import MINUTE, Visitor


def test_an_account_takes_so_many_wrong_passwords(app: Flask, anna: str, clock: Traveller) -> None:
    visitor = Visitor(app)
    assert visitor.guesses(5) == [401, 401, 401, 429, 429]
    limited = visitor.tries(PASSWORD)
    assert limited.status_code == 429, "the right one is not acknowledged either"
    assert limited.headers["Retry-After"] == str(15 * MINUTE)
    assert "Det har gjorts för många inloggningsförsök." in limited.text
    assert "Vänta 15 minuter och försök sedan igen." in limited.text
    assert 'id="login-form"' in limited.text
    clock.shift(15 * MINUTE + 1)
    assert visitor.tries(PASSWORD).status_code == 303


def test_the_wait_told_is_what_is_left(app: Flask, anna: str, clock: Traveller) -> None:
    visitor = Visitor(app)
    for _ in range(3):
        assert visitor.tries("fel").status_code == 401
        clock.shift(60)
    limited = visitor.tries("fel")
    assert limited.headers["Retry-After"] == str(12 * MINUTE)
    clock.shift(11 * MINUTE + 30)
    limited = visitor.tries("fel")
    assert limited.headers["Retry-After"] == "30"
    assert "Vänta 30 sekunder och försök sedan igen." in limited.text


def test_the_limit_of_an_unknown_account_is_that_of_a_known_one(app: Flask, anna: str) -> None:
    assert Visitor(app, "192.0.2.1").guesses(4) == Visitor(app, "192.0.2.2").guesses(4, "okänd@example.se")


@pytest.mark.parametrize("typed", ["ANNA@example.se", " anna@example.se ", "Anna@EXAMPLE.se"])
def test_another_spelling_is_the_same_account(app: Flask, anna: str, typed: str) -> None:
    visitor = Visitor(app)
    assert visitor.guesses(3, typed) == [401] * 3
    assert visitor.tries(PASSWORD).status_code == 429


def test_guesses_elsewhere_lock_nobody_out(app: Flask, anna: str) -> None:
    owner = Visitor(app, "192.0.2.10")
    assert owner.tries(PASSWORD).status_code == 303
    for address in ("198.51.100.1", "198.51.100.2"):
        Visitor(app, address).guesses(4)
    assert Visitor(app, "198.51.100.3").tries(PASSWORD).status_code == 429, "unknown browsers wait"
    assert owner.tries(PASSWORD).status_code == 303


def test_a_known_browser_is_limited_too(app: Flask, anna: str) -> None:
    owner = Visitor(app)
    owner.tries(PASSWORD)
    assert owner.guesses(4) == [401, 401, 401, 429]


def test_a_known_browser_is_known_for_its_own_accounts_only(app: Flask, anna: str) -> None:
    with app.app_context():
        make_user(email="bo@example.se")
    attacker = Visitor(app, "192.0.2.66")
    assert attacker.tries(PASSWORD, "bo@example.se").status_code == 303
    Visitor(app, "198.51.100.1").guesses(3)
    assert attacker.tries(PASSWORD).status_code == 429


def test_a_made_up_browser_cookie_is_not_known(app: Flask, anna: str) -> None:
    owner = Visitor(app)
    owner.tries(PASSWORD)
    known = owner.browser.get_cookie("__Host-idp_browser", "login.example.se")
    assert known is not None
    Visitor(app, "198.51.100.1").guesses(3)
    forger = Visitor(app, "198.51.100.2")
    payload, rest = known.value.split(".", 1)
    forged = payload[:-2] + "AA." + rest
    forger.browser.set_cookie("__Host-idp_browser", forged, domain="login.example.se", secure=True)
    assert forger.tries(PASSWORD).status_code == 429


def test_a_login_clears_its_accounts_counter(app: Flask, anna: str) -> None:
    visitor = Visitor(app)
    assert visitor.guesses(2) == [401, 401]
    assert visitor.tries(PASSWORD).status_code == 303
    other = Visitor(app, "192.0.2.2")
    assert other.guesses(4) == [401, 401, 401, 429]


def test_an_address_takes_so_many_wrong_passwords(app: Flask, anna: str, clock: Traveller) -> None:
    visitor = Visitor(app, "192.0.2.1")
    statuses = [visitor.guesses(1, f"person{number}@example.se")[0] for number in range(7)]
    assert statuses == [401] * 6 + [429]
    assert visitor.tries(PASSWORD).status_code == 429
    assert Visitor(app, "192.0.2.2").tries(PASSWORD).status_code == 303, "another address goes on"
    clock.shift(MINUTE + 1)
    assert visitor.tries(PASSWORD).status_code == 303


def test_right_passwords_do_not_use_an_address_up(app: Flask, anna: str) -> None:
    statuses = {Visitor(app, "192.0.2.1").tries(PASSWORD).status_code for _ in range(8)}
    assert statuses == {303}, "a whole office shares one address"


def test_all_accounts_together_take_so_many_wrong_passwords(app: Flask, anna: str) -> None:
    statuses = [
        Visitor(app, f"198.51.100.{number}").guesses(1, f"person{number}@example.se")[0]
        for number in range(13)
    ]
    assert statuses == [401] * 12 + [429]


def test_a_limited_try_costs_no_hash_and_is_audited(
    app: Flask, anna: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = Visitor(app)
    visitor.guesses(3)
    computed = count_hashes(monkeypatch)
    assert visitor.tries(PASSWORD).status_code == 429
    assert computed == []
    with app.app_context():
        row = audit.newest(1)[0]
        assert (row.event, row.detail) == ("login.limited", {"limit": "login_per_account"})


# Parallel guesses


@pytest.mark.parametrize("password", [PASSWORD, "fel"])
def test_tries_that_pass_the_first_test_together_are_tested_again(
    app: Flask, anna: str, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    hasher, limiter = HASHER.of(app), LIMITER.of(app)
    check = hasher.check
    hits: list[str] = []
    monkeypatch.setattr(limiter, "test", remembering(limiter.test, hits))

    def check_while_others_guess(typed: str, stored: str | None) -> Any:
        for _ in range(3):
            limiter.hit("login_per_account", hits[-1])
        return check(typed, stored)

    monkeypatch.setattr(hasher, "check", check_while_others_guess)
    answer = Visitor(app).tries(password)
    assert answer.status_code == 429
    assert "__Host-idp_session" not in str(answer.headers)


def remembering(function: Any, keys: list[str]) -> Any:
    def remember(name: str, key: str) -> None:
        if name == "login_per_account":
            keys.append(key)
        function(name, key)

    return remember


@pytest.mark.parametrize("right", [0, 1])
def test_parallel_guesses_learn_no_more_than_the_limit(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: int
) -> None:
    at_once = 8
    changes = {
        "IDP_DATABASE_URL": f"sqlite:///{tmp_path}/idp.sqlite3",
        "IDP_LIMIT_LOGIN_PER_ADDRESS": "100/minute",
        "IDP_LIMIT_LOGIN_OVERALL": "100/minute",
        "IDP_PASSWORD_HASHES_AT_ONCE": str(at_once),
    }
    app = create_app(Settings.from_environ({**environ, **changes}))
    with app.app_context():
        db.create_all()
        make_user()
    together = threading.Barrier(at_once)
    hasher = HASHER.of(app)
    check = hasher.check

    def check_together(typed: str, stored: str | None) -> Any:
        together.wait(timeout=20)
        verdict = check(typed, stored)
        together.wait(timeout=20)
        return verdict

    monkeypatch.setattr(hasher, "check", check_together)
    statuses: list[int] = []
    threads = [
        threading.Thread(
            target=lambda password: statuses.append(Visitor(app).tries(password).status_code),
            args=(PASSWORD if index < right else f"gissning {index}",),
        )
        for index in range(at_once)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == at_once
    with app.app_context():
        db.engine.dispose()
    assert set(statuses) <= {401, 303, 429}
    cleared = 3 if 303 in statuses else 0  # a login clears its account's counter, as one after another
    assert 3 <= len([status for status in statuses if status != 429]) <= 3 + right + cleared
