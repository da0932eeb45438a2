"""The provider runs as operators run it, by `idp serve` in processes of its own on a free port."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import yaml
from click.testing import CliRunner

from bench.ports import free_port
from bench.usage import PROC, process_tree
from idp.cli import main
from tests.factories import PASSWORD, make_client, make_public_client
from tests.fakes import assertions

COMMAND = (sys.executable, "-m", "idp")
WORKERS = 2
REDIRECT_URI = "http://127.0.0.1:9/cb"  # nobody listens there: browsers stop at the redirect
AFTER_LOGOUT_URI = "http://127.0.0.1:9/"
EMAIL = "anna@example.se"
PATIENCE_SECONDS = 180  # for what a busy machine does slowly; nothing waits so long when all is well
STOP_SECONDS = 30
STARTED = "Started worker-"  # in the log, once for each
UNLIMITED = (
    *("LOGIN_PER_ADDRESS", "LOGIN_PER_ACCOUNT", "LOGIN_OVERALL", "CLIENT_AUTHENTICATION"),
    "BANKID_PER_ADDRESS",
)


def clients() -> dict[str, dict[str, Any]]:
    """The relying apps that every server begins with: each way to authenticate, ES256, refresh tokens.

    `strict` must do all that makes a login hard to tamper with, `signing` sign what it asks for.
    """
    where: dict[str, Any] = {
        "redirect_uris": [REDIRECT_URI],
        "post_logout_redirect_uris": [AFTER_LOGOUT_URI],
        "initiate_login_uri": None,
    }
    offline: dict[str, Any] = {
        "scope": "openid profile email offline_access",
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
    }
    keyed: dict[str, Any] = {
        "token_endpoint_auth_method": "private_key_jwt",
        "client_secrets": None,
        "jwks": assertions.public("ES256"),
    }
    return {
        "portal": make_client(**where),
        "poster": make_client(**where, token_endpoint_auth_method="client_secret_post"),
        "keyed": make_client(**where, **keyed),
        "spa": make_public_client(**where),
        "curve": make_client(**where, id_token_signed_response_alg="ES256"),
        "offline": make_client(**where, **offline, access_token_format="jwt"),
        "strict": make_client(
            **where,
            **offline,
            **keyed,
            require_pushed_authorization_requests=True,
            dpop_bound_access_tokens=True,
        ),
        "signing": make_client(**where, **offline, **keyed, require_signed_request_object=True),
        "mobile": make_public_client(**where, **offline | {"grant_types": offline["grant_types"][:2]}),
    }


@dataclass
class Server:
    """A running provider: its processes, its files and what it has logged."""

    issuer: str
    environ: Mapping[str, str]
    folder: Path
    process: subprocess.Popen[bytes] = field(repr=False)
    size: int = WORKERS

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def clients_file(self) -> Path:
        return self.folder / "clients.yaml"

    def log(self) -> str:
        """All that the server has written."""
        return (self.folder / "log").read_text()

    def workers(self) -> set[int]:
        """The processes that answer requests, the live ones."""
        return {pid for pid in process_tree(self.pid)[1:] if _is_worker(pid)}

    def worker_of(self, own_port: int | None) -> int:
        """The worker at the other end of a connection from this port of ours."""
        ends = f"{_hex_address(int(self.issuer.rpartition(':')[2]))} {_hex_address(own_port or 0)}"
        lines = (PROC / "net" / "tcp").read_text().splitlines()
        [inode] = [line.split()[9] for line in lines if ends in line]
        [found] = [pid for pid in self.workers() if _has_open(pid, f"socket:[{inode}]")]
        return found

    def idp(self, *arguments: str) -> str:
        """What an `idp` command prints, run with the server's settings."""
        return run_idp(self.environ, *arguments)

    def write_clients(self, text: str) -> None:
        """Replace clients.yaml as careful operators do: in one piece."""
        new = self.clients_file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.clients_file)


