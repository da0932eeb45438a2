"""The keys at a jwks_uri are fetched seldom and kept for a while, and nobody waits long for them."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest

from idp.oidc.clients import keys as client_keys
from idp.oidc.clients.client import Client
from idp.oidc.clients.keys import ClientKeys, KeysUnavailable
from idp.outbound import Answer, Outbound, OutboundError
from tests.factories import NOON
from tests.fakes.assertions import public

URI = "https://keys.example.se/jwks.json"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Keys(Outbound):
    """A jwks_uri's server without a network: `answer` is what it says, or raises."""

    def __init__(self, *names: str) -> None:
        self.count = 0
        self.headers: dict[str, str] = {}
        self.serve(*names)

    def serve(self, *names: str) -> None:
        self.answer: Callable[[], Answer] = lambda: Answer(
            200, self.headers, json.dumps(public(*names)).encode()
        )

    def say(self, body: bytes, status: int = 200) -> None:
        self.answer = lambda: Answer(status, {}, body)

    def fail(self) -> None:
        def fail() -> Answer:
            raise OutboundError("down")

        self.answer = fail

    def request(self, method: str, url: str, **_: Any) -> Answer:
        assert method == "GET"
        self.count += 1
        return self.answer()


def make(uri: str = URI, client_id: str = "reports") -> Client:
    return Client(
        client_id=client_id,
        redirect_uris=("https://reports.example.se/cb",),
        login_methods=("password",),
        token_endpoint_auth_method="private_key_jwt",
        jwks_uri=uri,
    )


def kids(
    keys: ClientKeys, at: timedelta, kid: str | None = "p256", client: Client | None = None
) -> list[str]:
    return [key.kid or "" for key in keys.keys_of(client or make(), kid, NOON + at)]


def test_keys_are_kept_for_an_hour() -> None:
    server = Keys("ES256")
    keys = ClientKeys(server)
    for at in (timedelta(), MINUTE, HOUR - MINUTE):
        assert kids(keys, at) == ["p256"]
    assert server.count == 1
    server.serve("EdDSA")
    assert kids(keys, HOUR) == ["ed"]
    assert server.count == 2


@pytest.mark.parametrize(
    ("header", "fresh"),
    [
        ("max-age=7200", 2 * HOUR),
        ("public, max-age=900", 15 * MINUTE),
        ("MAX-AGE=7200", 2 * HOUR),
        ("max-age=0", 5 * MINUTE),
        ("max-age=99999999", 24 * HOUR),
        ("no-store", HOUR),
        ("s-maxage=7200", HOUR),
        ("max-age=-1", HOUR),
        ("max-age=å", HOUR),
    ],
)
def test_cache_control_is_followed_within_limits(header: str, fresh: timedelta) -> None:
    server = Keys("ES256")
    server.headers = {"cache-control": header}
    keys = ClientKeys(server)
    kids(keys, timedelta())
    kids(keys, fresh - timedelta(seconds=1))
    assert server.count == 1
    kids(keys, fresh)
    assert server.count == 2


def test_an_unknown_kid_asks_again_once_a_minute() -> None:
    server = Keys("ES256")
    keys = ClientKeys(server)
    kids(keys, timedelta())
    server.serve("ES256", "EdDSA")
    assert kids(keys, timedelta(seconds=59), "ed") == ["p256"]
    assert kids(keys, MINUTE, "ed") == ["p256", "ed"]
    for second in range(60):
        kids(keys, MINUTE + timedelta(seconds=second), f"no such {second}")
    assert server.count == 2
    assert kids(keys, MINUTE, None) == ["p256", "ed"]


def test_old_keys_are_used_while_there_are_no_new_ones_but_not_for_ever() -> None:
    server = Keys("ES256")
    keys = ClientKeys(server)
    kids(keys, timedelta())
    server.fail()
    assert kids(keys, HOUR) == ["p256"]
    assert kids(keys, HOUR + timedelta(seconds=9)) == ["p256"]
    assert server.count == 2
    assert kids(keys, 25 * HOUR - timedelta(seconds=1)) == ["p256"]
    with pytest.raises(KeysUnavailable):
        kids(keys, 25 * HOUR)
    server.serve("EdDSA")
    assert kids(keys, 25 * HOUR + MINUTE) == ["ed"]


def test_a_failure_is_followed_by_a_pause() -> None:
    server = Keys()
    server.fail()
    keys = ClientKeys(server)
    for second in range(10):
        with pytest.raises(KeysUnavailable):
            kids(keys, timedelta(seconds=second))
    assert server.count == 1
    server.serve("ES256")
    assert kids(keys, timedelta(seconds=10)) == ["p256"]


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON", b"[]", b"{}", b'{"keys": {}}', b'{"keys": "x"}', b"\xff\xfe", b"[" * 60_000],
    ids=lambda body: repr(body[:12]),
)
def test_a_broken_answer_changes_nothing(body: bytes) -> None:
    server = Keys("ES256")
    keys = ClientKeys(server)
    kids(keys, timedelta())
    server.say(body)
    assert kids(keys, HOUR) == ["p256"]
    assert server.count == 2


