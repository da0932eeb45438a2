"""A real mail server on this machine: STARTTLS, SMTPS, authentication, and refusals on request."""

import datetime
import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.ports import free_port

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Received:
    """A mail that the server has taken."""

    sender: str
    recipients: tuple[str, ...]
    encrypted: bool
    user: str | None
    content: bytes

    @property
    def message(self) -> EmailMessage:
        parsed = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


class MailServer:
    """Takes mails into `received` while its `with` block lasts.

    `sender_answers`, `recipient_answers` and `data_answers` are what it answers instead, one a try.
    """

    def __init__(
        self,
        directory: Path,
        *,
        starttls: bool = False,
        smtps: bool = False,
        login: tuple[str, str] | None = None,
        utf8: bool = True,
    ) -> None:
        self.received: list[Received] = []
        self.recipient_answers: list[str] = []
        self.sender_answers: list[str] = []
        self.data_answers: list[str] = []
        self.connections = 0
        self.certificate = directory / "mail-server.pem"
        context = _server_context(self.certificate) if starttls or smtps else None
        self._login = login
        self.port = free_port()
        options: dict[str, Any] = {"enable_SMTPUTF8": utf8}
        if starttls:
            options |= {"tls_context": context, "require_starttls": True}
        if login:
            options |= {
                "authenticator": self._authenticate,
                "auth_required": True,
                "auth_require_tls": starttls,
            }
        self._controller = Controller(
            self,
            hostname=HOST,
            port=self.port,
            ssl_context=context if smtps else None,
            ready_timeout=20,
            **options,
        )

    def __enter__(self) -> "MailServer":
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()

    @property
    def recipients(self) -> list[str]:
        return [address for mail in self.received for address in mail.recipients]

    def _authenticate(
        self, _server: Any, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        assert self._login is not None
        user, password = self._login
        assert isinstance(data, LoginPassword)
        good = data.login == user.encode() and data.password == password.encode()
        return AuthResult(success=good, handled=False, auth_data=user)

    # What aiosmtpd calls

    async def handle_EHLO(
        self, _server: Any, session: Session, _envelope: Envelope, hostname: str, responses: Iterable[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return list(responses)

    async def handle_MAIL(
        self, _server: Any, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.sender_answers:
            return self.sender_answers.pop(0)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.recipient_answers:
            return self.recipient_answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        if self.data_answers:
            return self.data_answers.pop(0)
        assert isinstance(envelope.content, bytes)
        self.received.append(
            Received(
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                encrypted=server.transport.get_extra_info("ssl_object") is not None,
                user=session.auth_data,
                content=envelope.content,
            )
        )
        return "250 2.0.0 taken"


def _server_context(path: Path) -> ssl.SSLContext:
    """A certificate for this machine that vouches for itself; trust it with SSL_CERT_FILE."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail server")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start.replace(year=2100))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(pem) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
