"""Mails put into the outbox and delivered once, as the worker does."""

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from idp import audit, mail_transport, outbox, worker
from idp.clock import utcnow
from idp.db import db
from idp.mail import OutgoingMail
from idp.outbox import QueuedMail
from tests.fakes.smtp import MailServer

Run = Callable[..., Any]
Start = Callable[[MailServer, Path], subprocess.Popen[bytes]]
Lines = Callable[[], list[dict[str, Any]]]
LOGIN = ("portal", "p@ss: word")
SENDER = "no-reply@example.se"
WAIT_SECONDS = 60


def letter(to: str = "anna@example.se") -> OutgoingMail:
    return OutgoingMail(
        to, f"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nTo: {to}\r\nSubject: Hej\r\n\r\nhemligheten\r\n"
    )


def add(*mails: OutgoingMail) -> None:
    mails = mails or (letter(),)
    for number, mail in enumerate(mails):
        outbox.queue(mail, now=utcnow() - timedelta(microseconds=len(mails) - number), kind="test")
    db.session.commit()


def deliver(url: str) -> bool:
    return worker.deliver_due(mail_transport.transport(url, sender=SENDER))


def attempts() -> list[int]:
    """The attempts made at each mail that waits."""
    waiting = sa.select(QueuedMail.attempts).where(QueuedMail.sealed.is_not(None))
    return list(db.session.scalars(waiting.order_by(QueuedMail.queued_at)))


def smtp(server: MailServer, query: str = "") -> str:
    return f"smtp://127.0.0.1:{server.port}{query}"


def with_login(server: MailServer, password: str = "p%40ss%3A%20word") -> str:
    return f"smtp://portal:{password}@127.0.0.1:{server.port}"


def given_up() -> list[dict[str, Any]]:
    return [row.detail for row in audit.newest(100, event=audit.Event.MAIL_GIVEN_UP)]
