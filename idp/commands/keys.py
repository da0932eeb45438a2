"""`idp keys`: the keys that sign tokens."""

from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from idp import audit
from idp.clock import utcnow
from idp.commands.base import Context, command, database, fail, json_option, show
from idp.config import Settings
from idp.db import db
from idp.oidc.keys import files as key_files
from idp.oidc.keys import rotation as key_rotation


@click.group()
def keys() -> None:
    """The keys that sign tokens."""


@keys.command("list")
@json_option
@command
def list_keys(context: Context, as_json: bool) -> None:
    """List every key with its state."""
    rows = [
        {
            "kid": key.kid,
            "alg": key.alg,
            "state": key.state,
            "created": key.created_at,
            "activated": key.activated_at,
            "retired": key.retired_at,
        }
        for key in key_files.list_keys(context.settings().keys_dir)
    ]
    show(rows, as_json=as_json, empty="no keys: make the first with `idp keys rotate`")


@keys.command()
@click.option("--alg", default="RS256", show_default=True, type=click.Choice(list(key_files.ALGS)))
@click.option("--force", is_flag=True, help="Rotate even if relying apps may not know the next key yet.")
@command
def rotate(context: Context, alg: str, force: bool) -> None:
    """Retire the active key, activate the next one and make a new next one. Makes the first keys too."""
    settings = context.settings()
    try:
        lines = key_rotation.rotate(settings.keys_dir, alg=alg, now=utcnow(), force=force)
    except key_rotation.RotationRefused as error:
        fail(str(error))
    _audit_key(settings, audit.Event.KEY_ROTATED, alg=alg)
    click.echo("\n".join(lines))


@keys.command()
@click.argument("kid")
@click.option("--force", is_flag=True, help="Retire even if tokens that the key signed may still be in use.")
@command
def retire(context: Context, kid: str, force: bool) -> None:
    """Take key KID out of service at once, as when others may know it."""
    settings = context.settings()
    try:
        lines = key_rotation.retire(settings.keys_dir, kid, now=utcnow(), force=force)
    except (key_rotation.RotationRefused, LookupError) as error:
        fail(str(error.args[0]))
    _audit_key(settings, audit.Event.KEY_RETIRED, kid=kid)
    click.echo("\n".join(lines))


def _audit_key(settings: Settings, event: audit.Event, **detail: Any) -> None:
    """Audit what was done to a key. Without a database, which keys do not need, a note is printed."""
    try:
        with database(settings):
            audit.record(event, now=utcnow(), **detail)
            db.session.commit()
    except SQLAlchemyError:
        click.echo("note: not audited: the database does not answer or has no tables yet", err=True)
