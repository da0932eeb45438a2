"""`idp clients`: the relying apps in clients.yaml."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from idp import app as application
from idp.clock import utcnow
from idp.commands.base import Context, command, fail, json_option, show
from idp.config import ConfigError
from idp.oidc.clients import diff as client_diff
from idp.oidc.clients import new_entry as client_entry
from idp.oidc.clients import schema as client_schema
from idp.oidc.clients.client import Client
from idp.oidc.clients.file import read_file
from idp.oidc.clients.registry import (
    clients_with_unproven_numbers,
    expired_clients,
    load_clients,
    read_with_origins,
)
from idp.oidc.keys.ring import KeyRing
from idp.tokens import new_token, sha256_hex


@click.group()
def clients() -> None:
    """The relying apps in clients.yaml."""


@clients.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@command
def check(context: Context, file: Path | None) -> None:
    """Check FILE, or the configured file: report every problem with its line; status 1 if there is one."""
    path = file or context.settings().clients_file
    [found] = _as_served(context, path)
    click.echo(f"{path}: {len(found)} {'client' if len(found) == 1 else 'clients'}, no problems")
    for note in (expired_clients(found, utcnow()), clients_with_unproven_numbers(found)):
        if note:
            click.echo(f"note: {note}", err=True)


@clients.command("list")
@json_option
@command
def list_clients(context: Context, as_json: bool) -> None:
    """List every relying app."""
    path = context.settings().clients_file
    found = load_clients(path, login_methods=application.METHOD_NAMES)
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


@clients.command("show")
@click.argument("client_id")
@json_option
@command
def show_client(context: Context, client_id: str, as_json: bool) -> None:
    """Show CLIENT_ID as it is in force, defaults included, with the details that its developer needs."""
    settings = context.settings()
    path = settings.clients_file
    found, origin = read_with_origins(path.name, read_file(path), login_methods=application.METHOD_NAMES)
    client = found.get(client_id)
    if client is None:
        fail(f"{path} has no client {client_id!r}")
    fields = client_diff.describe(client) | {"client_secrets": _secrets(client)}
    developer = {
        "issuer": settings.issuer,
        "discovery": settings.issuer + "/.well-known/openid-configuration",
        "client_id": client_id,
        "redirect_uris": list(client.redirect_uris),
        "scope": client.scope,
        "token_endpoint_auth_method": client.token_endpoint_auth_method,
    }
    origins = {field: origin(client_id, field) for field in fields}
    if as_json:
        told = {"client_id": client_id, "fields": fields, "origins": origins, "developer": developer}
        click.echo(json.dumps(told, ensure_ascii=False, indent=2))
        return
    for field, value in fields.items():
        note = "" if origins[field] == "entry" else f"   ({origins[field]})"
        if value is not None or note == "":
            click.echo(f"{field}: {_shown(value)}{note}")
    click.echo("\nFor the app's developer:")
    for name, value in developer.items():
        click.echo(f"{name}: {_shown(value)}")


@clients.command("diff")
@click.argument("new", type=click.Path(path_type=Path))
@click.argument("old", required=False, type=click.Path(path_type=Path))
@json_option
@command
def diff_files(context: Context, new: Path, old: Path | None, as_json: bool) -> None:
    """Show the changes that the file NEW would make to OLD, or to the configured file.

    The status is 0 when nothing changes, 1 when something does, 2 when a file is bad, as for diff.
    """
    try:
        before, after = _as_served(context, old or context.settings().clients_file, new)
    except ConfigError as error:
        fail(*error.problems, status=2)
    found = client_diff.compare(before, after)
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False, indent=2))
    else:
        _tell(found)
    raise SystemExit(1 if found else 0)


@clients.command()
@click.argument("client_id")
@click.option("--name", required=True, help="The app's name, as people see it.")
@click.option("--redirect-uri", "redirect_uris", multiple=True, required=True, help="May be repeated.")
@click.option(
    "--post-logout-redirect-uri", "post_logout_redirect_uris", multiple=True, help="May be repeated."
)
@click.option("--type", "kind", type=click.Choice(client_entry.KINDS), default="web", show_default=True)
@click.option(
    "--auth", type=click.Choice(client_entry.AUTH_METHODS), help="Default: the type's usual method."
)
@click.option("--jwks-uri", help="Address of the app's public keys; for --auth private_key_jwt.")
@click.option("--scope", default="openid profile email", show_default=True)
@command
def new(
    context: Context,
    client_id: str,
    *,
    name: str,
    redirect_uris: tuple[str, ...],
    post_logout_redirect_uris: tuple[str, ...],
    kind: str,
    auth: str | None,
    jwks_uri: str | None,
    scope: str,
) -> None:
    """Write an entry for clients.yaml to standard output, and its secret, once, to standard error."""
    if (auth == "private_key_jwt") != (jwks_uri is not None):
        raise click.UsageError("--auth private_key_jwt and --jwks-uri must be given together")
    method = auth or client_entry.usual_method(kind)
    value = new_token() if method in client_entry.WITH_SECRET else None
    entry = client_entry.write(
        client_id,
        name=name,
        kind=kind,
        auth=method,
        redirect_uris=redirect_uris,
        post_logout_redirect_uris=post_logout_redirect_uris,
        jwks_uri=jwks_uri,
        scope=scope,
        secret_hash=sha256_hex(value) if value else None,
    )
    read_with_origins(
        "new entry",
        f"version: 1\nclients:\n{entry}".encode(),
        login_methods=application.METHOD_NAMES,
    )
    path = Path(context.environ().get("IDP_CLIENTS_FILE", "clients.yaml"))
    if path.exists() and client_id in load_clients(path, login_methods=application.METHOD_NAMES):
        fail(f"{path} already has a client {client_id!r}")
    click.echo(entry, nl=False)
    if value:
        click.echo(f"secret, for the app alone, shown this once:  {value}", err=True)


@clients.command()
def schema() -> None:
    """Write the JSON Schema of clients.yaml, for editors, to standard output."""
    click.echo(client_schema.text(application.METHOD_NAMES), nl=False)


def _as_served(context: Context, *paths: Path) -> list[dict[str, Client]]:
    """The clients of each file, checked against our signing keys and certificates as a server checks them.

    Without settings or keys a file is checked by itself, and a note says so.
    """
    try:
        settings = context.settings()
    except ConfigError as error:
        click.echo(f"note: not checked against keys and certificates: {error.problems[0]}", err=True)
        return [load_clients(path, login_methods=application.METHOD_NAMES) for path in paths]
    keys: KeyRing | None = None
    try:
        keys = KeyRing(settings.keys_dir)
    except ConfigError as error:
        click.echo(f"note: not checked against the signing keys: {error.problems[0]}", err=True)
    return [application.read_clients(path, settings, keys) for path in paths]


def _secrets(client: Client) -> str:
    """The number of secrets, and the end of the next one: never their hashes."""
    ends = sorted(secret.not_after for secret in client.client_secrets if secret.not_after)
    coming = [end for end in ends if end > utcnow()]
    number = len(client.client_secrets)
    text = f"{number} {'secret' if number == 1 else 'secrets'}"
    if expired := len(ends) - len(coming):
        text += f", {expired} expired"
    return text + (f", next expiry {coming[0]:%Y-%m-%d}" if coming else "")


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _tell(found: client_diff.Diff) -> None:
    for client_id in found.added:
        click.echo(f"added: {client_id}")
    for client_id in found.removed:
        click.echo(f"removed: {client_id}: {client_diff.REMOVED}")
    for change in found.changed:
        click.echo(f"changed: {change.client_id}")
        for field in change.fields:
            click.echo(f"  {field.field}: {_shown(field.old)} → {_shown(field.new)}")
        for consequence in change.consequences:
            click.echo(f"  note: {consequence}")
