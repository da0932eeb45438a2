"""`idp companies`, `idp users`, `idp personal-numbers`: the people who log in."""

import json
import sys
from contextlib import suppress
from typing import Any

import click

from idp import audit
from idp.account import service as account
from idp.bankid import reencryption
from idp.clock import utcnow
from idp.commands.base import existing_user, fail, json_option, show, with_database
from idp.commands.importing import import_users
from idp.config import Settings
from idp.crypto import CannotOpen, PersonalNumberKeys, Sealer
from idp.db import db
from idp.password.hashing import PasswordHasher
from idp.password.older_hashes import UnusableHash, scheme_of
from idp.password.policy import Weakness, weakness
from idp.users import accounts, bankid_links, companies
from idp.users.mails import Notice
from idp.users.models import BankIdLink, Role, User

MAX_PASSWORD_INPUT = 4096

WEAKNESS_TEXTS = {
    Weakness.TOO_SHORT: "the password is too short: at least 12 characters",
    Weakness.TOO_LONG: "the password is too long: at most 256 characters",
    Weakness.EASY_TO_GUESS: "the password is too easy to guess: make it longer or less ordinary",
}


@click.group("companies")
def companies_group() -> None:
    """The customers whose people log in."""


@companies_group.command("add")
@click.argument("name")
@click.option("--org-number", help="Ten digits, with or without hyphen.")
@with_database
def add_company(_settings: Settings, name: str, org_number: str | None) -> None:
    """Add company NAME."""
    company = companies.add(name, org_number, now=utcnow())
    click.echo(f"added {company.name}")


@companies_group.command("list")
@json_option
@with_database
def list_companies(_settings: Settings, as_json: bool) -> None:
    """List every company with its number of users."""
    rows = [
        {"name": company.name, "org_number": company.org_number, "users": number}
        for company, number in companies.list_all()
    ]
    show(rows, as_json=as_json, empty="no companies: add one with `idp companies add NAME`")


@click.group("users")
def users_group() -> None:
    """The people who log in."""


@users_group.command("add")
@click.argument("email")
@click.option("--name", required=True)
@click.option("--company", required=True)
@click.option("--title")
@click.option("--phone", help="In any common notation; foreign numbers with + and country code.")
@click.option("--role", default="user", show_default=True, type=click.Choice([role.value for role in Role]))
@click.option("--locale", default="sv", show_default=True, type=click.Choice(["sv", "en"]))
@click.option("--email-verified", is_flag=True, help="The address is known to be the person's own.")
@click.option("--password-stdin", is_flag=True, help="Read a password from standard input.")
@click.option("--password-hash-stdin", is_flag=True, help="Read an older system's hash from standard input.")
@json_option
@with_database
def add_user(  # noqa: PLR0917 - click hands its options over by name
    settings: Settings,
    email: str,
    name: str,
    company: str,
    title: str | None,
    phone: str | None,
    role: str,
    locale: str,
    email_verified: bool,
    password_stdin: bool,
    password_hash_stdin: bool,
    as_json: bool,
) -> None:
    """Add the person with the address EMAIL and mail them how to choose a password."""
    if password_stdin and password_hash_stdin:
        fail("give only one of --password-stdin and --password-hash-stdin")
    password_hash = None
    if password_stdin or password_hash_stdin:
        given = sys.stdin.read(MAX_PASSWORD_INPUT).rstrip("\r\n")
        password_hash = (
            _hashed(settings, given, (email, name, company)) if password_stdin else _older_hash(given)
        )
    new = accounts.NewUser(
        email=email,
        name=name,
        company=company,
        role=Role(role),
        title=title,
        phone=phone,
        locale=locale,
        email_verified=email_verified,
        password_hash=password_hash,
    )
    user = accounts.add(new, now=utcnow(), welcome=settings)
    if as_json:
        click.echo(json.dumps({"id": str(user.id), "email": user.email}, ensure_ascii=False))
    else:
        click.echo(f"added {user.email} ({user.id})")


def _hashed(settings: Settings, password: str, own_data: tuple[str, ...]) -> str:
    weak = weakness(password, own_data)
    if weak is not None:
        fail(WEAKNESS_TEXTS[weak])
    return PasswordHasher(settings.password, lambda: None).hash(password)


def _older_hash(stored: str) -> str:
    try:
        scheme_of(stored)
    except UnusableHash as error:
        fail(f"the hash {error}")
    return stored


