"""The production server with a database, a client and accounts, for as long as it is measured."""

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import indent
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from bench import service, waiting
from bench.ports import free_port
from bench.purging import BEGINS
from bench.visitor import SCOPE, Account, Client

COMMAND = (sys.executable, "-c", "from idp.cli import main; main()")  # needs no installed script
COMPANY = "Bench AB"
REDIRECT_URI = "http://127.0.0.1:9/cb"  # nobody listens there: the driver stops at the redirect
START_SECONDS = 60
STOP_SECONDS = 20
NO_LIMIT = "100000/second"
LIMITS = (
    *("LOGIN_PER_ADDRESS", "LOGIN_PER_ACCOUNT", "LOGIN_OVERALL", "CLIENT_AUTHENTICATION"),
    "BANKID_PER_ADDRESS",
)


class StartError(Exception):
    """The provider could not be set up or did not become ready; holds what it said."""


@dataclass(frozen=True)
class Simulator:
    """BankID's simulator, a process of its own; `url` is where its phone answers."""

    pid: int
    url: str
    environ: dict[str, str]  # the settings of a provider that uses it


@dataclass(frozen=True)
class RunningProvider:
    issuer: str
    pid: int
    client: Client
    accounts: list[Account]
    environ: dict[str, str]  # its settings


@contextmanager
def simulated() -> Iterator[Simulator]:
    """`idp bankid-simulator` on free ports, ready; stopped afterwards. Raises `StartError`."""
    with TemporaryDirectory(prefix="idp-bench-") as name:
        folder = Path(name)
        ports = {"--port": free_port(), "--phone-port": free_port()}
        options = [text for option, port in ports.items() for text in (option, str(port))]
        url = f"http://127.0.0.1:{ports['--phone-port']}"
        with _started(folder, "bankid-simulator", "--dir", name, *options) as process:
            _wait_until_ready(process, f"{url}/api/counts", folder / "log")
            yield Simulator(
                process.pid,
                url,
                {
                    "IDP_BANKID_ENVIRONMENT": "simulator",
                    "IDP_BANKID_SIMULATOR_DIR": name,
                    "IDP_BANKID_CERTIFICATE": str(folder / "rp.pem"),
                    "IDP_BANKID_KEY": str(folder / "rp.key"),
                    "IDP_PERSONAL_NUMBER_KEYS": f"k1:{b64encode(secrets.token_bytes(32)).decode()}",
                },
            )


@contextmanager
def purging(environ: Mapping[str, str]) -> Iterator[int]:
    """`idp purge` again and again in a process of its own, this one; stopped afterwards.

    Raises `StartError` when it ended by itself.
    """
    with TemporaryDirectory(prefix="idp-bench-") as name:
        log, command = Path(name) / "log", (sys.executable, "-m", "bench.purging")
        with _started(Path(name), environ=environ, command=command) as process:
            while process.poll() is None and BEGINS not in log.read_text():
                time.sleep(0.1)  # what it takes to start is not the purge's
            yield process.pid
            code = process.poll()
        if code is not None:
            raise StartError(f"idp purge ended with {code}:\n{log.read_text()[-3000:]}")


@contextmanager
def running(
    *,
    database_url: str | None,
    workers: int,
    accounts: int,
    colleagues: int,
    clients: int,
    simulator: Simulator | None,
) -> Iterator[RunningProvider]:
    """`idp serve` on a free port, ready, with so many accounts and relying apps; stopped afterwards.

    They are administrators of a company with so many colleagues besides. Everything but the rate limits,
    which one address would reach at once, is at its default, Argon2 included. `database_url` None: an
    SQLite file. `simulator` None: without BankID. Raises `StartError`.
    """
    with TemporaryDirectory(prefix="idp-bench-") as name:
        folder = Path(name)
        client = Client("bench", secrets.token_urlsafe(32), REDIRECT_URI)
        port = free_port()
        issuer = f"http://127.0.0.1:{port}"
        environ = _environ(folder, issuer, database_url or f"sqlite:///{folder}/idp.sqlite3")
        if simulator is not None:
            environ |= simulator.environ
        (folder / "keys").mkdir(mode=0o700)
        (folder / "clients.yaml").write_text(clients_yaml(client, clients))
        _idp(environ, "db", "upgrade")
        _idp(environ, "keys", "rotate")
        people = _add_people(environ, accounts)
        _add_colleagues(environ, people[0], colleagues, folder / "colleagues.csv")
        arguments = ("serve", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers))
        with _started(folder, *arguments, environ=environ) as server:
            _wait_until_ready(server, f"{issuer}/readyz", folder / "log")
            yield RunningProvider(issuer, server.pid, client, people, environ)


