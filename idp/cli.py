"""The `idp` command: what operators run."""

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
import flask_migrate
from alembic.util.exc import CommandError
from dotenv import dotenv_values
from sqlalchemy.exc import SQLAlchemyError

from idp import app as application
from idp import audit
from idp import serve as server
from idp.bankid.simulator import server as simulator
from idp.clock import utcnow
from idp.config import ConfigError, Settings
from idp.crypto import PersonalNumberKeys
from idp.db import db as database
from idp.demo import runner
from idp.oidc import key_files, key_rotation
from idp.oidc.client_registry import expired_clients, load_clients
from idp.password.hashing import PasswordHasher
from idp.password.policy import Weakness, weakness
from idp.tokens import new_token, sha256_hex
from idp.users import bankid_links
from idp.users import service as users
from idp.users.models import Role, User

P = ParamSpec("P")
MAX_PASSWORD_INPUT = 4096
MISSING_TABLE = re.compile(r"no such (table|column)|(relation|column) .* does not exist")
PORT = click.IntRange(1, 65535)

WEAKNESS_TEXTS = {
    Weakness.TOO_SHORT: "the password is too short: at least 12 characters",
    Weakness.TOO_LONG: "the password is too long: at most 256 characters",
    Weakness.EASY_TO_GUESS: "the password is too easy to guess: make it longer or less ordinary",
}


class Context:
    """What every command can ask for: the settings of this environment, and an application on them."""

    def __init__(self, env_file: Path | None) -> None:
        self.env_file = env_file

    def environ(self) -> dict[str, str]:
        """The environment, with the env file's values where the environment itself says nothing."""
        values = dict(os.environ)
        if self.env_file is not None:
            for name, value in dotenv_values(self.env_file, interpolate=False).items():
                values.setdefault(name, value or "")
        return values

    def settings(self) -> Settings:
        return Settings.from_environ(self.environ())


def fail(*problems: str) -> NoReturn:
    """Say what is wrong on standard error, a line each, and end with status 1."""
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(1)


def command(function: Callable[Concatenate[Context, P], None]) -> Callable[P, None]:
    """Give a command the context, and turn what it raises into words for operators."""

    @click.pass_obj
    @wraps(function)
    def guarded(context: Context, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(context, *args, **kwargs)
        except ConfigError as error:
            fail(*error.problems)
        except users.BadInput as error:
            fail(*error.problems)
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).strip().splitlines()
            hint = " (has `idp db upgrade` been run?)" if MISSING_TABLE.search(cause[0]) else ""
            fail(f"the database: {cause[0]}{hint}")
        except OSError as error:
            fail(f"{error.filename or 'system'}: {error.strerror or error}")
        except UnicodeError:
            fail("what was given on the command line, on standard input or in the env file is not UTF-8 text")

    return guarded


def with_database(function: Callable[Concatenate[Settings, P], None]) -> Callable[P, None]:
    """Run a command inside an application that has the database."""

    @command
    @wraps(function)
    def inside(context: Context, /, *args: P.args, **kwargs: P.kwargs) -> None:
        settings = context.settings()
        with _database(settings):
            function(settings, *args, **kwargs)

    return inside


@contextmanager
def _database(settings: Settings) -> Iterator[None]:
    """An application that has the database, whose connections are closed afterwards."""
    with application.create_tool_app(settings).app_context():
        try:
            yield
        finally:
            database.session.remove()
            database.engine.dispose()


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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read IDP_* settings from this file; the environment's own win.",
)
@click.version_option(package_name="leasify-idp")
@click.pass_context
def main(context: click.Context, env_file: Path | None) -> None:
    """OpenID Connect identity provider: run it, and look after its users, keys and relying apps."""
    context.obj = Context(env_file)


# Running


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=PORT)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@click.option("--unix-socket", type=click.Path(path_type=Path), help="Listen here instead of on a port.")
@command
def serve(context: Context, host: str, port: int, workers: int, unix_socket: Path | None) -> None:
    """Run the production server (behind a proxy that does TLS)."""
    os.environ.update(context.environ())
    application.create_app_from_environ()  # every problem is told here, before any worker starts
    server.serve(host=host, port=port, workers=workers, unix_socket=unix_socket)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=PORT)
