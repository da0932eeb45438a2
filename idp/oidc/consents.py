"""Consents: what people let relying apps have. Asked about, given or denied, shown to them, taken back."""

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
    """`session_id` and `client_id` of each client that the sessions, by their `id`, have logged in to.

    A session's last row has no client. It takes one look at the index for each client of a session, however
    many grants that client had of it.
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
    """What somebody has agreed to share with a client."""

    client_id: str
    scopes: tuple[str, ...]
    given_at: datetime


def consents_of(user_id: UUID) -> list[GivenConsent]:
    """What the person has agreed to share, by client_id; also with clients that are gone."""
    query = sa.select(Consent).where(Consent.user_id == user_id).order_by(Consent.client_id)
    return [
        GivenConsent(consent.client_id, tuple(consent.scope.split()), consent.given_at)
        for consent in db.session.scalars(query)
    ]


def revoke_consent(user_id: UUID, client_id: str, *, now: datetime) -> bool:
    """Take the person's consent for a client back, and with it everything the client was granted for them.

    The next request is asked about again. False, and nothing changed, when there was no consent.
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
    """The clients that each of the sessions has logged its person in to, by client_id."""
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
    """When the person agreed to share at least `scope` with the client, None if they have not."""
    consent = db.session.get(Consent, (user_id, client_id))
    if consent is None or not set(scope.split()) <= set(consent.scope.split()):
        return None
    return consent.given_at


def give_consent(user_id: UUID, client_id: str, scope: str, *, now: datetime) -> None:
    """Note that the person shares `scope` with the client, beside what they agreed to before."""
    consent = db.session.get(Consent, (user_id, client_id), with_for_update=True)
    if consent is None:
        consent = Consent(user_id=user_id, client_id=client_id, scope="")
        db.session.add(consent)
    consent.scope = " ".join(sorted({*consent.scope.split(), *scope.split()}))
    consent.given_at = now
    audit.record(audit.Event.CONSENT_GIVEN, now=now, user_id=user_id, client_id=client_id, scope=scope)
    try:
        db.session.commit()
    except IntegrityError:  # another answer came first: now it is there to be added to
        db.session.rollback()
        give_consent(user_id, client_id, scope, now=now)


def deny_consent(user_id: UUID, client_id: str, interaction: str, *, now: datetime) -> bool:
    """Answer the interaction with a no. False: it has been answered before."""
    if not interactions.claim_answer(interaction, now=now):
        db.session.rollback()
        return False
    audit.record(audit.Event.CONSENT_DENIED, now=now, user_id=user_id, client_id=client_id)
    db.session.commit()
    return True