@contextmanager
def _started(
    folder: Path,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    command: Sequence[str] = COMMAND,
) -> Iterator["subprocess.Popen[bytes]"]:
    """An `idp` command that runs until this ends; what it says is in the folder's file `log`."""
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            [*command, *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
    try:
        yield process
    finally:
        _stop(process)


def _environ(folder: Path, issuer: str, database_url: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}
    return {
        **inherited,
        "IDP_ISSUER": issuer,
        "IDP_SECRET_KEY": secrets.token_hex(32),
        "IDP_DATABASE_URL": database_url,
        "IDP_KEYS_DIR": str(folder / "keys"),
        "IDP_CLIENTS_FILE": str(folder / "clients.yaml"),
        **{f"IDP_LIMIT_{limit}": NO_LIMIT for limit in LIMITS},
    }


def clients_yaml(client: Client, number: int) -> str:
    """The relying app, one whose people log in with BankID alone, and one that may use every grant.

    Before them come others that nobody uses, until there are so many in all.
    """
    entry = {
        "client_name": "Benchmark",
        "login_methods": ["password"],
        "redirect_uris": [client.redirect_uri],
        "token_endpoint_auth_method": "client_secret_basic",
        "client_secrets": [{"sha256": hashlib.sha256(client.client_secret.encode()).hexdigest()}],
        "scope": SCOPE,
    }
    with_bankid = {**entry, "login_methods": ["bankid"]}
    grants = ["authorization_code", "refresh_token", "client_credentials"]
    with_all = {**entry, "grant_types": grants, "scope": service.SCOPE}
    used = {client.client_id: entry, waiting.CLIENT_ID: with_bankid, service.CLIENT_ID: with_all}
    return "".join(
        (
            "version: 1\nclients:\n",
            # As JSON, which YAML is too: writing 10,000 entries as YAML takes longer than reading them.
            *(f"  {name}: {json.dumps(other)}\n" for name, other in _unused(entry, number - len(used))),
            indent(yaml.safe_dump(used), "  "),
        )
    )


def _unused(entry: Mapping[str, Any], number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for turn in range(number):
        name = f"unused-{turn}"
        secret = hashlib.sha256(secrets.token_bytes(32)).hexdigest()
        own = {"client_name": f"App {turn}", "redirect_uris": [f"https://{name}.example.se/cb"]}
        yield name, {**entry, **own, "client_secrets": [{"sha256": secret}]}


def _add_people(environ: Mapping[str, str], number: int) -> list[Account]:
    """Accounts with names of their own, so that a database given to us may have seen an earlier run."""
    run = secrets.token_hex(4)
    company = f"{COMPANY} {run}"
    _idp(environ, "companies", "add", company)
    people = []
    for index in range(number):
        person = Account(f"bench-{run}-{index}@example.se", secrets.token_urlsafe(16))
        options = ("--name", f"Bench {index}", "--company", company, "--role", "company_admin")
        _idp(environ, "users", "add", person.email, *options, "--password-stdin", said=person.password)
        people.append(person)
    return people


def _add_colleagues(environ: Mapping[str, str], person: Account, number: int, path: Path) -> None:
    """So many people more in the person's company, none of whom logs in."""
    if not number:
        return
    run = person.email.split("-")[1]
    lines = (f"bench-{run}-c{index}@example.se,Kollega {index},{COMPANY} {run}" for index in range(number))
    path.write_text("\n".join(["email,name,company", *lines]) + "\n")
    _idp(environ, "users", "import", "--no-welcome", str(path))


def _idp(environ: Mapping[str, str], *arguments: str, said: str = "") -> None:
    done = subprocess.run(
        [*COMMAND, *arguments], check=False, env=environ, input=said, capture_output=True, text=True
    )
    if done.returncode:
        command = " ".join(arguments[:2])
        raise StartError(f"idp {command} failed: {(done.stderr or done.stdout).strip()}")


def _wait_until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(url):
        if server.poll() is not None or time.monotonic() > deadline:
            raise StartError(f"{url} did not become ready:\n{log.read_text()[-3000:]}")
        time.sleep(0.1)


def _is_ready(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):  # not listening yet, or 503
        return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