@click.option("--portal-port", default=8001, show_default=True, type=PORT)
@click.option("--phone-port", default=8002, show_default=True, type=PORT, help="The BankID simulator's page.")
@click.option("--bankid-port", default=8443, show_default=True, type=PORT, help=BANKID_PORT)
@click.option("--data-dir", default="var/demo", show_default=True, type=click.Path(path_type=Path))
@command
def demo(  # noqa: PLR0917 - click hands its options over by name
    context: Context,
    host: str,
    port: int,
    portal_port: int,
    phone_port: int,
    bankid_port: int,
    data_dir: Path,
) -> None:
    """Try it out: the provider, a demo portal and a BankID simulator on this machine, with ready accounts."""
    ports = runner.Ports(port, portal_port, phone_port, bankid_port)
    runner.run(host=host, ports=ports, data_dir=data_dir, environ=context.environ())


# Database


@main.group()
def db() -> None:
    """The database's migrations."""


@db.command()
@with_database
def upgrade(_settings: Settings) -> None:
    """Bring the database to this version's tables."""
    try:
        flask_migrate.upgrade()
    except CommandError as error:
        fail(str(error))
    click.echo("the database is up to date")


@db.command()
@with_database
def current(_settings: Settings) -> None:
    """Say whether the database is at the newest migration; status 1 if not."""
    behind = application.migrations_behind()
    if behind:
        fail(behind)
    click.echo("the database is up to date")


@db.command(context_settings={"ignore_unknown_options": True})  # -1 is a revision
@click.argument("revision")
@click.confirmation_option(prompt="This removes tables or columns with what they hold. Go on?")
@with_database
def downgrade(_settings: Settings, revision: str) -> None:
    """Take the database back to REVISION (-1: one step, base: empty)."""
    try:
        flask_migrate.downgrade(revision=revision)
    except CommandError as error:
        fail(str(error))
    click.echo(f"the database is at {revision}")


# Keys


@main.group()
def keys() -> None:
    """The keys that sign tokens."""


@keys.command("list")
@json_option
@command
def list_keys(context: Context, as_json: bool) -> None:
    """Every key with its state."""
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
@click.option("--force", is_flag=True, help="Although relying apps may not have fetched the next key yet.")
@command
def rotate(context: Context, alg: str, force: bool) -> None:
    """Retire the active key, put the next in its place, make a new next. Makes the first keys too."""
    settings = context.settings()
    try:
        lines = key_rotation.rotate(settings.keys_dir, alg=alg, now=utcnow(), force=force)
    except key_rotation.RefusedError as error:
        fail(str(error))
    _audit_key(settings, audit.Event.KEY_ROTATED, alg=alg)
    click.echo("\n".join(lines))


@keys.command()
@click.argument("kid")
@click.option("--force", is_flag=True, help="Although tokens it signed may still be in use.")
@command
def retire(context: Context, kid: str, force: bool) -> None:
    """Take key KID out of service at once, because it may be known to others."""
    settings = context.settings()
    try:
        lines = key_rotation.retire(settings.keys_dir, kid, now=utcnow(), force=force)
    except (key_rotation.RefusedError, LookupError) as error:
        fail(str(error.args[0]))
    _audit_key(settings, audit.Event.KEY_RETIRED, kid=kid)
    click.echo("\n".join(lines))


def _audit_key(settings: Settings, event: audit.Event, **detail: Any) -> None:
    """Audit what was done to a key. Keys can be handled before there is a database; then it is only said."""
    try:
        with _database(settings):
            audit.record(event, now=utcnow(), **detail)
            database.session.commit()
    except SQLAlchemyError:
        click.echo("note: not audited, the database does not answer or has no tables yet", err=True)


# Relying apps


@main.group()
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


# Companies and users


@main.group()
def companies() -> None:
    """The customers whose people log in."""


