"""`idp doctor`: is everything there that the provider needs?"""

import sys

import click

from idp import doctor
from idp.clock import utcnow
from idp.commands.base import Context, command, json_option, show


@click.command("doctor")
@json_option
@command
def run_doctor(context: Context, as_json: bool) -> None:
    """Check database, keys, clients, BankID certificate, mails and counters. Status 1 on an error."""
    findings = list(doctor.examine(context.settings(), now=utcnow()))
    rows = [{"part": item.part, "state": item.state, "seen": item.text} for item in findings]
    show(rows, as_json=as_json, empty="")
    if any(item.state == "error" for item in findings):
        sys.exit(1)
