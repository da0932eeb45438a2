"""The table of e-mail addresses that wait for their confirmation."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from idp.db import Base


class EmailChange(Base):
    """The address that an account asked for last, until the link mailed there is followed.

    `old_key` is the address that it replaces: an account that has another one by now is not changed.
    """

    __tablename__ = "email_changes"

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    token_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    email: Mapped[str] = mapped_column(sa.String(254))
    old_key: Mapped[str] = mapped_column(sa.String(254))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
