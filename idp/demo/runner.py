"""`idp demo`: prepares a data directory, then runs the BankID simulator, the provider and the portal."""

import errno
import json
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import click
import flask_migrate

from idp import app as application
from idp.clock import utcnow
from idp.config import LOOPBACK_HOSTS, SECRETS, ConfigError, Settings, is_loopback_url
from idp.crypto import PersonalNumberKeys
from idp.db import db
from idp.demo import folder, parts, relying_apps, seed
from idp.demo.folder import SavedSecrets
from idp.oidc.clients.registry import load_clients
from idp.oidc.keys import files as key_files
from idp.oidc.keys import rotation as key_rotation
from idp.password.hashing import PasswordHasher

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - each with the address to reach it
PRIVATE_UMASK = 0o077
LOOPBACK = "127.0.0.1"
SIMULATOR = "simulator"


@dataclass(frozen=True)
class Ports:
    """The ports that the demo listens on, each by its option's name."""

    port: int
    portal_port: int
    phone_port: int
    bankid_port: int

    def options(self, *, with_simulator: bool) -> dict[str, int]:
        """The ports in use, by the option that sets each."""
        chosen = {"--port": self.port, "--portal-port": self.portal_port}
        if with_simulator:
            chosen |= {"--phone-port": self.phone_port, "--bankid-port": self.bankid_port}
        return chosen


@dataclass(frozen=True)
class Addresses:
    """The addresses that the parts listen on, and the URLs that a browser finds them under.

    `phone_url` is None when no simulator plays BankID.
    """

    host: str
    ports: Ports
    issuer: str
    portal_url: str
    phone_url: str | None

    @property
    def outbox_url(self) -> str:
        return f"{self.portal_url}/outbox/"

    @property
    def local_host(self) -> str:
        return ANY_ADDRESS.get(self.host, self.host)


@dataclass(frozen=True)
class Files:
    """The paths of a data directory that other processes read."""

    directory: Path

    @property
    def env(self) -> Path:
        return self.directory / "idp.env"

    @property
    def demo(self) -> Path:
        return self.directory / "demo.json"

    @property
    def clients(self) -> Path:
        return self.directory / "clients.yaml"

    @property
    def outbox(self) -> Path:
        return self.directory / "outbox"


