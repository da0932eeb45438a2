"""A relying app's web server that hears logout tokens: small, real, over http on this machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jwt
from joserfc.jwk import KeySet

ALGS = ["RS256", "ES256"]


@dataclass
class Heard:
    """One request, as it came."""

    path: str
    content_type: str
    form: dict[str, str]

    def token(self, jwks: Any) -> jwt.Token:
        """The logout token, its signature checked."""
        assert self.form.keys() == {"logout_token"}
        return jwt.decode(self.form["logout_token"], KeySet.import_key_set(jwks), algorithms=ALGS)


@dataclass
class ListeningApp:
    """Answers with `status` and `headers`; while `deaf`, it takes the request and says nothing."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    deaf: bool = False
    asked: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/logout?from=idp"


@contextmanager
def listening_app() -> Iterator[ListeningApp]:
    """A running one."""
    facts = ListeningApp()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            kind = self.headers["Content-Type"]
            facts.heard.append(Heard(self.path, kind, dict(parse_qsl(body, strict_parsing=True))))
            facts.asked.set()
            if facts.deaf:
                facts.over.wait(30)
                return
            self.send_response(facts.status)
            for name, value in {"Content-Length": "0", **facts.headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Tests are quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """Whoever asked has hung up: what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    facts.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield facts
    finally:
        facts.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