def run_idp(environ: Mapping[str, str], *arguments: str, said: str = "") -> str:
    """What an `idp` command prints; in this process, which saves starting one."""
    result = CliRunner().invoke(main, list(arguments), input=said, env=environ, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def clients_yaml(entries: Mapping[str, Any]) -> str:
    return yaml.safe_dump({"version": 1, "clients": dict(entries)}, allow_unicode=True)


@contextmanager
def running(
    folder: Path,
    database_url: str,
    more_clients: Mapping[str, Any] | None = None,
    *,
    settings: Mapping[str, str] | None = None,
    workers: int = WORKERS,
) -> Iterator[Server]:
    """The production server on a new database with the person `EMAIL`, ready; stopped afterwards.

    Only the rate limits, which one address would reach at once, the cost of passwords and `settings` differ
    from the defaults. Fails when the server does not stop when told to, or has logged an exception.
    """
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    environ = _environ(folder, issuer, database_url) | (settings or {})
    (folder / "clients.yaml").write_text(clients_yaml({**clients(), **(more_clients or {})}))
    run_idp(environ, "db", "upgrade")
    run_idp(environ, "keys", "rotate")
    run_idp(environ, "keys", "rotate", "--alg", "ES256")
    run_idp(environ, "companies", "add", "Exempel AB")
    person = ("users", "add", EMAIL, "--name", "Anna Åsén", "--company", "Exempel AB", "--password-stdin")
    run_idp(environ, *person, said=PASSWORD)
    server = Server(issuer, environ, folder, _serve(environ, port, workers, folder / "log"), workers)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        _stop(server.process)
    _check_end(server)
    assert "Traceback" not in server.log()


def restart(server: Server) -> None:
    """Stop the server as operators do and start it anew, on the same port; ready when this returns."""
    _stop(server.process)
    _check_end(server)
    before = server.log().count(STARTED)
    port = int(server.issuer.rpartition(":")[2])
    server.process = _serve(server.environ, port, server.size, server.folder / "log")
    _wait_until_ready(server, before)


def _serve(environ: Mapping[str, str], port: int, workers: int, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [*COMMAND, "serve", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )


def _check_end(server: Server) -> None:
    code = server.process.returncode
    assert code == 0, f"ended with {code}:\n{server.log()[-3000:]}"


@contextmanager
def worker(server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """`idp worker` beside the server, which delivers what waits there; stopped afterwards."""
    environ = {**server.environ, "IDP_MAIL_URL": f"file:{server.folder / 'mails'}"}
    log = server.folder / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "worker"], env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)
    assert process.returncode == 0, log.read_text()[-3000:]


def _environ(folder: Path, issuer: str, database_url: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}
    return {
        **inherited,
        "IDP_ISSUER": issuer,
        "IDP_SECRET_KEY": secrets.token_hex(32),
        "IDP_DATABASE_URL": database_url,
        "IDP_KEYS_DIR": str(folder / "keys"),
        "IDP_CLIENTS_FILE": str(folder / "clients.yaml"),
        "IDP_PASSWORD_HASH_MEMORY_KIB": "8",
        "IDP_PASSWORD_HASH_TIME": "1",
        **{f"IDP_LIMIT_{limit}": "100000/second" for limit in UNLIMITED},
    }


def _hex_address(port: int) -> str:
    """A port of 127.0.0.1 as /proc/net/tcp writes it."""
    return f"0100007F:{port:04X}"


def _has_open(pid: int, what: str) -> bool:
    return any(os.readlink(link) == what for link in (PROC / str(pid) / "fd").iterdir())


def _is_worker(pid: int) -> bool:
    """Whether a child of the server answers requests: not Python's own that tidies up, nor a dead one."""
    try:
        command = (PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return bool(command) and b"resource_tracker" not in command


def _wait_until_ready(server: Server, started_before: int = 0) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.log().count(STARTED) < started_before + server.size:
        assert server.process.poll() is None, f"the server ended:\n{server.log()[-3000:]}"
        assert time.monotonic() < deadline, f"not started in time:\n{server.log()[-3000:]}"
        time.sleep(0.05)
    assert httpx2.get(f"{server.issuer}/readyz", trust_env=False).status_code == 200


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
