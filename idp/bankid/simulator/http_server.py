"""A WSGI server in one process: a thread for each connection, connections kept open, optionally TLS.

It hands the client's certificate to the application, which the servers among our dependencies do not do.
"""

import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from cryptography import x509
from werkzeug.test import run_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

IDLE_SECONDS = 60
"""How long a connection may be silent."""
HANDSHAKE_SECONDS = 10
STOP_SECONDS = 0.05
"""Seconds between two checks whether to stop."""
MAX_REQUEST_BYTES = 1024 * 1024
CLIENT_CERTIFICATE = "bankid_simulator.client_certificate"
BODY_SECONDS = "X-Body-Seconds"  # set by the application: the seconds that writing the body takes
"""The key in the WSGI environ of the client's `x509.Certificate`."""


class Server(ThreadingHTTPServer):
    """Serves `app` on a host and port; port 0 takes a free one. Raises `OSError` if it cannot listen."""

    daemon_threads = True
    block_on_close = False  # open connections end with the process
    request_queue_size = 512

    def __init__(
        self, host: str, port: int, app: "WSGIApplication", *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.app = app
        self.tls = tls
        super().__init__((host, port), Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def server_bind(self) -> None:
        """Bind without resolving this machine's name, which may wait for a name server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.port

    def start(self) -> None:
        """Serve in a thread of its own until `stop`."""
        threading.Thread(target=self.serve_forever, args=(STOP_SECONDS,), daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log no connections that the other side broke, or that a fault ended."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection: the TLS handshake, then requests until it is closed."""

    protocol_version = "HTTP/1.1"
    server_version = "BankID-simulator"
    sys_version = ""
    wbufsize = 64 * 1024  # one write for headers and body
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    server: Server
    certificate: x509.Certificate | None = None

    def setup(self) -> None:
        """Make the TLS handshake in the connection's own thread, where it delays no other connection."""
        if self.server.tls is not None:
            self.request.settimeout(HANDSHAKE_SECONDS)
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
            der = self.request.getpeercert(binary_form=True)
            self.certificate = x509.load_der_x509_certificate(der) if der else None
        super().setup()

    def finish(self) -> None:
        super().finish()
        if self.server.tls is not None:
            self.request.close()

    def _serve(self) -> None:
        """Answer one request. Its whole body is read, because the next request begins after it."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal() or int(length) > MAX_REQUEST_BYTES:
            self.close_connection = True
            self.send_error(413 if length.isdecimal() else 400)
            return
        body = self.rfile.read(int(length))
        chunks, status, headers = run_wsgi_app(self.server.app, self._environ(body), buffered=True)
        content = b"".join(chunks)
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        seconds = headers.pop(BODY_SECONDS, None)
        headers["Content-Length"] = str(len(content))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if seconds is None:
            self.wfile.write(content)
        else:
            self._write_bit_by_bit(content, float(seconds))

    def _write_bit_by_bit(self, content: bytes, seconds: float) -> None:
        """Write the body in ten pieces that take so many seconds together."""
        size = len(content) // 10 + 1
        for start in range(0, len(content), size):
            self.wfile.write(content[start : start + size])
            self.wfile.flush()
            time.sleep(seconds / 10)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _environ(self, body: bytes) -> "WSGIEnvironment":
        path, _, query = self.path.partition("?")
        environ: WSGIEnvironment = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)),
            "SERVER_NAME": self.server.server_name,
            "SERVER_PORT": str(self.server.port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http" if self.server.tls is None else "https",
            "wsgi.input": BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            CLIENT_CERTIFICATE: self.certificate,
        }
        if self.headers.get("Content-Type") is not None:
            environ["CONTENT_TYPE"] = self.headers["Content-Type"]
        for name, value in self.headers.items():
            key = "HTTP_" + name.upper().replace("-", "_")
            if key not in {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"}:
                environ[key] = value
        return environ

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Log no successful requests."""
