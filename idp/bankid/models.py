"""Orders at BankID, and the evidence of completed ones."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from idp.db import Base

# `Order.hint_code` holds BankID's hint codes (RP API v6.0, /collect), such as:
OUTSTANDING = "outstandingTransaction"  # no app has the order
# and our own:
UNREACHABLE = "unreachable"  # the circuit is open
LOST = "lost"  # BankID does not know the order any more, or is silent for longer than an order lives
RENEWING = "renewing"  # nobody scanned the QR code: a new order is to take this one's place

RESULT_PURPOSE = "bankid result"  # of the encryption of `Order.result`
EVIDENCE_PURPOSE = "bankid evidence"  # of the encryption of `Evidence.sealed`


class Order(Base):
    """One order, bound to an interaction and its browser. Its qr_start_secret never leaves the server."""

    __tablename__ = "bankid_orders"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(sa.String(10), default="login")  # login or link
    # Whose account it may link: set at the start, or by the login that followed an order without an account.
    user_id: Mapped[UUID | None]
    interaction_uid: Mapped[str] = mapped_column(sa.String(64), index=True)
    browser_hash: Mapped[str] = mapped_column(sa.String(64))
    client_id: Mapped[str | None] = mapped_column(sa.String(100))
    started_by: Mapped[str] = mapped_column(sa.String(10))  # qr or autostart
    device: Mapped[str] = mapped_column(sa.String(10))  # computer, mobile or unknown
    attempt: Mapped[int]  # from 1, one more at each silent renewal
    first_started_at: Mapped[datetime]
    started_at: Mapped[datetime]  # second 0 of the QR code
    order_ref: Mapped[str] = mapped_column(sa.String(64))
    qr_start_token: Mapped[str] = mapped_column(sa.String(64))
    qr_start_secret: Mapped[str] = mapped_column(sa.String(64))
    autostart_token: Mapped[str] = mapped_column(sa.String(64))
    visible_data: Mapped[str] = mapped_column(sa.Text)
    visible_format: Mapped[str | None] = mapped_column(sa.String(20))
    non_visible_data: Mapped[str] = mapped_column(sa.Text)
    terms: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))  # the app's demands
    end_user_ip: Mapped[str] = mapped_column(sa.String(45))
    nonce_hash: Mapped[str | None] = mapped_column(sa.String(64))  # set when the app can return to the page
    returned_at: Mapped[datetime | None]
    next_collect_at: Mapped[datetime]  # a worker moves it ahead before it collects
    # pending, complete, unmatched (opens no account), used; failed, refused, cancelled (by the person),
    # abandoned (for another method)
    state: Mapped[str] = mapped_column(sa.String(10))
    hint_code: Mapped[str | None] = mapped_column(sa.String(60))
    result: Mapped[str | None] = mapped_column(sa.Text)  # encrypted: the person
    finished_at: Mapped[datetime | None] = mapped_column(index=True)


class Evidence(Base):
    """Signature and OCSP response of a login, encrypted, kept until `delete_after`."""

    __tablename__ = "bankid_evidence"

    order_id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(index=True)
    order_ref: Mapped[str] = mapped_column(sa.String(64))
    sealed: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime]
    delete_after: Mapped[datetime] = mapped_column(index=True)
