"""Sessions: begun by a login, found by their cookie, and ended with their tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

import sqlalchemy as sa
from blinker import Namespace

from idp import audit
from idp.config import SessionSettings
from idp.db import db, execute_alone, insert_ignoring, write_alone
from idp.login.event import AuthenticationEvent
from idp.login.models import BrowserSession, MethodUse
from idp.login.requirement import AuthnRequirement
from idp.tokens import new_token, sha256_hex
from idp.users.models import IS_ACTIVE, Company, Status, User

_signals = Namespace()
sessions_ended = _signals.signal("sessions-ended")
"""Sent with `session_ids` and `now`, inside the transaction that ends them."""

logins_void = _signals.signal("logins-void")
"""Sent with `user_id`, `keep` and `now`, inside the transaction, when a person is disabled or gets a new
password: all that the person's logins led to ends, also tokens that outlive their session. What the session
`keep` led to stays; None: there is no such session."""

new_method = _signals.signal("new-method")
"""Sent with `user_id`, `method`, `address`, `user_agent` and `now`, inside the transaction of a login, when
it is the person's first by this method but not the first of all."""

SEEN_EVERY_SECONDS = 60  # how exact the idle time is; a write for every request would be waste
MAX_USER_AGENT = 256


@dataclass(frozen=True)
class LiveSession:
    """A session in force, with the person's details that pages and tokens show."""

    id: UUID
    event: AuthenticationEvent
    name: str
    email: str
    company: str
    locale: str


class LoginRefused(Exception):
    """The login was genuine but is not what was asked for; `lacks` as `AuthnRequirement.unmet_by`."""

    def __init__(self, lacks: str) -> None:
        super().__init__(lacks)
        self.lacks = lacks


def user_of_session(session_id: str) -> UUID | None:
    """The user of a session, also of one that has ended; None when the session is not known (any more)."""
    try:
        wanted = UUID(session_id)
    except ValueError:
        return None
    return db.session.scalar(sa.select(BrowserSession.user_id).where(BrowserSession.id == wanted))


def user_of_cookie(cookie: str) -> UUID | None:
    """The active user whose session a cookie is or was of; None when there is none."""
    query = (
        sa.select(BrowserSession.user_id)
        .join(User, User.id == BrowserSession.user_id)
        .where(BrowserSession.handle_hash == sha256_hex(cookie), User.status == Status.ACTIVE.value)
    )
    return db.session.scalar(query)


def log_in(
    requirement: AuthnRequirement,
    event: AuthenticationEvent,
    *,
    client_id: str | None,
    old_cookie: str | None,
    user_agent: str,
    address: str | None,
    settings: SessionSettings,
    now: datetime,
) -> str:
    """Begin a session, or renew the browser's, and return the value of its cookie.

    A login by the same person renews the session under a fresh cookie, so that relying apps keep their
    `sid`; another person's session is ended first. Raises `LoginRefused`, audited, when the login does not
    meet the requirement.
    """
    lacks = requirement.unmet_by(event)
    if lacks is not None:
        audit.record(
            audit.Event.LOGIN_REFUSED, now=now, user_id=event.user_id, client_id=client_id, lacks=lacks
        )
        db.session.commit()
        raise LoginRefused(lacks)
    # The user's row first, as everything that ends sessions does: else two transactions could deadlock.
    db.session.execute(_LOGGED_IN, {"user_id": event.user_id, "at": event.auth_time})
    cookie = new_token()
    fields = {
        "handle_hash": sha256_hex(cookie),
        "method": event.method,
        "acr": event.acr,
        "amr": list(event.amr),
        "auth_time": event.auth_time,
        "reference": event.evidence_id,
        "seen_at": now,
        "expires_at": now + timedelta(hours=settings.hours),
        "user_agent": user_agent[:MAX_USER_AGENT],
        "address": address,
    }
    session_id = _renew(old_cookie, event.user_id, fields, settings=settings, now=now)
    if session_id is None:
        session_id = uuid4()
        db.session.execute(
            sa.insert(BrowserSession).values(id=session_id, user_id=event.user_id, created_at=now, **fields)
        )
    if _is_new_to_person(event, now):
        new_method.send(
            user_id=event.user_id, method=event.method, address=address, user_agent=user_agent, now=now
        )
    audit.record(
        audit.Event.LOGIN_SUCCEEDED,
        now=now,
        user_id=event.user_id,
        client_id=client_id,
        session_id=session_id,
        method=event.method,
    )
    db.session.commit()
    return cookie


_LOGGED_IN = (
    sa.update(User)
    .where(User.id == sa.bindparam("user_id"), User.last_login_at < sa.bindparam("at"))
    .values(last_login_at=sa.bindparam("at"))
    .execution_options(synchronize_session=False)
)


_METHOD_USES = cast(sa.Table, MethodUse.__table__)


def _is_new_to_person(event: AuthenticationEvent, now: datetime) -> bool:
    """Record that the person uses the method. True for its first use, if another one was used before."""
    use = {"user_id": event.user_id, "method": event.method, "first_at": now}
    if not db.session.execute(insert_ignoring(_METHOD_USES).returning(_METHOD_USES.c.method), use).all():
        return False
    others = sa.select(MethodUse.method).where(
        MethodUse.user_id == event.user_id, MethodUse.method != event.method
    )
    return db.session.scalar(others.limit(1)) is not None


class _LiveRow(NamedTuple):
    id: UUID
    user_id: UUID
    method: str
    acr: str
    amr: list[str]
    auth_time: datetime
    reference: str | None
    seen_at: datetime
    name: str
    email: str
    locale: str
    company: str


