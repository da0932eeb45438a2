"""Revocation of grants, and with each of everything that it issued: code, access and refresh tokens."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from idp import audit
from idp.db import db
from idp.oidc.models import Grant


def revoke_grants_of_sessions(_sender: object, *, session_ids: list[UUID], now: datetime) -> None:
    """Revoke what ended sessions issued, in the transaction that ends them (hears `sessions_ended`).

    Grants with `offline_access` stay in force (Back-Channel Logout 1.0 §2.7).
    """
    revoke_grants(Grant.session_id.in_(session_ids), Grant.offline.is_(False), now=now)


def revoke_grants_of_person(_sender: object, *, user_id: UUID, keep: UUID | None, now: datetime) -> None:
    """Revoke all grants of a person, in the caller's transaction (hears `logins_void`).

    Those of the session `keep` stay in force.
    """
    conditions = [Grant.user_id == user_id]
    if keep is not None:
        conditions.append(Grant.session_id != keep)
    revoke_grants(*conditions, now=now)


def revoke_everything_of_sessions(session_ids: Sequence[UUID], *, now: datetime) -> None:
    """Revoke all grants of the sessions, with `offline_access` too, in the caller's transaction.

    For a person who ends the session of a device that may be in other hands.
    """
    revoke_grants(Grant.session_id.in_(session_ids), now=now)


def revoke_grant_of_client(
    *conditions: sa.ColumnElement[bool], event: audit.Event, client_id: str, now: datetime
) -> bool:
    """Revoke the client's grant for which all conditions hold, audited as `event` of the client. Commits.

    A grant that has been revoked stays so since then, and counts. False: there is none.
    """
    statement = (
        sa.update(Grant)
        .where(*conditions, Grant.client_id == client_id)
        .values(revoked_at=sa.func.coalesce(Grant.revoked_at, now, type_=Grant.created_at.type))
        .returning(Grant.user_id, Grant.session_id)
        .execution_options(synchronize_session=False)
    )
    row = db.session.execute(statement).one_or_none()
    if row is not None:
        audit.record(
            event,
            now=now,
            user_id=row.user_id,
            session_id=row.session_id,
            client_id=client_id,
            actor="client",
        )
    db.session.commit()
    return row is not None


def revoke_grants(*conditions: sa.ColumnElement[bool], now: datetime) -> None:
    """Revoke the grants for which all conditions hold, in the caller's transaction."""
    db.session.execute(
        sa.update(Grant)
        .where(*conditions, Grant.revoked_at.is_(None))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )
