"""Apache with mod_auth_openidc stands in front of a small application."""

import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from tests.factories import SECRET

BINARY = "/usr/sbin/apache2"  # not on every user's PATH
MODULES = Path("/usr/lib/apache2/modules")
NAMES = ("mpm_event", "authn_core", "authz_core", "authz_user", "proxy", "proxy_http", "auth_openidc")
CALLBACK = "/oidc/callback"
START_SECONDS = 30
STOP_SECONDS = 20
# What the module's own documentation asks for, and everything else as it comes.
CONFIGURATION = """
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
LogLevel warn auth_openidc:info
{modules}
ThreadsPerChild 8
StartServers 1
MaxRequestWorkers 8
{user}
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {client_id}
OIDCClientSecret {secret}
OIDCRedirectURI {base}{callback}
OIDCCryptoPassphrase {passphrase}
OIDCScope "openid profile email offline_access"
OIDCPKCEMethod S256
OIDCDefaultLoggedOutURL {base}/
OIDCSessionType server-cache
<Location {callback}>
    AuthType openid-connect
    Require valid-user
</Location>
<Location /app/>
    AuthType openid-connect
    Require valid-user
    ProxyPass http://127.0.0.1:{application}/
</Location>
<Location /fresh/>
    AuthType openid-connect
    Require valid-user
    OIDCRefreshAccessTokenBeforeExpiry 3600 logout_on_error
    ProxyPass http://127.0.0.1:{application}/
</Location>
"""


@dataclass(frozen=True)
class Apache:
    """Where it listens; everything under /app/ and /fresh/ needs a login.

    An access token that has less than an hour left, as all of ours, is exchanged before /fresh/ is answered.
    """

    port: int
    folder: Path

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def callback(self) -> str:
        return self.base + CALLBACK

    @property
    def page(self) -> str:
        return f"{self.base}/app/page"

    @property
    def fresh_page(self) -> str:
        return f"{self.base}/fresh/page"

    def log(self) -> str:
        return (self.folder / "error.log").read_text()


@contextmanager
def running(apache: Apache, *, issuer: str, client_id: str) -> Iterator[None]:
    """Apache as the relying app `client_id`, ready; stopped afterwards."""
    with _application() as application:
        configuration = CONFIGURATION.format(
            folder=apache.folder,
            port=apache.port,
            base=apache.base,
            callback=CALLBACK,
            modules="\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in NAMES),
            user="User www-data\nGroup www-data" if os.geteuid() == 0 else "",
            issuer=issuer,
            client_id=client_id,
            secret=SECRET,
            passphrase=secrets.token_hex(32),
            application=application,
        )
        path = apache.folder / "apache.conf"
        path.write_text(configuration)
        try:
            process = subprocess.Popen(
                [BINARY, "-D", "FOREGROUND", "-f", path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except FileNotFoundError:
            pytest.fail(
                "Apache is missing; on Debian: apt-get install apache2-bin libapache2-mod-auth-openidc",
                pytrace=False,
            )
        try:
            _wait_until_ready(apache, process)
            yield
        finally:
            process.terminate()
            process.communicate(timeout=STOP_SECONDS)


@contextmanager
def _application() -> Iterator[int]:
    """What Apache protects, on a port of its own: it answers with the headers that it gets, as JSON."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Headers) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


class _Headers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        # The module sends UTF-8; http.server reads Latin-1, as HTTP once said.
        told = {name: value.encode("latin-1").decode() for name, value in self.headers.items()}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _wait_until_ready(apache: Apache, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, f"Apache ended: {process.communicate()[0]}"
        try:
            answer = httpx2.get(apache.base, trust_env=False)
        except httpx2.ConnectError:
            assert time.monotonic() < deadline, f"not started in time:\n{apache.log()}"
            time.sleep(0.05)
        else:
            assert answer.headers["Server"].startswith("Apache"), "another server has its port"
            return
