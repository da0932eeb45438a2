"""Links to choose a password that are over for good."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from idp.password.models import ResetLink
from idp.retention import ExpiredRows

KEEP_LINKS = timedelta(days=7)
"""The time for which the page of an old link still reports that it was used, or has expired."""


def _links(now: datetime) -> sa.ColumnElement[bool]:
    return ResetLink.expires_at < now - KEEP_LINKS


EXPIRED_ROWS = (ExpiredRows(ResetLink, ResetLink.token_hash, _links),)
