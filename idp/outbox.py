"""The outbox: mails written in the transaction that causes them, and delivered by the worker.

A row is a mail. While it waits, its content is sealed, because the links in it open accounts; once it has
left, or is given up, the content is gone.
"""

import hmac
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Mapped, mapped_column

from idp import audit
from idp.config import Settings
from idp.crypto import CannotOpen, Sealer
from idp.db import Base, db
from idp.extensions import Slot
from idp.mail import OutgoingMail
from idp.retention import ExpiredRows

LEASE_TIME = timedelta(minutes=10)
"""How long a worker has for one delivery; after that it counts as dead and another may try."""

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=4)
GIVE_UP_AFTER = timedelta(days=2)
FORGET_AFTER = timedelta(days=30)

PURPOSE = "mail"
MAX_FAILURE = 200
TOO_LATE = "it is too late to be of use"


class Urgency(IntEnum):
    """Which of the mails that are due leaves first."""

    WAITED_FOR = 0  # somebody sits there until it comes
    SOON = 1
    LATER = 2  # one of many


class QueuedMail(Base):
    """A mail that waits, or one that is done, without its content: its `next_attempt_at` is None.

    Past `useful_until` it is no longer sent. `failure` is the reason why it was given up.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        # In the order they leave; those that are over, nearly all, stay out of it.
        sa.Index(
            "ix_outbox_waiting",
            "urgency",
            "next_attempt_at",
            postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
            sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(40))
    user_id: Mapped[UUID | None] = mapped_column(index=True)
    sealed: Mapped[str | None] = mapped_column(sa.Text)
    queued_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None] = mapped_column(index=True)
    urgency: Mapped[int] = mapped_column(sa.SmallInteger, server_default="1")
    useful_until: Mapped[datetime | None]
    failure: Mapped[str | None] = mapped_column(sa.String(MAX_FAILURE))


def _forgotten(now: datetime) -> sa.ColumnElement[bool]:
    return QueuedMail.finished_at < now - FORGET_AFTER


EXPIRED_ROWS = (ExpiredRows(QueuedMail, QueuedMail.id, _forgotten),)


@dataclass(frozen=True)
class Lease:
    """One attempt at one mail, which is this worker's until `LEASE_TIME` has passed."""

    id: UUID
    kind: str
    user_id: UUID | None
    attempt: int
    queued_at: datetime
    sealed: str
    useful_until: datetime | None = None


SEALER: Slot[Sealer] = Slot("outbox")


def register(app: Flask, settings: Settings) -> None:
    """Give an application the key that seals waiting mails; it follows from IDP_SECRET_KEY."""
    secret = settings.secret_key.get_secret_value()
    key = hmac.new(secret.encode(), b"outbox", sha256).digest()
    SEALER.put(app, Sealer(f"outbox:{b64encode(key).decode()}"))


def queue(
    mail: OutgoingMail,
    *,
    now: datetime,
    kind: str,
    user_id: UUID | None = None,
    urgency: Urgency = Urgency.SOON,
    useful_until: datetime | None = None,
) -> None:
    """Add a mail to the caller's transaction, which commits it.

    `kind` is its name in logs and audit, such as `welcome`; `user_id` is its recipient there. A mail that
    has not left by `useful_until`, when its link has expired, never does.
    """
    facts = {"kind": kind, "urgency": urgency.value, "useful_until": useful_until}
    db.session.add(QueuedMail(**_waiting(mail, user_id, now=now), **facts))


def queue_many(mails: Sequence[tuple[OutgoingMail, UUID]], *, now: datetime, kind: str) -> None:
    """Add mails to one person each, which may leave after all others, to the caller's transaction."""
    facts = {"kind": kind, "urgency": Urgency.LATER.value}
    if mails:
        rows = [{**_waiting(mail, user_id, now=now), **facts} for mail, user_id in mails]
        db.session.execute(sa.insert(QueuedMail), rows)


def _waiting(mail: OutgoingMail, user_id: UUID | None, *, now: datetime) -> dict[str, Any]:
    row_id = uuid4()
    return {
        "id": row_id,
        "user_id": user_id,
        "sealed": _sealer().seal(f"{mail.to}\n{mail.content}", purpose=PURPOSE, context=str(row_id)),
        "queued_at": now,
        "attempts": 0,
        "next_attempt_at": now,
    }


