"""Interactions and sessions that are over for good."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from idp.login.models import BrowserSession, Interaction
from idp.retention import ExpiredRows

KEEP_INTERACTIONS = timedelta(days=1)
"""So long a page that was left open says what became of its request, instead of knowing nothing of it."""

KEEP_SESSIONS = timedelta(days=90)
"""So long an old ID token, given as `id_token_hint`, tells whose it was (OIDC Core §3.1.2.1)."""


def _interactions(now: datetime) -> sa.ColumnElement[bool]:
    return Interaction.expires_at < now - KEEP_INTERACTIONS


def _sessions(now: datetime) -> sa.ColumnElement[bool]:
    # A session that was ended early stays as long as one that ran out.
    return BrowserSession.expires_at < now - KEEP_SESSIONS


EXPIRED_ROWS = (
    ExpiredRows(Interaction, Interaction.uid, _interactions),
    ExpiredRows(BrowserSession, BrowserSession.id, _sessions),
)