_SESSIONS = cast(sa.Table, BrowserSession.__table__)
_session, _user, _company = _SESSIONS.c, User.__table__.c, Company.__table__.c
_LIVE = (
    sa.select(
        _session.id,
        _session.user_id,
        _session.method,
        _session.acr,
        _session.amr,
        _session.auth_time,
        _session.reference,
        _session.seen_at,
        _user.name,
        _user.email,
        _user.locale,
        _company.name.label("company"),
    )
    .select_from(_SESSIONS)
    .join(User.__table__, _user.id == _session.user_id)
    .join(Company.__table__, _company.id == _user.company_id)
    .where(
        _session.handle_hash == sa.bindparam("handle_hash"),
        _session.ended_at.is_(None),
        _session.expires_at > sa.bindparam("now"),
        _session.seen_at > sa.bindparam("idle_since"),
        IS_ACTIVE,
    )
)
_SEEN = (
    sa.update(_SESSIONS)
    .where(_session.id == sa.bindparam("session_id"), _session.seen_at == sa.bindparam("seen_before"))
    .values(seen_at=sa.bindparam("now"))
)


def current(cookie: str, *, settings: SessionSettings, now: datetime) -> LiveSession | None:
    """The session in force that a cookie belongs to, noted as used; None when there is none."""
    idle_since = now - timedelta(minutes=settings.idle_minutes)
    asked = {"handle_hash": sha256_hex(cookie), "now": now, "idle_since": idle_since}
    rows = execute_alone(_LIVE, asked, _LiveRow)
    if not rows:
        return None
    row = rows[0]
    if now - row.seen_at >= timedelta(seconds=SEEN_EVERY_SECONDS):
        write_alone(_SEEN, {"session_id": row.id, "seen_before": row.seen_at, "now": now})
    event = AuthenticationEvent(
        user_id=row.user_id,
        method=row.method,
        acr=row.acr,
        amr=tuple(row.amr),
        auth_time=row.auth_time,
        evidence_id=row.reference,
    )
    return LiveSession(row.id, event, row.name, row.email, row.company, row.locale)


def end(session_id: UUID, *, now: datetime, reason: str) -> bool:
    """End one session, with its tokens (see `sessions_ended`). False when it had ended already."""
    ended = _end(BrowserSession.id == session_id, now=now, reason=reason)
    db.session.commit()
    return bool(ended)


def end_with_cookie(session_id: UUID, cookie: str, *, now: datetime, reason: str) -> bool:
    """End a session, also one that has run out, if `cookie` is its own. False when it had ended already."""
    mine = sa.and_(BrowserSession.id == session_id, BrowserSession.handle_hash == sha256_hex(cookie))
    ended = _end(mine, now=now, reason=reason)
    db.session.commit()
    return bool(ended)


def end_these(session_ids: Sequence[UUID], *, now: datetime, reason: str) -> int:
    """End these sessions, with their tokens; returns how many had not ended before."""
    ended = _end(BrowserSession.id.in_(session_ids), now=now, reason=reason)
    db.session.commit()
    return len(ended)


def end_made_by(user_id: UUID, method: str, *, keep: UUID | None = None, now: datetime, reason: str) -> None:
    """End a person's sessions whose login was by this method, in the caller's transaction."""
    others = BrowserSession.id != keep if keep else sa.true()
    mine = sa.and_(BrowserSession.user_id == user_id, BrowserSession.method == method, others)
    _end(mine, now=now, reason=reason)


def end_all_of(user_id: UUID, *, now: datetime, reason: str) -> None:
    """End every session of a person and all that they led to, in the caller's transaction."""
    _end(BrowserSession.user_id == user_id, now=now, reason=reason)
    logins_void.send(user_id=user_id, keep=None, now=now)


def end_others(user_id: UUID, *, keep: UUID, now: datetime, reason: str) -> str:
    """End every session of a person but `keep`, and all that they led to; returns the kept one's new cookie.

    In the caller's transaction.
    """
    others = sa.and_(BrowserSession.user_id == user_id, BrowserSession.id != keep)
    _end(others, now=now, reason=reason)
    logins_void.send(user_id=user_id, keep=keep, now=now)
    cookie = new_token()
    db.session.execute(
        sa.update(BrowserSession).where(BrowserSession.id == keep).values(handle_hash=sha256_hex(cookie))
    )
    return cookie


def _renew(
    cookie: str | None,
    user_id: UUID,
    fields: dict[str, Any],
    *,
    settings: SessionSettings,
    now: datetime,
) -> UUID | None:
    """Renew this browser's session if it is the same person's, and return its id; end another person's."""
    if not cookie:
        return None
    mine = BrowserSession.handle_hash == sha256_hex(cookie)
    alive = sa.and_(
        BrowserSession.ended_at.is_(None),
        BrowserSession.expires_at > now,
        BrowserSession.seen_at > now - timedelta(minutes=settings.idle_minutes),
    )
    statement = (
        sa.update(BrowserSession)
        .where(mine, alive, BrowserSession.user_id == user_id)
        .values(**fields)
        .returning(BrowserSession.id)
    )
    renewed = db.session.scalar(statement)
    if renewed is None:
        _end(mine, now=now, reason="replaced by another login")
    return renewed


def _end(condition: sa.ColumnElement[bool], *, now: datetime, reason: str) -> list[UUID]:
    statement = (
        sa.update(BrowserSession)
        .where(condition, BrowserSession.ended_at.is_(None))
        .values(ended_at=now)
        .returning(BrowserSession.id, BrowserSession.user_id)
    )
    rows = db.session.execute(statement).all()
    for row in rows:
        audit.record(
            audit.Event.SESSION_ENDED, now=now, user_id=row.user_id, session_id=row.id, reason=reason
        )
    if rows:
        sessions_ended.send(session_ids=[row.id for row in rows], now=now)
    return [row.id for row in rows]
