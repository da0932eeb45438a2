"""`idp db`: the database's migrations."""

import click
import flask_migrate
from alembic.util.exc import CommandError

from idp import app as application
from idp.commands.base import fail, with_database
from idp.config import Settings


@click.group()
def db() -> None:
    """The database's migrations."""


@db.command()
@with_database
def upgrade(_settings: Settings) -> None:
    """Bring the database to this version's newest migration."""
    try:
        flask_migrate.upgrade()
    except CommandError as error:
        fail(str(error))
    click.echo("the database is up to date")


@db.command()
@with_database
def current(_settings: Settings) -> None:
    """Report whether the database is at the newest migration; status 1 if it is not."""
    behind = application.migrations_behind()
    if behind:
        fail(behind)
    click.echo("the database is up to date")


@db.command(context_settings={"ignore_unknown_options": True})  # -1 is a revision
@click.argument("revision")
@click.confirmation_option(prompt="This removes tables or columns and their data. Continue?")
@with_database
def downgrade(_settings: Settings, revision: str) -> None:
    """Take the database back to REVISION (-1: one step, base: empty)."""
    try:
        flask_migrate.downgrade(revision=revision)
    except CommandError as error:
        fail(str(error))
    click.echo(f"the database is at {revision}")
