"""A relying app's web server for its jwks_uri: small, real, over https with its own certificate, or http."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

HOST = "keys.example.se"
# OpenSSL compares with the machine's clock, whatever date the tests run at.
FROM, UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)


class KeyServer:
    """Answers every request with `status`, `headers` and `body`, or as `misbehave` writes it.

    `requests` holds the path and the headers of each request.
    """

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b'{"keys": []}'
        self.misbehave: Callable[[Any], None] | None = None
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.port = 0

    def serve_keys(self, *public_jwks: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": list(public_jwks)}).encode()

    @property
    def https_url(self) -> str:
        return f"https://{HOST}:{self.port}/jwks.json"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks.json"


@contextmanager
def key_server(certificate: Path | None = None) -> Iterator[KeyServer]:
    """A running server on 127.0.0.1; https when there is a `certificate` (PEM, with its key)."""
    facts = KeyServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            facts.requests.append((self.path, dict(self.headers.items())))
            if facts.misbehave is not None:
                facts.misbehave(self.wfile)
                return
            self.send_response(facts.status)
            for name, value in {"Content-Length": str(len(facts.body)), **facts.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(facts.body)

        def log_message(self, *args: object) -> None:
            """Tests are quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """A client that hangs up is what some tests are about."""

        def finish_request(self, request: Any, client_address: Any) -> None:
            # The handshake belongs to the connection's own thread: one that fails must not stop the others.
            if certificate is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate)
                request = context.wrap_socket(request, server_side=True)
            try:
                super().finish_request(request, client_address)
            finally:
                request.close()

    server = Server(("127.0.0.1", 0), Handler)
    facts.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield facts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(directory: Path, host: str = HOST) -> Path:
    """A PEM file with a self-signed certificate for `host` and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(FROM)
        .not_valid_after(UNTIL)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{host}.pem"
    path.write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path
