"""Consents: what people agreed to share with relying apps, and the apps that they have reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from idp import audit
from idp.db import db
from idp.login import interactions
from idp.oidc.models import Consent, Grant
from idp.oidc.revocation import revoke_grants

_grant = Grant.__table__.c


def reached_clients_cte(sessions: sa.FromClause) -> sa.CTE:
    """Rows of `session_id` and `client_id`: the clients that each of `sessions` (by its `id`) logged in to.

    A session's last row has no client. The query reads the index once for each client of a session, however
    many grants that client had of it (Back-Channel Logout 1.0 §2.3).
    """
    found = sa.select(sessions.c.id.label("session_id"), _first_client(sessions.c.id).label("client_id")).cte(
        "reached", recursive=True
    )
    following = _first_client(found.c.session_id, after=found.c.client_id)
    return found.union_all(sa.select(found.c.session_id, following).where(found.c.client_id.is_not(None)))


def _first_client(
    session_id: sa.ColumnElement[UUID], after: sa.ColumnElement[str] | None = None
) -> sa.ScalarSelect[str]:
    first = sa.select(sa.func.min(_grant.client_id)).where(_grant.session_id == session_id)
    return (first if after is None else first.where(_grant.client_id > after)).scalar_subquery()


@dataclass(frozen=True)
class GivenConsent:
    """A consent that a person has given: a client and the scopes that they share with it."""

    client_id: str
    scopes: tuple[str, ...]
    given_at: datetime


def consents_of(user_id: UUID) -> list[GivenConsent]:
    """The person's consents by client_id, also those for clients that are gone."""
    query = sa.select(Consent).where(Consent.user_id == user_id).order_by(Consent.client_id)
    return [
        GivenConsent(consent.client_id, tuple(consent.scope.split()), consent.given_at)
        for consent in db.session.scalars(query)
    ]


def revoke_consent(user_id: UUID, client_id: str, *, now: datetime) -> bool:
    """Take back the person's consent for a client, and revoke everything the client was granted for them.

    The next request asks for consent again. False, and nothing changed, when there was no consent.
    """
    taken_back = (
        sa.delete(Consent)
        .where(Consent.user_id == user_id, Consent.client_id == client_id)
        .returning(Consent.client_id)
    )
    if db.session.scalar(taken_back) is None:
        db.session.rollback()
        return False
    revoke_grants(Grant.user_id == user_id, Grant.client_id == client_id, now=now)
    audit.record(audit.Event.CONSENT_REVOKED, now=now, user_id=user_id, client_id=client_id)
    db.session.commit()
    return True


def reached_clients(session_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """The client_ids that each session has logged its person in to (Back-Channel Logout 1.0 §2.3)."""
    query = (
        sa.select(Grant.session_id, Grant.client_id)
        .where(Grant.session_id.in_(session_ids))
        .distinct()
        .order_by(Grant.client_id)
    )
    clients: dict[UUID, list[str]] = {session_id: [] for session_id in session_ids}
    for session_id, client_id in db.session.execute(query):
        clients[session_id].append(client_id)
    return clients


def consented_at(user_id: UUID, client_id: str, scope: str) -> datetime | None:
    """The time of a consent that covers `scope`, None without one (OIDC Core §3.1.2.4)."""
    consent = db.session.get(Consent, (user_id, client_id))
    if consent is None or not set(scope.split()) <= set(consent.scope.split()):
        return None
    return consent.given_at


def give_consent(user_id: UUID, client_id: str, scope: str, *, now: datetime) -> None:
    """Store that the person shares `scope` with the client, beside what they agreed to before.

    OIDC Core §3.1.2.4. Commits.
    """
    consent = db.session.get(Consent, (user_id, client_id), with_for_update=True)
    if consent is None:
        consent = Consent(user_id=user_id, client_id=client_id, scope="")
        db.session.add(consent)
    consent.scope = " ".join(sorted({*consent.scope.split(), *scope.split()}))
    consent.given_at = now
    audit.record(audit.Event.CONSENT_GIVEN, now=now, user_id=user_id, client_id=client_id, scope=scope)
    try:
        db.session.commit()
    except IntegrityError:  # another answer was stored first: add to that one
        db.session.rollback()
        give_consent(user_id, client_id, scope, now=now)


def deny_consent(user_id: UUID, client_id: str, interaction: str, *, now: datetime) -> bool:
    """Answer the interaction with a no (OIDC Core §3.1.2.4). False: it has been answered before. Commits."""
    if not interactions.claim_answer(interaction, now=now):
        db.session.rollback()
        return False
    audit.record(audit.Event.CONSENT_DENIED, now=now, user_id=user_id, client_id=client_id)
    db.session.commit()
    return True
