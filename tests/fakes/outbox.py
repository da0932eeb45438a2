"""Mails that wait to be sent, as a mail program would show them."""

import email
import email.policy
from email.message import EmailMessage

import sqlalchemy as sa
from flask import Flask

from idp import outbox
from idp.db import db
from idp.outbox import Lease, QueuedMail


def queued(app: Flask, kind: str | None = None) -> list[EmailMessage]:
    """Every mail (of a kind) that has yet to leave, in the order they were queued."""
    with app.app_context():
        waiting = sa.select(QueuedMail).where(QueuedMail.sealed.is_not(None)).order_by(QueuedMail.queued_at)
        if kind is not None:
            waiting = waiting.where(QueuedMail.kind == kind)
        return [_opened(row) for row in db.session.scalars(waiting)]


def _opened(row: QueuedMail) -> EmailMessage:
    assert row.sealed is not None
    lease = Lease(row.id, row.kind, row.user_id, row.attempts, row.queued_at, row.sealed)
    content = outbox.open_mail(lease).content.encode()
    return email.message_from_bytes(content, policy=email.policy.default)
