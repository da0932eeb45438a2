"""People and the companies they work for."""

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from idp.db import Base
from idp.mail import Recipient
from idp.users.sorting import MAX_KEY, key_of

MAX_PASSWORD_HASH = 255
# The last login of accounts without one. No NULL: databases disagree about its place in an index.
NEVER = datetime(1970, 1, 1, tzinfo=UTC)

# Compared by code point, also in a database that was set up for a language.
SortKey = sa.String(MAX_KEY).with_variant(sa.String(MAX_KEY, collation="C"), "postgresql")


class Role(StrEnum):
    USER = "user"
    COMPANY_ADMIN = "company_admin"


class Status(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class Company(Base):
    __tablename__ = "companies"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(sa.String(200), unique=True)
    org_number: Mapped[str | None] = mapped_column(sa.String(10))
    created_at: Mapped[datetime]


class User(Base):
    """An account. `email` is shown as it was written, `email_key` makes it unique."""

    __tablename__ = "users"
    __table_args__ = (
        sa.Index("ix_users_company_id_name_key", "company_id", "name_key", "id"),
        sa.Index("ix_users_company_id_email_key", "company_id", "email_key"),
        sa.Index("ix_users_company_id_last_login_at", "company_id", "last_login_at", "id"),
        sa.Index("ix_users_company_id_status", "company_id", "status", "name_key", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    company_id: Mapped[UUID] = mapped_column(sa.ForeignKey("companies.id"), index=True)
    email: Mapped[str] = mapped_column(sa.String(254))
    email_key: Mapped[str] = mapped_column(sa.String(254), unique=True)
    email_verified_at: Mapped[datetime | None]
    name: Mapped[str] = mapped_column(sa.String(200))
    title: Mapped[str | None] = mapped_column(sa.String(200))
    name_key: Mapped[str] = mapped_column(SortKey, default=key_of("name"), server_default="")
    title_key: Mapped[str | None] = mapped_column(SortKey, default=key_of("title"))
    phone: Mapped[str | None] = mapped_column(sa.String(16))
    locale: Mapped[str] = mapped_column(sa.String(2), default="sv")
    start_page: Mapped[str | None] = mapped_column(sa.String(100))
    notices: Mapped[bool] = mapped_column(default=True)
    role: Mapped[str] = mapped_column(sa.String(20), default=Role.USER.value)
    status: Mapped[str] = mapped_column(sa.String(20), default=Status.ACTIVE.value)
    password_hash: Mapped[str | None] = mapped_column(sa.String(MAX_PASSWORD_HASH))
    stated_number: Mapped[str | None] = mapped_column(sa.Text)  # typed, not proven; encrypted
    version: Mapped[int] = mapped_column(default=0, server_default="0")  # of what forms show
    last_login_at: Mapped[datetime] = mapped_column(
        default=NEVER, server_default=f"{NEVER:%Y-%m-%d %H:%M:%S.%f}"
    )
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    company: Mapped[Company] = relationship(lazy="raise")

    @property
    def is_active(self) -> bool:
        return self.status == Status.ACTIVE.value

    @property
    def recipient(self) -> Recipient:
        """The person as mails address them."""
        return Recipient(self.email, self.name, self.locale)


IS_ACTIVE = User.__table__.c.status.is_not_distinct_from(Status.ACTIVE.value)
"""For a query that begins with another table's key. `=` means the same, but PostgreSQL, as long as it has no
statistics, would begin with the index on status: with all active people and all their rows."""


class BankIdLink(Base):
    """The BankID that opens an account. One person's may open several accounts."""

    __tablename__ = "bankid_links"

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id"), primary_key=True)
    number_lookup: Mapped[str] = mapped_column(sa.String(64), index=True)
    number_encrypted: Mapped[str] = mapped_column(sa.Text)
    name: Mapped[str] = mapped_column(sa.String(200))
    linked_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
