"""People and the companies they work for."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from idp.db import Base


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
    """An account. `email` is shown as it was written, `email_key` is what makes it unique."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    company_id: Mapped[UUID] = mapped_column(sa.ForeignKey("companies.id"), index=True)
    email: Mapped[str] = mapped_column(sa.String(254))
    email_key: Mapped[str] = mapped_column(sa.String(254), unique=True)
    email_verified_at: Mapped[datetime | None]
    name: Mapped[str] = mapped_column(sa.String(200))
    title: Mapped[str | None] = mapped_column(sa.String(200))
    phone: Mapped[str | None] = mapped_column(sa.String(16))
    locale: Mapped[str] = mapped_column(sa.String(2), default="sv")
    start_page: Mapped[str | None] = mapped_column(sa.String(100))
    notices: Mapped[bool] = mapped_column(default=True)
    role: Mapped[str] = mapped_column(sa.String(20), default=Role.USER.value)
    status: Mapped[str] = mapped_column(sa.String(20), default=Status.ACTIVE.value)
    password_hash: Mapped[str | None] = mapped_column(sa.String(255))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    company: Mapped[Company] = relationship(lazy="raise")

    @property
    def is_active(self) -> bool:
        return self.status == Status.ACTIVE.value


class BankIdLink(Base):
    """The BankID that opens an account. One person's may open several accounts."""

    __tablename__ = "bankid_links"

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id"), primary_key=True)
    number_lookup: Mapped[str] = mapped_column(sa.String(64), index=True)
    number_encrypted: Mapped[str] = mapped_column(sa.Text)
    name: Mapped[str] = mapped_column(sa.String(200))
    linked_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