@pytest.mark.parametrize("status", [204, 301, 302, 304, 404, 500])
def test_only_status_200_is_an_answer(status: int) -> None:
    server = Keys()
    server.say(json.dumps(public("ES256")).encode(), status)
    with pytest.raises(KeysUnavailable):
        kids(ClientKeys(server), timedelta())


def test_an_empty_set_takes_every_key_back() -> None:
    server = Keys("ES256")
    keys = ClientKeys(server)
    kids(keys, timedelta())
    server.serve()
    assert kids(keys, HOUR) == []


def test_keys_that_are_not_fit_are_left_out() -> None:
    server = Keys()
    good, short = public("ES256")["keys"][0], {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short"}
    bad: list[Any] = [
        *(short, "a word", None, {}, {"kty": "oct", "k": "eA", "kid": "p256"}),
        *({**good, "d": "AAAA"}, {**good, "alg": "RS256"}, {**good, "x": "AAAA"}),
        *({**good, "crv": "secp256k1"}, {**good, "kid": 1}, {**good, "key_ops": ["sign"]}),
    ]
    server.say(json.dumps({"keys": [*bad, {**good, "kid": "good", "x5c": ["eA=="]}]}).encode())
    assert kids(ClientKeys(server), timedelta()) == ["good"]


def test_a_key_for_encryption_verifies_nothing() -> None:
    server = Keys()
    server.say(json.dumps({"keys": [{**public("ES256")["keys"][0], "use": "enc"}]}).encode())
    (key,) = ClientKeys(server).keys_of(make(), "p256", NOON)
    assert not key.suits("ES256")
    assert key.encrypts("ECDH-ES")


def test_another_jwks_uri_is_another_set() -> None:
    server = Keys("ES256")
    keys = ClientKeys(server)
    kids(keys, timedelta())
    server.serve("EdDSA")
    assert kids(keys, timedelta(), client=make(URI + "?2")) == ["ed"]
    assert server.count == 2


def test_many_look_ups_at_once_make_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_keys, "WAITING_AT_ONCE", 8)
    server = Keys("ES256")
    keys = ClientKeys(server)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: kids(keys, timedelta()), range(8))) == [["p256"]] * 8
    assert server.count == 1


def test_a_wait_for_a_slow_client_takes_no_other_clients_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_keys, "WAIT_SECONDS", 20.0)
    server, go_on, reached = Keys("ES256"), threading.Event(), threading.Semaphore(0)
    keys = ClientKeys(server)
    answer = server.answer

    def slow() -> Answer:
        server.answer = answer  # only the first
        reached.release()
        assert go_on.wait(20)
        return answer()

    server.answer = slow
    with ThreadPoolExecutor(3) as pool:
        busy = [pool.submit(kids, keys, HOUR, client=make(client_id="slow")) for _ in range(3)]  # two wait
        assert reached.acquire(timeout=20)
        assert kids(keys, HOUR, client=make(client_id="quick")) == ["p256"]
        go_on.set()
        assert [found.result() for found in busy] == [["p256"]] * 3
    assert server.count == 2


def test_few_threads_wait_for_a_slow_client() -> None:
    server, go_on, reached = Keys("ES256"), threading.Event(), threading.Semaphore(0)
    keys = ClientKeys(server)
    answer = server.answer

    def slow() -> Answer:
        reached.release()
        assert go_on.wait(20)
        return answer()

    server.answer = slow
    with ThreadPoolExecutor(6) as pool:
        busy = [pool.submit(kids, keys, HOUR, client=make(client_id="slow")) for _ in range(6)]
        # One fetches, two wait: the other three are told at once that the keys cannot be had now.
        told = list(islice(as_completed(busy, timeout=1.9), 3))
        assert all(isinstance(found.exception(), KeysUnavailable) for found in told)
        go_on.set()


def test_a_slow_client_holds_few_threads_and_stops_nobody_who_has_keys() -> None:
    server, go_on, reached = Keys("ES256"), threading.Event(), threading.Semaphore(0)
    keys = ClientKeys(server)
    kids(keys, timedelta(), client=make(client_id="quick"))
    answer = server.answer

    def slow() -> Answer:
        reached.release()
        assert go_on.wait(20)
        return answer()

    server.answer = slow
    with ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(kids, keys, HOUR, client=make(client_id=f"slow-{i}")) for i in range(2)]
        assert reached.acquire(timeout=20)
        assert reached.acquire(timeout=20)
        with pytest.raises(KeysUnavailable):
            kids(keys, HOUR, client=make(client_id="slow-3"))
        assert kids(keys, HOUR, client=make(client_id="quick")) == ["p256"]  # old, but there
        go_on.set()
        assert [found.result() for found in busy] == [["p256"]] * 2
    assert kids(keys, HOUR, client=make(client_id="slow-3")) == ["p256"]
