"""Orders and their traces in the database."""

from typing import Any

import sqlalchemy as sa
from flask import Flask
from werkzeug.test import TestResponse

from idp.audit import AuditRow
from idp.bankid import qr
from idp.bankid.models import Order
from idp.clock import utcnow
from idp.db import db
from tests.integration.bankid.conftest import IPHONE, BankIdVisitor, Phone


def newest_order(app: Flask) -> Order:
    with app.app_context():
        order = db.session.scalars(sa.select(Order).order_by(Order.started_at.desc())).first()
        assert order is not None
        db.session.expunge(order)
        return order


def qr_text(app: Flask) -> str:
    """What the QR code on the page says now."""
    order = newest_order(app)
    elapsed = int((utcnow() - order.started_at).total_seconds())
    return qr.qr_payload(order.qr_start_token, order.qr_start_secret, elapsed)


def due(app: Flask) -> None:
    """Make the next collect due."""
    with app.app_context():
        db.session.execute(sa.update(Order).values(next_collect_at=utcnow()))
        db.session.commit()


def audited(app: Flask, event: str) -> list[AuditRow]:
    """The rows of this event, oldest first."""
    with app.app_context():
        rows = list(
            db.session.scalars(sa.select(AuditRow).where(AuditRow.event == event).order_by(AuditRow.id))
        )
        for row in rows:
            db.session.expunge(row)
        return rows


def scan_and_approve(app: Flask, phone: Phone) -> None:
    """Scan the page's code and approve; the next collect is due."""
    phone.do("scan", qr=qr_text(app))
    phone.do("approve")
    due(app)


def complete(app: Flask, visitor: BankIdVisitor, phone: Phone, **changes: Any) -> TestResponse:
    """Log in with a QR code; what the page then leads to."""
    visitor.open(**changes)
    scan_and_approve(app, phone)
    done = visitor.poll()
    assert done["state"] == "complete", done
    return visitor.get(done["url"])


def open_on_phone(app: Flask, visitor: BankIdVisitor, user_agent: str = IPHONE) -> tuple[TestResponse, str]:
    """The page of an order for the app on the same device, and its autostart token."""
    page = visitor.open(headers={"User-Agent": user_agent})
    return page, newest_order(app).autostart_token


def states(app: Flask) -> list[str]:
    with app.app_context():
        return list(db.session.scalars(sa.select(Order.state).order_by(Order.started_at)))


def is_gone(phone: Phone) -> bool:
    """Whether the newest order has been taken back at BankID."""
    return bool(phone.orders()[0]["is_gone"])
