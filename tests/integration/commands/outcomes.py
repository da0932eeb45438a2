"""The output of a command, and the rows that it left in the database."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from flask import Flask

from idp.db import db
from idp.users import accounts
from idp.users.models import User

Run = Callable[..., Any]
ANNA = ("users", "add", "anna@example.se", "--name", "Anna Åsén", "--company", "Exempel AB")


def said(result: Any) -> str:
    """What a command that went well printed."""
    assert result.exit_code == 0, result.output
    assert result.exception is None
    return str(result.stdout).strip()


def refused(result: Any) -> list[str]:
    """The problems that a command ended with, and nothing worse than that."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert lines
    assert all(line.startswith("error: ") for line in lines), result.stderr
    return [line.removeprefix("error: ") for line in lines]


def user_of(app: Flask, email: str = "anna@example.se") -> User:
    with app.app_context():
        user = accounts.find_by_email(email)
        assert user is not None
        return user


def count(app: Flask, model: Any) -> int:
    with app.app_context():
        return db.session.scalar(sa.select(sa.func.count()).select_from(model)) or 0
