"""Orders at BankID, and the evidence kept of completed ones."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from idp.db import Base

OUTSTANDING = "outstandingTransaction"  # BankID's hint while no app has the order
UNREACHABLE = "unreachable"  # hints of ours beside BankID's: the circuit is open …
LOST = "lost"  # … BankID tells nothing of the order any more …
RENEWING = "renewing"  # … and nobody has scanned the QR code: a new order is to take its place
RESULT_PURPOSE = "bankid result"  # what `Order.result` …
EVIDENCE_PURPOSE = "bankid evidence"  # … and `Evidence.sealed` are sealed for


class Order(Base):
    """One order, bound to an interaction and its browser. BankID's secrets in it leave for nobody."""

    __tablename__ = "bankid_orders"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(sa.String(10), default="login")  # login or link
    # Whose account it may link: known from the start, or from the login that followed when it found none.
    user_id: Mapped[UUID | None]
    interaction_uid: Mapped[str] = mapped_column(sa.String(64), index=True)
    browser_hash: Mapped[str] = mapped_column(sa.String(64))
    client_id: Mapped[str | None] = mapped_column(sa.String(100))
    started_by: Mapped[str] = mapped_column(sa.String(10))  # qr or autostart
    device: Mapped[str] = mapped_column(sa.String(10))  # computer, mobile or unknown
    attempt: Mapped[int]  # 1, and one more at each silent renewal
    first_started_at: Mapped[datetime]
    started_at: Mapped[datetime]  # the QR code's time zero
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
    next_collect_at: Mapped[datetime]  # nobody collects before; a collector moves it ahead first
    # pending, complete, unmatched (of no account yet), used; failed, refused, cancelled by the person,
    # abandoned for another way
    state: Mapped[str] = mapped_column(sa.String(10))
    hint_code: Mapped[str | None] = mapped_column(sa.String(60))
    result: Mapped[str | None] = mapped_column(sa.Text)  # encrypted: who it was
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
