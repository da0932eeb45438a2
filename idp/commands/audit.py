"""`idp audit`: the audit log."""

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import click

from idp import audit
from idp.audit import AuditFilter, AuditRow
from idp.commands.base import existing_user, json_option, show, with_database
from idp.config import Settings


class Moment(click.ParamType[datetime]):
    """A date (its beginning, in UTC) or a time, in UTC unless it has a zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return self.read(value)
        except (ValueError, OverflowError):  # year 1 and year 9999 may fall outside the calendar
            self.fail(
                f"{value!r} is not a date or time such as 2026-11-22 or 2026-11-22T13:45+01:00", param, ctx
            )

    def read(self, value: str) -> datetime:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


class LastMoment(Moment):
    """As `Moment`, but a date alone means its end."""

    def read(self, value: str) -> datetime:
        moment = super().read(value)
        try:
            date.fromisoformat(value)
        except ValueError:
            return moment
        return moment + timedelta(days=1)


def filter_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options by which rows are chosen."""
    options = (
        click.option("--event", type=click.Choice([event.value for event in audit.Event])),
        click.option("--user", "email", help="Only events about the person with this address."),
        click.option(
            "--since", type=Moment(), help="2026-11-22 or 2026-11-22T13:45+01:00; without a zone: UTC."
        ),
        click.option("--until", type=LastMoment(), help="As --since; a date includes its whole day."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.group("audit")
def audit_group() -> None:
    """The audit log: every event that was recorded."""


@audit_group.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10000))
@filter_options
@json_option
@with_database
def list_audit(  # noqa: PLR0917 - click hands its options over by name
    _settings: Settings,
    limit: int,
    event: str | None,
    email: str | None,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
) -> None:
    """List the newest events, newest first."""
    rows = [_facts(row) for row in audit.newest(limit, **_filters(event, email, since, until))]
    if not as_json:
        rows = [{**row, "detail": json.dumps(row["detail"], ensure_ascii=False)} for row in rows]
    show(rows, as_json=as_json, empty="no events")


@audit_group.command("export")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A new file, instead of standard output.",
)
@filter_options
@with_database
def export_audit(
    _settings: Settings,
    output: Path | None,
    event: str | None,
    email: str | None,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Write every event, oldest first, one JSON object per line."""
    filters = _filters(event, email, since, until)
    if output is None:
        _write(filters, sys.stdout)
        return
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        number = _write(filters, file)
    click.echo(f"{number} events in {output}")


def _write(filters: AuditFilter, file: TextIO) -> int:
    number = 0
    for row in audit.export(**filters):
        file.write(json.dumps(_facts(row), ensure_ascii=False, default=_in_json) + "\n")
        number += 1
    return number


def _in_json(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _filters(
    event: str | None, email: str | None, since: datetime | None, until: datetime | None
) -> AuditFilter:
    user_id = existing_user(email).id if email is not None else None
    return AuditFilter(event=event, user_id=user_id, since=since, until=until)


def _facts(row: AuditRow) -> dict[str, Any]:
    return {
        "at": row.at,
        "event": row.event,
        "actor": row.actor,
        "user_id": row.user_id,
        "client_id": row.client_id,
        "session_id": row.session_id,
        "address": row.address,
        "reference": row.request_id,
        "detail": row.detail,
    }