class Stop:
    """Whether the demo has been asked to end: Ctrl-C, `kill`, or a closed terminal."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def run(*, host: str, ports: Ports, data_dir: Path, environ: Mapping[str, str]) -> None:
    """Run every part of the demo until Ctrl-C.

    Raises `ConfigError` if it cannot start or a part ends by itself, `OSError` for the data directory. It
    leaves no part running.
    """
    stop = Stop()
    os.umask(PRIVATE_UMASK)
    has_simulator = (environ.get("IDP_BANKID_ENVIRONMENT") or SIMULATOR) == SIMULATOR
    addresses = choose_addresses(host, ports, environ.get("IDP_ISSUER"), with_simulator=has_simulator)
    files = Files(data_dir.absolute())
    with folder.locked(files.directory):
        saved = folder.load_secrets(
            files.directory,
            client_ids=[app.client_id for app in relying_apps.APPS if not app.is_public],
            emails=[account.email for account in seed.ACCOUNTS],
        )
        variables = choose_settings(addresses, files, saved, environ)
        settings = Settings.from_environ(variables)
        notes = _prepare(settings, addresses, files, saved, variables)
        started: list[parts.Part] = []
        try:
            if settings.bankid.environment == SIMULATOR:
                started.append(_simulator(addresses, settings, environ))
                # The provider reads the simulator's address and certificate when it starts.
                parts.wait_for_answers(started, stopping=lambda: stop.asked)
            for start in (_provider, _worker, _portal):
                started.append(start(addresses, files, environ))
            parts.wait_for_answers(started, stopping=lambda: stop.asked)
            if not stop.asked:
                _print_summary(addresses, files, saved, notes)
            parts.watch(started, stopping=lambda: stop.asked)
        finally:
            parts.stop_all(started)


# Where and how


def choose_addresses(host: str, ports: Ports, issuer: str | None, *, with_simulator: bool) -> Addresses:
    """The addresses of this run. Raises `ConfigError` for a taken port and an issuer out of reach."""
    options = ports.options(with_simulator=with_simulator)
    by_port: dict[int, str] = {}
    for option, number in options.items():
        if number in by_port:
            raise ConfigError([f"{by_port[number]} and {option} are both {number}: give each its own port"])
        by_port[number] = option
    url_host = _in_url(host)
    issuer = issuer or f"http://{url_host}:{ports.port}"
    if not is_loopback_url(issuer) and issuer == f"http://{url_host}:{ports.port}":
        raise ConfigError(
            [
                f"--host {host}: a browser must reach the provider under one address, and http is for this"
                " machine only. Set IDP_ISSUER to it: http://localhost:8000 for a container with published"
                " ports, https://… behind a TLS proxy"
            ]
        )
    listen = _ip_address(host)
    problems = [
        problem
        for option, number in options.items()
        if (problem := _port_problem(LOOPBACK if option == "--bankid-port" else listen, number, option))
    ]
    if problems:
        raise ConfigError(problems)
    # The portal has the provider's host name; beside a provider that is not on loopback it has loopback's.
    portal_host = (urlsplit(issuer).hostname if is_loopback_url(issuer) else None) or LOOPBACK
    portal_url = f"http://{_in_url(portal_host)}:{ports.portal_port}"
    phone_url = f"http://{_in_url(ANY_ADDRESS.get(listen, listen))}:{ports.phone_port}"
    return Addresses(listen, ports, issuer, portal_url, phone_url if with_simulator else None)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _ip_address(host: str) -> str:
    if ":" in host:
        return host
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise ConfigError([f"--host {host}: {error.strerror}"]) from None


def _port_problem(host: str, port: int, option: str) -> str | None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"port {port} is in use: choose another with {option}"
            return f"cannot listen on {host} port {port}: {error.strerror} (--host, {option})"
    return None


def choose_settings(
    addresses: Addresses, files: Files, saved: SavedSecrets, environ: Mapping[str, str]
) -> dict[str, str]:
    """The settings of this run: the demo's own, overridden by the `IDP_*` variables in `environ`."""
    given = {name: value for name, value in environ.items() if name.startswith("IDP_") and value}
    own = {
        "IDP_ISSUER": addresses.issuer,
        "IDP_SECRET_KEY": saved.secret_key,
        "IDP_DATABASE_URL": f"sqlite:///{files.directory / 'idp.sqlite3'}",
        "IDP_KEYS_DIR": str(files.directory / "keys"),
        "IDP_CLIENTS_FILE": str(files.clients),
        "IDP_MAIL_URL": f"file:{files.outbox}",
        "IDP_LOG_FORMAT": "text",
        "IDP_PERSONAL_NUMBER_KEYS": saved.personal_number_keys,
    }
    if addresses.phone_url is not None:
        directory = Path(given.get("IDP_BANKID_SIMULATOR_DIR", files.directory / "bankid"))
        own |= {"IDP_BANKID_ENVIRONMENT": SIMULATOR, "IDP_BANKID_SIMULATOR_DIR": str(directory)}
        if "IDP_BANKID_CERTIFICATE" not in given:  # else the key goes with it, or it needs none
            own["IDP_BANKID_CERTIFICATE"] = str(directory / "rp.pem")
            own["IDP_BANKID_KEY"] = str(directory / "rp.key")
    for name in SECRETS:
        if f"{name}_FILE" in given:
            own.pop(name, None)
    return {**own, **given}


# The data directory


def _prepare(
    settings: Settings, addresses: Addresses, files: Files, saved: SavedSecrets, variables: Mapping[str, str]
) -> list[str]:
    """Write the files, make keys, migrate and fill the database. Returns notes for the person."""
    files.outbox.mkdir(exist_ok=True)
    folder.write_private(files.env, _env_text(variables))
    text = relying_apps.clients_yaml(
        portal_url=addresses.portal_url, issuer=addresses.issuer, env_file=files.env, saved=saved
    )
    relying_apps.write_clients_file(files.clients, text, saved)
    folder.store_secrets(files.directory, saved)
    _make_keys(settings.keys_dir)
    clients = load_clients(settings.clients_file, login_methods=application.METHOD_NAMES)
    missing = relying_apps.missing_from(clients, portal_url=addresses.portal_url, saved=saved)
    _prepare_database(settings, saved)
    folder.write_private(
        files.demo, json.dumps(_facts(addresses, files, saved), ensure_ascii=False, indent=2) + "\n"
    )
    if missing:
        return [f"{settings.clients_file} is kept as you changed it, but the portal needs more:", *missing]
    return []


def _env_text(variables: Mapping[str, str]) -> str:
    lines = ["# The settings of the demo's newest run. Use them with: idp --env-file THIS_FILE …"]
    for name, value in variables.items():
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"{name}='{quoted}'")
    return "\n".join(lines) + "\n"


