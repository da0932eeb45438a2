"""Limits slow guessing down, and lock nobody out of the browser they use."""

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from time_machine import Traveller
from werkzeug.test import TestResponse

from idp import audit
from idp.addresses import address_key
from idp.app import create_app
from idp.config import Settings
from idp.db import db
from idp.errors import TooManyTries
from idp.password.hashing import HASHER
from idp.ratelimit import LIMITER, RateLimiter
from tests.factories import PASSWORD, make_user
from tests.fakes.hash_work import count_hashes
from tests.fakes.redis import PrivateRedis
from tests.fakes.relying_party import HTTPS

EMAIL = "anna@example.se"
MINUTE = 60
SETTINGS = {
    "IDP_LIMIT_LOGIN_PER_ACCOUNT": "3/15 minutes",
    "IDP_LIMIT_LOGIN_PER_ADDRESS": "6/minute",
    "IDP_LIMIT_LOGIN_OVERALL": "12/minute",
}


@pytest.fixture(scope="module")
def redis() -> Iterator[PrivateRedis]:
    with PrivateRedis() as server:
        yield server


@pytest.fixture
def database_url() -> str:
    return "sqlite://"  # counters are not in the database


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return {**environ, **SETTINGS}


class Visitor:
    """A browser that logs in directly, from an address of its own."""

    def __init__(self, app: Flask, address: str = "192.0.2.1", **headers: str) -> None:
        self.browser: FlaskClient = app.test_client()
        self.request: dict[str, Any] = {
            **HTTPS,
            "environ_base": {"REMOTE_ADDR": address},
            "headers": headers,
        }

    def tries(self, password: str, email: str = EMAIL) -> TestResponse:
        page = self.browser.get("/login/password", **self.request)
        token = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)[0]
        fields = {"email": email, "password": password, "csrf_token": token}
        return self.browser.post("/login/password", data=fields, **self.request)

    def guesses(self, number: int, email: str = EMAIL) -> list[int]:
        """The statuses of wrong passwords."""
        return [self.tries(f"gissning {index}", email).status_code for index in range(number)]


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


# Addresses


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("", "unknown"),
        (None, "unknown"),
        ("unix:", "unknown"),
    ],
)
def test_addresses_that_count_as_one(address: str | None, key: str) -> None:
    assert address_key(address) == key


def test_an_ipv6_line_is_one_address(app: Flask, anna: str) -> None:
    statuses = [
        Visitor(app, f"2001:db8:1:2::{number}").guesses(1, f"person{number}@example.se")[0]
        for number in range(7)
    ]
    assert statuses == [401] * 6 + [429]
    assert Visitor(app, "2001:db8:1:3::1").tries(PASSWORD).status_code == 303


def logged_address(app: Flask, peer: str, forwarded: str | None) -> str | None:
    """The address that a failed login from `peer` with this X-Forwarded-For is audited with."""
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    assert Visitor(app, peer, **headers).tries("fel", "nobody@example.se").status_code in (401, 429)
    with app.app_context():
        return audit.newest(1)[0].address


