"""`idp sessions`: the sessions of people who are logged in."""

from functools import partial
from uuid import UUID

import click

from idp.clock import utcnow
from idp.commands.base import existing_user, fail, json_option, show, with_database
from idp.config import Settings
from idp.login import overview, sessions
from idp.oidc import revocation

REASON = "ended by the operator"


@click.group("sessions")
def sessions_group() -> None:
    """The sessions of people who are logged in."""


@sessions_group.command("list")
@click.option("--user", "email", help="Only sessions of the person with this address.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000))
@json_option
@with_database
def list_sessions(settings: Settings, email: str | None, limit: int, as_json: bool) -> None:
    """List the sessions in force, last used first."""
    user_id = existing_user(email).id if email is not None else None
    found = overview.in_force(user_id=user_id, limit=limit, settings=settings.session, now=utcnow())
    rows = [
        {
            "id": one.id,
            "user": one.email,
            "method": one.method,
            "logged_in": one.logged_in_at,
            "seen": one.seen_at,
            "ends": one.expires_at,
            "address": one.address,
            "browser": one.user_agent,
        }
        for one in found
    ]
    show(rows, as_json=as_json, empty="nobody is logged in" if email is None else f"{email} is not logged in")


@sessions_group.command()
@click.option("--user", "email", help="Every session of the person with this address.")
@click.option("--id", "session_id", type=click.UUID, help="The session with this id.")
@click.option("--all", "everybody", is_flag=True, help="Every session of every person.")
@click.option("--yes", is_flag=True, help="Do not ask before --all.")
@with_database
def end(_settings: Settings, email: str | None, session_id: UUID | None, everybody: bool, yes: bool) -> None:
    """End sessions at once, with every token issued from them, refresh tokens for offline use included."""
    revoke_everything = partial(revocation.revoke_everything_of_sessions, now=utcnow())
    if (email is not None) + (session_id is not None) + everybody != 1:
        fail("give exactly one of --user EMAIL, --id ID, --all")
    if session_id is not None:
        revoke_everything([session_id])
        if not sessions.end(session_id, now=utcnow(), reason=REASON):
            fail(f"session {session_id} does not exist or has already ended")
        click.echo("ended 1 session")
        return
    if everybody and not yes:
        click.confirm("This logs everybody out. Continue?", abort=True)
    user_id = existing_user(email).id if email is not None else None
    number = overview.end_all(user_id=user_id, now=utcnow(), reason=REASON, also=revoke_everything)
    click.echo(f"ended {number} {'session' if number == 1 else 'sessions'}")