def _make_keys(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if not key_files.list_keys(directory):
        key_rotation.rotate(directory, now=utcnow())


def _prepare_database(settings: Settings, saved: SavedSecrets) -> None:
    tools = application.create_tool_app(settings)
    with tools.app_context():
        flask_migrate.upgrade()
        hasher = PasswordHasher(settings.password, lambda: None)
        assert settings.personal_number_keys is not None  # the demo's own, unless another is given
        keys = PersonalNumberKeys(settings.personal_number_keys.get_secret_value())
        seed.seed(saved.passwords, hasher=hasher, keys=keys, now=utcnow())
        db.session.remove()
        db.engine.dispose()


def _facts(addresses: Addresses, files: Files, saved: SavedSecrets) -> dict[str, Any]:
    """The content of demo.json, which scripts and the portal read."""
    return {
        "issuer": addresses.issuer,
        "portal_url": addresses.portal_url,
        "phone_url": addresses.phone_url,
        "outbox_dir": str(files.outbox),
        "outbox_url": addresses.outbox_url,
        "users": [
            {
                "email": account.email,
                "password": saved.passwords[account.email],
                "personal_number": account.personal_number,
                "company": seed.COMPANY,
                "role": account.role.value,
                "name": account.name,
            }
            for account in seed.ACCOUNTS
        ],
        "clients": [
            {
                "client_id": app.client_id,
                "client_secret": None if app.is_public else saved.client_secrets[app.client_id],
                "redirect_uri": addresses.portal_url + app.callback,
                "post_logout_redirect_uri": addresses.portal_url + app.home,
                "token_endpoint_auth_method": app.auth_method,
                "scope": app.scope,
            }
            for app in relying_apps.APPS
        ],
    }


# The parts


def _simulator(addresses: Addresses, settings: Settings, environ: Mapping[str, str]) -> parts.Part:
    ports = addresses.ports
    api = ["--host", LOOPBACK, "--port", str(ports.bankid_port)]
    phone = ["--phone-host", addresses.host, "--phone-port", str(ports.phone_port)]
    return parts.Part(
        "the BankID simulator",
        ["-m", "idp", "bankid-simulator", "--dir", str(settings.bankid.simulator_dir), *api, *phone],
        environ=_without_settings(environ),
        address=(addresses.local_host, ports.phone_port, "/"),
    )


def _provider(addresses: Addresses, files: Files, environ: Mapping[str, str]) -> parts.Part:
    listen = ["--host", addresses.host, "--port", str(addresses.ports.port), "--workers", "1"]
    return parts.Part(
        "the identity provider",
        ["-m", "idp", "--env-file", str(files.env), "serve", *listen],
        environ=_without_settings(environ),
        address=(addresses.local_host, addresses.ports.port, "/readyz"),
    )


def _worker(_addresses: Addresses, files: Files, environ: Mapping[str, str]) -> parts.Part:
    return parts.Part(
        "the mail worker",
        ["-m", "idp", "--env-file", str(files.env), "worker"],
        environ=_without_settings(environ),
        address=None,
    )


def _portal(addresses: Addresses, files: Files, environ: Mapping[str, str]) -> parts.Part:
    portal_port = addresses.ports.portal_port
    # No proxy may get its requests to a provider on this machine.
    direct = filter(None, [environ.get("no_proxy") or environ.get("NO_PROXY"), *LOOPBACK_HOSTS])
    return parts.Part(
        "the demo portal",
        ["-m", "idp.demo.portal", str(files.demo), addresses.host, str(portal_port)],
        environ={**_without_settings(environ), "no_proxy": ",".join(direct)},
        address=(addresses.local_host, portal_port, "/"),
    )


def _without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """A part's environment, without settings: it reads them from the env file."""
    return {name: value for name, value in environ.items() if not name.startswith("IDP_")}


def _print_summary(addresses: Addresses, files: Files, saved: SavedSecrets, notes: list[str]) -> None:
    """Print addresses, accounts and files, then the line that scripts wait for."""
    phone = [f"BankID simulator   {addresses.phone_url}   <- the phone: scan, enter 123456, approve"]
    lines = [
        "",
        f"Identity provider  {addresses.issuer}",
        f"Demo portal        {addresses.portal_url}   <- begin here",
        *(phone if addresses.phone_url else []),
        "",
        "Accounts (e-mail, password)",
        *(
            f"  {account.email:17} {saved.passwords[account.email]}   {account.name}, {account.role.value}"
            f"{', BankID linked' if account.has_bankid else ', no BankID linked'}"
            for account in seed.ACCOUNTS
        ),
        "",
        f"Mails              {addresses.outbox_url}   ({files.outbox}: each an .eml file)",
        f"Relying apps       {files.clients} (read again within two seconds of a change)",
        f"For scripts        {files.demo}",
        f"Commands           idp --env-file {files.env} users list",
        "Stop               Ctrl-C",
        "",
        *(f"note: {note}" for note in notes),
        f"ready {addresses.issuer} portal {addresses.portal_url}",
    ]
    click.echo("\n".join(lines))
