"""Sessions as operators see them: listed, and ended all at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from idp.config import SessionSettings
from idp.db import execute_alone, in_batches
from idp.login import sessions
from idp.login.models import BrowserSession
from idp.users.models import Status, User

BATCH = 500


@dataclass(frozen=True)
class SessionFacts:
    """A session in force, and whose it is."""

    id: UUID
    email: str
    method: str
    logged_in_at: datetime
    seen_at: datetime
    expires_at: datetime
    address: str | None
    user_agent: str | None


_session, _user = BrowserSession.__table__.c, User.__table__.c
_IN_FORCE = (
    sa.select(
        _session.id,
        _user.email,
        _session.method,
        _session.auth_time.label("logged_in_at"),
        _session.seen_at,
        _session.expires_at,
        _session.address,
        _session.user_agent,
    )
    .select_from(BrowserSession.__table__)
    .join(User.__table__, _user.id == _session.user_id)
    .where(
        _session.ended_at.is_(None),
        _session.expires_at > sa.bindparam("now"),
        _session.seen_at > sa.bindparam("idle_since"),
        _user.status == Status.ACTIVE.value,
    )
    .order_by(_session.seen_at.desc(), _session.id)
    .limit(sa.bindparam("limit", type_=sa.Integer()))
)
ONE_PERSONS = _IN_FORCE.where(_session.user_id == sa.bindparam("user_id", type_=_session.user_id.type))
"""The sessions in force of the person `user_id`, the one used last first."""


def in_force(
    *, user_id: UUID | None = None, limit: int, settings: SessionSettings, now: datetime
) -> Sequence[SessionFacts]:
    """Sessions in force, of one person or of everybody, the one that was used last first."""
    asked = in_force_at(now, limit=limit, settings=settings)
    if user_id is None:
        return execute_alone(_IN_FORCE, asked, SessionFacts)
    return execute_alone(ONE_PERSONS, {**asked, "user_id": user_id}, SessionFacts)


def in_force_at(now: datetime, *, limit: int, settings: SessionSettings) -> dict[str, Any]:
    """The parameters of this module's statements, except `user_id`."""
    return {"now": now, "idle_since": now - timedelta(minutes=settings.idle_minutes), "limit": limit}


def end_all(
    *,
    user_id: UUID | None = None,
    now: datetime,
    reason: str,
    also: Callable[[Sequence[UUID]], None] = lambda _ids: None,
) -> int:
    """End the sessions of one person or of everybody, with their tokens; returns their number.

    `also` is called with the ids before they end, in the transactions that end them. Those that ran out
    are among them, because a relying app may have been given more time than its session had. Commits a few
    hundred at a time; sessions that begin meanwhile stay.
    """
    ended = 0
    query = sa.select(BrowserSession.id).where(
        BrowserSession.ended_at.is_(None), BrowserSession.created_at <= now
    )
    if user_id is not None:
        query = query.where(BrowserSession.user_id == user_id)
    for rows in in_batches(query, BrowserSession.id, BATCH):
        ids = [row.id for row in rows]
        also(ids)
        ended += sessions.end_these(ids, now=now, reason=reason)
    return ended
