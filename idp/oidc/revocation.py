"""Revoking grants, and with each everything that it issued: codes, access tokens and refresh tokens."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from idp.db import db
from idp.oidc.models import Grant


def revoke_grants_of_sessions(_sender: object, *, session_ids: list[UUID], now: datetime) -> None:
    """Revoke what ended sessions issued, in the transaction that ends them (hears `sessions_ended`).

    What was granted with `offline_access` goes on.
    """
    revoke_grants(Grant.session_id.in_(session_ids), Grant.offline.is_(False), now=now)


def revoke_grants_of_person(_sender: object, *, user_id: UUID, keep: UUID | None, now: datetime) -> None:
    """Revoke all that a person ever granted, in the caller's transaction (hears `logins_void`).

    What was granted in the session `keep` is left.
    """
    conditions = [Grant.user_id == user_id]
    if keep is not None:
        conditions.append(Grant.session_id != keep)
    revoke_grants(*conditions, now=now)


def revoke_everything_of_sessions(session_ids: Sequence[UUID], *, now: datetime) -> None:
    """Revoke what the sessions were granted, what outlives a logout too, in the caller's transaction.

    For somebody who ends the session of a device that may not be in their hands any more.
    """
    revoke_grants(Grant.session_id.in_(session_ids), now=now)


def revoke_grants(*conditions: sa.ColumnElement[bool], now: datetime) -> None:
    """Revoke the grants for which all conditions hold, in the caller's transaction."""
    db.session.execute(
        sa.update(Grant)
        .where(*conditions, Grant.revoked_at.is_(None))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )
