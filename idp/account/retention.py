"""When old requests for another e-mail address are deleted."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from idp.account.models import EmailChange
from idp.retention import ExpiredRows

KEEP_LINKS = timedelta(days=7)
"""How long the page of an old link can still show that it was used, or has expired."""


def _changes(now: datetime) -> sa.ColumnElement[bool]:
    return EmailChange.expires_at < now - KEEP_LINKS


EXPIRED_ROWS = (ExpiredRows(EmailChange, EmailChange.user_id, _changes),)
