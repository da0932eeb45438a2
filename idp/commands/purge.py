"""`idp purge`: remove expired rows."""

import click

from idp import purge
from idp.clock import utcnow
from idp.commands.base import json_option, show, with_database
from idp.config import Settings


@click.command("purge")
@click.option("--dry-run", is_flag=True, help="Count the rows without removing them.")
@json_option
@with_database
def run_purge(_settings: Settings, dry_run: bool, as_json: bool) -> None:
    """Remove expired rows; `idp worker` does the same every hour. Audit events stay for ever."""
    found = purge.count_expired(now=utcnow()) if dry_run else purge.run(now=utcnow())
    column = "would_go" if dry_run else "removed"
    show([{"table": one.table, column: one.rows} for one in found], as_json=as_json, empty="")