@companies.command("add")
@click.argument("name")
@click.option("--org-number", help="Ten digits, with or without hyphen.")
@with_database
def add_company(_settings: Settings, name: str, org_number: str | None) -> None:
    """Add company NAME."""
    company = users.add_company(name, org_number, now=utcnow())
    click.echo(f"added {company.name}")


@companies.command("list")
@json_option
@with_database
def list_companies(_settings: Settings, as_json: bool) -> None:
    """Every company with its number of users."""
    rows = [
        {"name": company.name, "org_number": company.org_number, "users": number}
        for company, number in users.list_companies()
    ]
    show(rows, as_json=as_json, empty="no companies: add one with `idp companies add NAME`")


@main.group("users")
def users_group() -> None:
    """The people who log in."""


@users_group.command("add")
@click.argument("email")
@click.option("--name", required=True)
@click.option("--company", required=True)
@click.option("--title")
@click.option("--role", default="user", show_default=True, type=click.Choice([role.value for role in Role]))
@click.option("--locale", default="sv", show_default=True, type=click.Choice(["sv", "en"]))
@click.option("--email-verified", is_flag=True, help="The address is known to be the person's own.")
@click.option("--password-stdin", is_flag=True, help="Read a password from standard input.")
@click.option("--password-hash-stdin", is_flag=True, help="Read an older system's hash instead.")
@with_database
def add_user(  # noqa: PLR0917 - click hands its options over by name
    settings: Settings,
    email: str,
    name: str,
    company: str,
    title: str | None,
    role: str,
    locale: str,
    email_verified: bool,
    password_stdin: bool,
    password_hash_stdin: bool,
) -> None:
    """Add the person with the address EMAIL. Without a password they cannot log in by e-mail yet."""
    if password_stdin and password_hash_stdin:
        fail("--password-stdin and --password-hash-stdin: give one of them")
    password_hash = None
    if password_stdin or password_hash_stdin:
        given = sys.stdin.read(MAX_PASSWORD_INPUT).rstrip("\r\n")
        password_hash = (
            _hashed(settings, given, (email, name, company))
            if password_stdin
            else _older_hash(settings, given)
        )
    new = users.NewUser(
        email=email,
        name=name,
        company=company,
        role=Role(role),
        title=title,
        locale=locale,
        email_verified=email_verified,
        password_hash=password_hash,
    )
    user = users.add_user(new, now=utcnow())
    click.echo(f"added {user.email} ({user.id})")


def _hashed(settings: Settings, password: str, own_data: tuple[str, ...]) -> str:
    weak = weakness(password, own_data)
    if weak is not None:
        fail(WEAKNESS_TEXTS[weak])
    return PasswordHasher(settings.password, lambda: None).hash(password)


def _older_hash(settings: Settings, stored: str) -> str:
    if PasswordHasher(settings.password, lambda: None).identify(stored) is None:
        fail("the hash is of no kind that can be checked: bcrypt, argon2 or PBKDF2 in their usual forms")
    return stored


@users_group.command("list")
@click.option("--company")
@json_option
@with_database
def list_users(_settings: Settings, company: str | None, as_json: bool) -> None:
    """Every user, or those of one company."""
    rows = [_row(user) for user in users.list_users(company=company)]
    show(rows, as_json=as_json, empty="no users: add one with `idp users add EMAIL`")


@users_group.command("show")
@click.argument("email")
@json_option
@with_database
def show_user(_settings: Settings, email: str, as_json: bool) -> None:
    """All about one user, with the newest events: why could they not log in?"""
    user = _existing(email)
    facts = {
        "id": user.id,
        **_row(user),
        "title": user.title,
        "locale": user.locale,
        "email_verified": user.email_verified_at,
        "password": "set" if user.password_hash else "none",
        "created": user.created_at,
        "updated": user.updated_at,
    }
    events = [
        {"at": row.at, "event": row.event, "address": row.address, "detail": json.dumps(row.detail)}
        for row in audit.newest(10, user_id=user.id)
    ]
    if as_json:
        click.echo(json.dumps({**facts, "events": events}, ensure_ascii=False, indent=2, default=str))
        return
    for name, value in facts.items():
        click.echo(f"{name:15} {'' if value is None else value}")
    click.echo()
    show(events, as_json=False, empty="no events")


