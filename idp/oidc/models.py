"""What has been granted to relying apps: grants with their codes, access tokens, consents."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from idp.db import Base

# Grants and tokens are written in every login flow. They name users and sessions without foreign keys:
# each would cost the database a locking look-up per row, and what they would guard is asked anyway
# (a token counts only while its user is active and its grant in force).


class Grant(Base):
    """One answer to an authorization request, with its code. Revoking it ends everything it issued."""

    __tablename__ = "grants"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    client_id: Mapped[str] = mapped_column(sa.String(100))
    user_id: Mapped[UUID] = mapped_column(index=True)
    session_id: Mapped[UUID] = mapped_column(index=True)
    scope: Mapped[str] = mapped_column(sa.Text)
    redirect_uri: Mapped[str] = mapped_column(sa.Text)
    nonce: Mapped[str | None] = mapped_column(sa.Text)
    code_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    code_challenge: Mapped[str | None] = mapped_column(sa.String(43))
    code_expires_at: Mapped[datetime]
    code_used_at: Mapped[datetime | None]
    acr: Mapped[str] = mapped_column(sa.String(255))
    amr: Mapped[list[str]]
    auth_time: Mapped[datetime]
    method: Mapped[str | None] = mapped_column(sa.String(20))  # None: older than this column
    reference: Mapped[str | None] = mapped_column(sa.String(64))  # of the login, by its method
    claims: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))  # asked for one by one
    created_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]


class AccessToken(Base):
    """An opaque access token, kept as its SHA-256. It counts while its grant is in force."""

    __tablename__ = "access_tokens"

    token_hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    grant_id: Mapped[UUID]
    scope: Mapped[str] = mapped_column(sa.Text)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Consent(Base):
    """What somebody has agreed to share with a client that asks for it."""

    __tablename__ = "consents"

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id"), primary_key=True)
    client_id: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    scope: Mapped[str] = mapped_column(sa.Text)
    given_at: Mapped[datetime]
