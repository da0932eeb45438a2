"""The base of every command: settings, database, error messages, tables."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, NoReturn, ParamSpec

import click
from dotenv import dotenv_values
from sqlalchemy.exc import SQLAlchemyError

from idp import app as application
from idp.config import ConfigError, Settings
from idp.db import db
from idp.users.accounts import find_by_email
from idp.users.fields import BadInput
from idp.users.models import User

P = ParamSpec("P")
MISSING_TABLE = re.compile(r"no such (table|column)|(relation|column) .* does not exist")
PORT = click.IntRange(1, 65535)


class Context:
    """The surroundings of every command: its environment and settings."""

    def __init__(self, env_file: Path | None) -> None:
        self.env_file = env_file

    def environ(self) -> dict[str, str]:
        """The environment, with the env file's values for variables that it does not set."""
        values = dict(os.environ)
        if self.env_file is not None:
            for name, value in dotenv_values(self.env_file, interpolate=False).items():
                values.setdefault(name, value or "")
        return values

    def settings(self) -> Settings:
        return Settings.from_environ(self.environ())


def fail(*problems: str, status: int = 1) -> NoReturn:
    """Report each problem on a line of standard error, and end with the status."""
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(status)


def command(function: Callable[Concatenate[Context, P], None]) -> Callable[P, None]:
    """Give a command the context, and report its errors in words for operators."""

    @click.pass_obj
    @wraps(function)
    def guarded(context: Context, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(context, *args, **kwargs)
        except ConfigError as error:
            fail(*error.problems)
        except BadInput as error:
            fail(*error.problems)
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).strip().splitlines()
            hint = " (has `idp db upgrade` been run?)" if MISSING_TABLE.search(cause[0]) else ""
            fail(f"the database: {cause[0]}{hint}")
        except OSError as error:
            fail(f"{error.filename or 'system'}: {error.strerror or error}")
        except UnicodeError:
            fail("the command line, standard input or the env file contains text that is not UTF-8")

    return guarded


def with_database(function: Callable[Concatenate[Settings, P], None]) -> Callable[P, None]:
    """Run a command inside an application that has the database."""

    @command
    @wraps(function)
    def inside(context: Context, /, *args: P.args, **kwargs: P.kwargs) -> None:
        settings = context.settings()
        with database(settings):
            function(settings, *args, **kwargs)

    return inside


@contextmanager
def database(settings: Settings) -> Iterator[None]:
    """An application that has the database, whose connections are closed afterwards."""
    with application.create_tool_app(settings).app_context():
        try:
            yield
        finally:
            db.session.remove()
            db.engine.dispose()


def existing_user(email: str) -> User:
    """The account with this address, company loaded; the command ends if there is none."""
    user = find_by_email(email)
    if user is None:
        fail(f"there is no user with the address {email}")
    return user


def show(rows: list[dict[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows as a table for people, or as JSON for scripts."""
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=str))
        return
    if not rows:
        click.echo(empty)
        return
    cells = [
        list(rows[0]),
        *[["" if value is None else str(value) for value in row.values()] for row in rows],
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for line in cells:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


json_option = click.option("--json", "as_json", is_flag=True, help="JSON for scripts.")