FORWARDED = [
    # peer, X-Forwarded-For, the client's address
    ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
    ("10.0.0.1", "2001:DB8::9", "2001:db8::9"),
    ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
    ("10.0.0.1", "203.0.113.9, 10.0.0.3, 10.0.0.2", "203.0.113.9"),
    ("10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
    ("10.0.0.1", "10.0.0.99, 203.0.113.9", "203.0.113.9"),
    ("10.0.0.1", "203.0.113.9, rubbish", "10.0.0.1"),
    ("10.0.0.1", "rubbish", "10.0.0.1"),
    ("10.0.0.1", "", "10.0.0.1"),
    ("10.0.0.1", None, "10.0.0.1"),
    ("10.0.0.1", "10.0.0.7, 10.0.0.8", "10.0.0.7"),
    ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
    ("198.51.100.66", "203.0.113.9", "198.51.100.66"),
    ("198.51.100.66", "203.0.113.9, 10.0.0.1", "198.51.100.66"),
]


@pytest.mark.parametrize(("peer", "forwarded", "client"), FORWARDED)
def test_forwarded_addresses_count_as_far_as_trusted_proxies_wrote_them(
    environ: dict[str, str], request: Any, peer: str, forwarded: str | None, client: str
) -> None:
    environ["IDP_TRUSTED_PROXIES"] = "10.0.0.0/8"
    assert logged_address(request.getfixturevalue("app"), peer, forwarded) == client


def test_a_proxy_on_a_unix_socket_is_on_this_machine(environ: dict[str, str], request: Any) -> None:
    environ["IDP_TRUSTED_PROXIES"] = "127.0.0.1"
    app = request.getfixturevalue("app")
    assert logged_address(app, "", "203.0.113.9") == "203.0.113.9"
    assert logged_address(app, "", "6.6.6.6, 203.0.113.9") == "203.0.113.9"
    assert logged_address(app, "198.51.100.66", "203.0.113.9") == "198.51.100.66"


def test_forwarded_addresses_do_not_count_without_trusted_proxies(app: Flask) -> None:
    for peer in ("127.0.0.1", "10.0.0.1", "198.51.100.66"):
        assert logged_address(app, peer, "203.0.113.9") == peer


def test_a_spoofed_header_does_not_get_round_the_limit(app: Flask, anna: str) -> None:
    statuses = [
        Visitor(app, "198.51.100.66", **{"X-Forwarded-For": f"203.0.113.{number}"}).guesses(
            1, f"person{number}@example.se"
        )[0]
        for number in range(7)
    ]
    assert statuses == [401] * 6 + [429]


# Redis


@pytest.fixture
def shared_environ(environ: dict[str, str], redis: PrivateRedis) -> dict[str, str]:
    return {**environ, "IDP_REDIS_URL": redis.url}


def test_processes_count_together_in_redis(shared_environ: dict[str, str], redis: PrivateRedis) -> None:
    one, two = (RateLimiter(Settings.from_environ(shared_environ)) for _ in range(2))
    for limiter in (one, two, one):
        limiter.test("login_per_account", "together")
        limiter.hit("login_per_account", "together")
    for limiter in (one, two):
        with pytest.raises(TooManyTries) as waiting:
            limiter.test("login_per_account", "together")
        assert 14 * MINUTE < waiting.value.wait_seconds <= 15 * MINUTE
        with pytest.raises(TooManyTries):
            limiter.hit("login_per_account", "together")
    two.clear("login_per_account", "together")
    one.test("login_per_account", "together")
    one.test("login_per_account", "another")
    assert not [key for key in redis.stored_keys() if "together" in key]


def test_redis_learns_no_address(shared_environ: dict[str, str], redis: PrivateRedis) -> None:
    app = create_app(Settings.from_environ(shared_environ))
    with app.app_context():
        db.create_all()
        make_user()
    assert Visitor(app).guesses(4) == [401, 401, 401, 429]
    assert any("login_per_account" in key for key in redis.stored_keys())
    assert "anna" not in " ".join(redis.stored_keys())


def test_each_process_counts_alone_without_redis(shared_environ: dict[str, str]) -> None:
    with PrivateRedis() as redis:
        app = create_app(Settings.from_environ({**shared_environ, "IDP_REDIS_URL": redis.url}))
        with app.app_context():
            db.create_all()
            make_user()
        assert Visitor(app).tries(PASSWORD).status_code == 303
        redis.stop()
        assert Visitor(app).guesses(4) == [401, 401, 401, 429]
        assert Visitor(app).tries(PASSWORD, "bo@example.se").status_code == 401


def test_redis_may_be_away_at_the_start_and_come_back(
    shared_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp.ratelimit.REDIS_PAUSE_SECONDS", 0)
    with PrivateRedis() as redis:
        redis.stop()
        limiter = RateLimiter(Settings.from_environ({**shared_environ, "IDP_REDIS_URL": redis.url}))
        limiter.hit("login_per_account", "key")
        redis.start()
        limiter.hit("login_per_account", "key")
        assert [key for key in redis.stored_keys() if key.endswith("/key/3/15/minute")]


def test_a_silent_redis_is_asked_once_and_then_left_alone(
    shared_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp.ratelimit.REDIS_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr("idp.ratelimit.REDIS_PAUSE_SECONDS", 600)
    asked = 0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0.2)
        port = silent.getsockname()[1]
        limiter = RateLimiter(
            Settings.from_environ({**shared_environ, "IDP_REDIS_URL": f"redis://127.0.0.1:{port}"})
        )
        for _ in range(5):
            limiter.test("login_per_account", "key")
            limiter.hit("login_overall", "all")
        connections = []
        try:
            while True:
                connections.append(silent.accept()[0])
                asked += 1
        except TimeoutError:
            pass
        for connection in connections:
            connection.close()
    assert asked == 1
