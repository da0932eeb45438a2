"""`idp clients`: the relying apps in clients.yaml."""

from pathlib import Path

import click

from idp import app as application
from idp.clock import utcnow
from idp.commands.base import Context, command, json_option, show
from idp.oidc.client_registry import expired_clients, load_clients
from idp.tokens import new_token, sha256_hex


@click.group()
def clients() -> None:
    """The relying apps in clients.yaml."""


@clients.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@command
def check(context: Context, file: Path | None) -> None:
    """Check FILE (else the configured one): every problem with its line, status 1 if there is any."""
    path = file or context.settings().clients_file
    found = load_clients(path, login_methods=application.KNOWN_LOGIN_METHODS)
    click.echo(f"{path}: {len(found)} {'client' if len(found) == 1 else 'clients'}, no problems")
    expired = expired_clients(found, utcnow())
    if expired:
        click.echo(f"note: {expired}", err=True)


@clients.command("list")
@json_option
@command
def list_clients(context: Context, as_json: bool) -> None:
    """Every relying app."""
    path = context.settings().clients_file
    found = load_clients(path, login_methods=application.KNOWN_LOGIN_METHODS)
    rows = [
        {
            "client_id": client.client_id,
            "name": client.name("sv"),
            "authentication": client.token_endpoint_auth_method,
            "scope": client.scope,
        }
        for client in found.values()
    ]
    show(rows, as_json=as_json, empty=f"{path} has no clients yet")


@clients.command()
@command
def secret(_context: Context) -> None:
    """Make a client secret: shown once, for the app; its hash goes into clients.yaml."""
    value = new_token()
    click.echo(f"secret, for the app alone:  {value}")
    click.echo(f"hash, for client_secrets:   {{sha256: {sha256_hex(value)}}}")
    click.echo("To replace a secret, add the hash and give the old one a not_after: until then both work.")
