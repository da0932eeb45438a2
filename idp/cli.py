"""The `idp` command: what operators run. Each group of commands has a module in `idp/commands/`."""

from pathlib import Path

import click

from idp.commands import (
    audit,
    clients,
    database,
    doctor,
    keys,
    purge,
    running,
    sessions,
    users,
)
from idp.commands.base import Context


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read IDP_* settings from this file; the environment overrides them.",
)
@click.version_option(package_name="leasify-idp")
@click.pass_context
def main(context: click.Context, env_file: Path | None) -> None:
    """OpenID Connect identity provider: run it and manage its users, keys and relying apps."""
    context.obj = Context(env_file)


for entry in (
    running.serve,
    running.worker,
    running.demo,
    running.bankid_simulator,
    doctor.run_doctor,
    database.db,
    keys.keys,
    clients.clients,
    users.companies_group,
    users.users_group,
    users.personal_numbers,
    sessions.sessions_group,
    audit.audit_group,
    purge.run_purge,
):
    main.add_command(entry)
