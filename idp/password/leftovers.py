"""Links to choose a password that are over for good."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from idp.leftovers import Leftovers
from idp.password.models import ResetLink

KEEP_LINKS = timedelta(days=7)
"""So long somebody who follows an old link is told that it was used, or came too late."""


def _links(now: datetime) -> sa.ColumnElement[bool]:
    return ResetLink.expires_at < now - KEEP_LINKS


LEFTOVERS = (Leftovers(ResetLink, ResetLink.token_hash, _links),)
