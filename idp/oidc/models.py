"""The tables of grants: codes, access and refresh tokens, pushed requests, consents."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from idp.db import Base

# Grants and tokens are written in every login flow. They name users and sessions without foreign keys:
# each would cost the database a locking query per row, and their condition is checked at each use anyway
# (a token counts only while its user is active and its grant in force).


class Grant(Base):
    """The answer to one authorization request, with its code. Revoking it ends everything it issued."""

    __tablename__ = "grants"
    __table_args__ = (sa.Index("ix_grants_session_id_client_id", "session_id", "client_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    client_id: Mapped[str] = mapped_column(sa.String(100))
    user_id: Mapped[UUID] = mapped_column(index=True)
    session_id: Mapped[UUID]
    scope: Mapped[str] = mapped_column(sa.Text)
    redirect_uri: Mapped[str] = mapped_column(sa.Text)
    nonce: Mapped[str | None] = mapped_column(sa.Text)
    code_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    code_challenge: Mapped[str | None] = mapped_column(sa.String(43))
    dpop_jkt: Mapped[str | None] = mapped_column(sa.String(43))  # the key that the code is bound to
    code_expires_at: Mapped[datetime]
    code_used_at: Mapped[datetime | None]
    acr: Mapped[str] = mapped_column(sa.String(255))
    amr: Mapped[list[str]]
    auth_time: Mapped[datetime]
    method: Mapped[str | None] = mapped_column(sa.String(20))  # None: older than this column
    reference: Mapped[str | None] = mapped_column(sa.String(64))  # the login's evidence_id
    claims: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))  # requested one by one
    offline: Mapped[bool] = mapped_column(server_default=sa.false())  # outlives the logout of its session
    created_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]


class AccessToken(Base):
    """An access token, by its SHA-256; one in JWT format by its `jti`. It counts while its grant is in force.

    A client's own (RFC 6749 §4.4) has no grant: it names the client instead.
    """

    __tablename__ = "access_tokens"

    token_hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    grant_id: Mapped[UUID | None]
    client_id: Mapped[str | None] = mapped_column(sa.String(100))
    scope: Mapped[str] = mapped_column(sa.Text)
    dpop_jkt: Mapped[str | None] = mapped_column(sa.String(43))  # the key that it is bound to, if any
    issued_at: Mapped[datetime | None]  # None: older than this column
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RefreshToken(Base):
    """A refresh token, by its SHA-256. It counts while its grant is in force; a rotating one until its use.

    `expires_at` moves with its uses, not every one of which is noted, and never past `ends_at`.
    """

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    grant_id: Mapped[UUID] = mapped_column(index=True)
    dpop_jkt: Mapped[str | None] = mapped_column(sa.String(43))  # a public client's key, if it has one
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ends_at: Mapped[datetime]
    used_at: Mapped[datetime | None]  # a rotated one: when its successor was issued


class PushedRequest(Base):
    """A pushed authorization request, by its request_uri's SHA-256. The response to it uses it up."""

    __tablename__ = "pushed_requests"

    request_hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    client_id: Mapped[str] = mapped_column(sa.String(100))
    parameters: Mapped[dict[str, Any]]
    expires_at: Mapped[datetime] = mapped_column(index=True)  # by then it must have come with a browser
    used_at: Mapped[datetime | None]


class UsedAssertion(Base):
    """A used client assertion or DPoP proof, by a hash of its sender and jti, as long as it counts."""

    __tablename__ = "used_assertions"

    assertion_hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Consent(Base):
    """What a person has agreed to share with a client."""

    __tablename__ = "consents"

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id"), primary_key=True)
    client_id: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    scope: Mapped[str] = mapped_column(sa.Text)
    given_at: Mapped[datetime]
