"""Logout notices: apps that have yet to hear that a session has ended (Back-Channel Logout 1.0 §2.3, §2.5).

Queued in the transaction that ends the session, delivered by the worker. A row is one session and one relying
app; it goes when it is delivered or given up.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, aliased, mapped_column

from idp import audit
from idp.db import Base, db
from idp.oidc.models import Grant
from idp.oidc.provider import PROVIDER, Provider
from idp.retention import ExpiredRows

LEASE_TIME = timedelta(minutes=2)
"""How long a worker has for one delivery; a worker that takes longer counts as dead, and another may try."""

FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(minutes=5)
MAX_ATTEMPTS = 16  # with these pauses, 55 minutes
GIVE_UP_AFTER = timedelta(hours=1)
FORGET_AFTER = timedelta(days=7)


class LogoutNotice(Base):
    """A relying app that has yet to hear that a session has ended (Back-Channel Logout 1.0 §2.3)."""

    __tablename__ = "logout_notices"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(sa.String(100), index=True)
    user_id: Mapped[UUID]
    session_id: Mapped[UUID]
    queued_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime] = mapped_column(index=True)


def _forgotten(now: datetime) -> sa.ColumnElement[bool]:
    # So old only where no worker runs, which would have delivered it or given it up.
    return LogoutNotice.queued_at < now - FORGET_AFTER


EXPIRED_ROWS = (ExpiredRows(LogoutNotice, LogoutNotice.id, _forgotten),)


@dataclass(frozen=True)
class Lease:
    """One attempt at one notice, which is this worker's until `LEASE_TIME` has passed."""

    id: UUID
    client_id: str
    user_id: UUID
    session_id: UUID
    attempt: int
    queued_at: datetime


def queue(_sender: object, *, session_ids: list[UUID], now: datetime) -> None:
    """Queue a notice for each app that the sessions reached (Back-Channel Logout 1.0 §2.3).

    Hears `sessions_ended`, in its transaction.
    """
    reached = (
        sa.select(Grant.session_id, Grant.client_id, Grant.user_id)
        .where(Grant.session_id.in_(session_ids))
        .distinct()
    )
    # Commands know no clients: the worker that delivers sorts out clients that do not listen.
    provider = PROVIDER.find()
    notices = [
        {
            "id": uuid4(),
            "client_id": row.client_id,
            "user_id": row.user_id,
            "session_id": row.session_id,
            "queued_at": now,
            "attempts": 0,
            "next_attempt_at": now,
        }
        for row in db.session.execute(reached)
        if provider is None or _listens(provider, row.client_id)
    ]
    if notices:
        db.session.execute(sa.insert(LogoutNotice), notices)


def lease_next(*, now: datetime) -> Lease | None:
    """A notice that is due, for this worker alone until the lease ends; None: no notice is due. Commits.

    A client with a leased or paused notice has none that is due: one that does not answer takes up one
    delivery at a time. Notices with most attempts come first, so that the pauses of such a client grow.
    """
    other = aliased(LogoutNotice)
    busy = sa.exists().where(other.client_id == LogoutNotice.client_id, other.next_attempt_at > now)
    query = (
        sa.select(LogoutNotice.id, LogoutNotice.attempts)
        .where(LogoutNotice.next_attempt_at <= now, ~busy)
        .order_by(LogoutNotice.attempts.desc(), LogoutNotice.queued_at, LogoutNotice.id)
        .limit(1)
    )
    row = None
    while row is None:
        candidate = db.session.execute(query).one_or_none()
        if candidate is None:
            db.session.rollback()
            return None
        row = db.session.execute(
            sa.update(LogoutNotice)
            .where(
                LogoutNotice.id == candidate.id,
                LogoutNotice.attempts == candidate.attempts,
                LogoutNotice.next_attempt_at <= now,
            )
            .values(attempts=LogoutNotice.attempts + 1, next_attempt_at=now + LEASE_TIME)
            .returning(
                LogoutNotice.id,
                LogoutNotice.client_id,
                LogoutNotice.user_id,
                LogoutNotice.session_id,
                LogoutNotice.attempts,
                LogoutNotice.queued_at,
            )
            .execution_options(synchronize_session=False)
        ).one_or_none()
        db.session.commit()
    return Lease(*row)


def remove(lease: Lease) -> None:
    """Remove a notice that is delivered, or that no app listens to. Commits."""
    statement = sa.delete(LogoutNotice).where(*_still_leased(lease))
    db.session.execute(statement.execution_options(synchronize_session=False))
    db.session.commit()


def retry_later(lease: Lease, *, now: datetime) -> datetime | None:
    """The time of the next attempt, after a pause that doubles; None after the last attempt. Commits."""
    if lease.attempt >= MAX_ATTEMPTS:
        return None
    again = now + min(FIRST_PAUSE * int(2 ** (lease.attempt - 1)), LONGEST_PAUSE)
    statement = sa.update(LogoutNotice).where(*_still_leased(lease)).values(next_attempt_at=again)
    db.session.execute(statement.execution_options(synchronize_session=False))
    db.session.commit()
    return again


def give_up(lease: Lease, reason: str, *, now: datetime) -> int:
    """End the notice undelivered, with all of the client's that have waited for an hour; returns how many.

    Each is audited. Commits.
    """
    late = sa.and_(LogoutNotice.client_id == lease.client_id, LogoutNotice.queued_at <= now - GIVE_UP_AFTER)
    statement = (
        sa.delete(LogoutNotice)
        .where(sa.or_(sa.and_(*_still_leased(lease)), late))
        .returning(LogoutNotice.user_id, LogoutNotice.session_id, LogoutNotice.attempts)
        .execution_options(synchronize_session=False)
    )
    rows = db.session.execute(statement).all()
    for row in rows:
        audit.record(
            audit.Event.LOGOUT_NOTICE_GIVEN_UP,
            now=now,
            user_id=row.user_id,
            client_id=lease.client_id,
            session_id=row.session_id,
            actor="worker",
            attempts=row.attempts,
            reason=reason,
        )
    db.session.commit()
    return len(rows)


def waiting() -> int:
    """The number of notices that wait to be delivered."""
    return db.session.scalars(sa.select(sa.func.count()).select_from(LogoutNotice)).one()


def given_up_since(moment: datetime) -> int:
    """The number of notices since `moment` that were never delivered."""
    return audit.count_since(moment, audit.Event.LOGOUT_NOTICE_GIVEN_UP)


def _listens(provider: Provider, client_id: str) -> bool:
    client = provider.clients.get(client_id)
    return client is not None and client.backchannel_logout_uri is not None


def _still_leased(lease: Lease) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """The notice, when no other worker has leased it since."""
    return LogoutNotice.id == lease.id, LogoutNotice.attempts == lease.attempt
