"""The audit trail: what happened, to whom, from where. Rows are only ever added."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict, Unpack
from uuid import UUID

import sqlalchemy as sa
from flask import has_request_context, request
from sqlalchemy import event as sa_event
from sqlalchemy.orm import Mapped, mapped_column

from idp.db import Base, db
from idp.reference import reference


class Event(StrEnum):
    """Everything that is audited, by the name it has in the table."""

    COMPANY_CREATED = "company.created"
    USER_CREATED = "user.created"
    USER_WELCOMED = "user.welcomed"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    USER_UPDATED = "user.updated"
    EMAIL_CHANGE_ASKED = "email.change_asked"
    EMAIL_CHANGE_LIMITED = "email.change_limited"
    EMAIL_CHANGE_WITHDRAWN = "email.change_withdrawn"
    EMAIL_CHANGED = "email.changed"
    PERSONAL_NUMBER_STATED = "personal_number.stated"
    PERSONAL_NUMBER_REMOVED = "personal_number.removed"
    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    LOGIN_LIMITED = "login.limited"
    LOGIN_REFUSED = "login.refused"
    SESSION_ENDED = "session.ended"
    CREDENTIAL_CHANGE_REFUSED = "credential_change.refused"
    PASSWORD_REHASHED = "password.rehashed"  # noqa: S105 - an event's name
    PASSWORD_CHANGED = "password.changed"  # noqa: S105
    PASSWORD_RESET_ASKED = "password.reset_asked"  # noqa: S105
    PASSWORD_RESET_LIMITED = "password.reset_limited"  # noqa: S105
    CONSENT_GIVEN = "consent.given"
    CONSENT_DENIED = "consent.denied"
    CONSENT_REVOKED = "consent.revoked"
    CODE_REPLAYED = "code.replayed"
    REFRESH_TOKEN_REUSED = "refresh_token.reused"  # noqa: S105
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    CLIENT_AUTHENTICATION_FAILED = "client.authentication_failed"
    BANKID_STARTED = "bankid.started"
    BANKID_COMPLETED = "bankid.completed"
    BANKID_FAILED = "bankid.failed"
    BANKID_REFUSED = "bankid.refused"
    BANKID_LINKED = "bankid.linked"
    BANKID_UNLINKED = "bankid.unlinked"
    PERSONAL_NUMBER_KEY_ROTATED = "personal_numbers.key_rotated"
    MAIL_GIVEN_UP = "mail.given_up"
    LOGOUT_NOTICE_GIVEN_UP = "logout.notice_given_up"
    KEY_ROTATED = "key.rotated"
    KEY_RETIRED = "key.retired"


EXPORT_BATCH = 1000


class AuditRow(Base):
    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    at: Mapped[datetime] = mapped_column(index=True)
    event: Mapped[str] = mapped_column(sa.String(60))
    actor: Mapped[str] = mapped_column(sa.String(60))
    user_id: Mapped[UUID | None] = mapped_column(index=True)
    client_id: Mapped[str | None] = mapped_column(sa.String(100))
    session_id: Mapped[UUID | None]
    address: Mapped[str | None] = mapped_column(sa.String(45))
    request_id: Mapped[str | None] = mapped_column(sa.String(20))
    detail: Mapped[dict[str, Any]]


APPEND_ONLY = {
    "sqlite": (
        "CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events "
        "BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END",
        "CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events "
        "BEGIN SELECT RAISE(ABORT, 'audit events are append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION audit_events_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit events are append-only'; END $$",
        "CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_events_append_only()",
    ),
}
for _dialect, _statements in APPEND_ONLY.items():
    for _statement in _statements:
        sa_event.listen(
            AuditRow.__table__,
            "after_create",
            sa.DDL(_statement).execute_if(dialect=_dialect),  # type: ignore[no-untyped-call]
        )


def record(
    event: Event,
    *,
    now: datetime,
    user_id: UUID | None = None,
    client_id: str | None = None,
    session_id: UUID | None = None,
    actor: str | None = None,
    administrator: UUID | None = None,
    **detail: str | int | bool,
) -> None:
    """Add a row to the caller's transaction, which commits it.

    `actor` names the kind of person: `user` in a request and `operator` in a command by default, or the
    `administrator` of the person's company, whose id goes in the detail as `by`.
    `detail` never contains typed text, a token, a secret or a personal number.
    """
    in_request = has_request_context()
    if administrator is not None:
        actor, detail = "administrator", {**detail, "by": str(administrator)}
    db.session.add(
        AuditRow(
            at=now,
            event=event.value,
            actor=actor or ("user" if in_request else "operator"),
            user_id=user_id,
            client_id=client_id,
            session_id=session_id,
            address=request.remote_addr if in_request else None,
            request_id=reference() if in_request else None,
            detail=detail,
        )
    )


def record_of_each(
    event: Event, user_ids: Sequence[UUID], *, now: datetime, **detail: str | int | bool
) -> None:
    """Add the row that `record` would for each of many people to an operator's transaction, all at once."""
    alike = {"at": now, "event": event.value, "actor": "operator", "detail": detail}
    if user_ids:
        db.session.execute(sa.insert(AuditRow), [{**alike, "user_id": user_id} for user_id in user_ids])


class AuditFilter(TypedDict, total=False):
    """The filters of a query; those left out let every row through. `until` is the first moment after."""

    event: str | None
    user_id: UUID | None
    since: datetime | None
    until: datetime | None


def newest(limit: int, **filters: Unpack[AuditFilter]) -> list[AuditRow]:
    """The `limit` newest rows, newest first."""
    return list(db.session.scalars(_rows(**filters).order_by(AuditRow.id.desc()).limit(limit)))


def count_since(moment: datetime, event: Event) -> int:
    """The number of rows of this event since `moment`."""
    query = sa.select(sa.func.count()).where(AuditRow.at >= moment, AuditRow.event == event.value)
    return db.session.scalars(query).one()


def export(**filters: Unpack[AuditFilter]) -> Iterator[AuditRow]:
    """Every row that is wanted, oldest first, read some at a time however many there are.

    Rows are numbered before they are committed: one that is being written at this moment may be missed.
    """
    query = _rows(**filters).order_by(AuditRow.id).limit(EXPORT_BATCH)
    rows = list(db.session.scalars(query))
    while rows:
        yield from rows
        last = rows[-1].id
        db.session.expunge_all()
        rows = list(db.session.scalars(query.where(AuditRow.id > last)))


def _rows(**filters: Unpack[AuditFilter]) -> sa.Select[AuditRow]:
    query = sa.select(AuditRow)
    if event := filters.get("event"):
        query = query.where(AuditRow.event == event)
    if user_id := filters.get("user_id"):
        query = query.where(AuditRow.user_id == user_id)
    if since := filters.get("since"):
        query = query.where(AuditRow.at >= since)
    if until := filters.get("until"):
        query = query.where(AuditRow.at < until)
    return query
