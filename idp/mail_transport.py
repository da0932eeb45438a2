"""Where mails go: a mail server, or a folder of .eml files."""

import os
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from email import message_from_string, policy
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from idp.config import LOOPBACK_HOSTS
from idp.mail import OutgoingMail

TIMEOUT_SECONDS = 15
SMTP_PORT = 25
SMTPS_PORT = 465
WANTS_LOGIN = frozenset({530, 534, 535, 538})  # RFC 4954 §6: said of us, not of the recipient
CLOSING = 421
ENHANCED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")


class Trouble(Exception):
    """No mail gets through at present. The message gives the reason, without an address."""


class Deferred(Exception):
    """This mail may be accepted later (4xx). The message gives the reason, without an address."""


class Refused(Exception):
    """This mail will never be accepted (5xx). The message gives the reason, without an address."""


Send = Callable[[OutgoingMail], None]
"""Hands one mail over. Raises `Trouble`, `Deferred` or `Refused`."""


class Transport(Protocol):
    def session(self) -> AbstractContextManager[Send]:
        """A way to send several mails, over one connection that the first opens."""

    def check(self) -> str:
        """The state of the way, in words, without sending a mail. Raises `Trouble`."""


def transport(url: str, *, sender: str) -> Transport:
    """The transport that IDP_MAIL_URL, checked before, names; `sender` is the envelope's."""
    if url.startswith("file:"):
        return Folder(Path(url.removeprefix("file:")))
    return MailServer(url, sender=sender)


class Folder:
    """A folder that gets each mail as one .eml file, whole or not at all, for its owner to read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def session(self) -> Iterator[Send]:
        yield self._write

    def check(self) -> str:
        if not os.access(self._directory, os.W_OK | os.X_OK):
            reason = "cannot be written to" if self._directory.is_dir() else "no such folder"
            raise Trouble(f"{self._directory}: {reason}")
        return f"writes to the folder {self._directory}"

    def _write(self, mail: OutgoingMail) -> None:
        # The name follows from the mail: a second delivery after a crash replaces the first.
        date = message_from_string(mail.content, policy=policy.SMTP)["Date"].datetime
        name = f"{date:%Y%m%dT%H%M%S}-{sha256(mail.content.encode()).hexdigest()[:16]}.eml"
        new = self._directory / f".{name}.{os.getpid()}"
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(mail.content.encode())
                file.flush()
                os.fsync(descriptor)
            new.replace(self._directory / name)
        except OSError as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise Trouble(f"{self._directory}: {error.strerror}") from error


class MailServer:
    """A mail server by SMTP (RFC 5321, RFC 3207, RFC 4954).

    smtp:// is encrypted by STARTTLS when the server offers it, and must be when a password is sent or
    ?starttls=required says so; on this machine it needs no encryption. Certificates are always checked.
    """

    def __init__(self, url: str, *, sender: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._is_smtps = parts.scheme == "smtps"
        self._port = parts.port or (SMTPS_PORT if self._is_smtps else SMTP_PORT)
        self._login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self._starttls = parts.query.removeprefix("starttls=")
        if not self._starttls:
            local = self._host in LOOPBACK_HOSTS
            self._starttls = "required" if self._login else "off" if local else "offered"
        self._sender = sender

    @contextmanager
    def session(self) -> Iterator[Send]:
        connection: smtplib.SMTP | None = None

        def send(mail: OutgoingMail) -> None:
            nonlocal connection
            if connection is None:
                with _told_as_trouble():
                    connection = self._connect()
            self._send(connection, mail)

        try:
            yield send
        finally:
            if connection is not None:
                with suppress(OSError, smtplib.SMTPException):
                    connection.quit()
                connection.close()

    def check(self) -> str:
        with _told_as_trouble():
            connection = self._connect()
            encrypted = isinstance(connection.sock, ssl.SSLSocket)
            connection.quit()
        how = "encrypted" if encrypted else "not encrypted"
        return f"{self._host} port {self._port} answers, {how}{', logged in' if self._login else ''}"

    def _connect(self) -> smtplib.SMTP:
        name = socket.gethostname()
        if self._is_smtps:
            context = ssl.create_default_context()
            return self._logged_in(
                smtplib.SMTP_SSL(
                    self._host, self._port, local_hostname=name, timeout=TIMEOUT_SECONDS, context=context
                )
            )
        return self._logged_in(
            smtplib.SMTP(self._host, self._port, local_hostname=name, timeout=TIMEOUT_SECONDS)
        )

    def _logged_in(self, connection: smtplib.SMTP) -> smtplib.SMTP:
        try:
            connection.ehlo_or_helo_if_needed()
            if not self._is_smtps and self._starttls != "off":
                if connection.has_extn("starttls"):
                    connection.starttls(context=ssl.create_default_context())
                    connection.ehlo_or_helo_if_needed()
                elif self._starttls == "required":
                    raise Trouble("the mail server does not offer STARTTLS, which is required")
            if self._login:
                connection.login(*self._login)
        except BaseException:
            connection.close()
            raise
        return connection

    def _send(self, connection: smtplib.SMTP, mail: OutgoingMail) -> None:
        content = mail.content.encode()
        options = [] if content.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]  # RFC 6531 §3.4
        if options and not connection.has_extn("smtputf8"):
            raise Refused("the mail server accepts only ASCII addresses")
        with _told_as_trouble():
            try:
                connection.sendmail(self._sender, [mail.to], content, options)
            except smtplib.SMTPRecipientsRefused as error:
                code, text = error.recipients[mail.to]
                raise _answer(code, text, "the recipient") from error
            except smtplib.SMTPDataError as error:
                raise _answer(error.smtp_code, error.smtp_error, "the mail") from error


@contextmanager
def _told_as_trouble() -> Iterator[None]:
    """Turn errors that end a connection into `Trouble`, in words without addresses."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise Trouble(f"the mail server refuses user name and password ({error.smtp_code})") from error
    except smtplib.SMTPSenderRefused as error:
        what = "refuses the sender in IDP_MAIL_FROM:" if error.smtp_code >= 500 else "answers"
        code = _code(error.smtp_code, error.smtp_error)
        raise Trouble(f"the mail server {what} {code}") from error
    except smtplib.SMTPResponseException as error:
        raise Trouble(f"the mail server answers {_code(error.smtp_code, error.smtp_error)}") from error
    except smtplib.SMTPException as error:
        raise Trouble(f"the mail server: {error}") from error  # words of smtplib's own
    except ssl.SSLCertVerificationError as error:
        raise Trouble(f"the mail server's certificate: {error.verify_message}") from error
    except OSError as error:
        raise Trouble(f"the mail server does not answer: {error.strerror or error}") from error


def _answer(code: int, text: bytes | str, what: str) -> Exception:
    reason = f"the mail server refuses {what} ({_code(code, text)})"
    if code == CLOSING or code in WANTS_LOGIN:
        return Trouble(reason)
    return Refused(reason) if code >= 500 else Deferred(reason)


def _code(code: int, text: bytes | str) -> str:
    """The reply code with its enhanced one (RFC 3463); the words after them may contain addresses."""
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    enhanced = ENHANCED_CODE.match(words)
    return f"{code} {enhanced[0]}" if enhanced else str(code)
