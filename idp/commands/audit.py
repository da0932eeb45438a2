"""`idp audit`: what has happened."""

import json

import click

from idp import audit
from idp.commands.base import fail, json_option, show, with_database
from idp.config import Settings
from idp.users.service import find_by_email


@click.group("audit")
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
    user_id = None
    if email:
        user = find_by_email(email)
        if user is None:
            fail(f"there is no user with the address {email}")
        user_id = user.id
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