users_group.add_command(import_users)


@users_group.command("list")
@click.option("--company")
@json_option
@with_database
def list_users(_settings: Settings, company: str | None, as_json: bool) -> None:
    """List every user, or the users of one company."""
    rows = [_row(user) for user in accounts.list_all(company=company)]
    show(rows, as_json=as_json, empty="no users: add one with `idp users add EMAIL`")


@users_group.command("show")
@click.argument("email")
@json_option
@with_database
def show_user(settings: Settings, email: str, as_json: bool) -> None:
    """Show one user with the newest events: why could they not log in?"""
    user = existing_user(email)
    facts = {
        "id": user.id,
        **_row(user),
        "title": user.title,
        "phone": user.phone,
        "locale": user.locale,
        "email_verified": user.email_verified_at,
        "email_pending": account.details(user.id, keys=None, now=utcnow()).pending_email,
        "password": "set" if user.password_hash else "none",
        **_bankid(user, settings),
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


def _bankid(user: User, settings: Settings) -> dict[str, Any]:
    """The linked BankID: its number masked, where it can be opened with the keys there are."""
    link = db.session.get(BankIdLink, user.id)
    if link is None:
        return {"bankid": None, "bankid_linked": None, "bankid_used": None}
    number = "linked"
    if settings.personal_number_keys is not None:
        keys = PersonalNumberKeys(settings.personal_number_keys.get_secret_value())
        with suppress(CannotOpen):
            number = str(bankid_links.number_of(user.id, keys=keys))
    return {"bankid": number, "bankid_linked": link.linked_at, "bankid_used": link.last_used_at}


@users_group.command("send-welcome")
@click.argument("email")
@with_database
def send_welcome(settings: Settings, email: str) -> None:
    """Mail EMAIL the welcome again, with how to choose a password."""
    user = existing_user(email)
    if not user.is_active:
        fail(f"{email} is disabled: run `idp users enable {email}` first")
    accounts.send_welcome(user, settings=settings, now=utcnow())
    click.echo(f"the welcome mail to {email} is queued")


@users_group.command("unlink-bankid")
@click.argument("email")
@with_database
def unlink_bankid(settings: Settings, email: str) -> None:
    """Unlink the BankID from EMAIL's account and mail its owner."""
    removed = bankid_links.unlink(existing_user(email).id, now=utcnow(), notice=Notice(settings))
    click.echo(f"unlinked the BankID of {email}" if removed else f"{email} had no linked BankID")


@users_group.command()
@click.argument("email")
@with_database
def disable(_settings: Settings, email: str) -> None:
    """Disable EMAIL at once; sessions and tokens end."""
    changed = accounts.disable(existing_user(email).id, now=utcnow())
    click.echo(f"{email} is disabled" if changed else f"{email} was already disabled")


@users_group.command()
@click.argument("email")
@with_database
def enable(_settings: Settings, email: str) -> None:
    """Enable EMAIL again."""
    changed = accounts.enable(existing_user(email).id, now=utcnow())
    click.echo(f"{email} is enabled" if changed else f"{email} was not disabled")


def _row(user: User) -> dict[str, Any]:
    return {
        "email": user.email,
        "name": user.name,
        "company": user.company.name,
        "role": user.role,
        "status": user.status,
    }


@click.group("personal-numbers")
def personal_numbers() -> None:
    """The encrypted personal numbers."""


@personal_numbers.command("rotate-key")
@with_database
def rotate_personal_number_key(settings: Settings) -> None:
    """Encrypt every stored number, and BankID evidence, with the first key of IDP_PERSONAL_NUMBER_KEYS.

    Put the new key first and keep the old one behind it, restart the servers, run this, then remove the old.
    """
    if settings.personal_number_keys is None:
        fail("IDP_PERSONAL_NUMBER_KEYS is missing")
    secret = settings.personal_number_keys.get_secret_value()
    try:
        numbers = bankid_links.rotate_key(keys=PersonalNumberKeys(secret))
        evidence = reencryption.reencrypt(Sealer(secret))
    except CannotOpen as error:
        fail(f"a stored value cannot be opened: {error}")
    audit.record(audit.Event.PERSONAL_NUMBER_KEY_ROTATED, now=utcnow(), numbers=numbers, evidence=evidence)
    db.session.commit()
    click.echo(f"re-encrypted {numbers} personal numbers and the evidence of {evidence} logins")
