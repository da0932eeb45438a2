"""`idp users import`: many people at once."""

import json
import sys
from typing import BinaryIO

import click

from idp.clock import utcnow
from idp.commands.base import fail, json_option, with_database
from idp.config import Settings
from idp.password.older_hashes import scheme_of
from idp.users import import_file, importing
from idp.users.importing import Options, Outcome, Welcome

TELL_EVERY = 5000


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--partial", is_flag=True, help="Add the people on good lines even if other lines are bad.")
@click.option("--dry-run", is_flag=True, help="Check the file without adding anybody.")
@click.option("--create-companies", is_flag=True, help="Add companies that do not exist yet.")
@click.option(
    "--welcome/--no-welcome",
    default=None,
    help="Mail a welcome to all, or to nobody. [default: to people without password_hash]",
)
@json_option
@with_database
def import_users(  # noqa: PLR0917 - click hands its options over by name
    settings: Settings,
    file: BinaryIO,
    partial: bool,
    dry_run: bool,
    create_companies: bool,
    welcome: bool | None,
    as_json: bool,
) -> None:
    """Add everybody in the CSV file FILE (-: standard input), or nobody if any line is bad.

    \b
    The first line names the columns: email, name, company, and optionally
    title, phone, locale (sv, en), role (user, company_admin),
    password_hash (bcrypt, argon2, PBKDF2), email_verified (yes, no).
    """
    data = file.read(import_file.MAX_BYTES + 1)
    if len(data) > import_file.MAX_BYTES:
        fail(f"the file is larger than {import_file.MAX_BYTES // 1024**2} MiB: split it")
    chosen = {None: Welcome.WITHOUT_PASSWORD, True: Welcome.ALL, False: Welcome.NONE}[welcome]
    outcome = importing.run(
        import_file.read(data),
        Options(partial=partial, dry_run=dry_run, create_companies=create_companies, welcome=chosen),
        check_hash=scheme_of,
        settings=settings,
        now=utcnow(),
        progress=_tell,
    )
    _report(outcome, dry_run=dry_run, as_json=as_json)
    if outcome.bad:
        sys.exit(1)


def _tell(what: str, done: int, of: int) -> None:
    if done % TELL_EVERY == 0 or done == of > TELL_EVERY:
        click.echo(f"{what} {done} of {of}", err=True)


def _report(outcome: Outcome, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        facts = {
            "dry_run": dry_run,
            "lines": outcome.lines,
            "added": outcome.added,
            "welcomed": outcome.welcomed,
            "new_companies": outcome.new_companies,
            "bad": [{"line": line.number, "problems": line.problems} for line in outcome.bad],
        }
        click.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    for line in outcome.bad:
        click.echo(f"error: line {line.number}: {'; '.join(line.problems)}", err=True)
    if not outcome.added:
        click.echo(
            f"error: nothing was changed: {len(outcome.bad)} of {outcome.lines} lines are bad", err=True
        )
        return
    did = "would add" if dry_run else "added"
    left = f", {len(outcome.bad)} bad lines left out" if outcome.bad else ""
    new = f", {len(outcome.new_companies)} new companies" if outcome.new_companies else ""
    click.echo(
        f"{did} {outcome.added} users of {outcome.lines} lines{new}{left}; {outcome.welcomed} welcome mails"
    )