@users_group.command("unlink-bankid")
@click.argument("email")
@with_database
def unlink_bankid(_settings: Settings, email: str) -> None:
    """Take the BankID away from EMAIL's account."""
    removed = bankid_links.unlink(_existing(email).id, now=utcnow())
    click.echo(f"{email} has no BankID linked any more" if removed else f"{email} had no BankID linked")


@users_group.command()
@click.argument("email")
@with_database
def disable(_settings: Settings, email: str) -> None:
    """Shut EMAIL out at once; sessions and tokens end."""
    changed = users.disable(_existing(email).id, now=utcnow())
    click.echo(f"{email} is disabled" if changed else f"{email} was disabled already")


@users_group.command()
@click.argument("email")
@with_database
def enable(_settings: Settings, email: str) -> None:
    """Let EMAIL in again."""
    changed = users.enable(_existing(email).id, now=utcnow())
    click.echo(f"{email} is enabled" if changed else f"{email} was not disabled")


def _existing(email: str) -> User:
    user = users.find_by_email(email)
    if user is None:
        fail(f"there is no user with the address {email}")
    return user


def _row(user: User) -> dict[str, Any]:
    return {
        "email": user.email,
        "name": user.name,
        "company": user.company.name,
        "role": user.role,
        "status": user.status,
    }


# Personal numbers


@main.group("personal-numbers")
def personal_numbers() -> None:
    """The stored personal numbers, which are encrypted."""


@personal_numbers.command("rotate-key")
@with_database
def rotate_personal_number_key(settings: Settings) -> None:
    """Encrypt every stored number with the first key of IDP_PERSONAL_NUMBER_KEYS.

    Put the new key first and keep the old one behind it, restart the servers, run this, then drop the old.
    """
    if settings.personal_number_keys is None:
        fail("IDP_PERSONAL_NUMBER_KEYS is missing")
    keys_in_use = PersonalNumberKeys(settings.personal_number_keys.get_secret_value())
    changed = bankid_links.rotate_key(keys=keys_in_use)
    audit.record(audit.Event.PERSONAL_NUMBER_KEY_ROTATED, now=utcnow(), numbers=changed)
    database.session.commit()
    click.echo(f"{changed} {'number' if changed == 1 else 'numbers'} encrypted anew")


# BankID


@main.command("bankid-simulator")
@click.option("--dir", "directory", default="var/bankid", show_default=True, type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8443, show_default=True, type=PORT)
@click.option("--phone-host", help="Where the phone page listens, if not on --host.")
@click.option("--phone-port", default=8002, show_default=True, type=PORT)
@command
def bankid_simulator(
    _context: Context, directory: Path, host: str, port: int, phone_host: str | None, phone_port: int
) -> None:
    """Play BankID on this machine, with a page that stands for the app. For try-outs and tests only."""
    simulator.run(directory, host, port, phone_host or host, phone_port)


# Audit


@main.group("audit")
def audit_group() -> None:
    """What has happened."""


@audit_group.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000))
@click.option("--event", type=click.Choice([event.value for event in audit.Event]))
@click.option("--user", "email", help="Only about the person with this address.")
@json_option
@with_database
def list_audit(_settings: Settings, limit: int, event: str | None, email: str | None, as_json: bool) -> None:
    """The newest events, newest first."""
    user_id = _existing(email).id if email else None
    rows = [
        {
            "at": row.at,
            "event": row.event,
            "actor": row.actor,
            "user_id": row.user_id,
            "client_id": row.client_id,
            "session_id": row.session_id,
            "address": row.address,
            "reference": row.request_id,
            "detail": row.detail if as_json else json.dumps(row.detail, ensure_ascii=False),
        }
        for row in audit.newest(limit, event=event, user_id=user_id)
    ]
    show(rows, as_json=as_json, empty="no events")
