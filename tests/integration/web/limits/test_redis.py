"""Processes count together in Redis, and alone while it is away."""

import socket
from collections.abc import Iterator

import pytest

from idp.app import create_app
from idp.config import Settings
from idp.db import db
from idp.errors import TooManyTries
from idp.ratelimit import RateLimiter
from tests.factories import PASSWORD, make_user
from tests.fakes.redis import PrivateRedis
from tests.integration.web.limits.visitor import MINUTE, Visitor


@pytest.fixture(scope="module")
def redis() -> Iterator[PrivateRedis]:
    with PrivateRedis() as server:
        yield server


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
