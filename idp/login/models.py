"""The tables of logins: sessions, methods used, and requests that wait for a login."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from idp.db import Base


class BrowserSession(Base):
    """A login on one browser. `handle_hash` is the SHA-256 of the session cookie's value."""

    __tablename__ = "browser_sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    handle_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id"), index=True)
    method: Mapped[str] = mapped_column(sa.String(20))
    acr: Mapped[str] = mapped_column(sa.String(255))
    amr: Mapped[list[str]]
    auth_time: Mapped[datetime]
    reference: Mapped[str | None] = mapped_column(sa.String(64))  # the event's evidence_id
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    user_agent: Mapped[str | None] = mapped_column(sa.String(256))
    address: Mapped[str | None] = mapped_column(sa.String(45))


class MethodUse(Base):
    """The first login of a person by a method."""

    __tablename__ = "login_method_uses"

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id"), primary_key=True)
    method: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    first_at: Mapped[datetime]


class Interaction(Base):
    """A request that waits for a login. The URL holds the uid; only the browser it is bound to may use it."""

    __tablename__ = "interactions"

    uid: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    browser_hash: Mapped[str | None] = mapped_column(sa.String(64))
    requirement: Mapped[dict[str, Any]]
    return_endpoint: Mapped[str] = mapped_column(sa.String(60))
    request: Mapped[dict[str, Any]]
    client_id: Mapped[str | None] = mapped_column(sa.String(100))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    answered_at: Mapped[datetime | None]
