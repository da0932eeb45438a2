"""A login by BankID in a browser where somebody is logged in already."""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from idp.clock import utcnow
from idp.db import db
from idp.login.models import BrowserSession
from tests.fakes.relying_party import RelyingParty
from tests.integration.bankid.conftest import BankIdVisitor, Phone
from tests.integration.bankid.orders import scan_and_approve
from tests.integration.bankid.test_new_method import log_in_by_password

pytestmark = pytest.mark.usefixtures("linked")


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """A file, which one connection at a time writes to."""
    return f"sqlite:///{tmp_path}/idp.sqlite3"


def test_the_earlier_session_is_noted_as_used_and_goes_on(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone
) -> None:
    log_in_by_password(rp)
    visitor.open(prompt="login")
    scan_and_approve(app, phone)
    with app.app_context():
        db.session.execute(sa.update(BrowserSession).values(seen_at=utcnow() - timedelta(minutes=2)))
        db.session.commit()
    assert visitor.get(visitor.poll()["url"]).status_code == 303
    with app.app_context():
        session = db.session.scalars(sa.select(BrowserSession)).one()
        assert session.method == "bankid"
        assert session.seen_at > utcnow() - timedelta(minutes=1)
