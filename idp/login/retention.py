"""When expired interactions and sessions are deleted."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from idp.login.models import BrowserSession, Interaction
from idp.retention import ExpiredRows

KEEP_INTERACTIONS = timedelta(days=1)
"""How long a page that was left open can still show that its request is answered or has expired."""

KEEP_SESSIONS = timedelta(days=90)
"""How long an old ID token can still name its user as `id_token_hint` (OIDC Core §3.1.2.1)."""


def _interactions(now: datetime) -> sa.ColumnElement[bool]:
    return Interaction.expires_at < now - KEEP_INTERACTIONS


def _sessions(now: datetime) -> sa.ColumnElement[bool]:
    # A session that was ended early stays as long as one that ran out.
    return BrowserSession.expires_at < now - KEEP_SESSIONS


EXPIRED_ROWS = (
    ExpiredRows(Interaction, Interaction.uid, _interactions),
    ExpiredRows(BrowserSession, BrowserSession.id, _sessions),
)
