"""Commands that run something until they are stopped."""

import os
from pathlib import Path

import click

from idp import app as application
from idp import serve as server
from idp import worker as mail_worker
from idp.bankid.simulator import server as simulator
from idp.commands.base import PORT, Context, command, fail, with_database
from idp.config import Settings
from idp.demo import runner


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=PORT)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@click.option("--unix-socket", type=click.Path(path_type=Path), help="Listen on this instead of a port.")
@command
def serve(context: Context, host: str, port: int, workers: int, unix_socket: Path | None) -> None:
    """Run the production server (behind a proxy that does TLS)."""
    os.environ.update(context.environ())
    application.create_app_from_environ()  # reports every problem here, before any worker starts
    server.serve(host=host, port=port, workers=workers, unix_socket=unix_socket)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=PORT)
@click.option("--portal-port", default=8001, show_default=True, type=PORT)
@click.option("--phone-port", default=8002, show_default=True, type=PORT, help="Port of the phone page.")
@click.option("--bankid-port", default=8443, show_default=True, type=PORT, help="Port of the simulator.")
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
    """Run the provider, a demo portal and a BankID simulator on this machine, with ready accounts."""
    ports = runner.Ports(port, portal_port, phone_port, bankid_port)
    runner.run(host=host, ports=ports, data_dir=data_dir, environ=context.environ())


@click.command()
@with_database
def worker(settings: Settings) -> None:
    """Deliver queued mails until stopped. Several may run at once, on several machines."""
    behind = application.migrations_behind()
    if behind:
        fail(behind)
    mail_worker.run(settings)


@click.command("bankid-simulator")
@click.option("--dir", "directory", default="var/bankid", show_default=True, type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8443, show_default=True, type=PORT)
@click.option("--phone-host", help="Address of the phone page, if not --host.")
@click.option("--phone-port", default=8002, show_default=True, type=PORT)
@command
def bankid_simulator(
    _context: Context, directory: Path, host: str, port: int, phone_host: str | None, phone_port: int
) -> None:
    """Simulate BankID on this machine, with a page in place of the app. For demos and tests only."""
    simulator.run(directory, host, port, phone_host or host, phone_port)
