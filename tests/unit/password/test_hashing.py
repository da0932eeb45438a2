"""Password hashes are checked at one cost, and older ones are replaced."""

import threading
from collections.abc import Callable
from typing import Any

import argon2
import bcrypt
import pytest
from passlib.hash import django_pbkdf2_sha256, pbkdf2_sha256, pbkdf2_sha512

from idp.config import PasswordSettings
from idp.errors import Busy
from idp.password import hashing
from idp.password.hashing import PasswordHasher, Verdict
from tests.fakes.hash_work import count_hashes

PASSWORD = "korrekt häst batteri klammer"
SETTINGS = PasswordSettings(hash_memory_kib=64, hash_time=1, hashes_at_once=2)


def bcrypt_2y(secret: bytes) -> str:
    """What PHP's password_hash() makes."""
    return bcrypt.hashpw(secret, bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")


def argon2_hash(kind: argon2.Type = argon2.Type.ID, time: int = 1, memory: int = 64, lanes: int = 1) -> str:
    return argon2.PasswordHasher(time, memory, lanes, type=kind).hash(PASSWORD)


OLDER: dict[str, Callable[[], str]] = {
    "bcrypt 2y": lambda: bcrypt_2y(PASSWORD.encode()),
    "bcrypt 2b": lambda: bcrypt_2y(PASSWORD.encode()).replace("$2y$", "$2b$"),
    "bcrypt 2a": lambda: bcrypt_2y(PASSWORD.encode()).replace("$2y$", "$2a$"),
    "django pbkdf2": lambda: django_pbkdf2_sha256.using(rounds=10).hash(PASSWORD),
    "pbkdf2 sha256": lambda: pbkdf2_sha256.using(rounds=10).hash(PASSWORD),
    "pbkdf2 sha512": lambda: pbkdf2_sha512.using(rounds=10).hash(PASSWORD),
    "argon2i": lambda: argon2_hash(argon2.Type.I),
    "argon2d": lambda: argon2_hash(argon2.Type.D),
    "argon2id, less memory": lambda: argon2_hash(memory=32),
    "argon2id, more time": lambda: argon2_hash(time=2),
}


@pytest.fixture
def hasher() -> PasswordHasher:
    return PasswordHasher(SETTINGS, lambda: None)


def test_a_new_hash_is_argon2id_of_the_configured_cost(hasher: PasswordHasher) -> None:
    stored = hasher.hash(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert hasher.check(PASSWORD, stored) == Verdict(ok=True)
    assert hasher.check(PASSWORD + "x", stored) == Verdict(ok=False)


def test_the_default_cost_is_the_floor() -> None:
    assert (
        PasswordHasher(PasswordSettings(), lambda: None)
        .hash(PASSWORD)
        .startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    )


@pytest.mark.parametrize("kind", OLDER)
def test_an_older_hash_is_taken_and_replaced(hasher: PasswordHasher, kind: str) -> None:
    stored = OLDER[kind]()
    assert hasher.identify(stored)
    verdict = hasher.check(PASSWORD, stored)
    assert verdict.ok
    assert verdict.new_hash is not None
    assert verdict.new_hash.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert hasher.check(PASSWORD, verdict.new_hash) == Verdict(ok=True)
    assert hasher.check(PASSWORD + "x", stored) == Verdict(ok=False)


@pytest.mark.parametrize("form", ["\u00e5", "a\u030a"], ids=["composed", "as a Mac types it"])
def test_every_keyboards_letters_are_one(hasher: PasswordHasher, form: str) -> None:
    composed = hasher.hash("lösen åtta gånger".replace("å", "\u00e5"))
    assert hasher.check("lösen åtta gånger".replace("å", form), composed).ok


def test_compatibility_forms_are_one(hasher: PasswordHasher) -> None:
    assert hasher.check("ﬁnt lösenord ①", hasher.hash("fint lösenord 1")).ok


def test_bcrypt_takes_72_bytes(hasher: PasswordHasher) -> None:
    password = "å" * 60
    stored = bcrypt_2y(password.encode()[:72])
    assert hasher.check(password, stored).ok
    assert not hasher.check(password[:35], stored).ok
    new_hash = hasher.check(password, stored).new_hash
    assert new_hash is not None
    assert hasher.check(password, new_hash).ok
    assert not hasher.check(password[:36], new_hash).ok, "the new hash holds the whole password"


def test_bcrypt_does_not_stop_at_a_nul(hasher: PasswordHasher) -> None:
    stored = bcrypt_2y(b"korrekt")
    assert hasher.check("korrekt", stored).ok
    assert not hasher.check("korrekt\0mera", stored).ok
    assert not hasher.check("\0", stored).ok


def test_the_stand_in_for_an_impossible_password_opens_nothing(hasher: PasswordHasher) -> None:
    stored = bcrypt_2y(b"-")
    assert hasher.check("-", stored).ok
    assert not hasher.check("-\0", stored).ok
    assert not hasher.check("-" * 257, stored).ok


def test_nobodys_password_opens_nothing(hasher: PasswordHasher) -> None:
    assert hasher.check("nobody has this password", None) == Verdict(ok=False)


@pytest.mark.parametrize(
    "typed",
    ["", "\0", "x" * 60_000, "ﷺ" * 20_000],
    ids=["empty", "NUL", "long", "grows in NFKC"],
)
@pytest.mark.parametrize("stored", [None, "argon2id", "bcrypt 2y"])
def test_odd_passwords_are_wrong_passwords(hasher: PasswordHasher, typed: str, stored: str | None) -> None:
    known = {None: None, "argon2id": hasher.hash(PASSWORD), "bcrypt 2y": OLDER["bcrypt 2y"]()}[stored]
    assert hasher.check(typed, known) == Verdict(ok=False)


def test_a_cut_off_password_is_another_password(hasher: PasswordHasher) -> None:
    stored = hasher.hash("x" * 256)
    assert hasher.check("x" * 256, stored).ok
    assert not hasher.check("x" * 257, stored).ok
    assert not hasher.check("x" * 5000, stored).ok


NO_HASHES = {
    "empty": "",
    "a lock as in /etc/shadow": "!",
    "plain text": "hemligt lösenord",
    "another kind": "$6$saltsalt$" + "a" * 86,
    "bcrypt, cut off": bcrypt_2y(PASSWORD.encode())[:-1],
    "bcrypt, salt only": "$2y$04$short",
    "bcrypt of the broken kind": bcrypt_2y(PASSWORD.encode()).replace("$2y$", "$2x$"),
    "argon2id, broken": "$argon2id$broken",
    "django, cut off": "pbkdf2_sha256$10$salt",
}


@pytest.mark.parametrize("kind", NO_HASHES)
def test_a_text_that_is_not_a_hash_is_not_identified_and_fits_nothing(
    hasher: PasswordHasher, kind: str
) -> None:
    assert hasher.identify(NO_HASHES[kind]) is None
    assert hasher.check(PASSWORD, NO_HASHES[kind]) == Verdict(ok=False)
    assert hasher.check("", NO_HASHES[kind]) == Verdict(ok=False)


@pytest.mark.parametrize("kind", NO_HASHES)
def test_a_broken_row_of_one_account_harms_no_other(kind: str) -> None:
    hasher = PasswordHasher(SETTINGS, lambda: NO_HASHES[kind])
    assert hasher.check(PASSWORD, hasher.hash(PASSWORD)).ok
    assert hasher.check(PASSWORD, None) == Verdict(ok=False)


@pytest.mark.parametrize("others_are_older", [False, True])
def test_every_refusal_costs_the_same(monkeypatch: pytest.MonkeyPatch, others_are_older: bool) -> None:
    sample = OLDER["bcrypt 2y"]() if others_are_older else None
    hasher = PasswordHasher(SETTINGS, lambda: sample)
    accounts = {"unknown": None, "argon2id": hasher.hash(PASSWORD)}
    if others_are_older:
        accounts["bcrypt"] = OLDER["bcrypt 2y"]()
    for stored in accounts.values():
        hasher.check("any", stored)  # a library tries itself out at its first hash
    computed = count_hashes(monkeypatch)
    costs = {}
    for name, stored in accounts.items():
        for typed in ("fel lösenord", "", "\0", "x" * 5000):
            computed.clear()
            assert not hasher.check(typed, stored).ok
            costs[name, typed[:10]] = sorted(computed)
    expected = ["argon2", "bcrypt"] if others_are_older else ["argon2"]
    assert costs == dict.fromkeys(costs, expected)


def test_a_right_password_costs_as_much_as_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    older = OLDER["bcrypt 2y"]()
    hasher = PasswordHasher(SETTINGS, lambda: older)
    stored = hasher.hash(PASSWORD)
    hasher.check("any", older)  # a library tries itself out at its first hash
    computed = count_hashes(monkeypatch)
    for known in (stored, older):
        computed.clear()
        assert hasher.check(PASSWORD, known).ok
        assert sorted(computed) == ["argon2", "bcrypt"]


def test_a_few_hashes_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = 0, 0
    lock = threading.Lock()
    together = threading.Barrier(SETTINGS.hashes_at_once)
    verify = argon2.low_level.verify_secret

    def slow(*args: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(timeout=10)
        with lock:
            running -= 1
        return verify(*args)

    hasher = PasswordHasher(SETTINGS, lambda: None)
    stored = hasher.hash(PASSWORD)
    monkeypatch.setattr(argon2.low_level, "verify_secret", slow)
    answers: list[Verdict] = []
    threads = [
        threading.Thread(target=lambda: answers.append(hasher.check(PASSWORD, stored)))
        for _ in range(3 * SETTINGS.hashes_at_once)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [Verdict(ok=True)] * len(threads)
    assert most == SETTINGS.hashes_at_once


def test_the_hasher_is_busy_when_no_place_comes_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "WAIT_SECONDS", 0.01)
    entered, leave = threading.Event(), threading.Event()
    verify = argon2.low_level.verify_secret

    def held(*args: Any) -> Any:
        entered.set()
        leave.wait(timeout=10)
        return verify(*args)

    hasher = PasswordHasher(SETTINGS.model_copy(update={"hashes_at_once": 1}), lambda: None)
    stored = hasher.hash(PASSWORD)
    monkeypatch.setattr(argon2.low_level, "verify_secret", held)
    holder = threading.Thread(target=hasher.check, args=(PASSWORD, stored))
    holder.start()
    entered.wait(timeout=10)
    with pytest.raises(Busy):
        hasher.check(PASSWORD, stored)
    with pytest.raises(Busy):
        hasher.hash(PASSWORD)
    leave.set()
    holder.join()
    assert hasher.check(PASSWORD, stored).ok, "the place is free again"
