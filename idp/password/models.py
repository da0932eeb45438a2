"""Links by which an account's owner may choose a password."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from idp.db import Base


class ResetLink(Base):
    """An account's newest link; `user_id` is unique, so that it is the only one.

    `email_key` is the address it was mailed to: a link to an address that the account has left is worthless.
    """

    __tablename__ = "reset_links"

    token_hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    # No foreign key: a row is written, and taken back, for an address that has no account too.
    user_id: Mapped[UUID] = mapped_column(unique=True)
    email_key: Mapped[str] = mapped_column(sa.String(254))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