def lease_next(*, now: datetime) -> Lease | None:
    """Of the most urgent mails the one that has waited longest, for this worker alone until the lease ends.

    None: nothing is due. Commits.
    """
    due = QueuedMail.next_attempt_at <= now
    first = (
        sa.select(QueuedMail.id)
        .where(due)
        .order_by(QueuedMail.urgency, QueuedMail.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    statement = (
        sa.update(QueuedMail)
        .where(QueuedMail.id == first, due)
        .values(attempts=QueuedMail.attempts + 1, next_attempt_at=now + LEASE_TIME)
        .returning(
            QueuedMail.id,
            QueuedMail.kind,
            QueuedMail.user_id,
            QueuedMail.attempts,
            QueuedMail.queued_at,
            sa.func.coalesce(QueuedMail.sealed, ""),
            QueuedMail.useful_until,
        )
        .execution_options(synchronize_session=False)
    )
    row = db.session.execute(statement).one_or_none()
    db.session.commit()
    return Lease(*row) if row else None


def open_mail(lease: Lease) -> OutgoingMail:
    """The mail itself. Raises `CannotOpen` when IDP_SECRET_KEY has changed since it was queued."""
    try:
        opened = _sealer().open(lease.sealed, purpose=PURPOSE, context=str(lease.id))
    except CannotOpen:
        raise CannotOpen("sealed with another IDP_SECRET_KEY") from None
    to, _, content = opened.partition("\n")
    return OutgoingMail(to, content)


def mark_delivered(lease: Lease, *, now: datetime) -> None:
    """Note that the mail has left; its content goes. Commits."""
    db.session.execute(_finish_leased(lease, now))
    db.session.commit()


def retry_later(lease: Lease, *, now: datetime) -> datetime | None:
    """When the mail is tried again: after a pause that doubles. None: it has waited for two days. Commits."""
    if now >= lease.queued_at + GIVE_UP_AFTER:
        return None
    pause = min(FIRST_PAUSE * int(2 ** min(lease.attempt - 1, 16)), LONGEST_PAUSE)
    db.session.execute(_update_leased(lease).values(next_attempt_at=now + pause))
    db.session.commit()
    return now + pause


def give_up(lease: Lease, reason: str, *, now: datetime) -> None:
    """End the mail undelivered, which is audited; its content goes. `reason` contains no address. Commits."""
    statement = _finish_leased(lease, now).values(failure=reason[:MAX_FAILURE]).returning(QueuedMail.id)
    if db.session.scalar(statement) is not None:
        audit.record(
            audit.Event.MAIL_GIVEN_UP,
            now=now,
            user_id=lease.user_id,
            actor="worker",
            kind=lease.kind,
            attempts=lease.attempt,
            reason=reason,
        )
    db.session.commit()


def failed(user_id: UUID, kind: str) -> bool:
    """Whether the newest mail of this kind to somebody was given up."""
    query = (
        sa.select(QueuedMail.failure)
        .where(QueuedMail.user_id == user_id, QueuedMail.kind == kind)
        .order_by(QueuedMail.queued_at.desc())
        .limit(1)
    )
    return db.session.scalar(query) is not None


def waiting() -> int:
    """How many mails have yet to leave."""
    count = sa.select(sa.func.count()).where(QueuedMail.next_attempt_at.is_not(None))
    return db.session.scalars(count).one()


def oldest_waiting() -> datetime | None:
    """When the mail that has waited longest was queued; None: none waits."""
    query = sa.select(sa.func.min(QueuedMail.queued_at)).where(QueuedMail.next_attempt_at.is_not(None))
    return db.session.scalar(query)


def given_up_since(moment: datetime) -> int:
    """How many mails never left."""
    return audit.count_since(moment, audit.Event.MAIL_GIVEN_UP)


def _update_leased(lease: Lease) -> sa.Update:
    """An UPDATE of the mail, if no other worker has taken it since."""
    return (
        sa.update(QueuedMail)
        .where(QueuedMail.id == lease.id, QueuedMail.attempts == lease.attempt)
        .execution_options(synchronize_session=False)
    )


def _finish_leased(lease: Lease, now: datetime) -> sa.Update:
    return _update_leased(lease).values(sealed=None, next_attempt_at=None, finished_at=now)


def _sealer() -> Sealer:
    return SEALER.current()
