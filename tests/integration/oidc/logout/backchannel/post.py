"""The worker's part of back-channel logout, done when a test says so."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet

from idp import audit
from idp.clock import utcnow
from idp.db import db
from idp.oidc.logout.backchannel import LogoutDelivery
from idp.oidc.logout.notices import LogoutNotice
from tests.fakes.listening_app import ALGS
from tests.fakes.relying_party import HTTPS, RelyingParty

HOUR = timedelta(hours=1)


@dataclass
class Post:
    """The worker's part, done when a test says so; it reaches this machine too."""

    app: Flask
    delivery: LogoutDelivery

    def deliver(self) -> int:
        """Try every notice that is due; how many there were."""
        with self.app.app_context():
            tried = 0
            while self.delivery.deliver_next():
                tried += 1
            return tried

    def waiting(self) -> list[tuple[str, int]]:
        """The clients that have yet to hear something, and how often each notice has been tried."""
        query = sa.select(LogoutNotice.client_id, LogoutNotice.attempts)
        with self.app.app_context():
            rows = db.session.execute(query.order_by(LogoutNotice.client_id, LogoutNotice.attempts.desc()))
            return [(row.client_id, row.attempts) for row in rows]

    def pause(self) -> float:
        """Seconds until the one waiting notice is due."""
        with self.app.app_context():
            due = db.session.scalars(sa.select(LogoutNotice.next_attempt_at)).one()
            return (due - utcnow()).total_seconds()

    def given_up(self) -> list[audit.AuditRow]:
        with self.app.app_context():
            return audit.newest(100, event=audit.Event.LOGOUT_NOTICE_GIVEN_UP)


def log_out(party: RelyingParty, id_token: str) -> None:
    answer = party.browser.get(f"/end_session?id_token_hint={id_token}", **HTTPS)
    assert 'id="logged-out"' in answer.text


def content(token: str, jwks: Any) -> dict[str, Any]:
    decoded = jwt.decode(token, KeySet.import_key_set(jwks), algorithms=ALGS)
    return dict(decoded.claims)
