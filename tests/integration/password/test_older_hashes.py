"""A hash that another portal made lets its owner in and is replaced."""

from collections.abc import Callable
from typing import Any

import argon2
import pytest
import sqlalchemy as sa
from flask import Flask
from passlib.hash import django_pbkdf2_sha256

from idp.db import db
from idp.password.hashing import HASHER
from idp.users.models import User
from tests.factories import PASSWORD, make_user
from tests.fakes.relying_party import RelyingParty
from tests.integration.password.attempts import attempt, bcrypt_2y, events, stored_hash


def argon2_hash(password: str, kind: argon2.Type = argon2.Type.ID) -> str:
    return argon2.PasswordHasher(1, 16, 1, type=kind).hash(password)


LONG = "ett långt lösenord " * 6
OLDER: dict[str, tuple[Callable[[], str], str]] = {
    "bcrypt $2y$": (lambda: bcrypt_2y(PASSWORD), PASSWORD),
    "bcrypt $2y$ of more than 72 bytes": (lambda: bcrypt_2y(LONG), LONG),
    "django's PBKDF2": (lambda: django_pbkdf2_sha256.using(rounds=10).hash(PASSWORD), PASSWORD),
    "argon2i": (lambda: argon2_hash(PASSWORD, argon2.Type.I), PASSWORD),
    "argon2id of another cost": (lambda: argon2_hash(PASSWORD), PASSWORD),
}


@pytest.mark.parametrize("kind", OLDER)
def test_an_older_hash_lets_in_and_is_replaced(app: Flask, rp: RelyingParty, kind: str) -> None:
    make, password = OLDER[kind]
    older = make()
    with app.app_context():
        make_user(password_hash=older)
    assert attempt(rp, "anna@example.se", "fel" + password).status_code == 401
    assert stored_hash(app) == older, "a wrong password changes nothing"
    assert "code" in rp.answer(rp.log_in(password=password))
    newer = stored_hash(app)
    assert newer is not None
    assert newer.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert events(app) == ["login.failed", "password.rehashed", "login.succeeded"]
    again = RelyingParty(app, app.test_client())
    assert "code" in again.answer(again.log_in(password=password))
    assert stored_hash(app) == newer, "once is enough"


def test_a_rehash_does_not_undo_a_change_made_meanwhile(
    app: Flask, rp: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        user_id = make_user(password_hash=bcrypt_2y(PASSWORD)).id
    hasher = HASHER.of(app)
    changed = hasher.hash("ett helt annat lösenord")
    check = hasher.check

    def check_while_it_changes(password: str, stored: str | None) -> Any:
        change = sa.update(User).where(User.id == user_id).values(password_hash=changed)
        db.session.execute(change, execution_options={"synchronize_session": False})
        return check(password, stored)

    monkeypatch.setattr(hasher, "check", check_while_it_changes)
    attempt(rp, "anna@example.se", PASSWORD)
    assert stored_hash(app) == changed
    assert "password.rehashed" not in events(app)


def test_a_decomposed_password_is_the_same(app: Flask, rp: RelyingParty, anna: str) -> None:
    decomposed = PASSWORD.replace("ä", "a\u0308")
    assert decomposed != PASSWORD
    assert "code" in rp.answer(rp.log_in(password=decomposed))
