"""Wishes for another e-mail address that are over for good."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from idp.account.models import EmailChange
from idp.retention import ExpiredRows

KEEP_LINKS = timedelta(days=7)
"""So long somebody who follows an old link is told that it was used, or came too late."""


def _changes(now: datetime) -> sa.ColumnElement[bool]:
    return EmailChange.expires_at < now - KEEP_LINKS


EXPIRED_ROWS = (ExpiredRows(EmailChange, EmailChange.user_id, _changes),)
