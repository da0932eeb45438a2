"""Grants, codes and access tokens in the database: issue, claim, find, revoke."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from idp import audit
from idp.db import db
from idp.login import service as login
from idp.login.service import LiveSession
from idp.oidc.authorize import AuthorizationRequest
from idp.oidc.claims import Person
from idp.oidc.models import AccessToken, Consent, Grant
from idp.tokens import new_token, s256_challenge, sha256_hex
from idp.users.models import Status, User

CODE_SECONDS = 60


@dataclass(frozen=True)
class ClaimedCode:
    """What a code stood for, once it has been exchanged."""

    grant_id: UUID
    user_id: UUID
    session_id: UUID
    scope: str
    nonce: str | None
    acr: str
    amr: tuple[str, ...]
    auth_time: datetime


_GRANT = sa.insert(Grant)
_TOKEN = sa.insert(AccessToken)
_CLAIM = (
    sa.update(Grant)
    .where(
        Grant.code_hash == sa.bindparam("b_code_hash"),
        Grant.client_id == sa.bindparam("b_client_id"),
        Grant.redirect_uri == sa.bindparam("b_redirect_uri"),
        Grant.code_challenge.is_not_distinct_from(sa.bindparam("b_challenge")),
        Grant.code_used_at.is_(None),
        Grant.revoked_at.is_(None),
        Grant.code_expires_at > sa.bindparam("b_now"),
    )
    .values(code_used_at=sa.bindparam("b_now"))
    .returning(
        Grant.id,
        Grant.user_id,
        Grant.session_id,
        Grant.scope,
        Grant.nonce,
        Grant.acr,
        Grant.amr,
        Grant.auth_time,
    )
    .execution_options(synchronize_session=False)
)
_PERSON = (
    sa.select(
        AccessToken.scope,
        Grant.client_id,
        User.id,
        User.name,
        User.email,
        User.email_verified_at,
        User.phone,
        User.locale,
        User.updated_at,
    )
    .join(Grant, Grant.id == AccessToken.grant_id)
    .join(User, User.id == Grant.user_id)
    .where(
        AccessToken.token_hash == sa.bindparam("token_hash"),
        AccessToken.expires_at > sa.bindparam("now"),
        Grant.revoked_at.is_(None),
        User.status == Status.ACTIVE.value,
    )
)


def issue_code(
    request: AuthorizationRequest, live: LiveSession, *, interaction: str | None, now: datetime
) -> str | None:
    """A new code for `request`, answered by the person of `live`.

    `interaction` is the stored request this answers, claimed in the same transaction; None is returned
    when it has been answered before: one request never gives two codes.
    """
    if interaction is not None and not login.answer(interaction, now=now):
        db.session.rollback()
        return None
    code = new_token()
    db.session.execute(
        _GRANT,
        {
            "id": uuid4(),
            "client_id": request.client.client_id,
            "user_id": live.event.user_id,
            "session_id": live.id,
            "scope": request.scope,
            "redirect_uri": request.to.redirect_uri,
            "nonce": request.nonce,
            "code_hash": sha256_hex(code),
            "code_challenge": request.code_challenge,
            "code_expires_at": now + timedelta(seconds=CODE_SECONDS),
            "acr": live.event.acr,
            "amr": list(live.event.amr),
            "auth_time": live.event.auth_time,
            "created_at": now,
        },
    )
    db.session.commit()
    return code


def claim_code(
    code: str, *, client_id: str, redirect_uri: str, code_verifier: str | None, now: datetime
) -> ClaimedCode | None:
    """What `code` stands for, claimed once; None when it may not be exchanged like this.

    One statement holds every binding (client, redirect_uri, PKCE challenge, lifetime, not used, not
    revoked), so of many parallel exchanges one wins, and a wrong one does not spend the code. The
    caller's transaction goes on: the tokens are stored with the claim or not at all.
    """
    row = db.session.execute(
        _CLAIM,
        {
            "b_code_hash": sha256_hex(code),
            "b_client_id": client_id,
            "b_redirect_uri": redirect_uri,
            "b_challenge": s256_challenge(code_verifier) if code_verifier is not None else None,
            "b_now": now,
        },
    ).one_or_none()
    if row is None:
        return None
    return ClaimedCode(
        row.id, row.user_id, row.session_id, row.scope, row.nonce, row.acr, tuple(row.amr), row.auth_time
    )


def revoke_if_replayed(code: str, *, client_id: str, now: datetime) -> bool:
    """Revoke all that a used code issued when its own client sends it again (RFC 6749 §4.1.2)."""
    statement = (
        sa.update(Grant)
        .where(
            Grant.code_hash == sha256_hex(code), Grant.client_id == client_id, Grant.code_used_at.is_not(None)
        )
        .values(
            revoked_at=sa.func.coalesce(
                Grant.revoked_at, sa.bindparam("b_now", now, type_=Grant.created_at.type)
            )
        )
        .returning(Grant.user_id, Grant.session_id)
        .execution_options(synchronize_session=False)
    )
    row = db.session.execute(statement).one_or_none()
    if row is not None:
        audit.record(
            audit.Event.CODE_REPLAYED,
            now=now,
            user_id=row.user_id,
            session_id=row.session_id,
            client_id=client_id,
            actor="client",
        )
    db.session.commit()
    return row is not None


def store_access_token(claimed: ClaimedCode, *, lifetime: timedelta, now: datetime) -> str:
    """A new access token of the grant; commits it together with the code's claim."""
    token = new_token()
    db.session.execute(
        _TOKEN,
        {
            "token_hash": sha256_hex(token),
            "grant_id": claimed.grant_id,
            "scope": claimed.scope,
            "expires_at": now + lifetime,
        },
    )
    db.session.commit()
    return token


def find_person(token: str, *, now: datetime) -> tuple[Person, str, str] | None:
    """Whom an access token speaks of, its scope and its client's id; None when it does not count."""
    row = db.session.execute(_PERSON, {"token_hash": sha256_hex(token), "now": now}).one_or_none()
    if row is None:
        return None
    person = Person(
        id=row.id,
        name=row.name,
        email=row.email,
        email_verified=row.email_verified_at is not None,
        phone=row.phone,
        locale=row.locale,
        updated_at=row.updated_at,
    )
    return person, row.scope, row.client_id


def revoke_grants_of_sessions(_sender: object, *, session_ids: list[UUID], now: datetime) -> None:
    """Revoke what ended sessions issued, in the transaction that ends them (hears `sessions_ended`)."""
    db.session.execute(
        sa.update(Grant)
        .where(Grant.session_id.in_(session_ids), Grant.revoked_at.is_(None))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )


def consented_at(user_id: UUID, client_id: str, scope: str) -> datetime | None:
    """When the person agreed to share at least `scope` with the client, None if they have not."""
    consent = db.session.get(Consent, (user_id, client_id))
    if consent is None or not set(scope.split()) <= set(consent.scope.split()):
        return None
    return consent.given_at


def give_consent(user_id: UUID, client_id: str, scope: str, *, now: datetime) -> None:
    """Note that the person shares `scope` with the client, beside what they agreed to before."""
    consent = db.session.get(Consent, (user_id, client_id), with_for_update=True)
    scopes = set(scope.split()) | (set(consent.scope.split()) if consent else set())
    values: dict[str, Any] = {"scope": " ".join(sorted(scopes)), "given_at": now}
    if consent is None:
        db.session.merge(Consent(user_id=user_id, client_id=client_id, **values))
    else:
        consent.scope, consent.given_at = values["scope"], values["given_at"]
    audit.record(audit.Event.CONSENT_GIVEN, now=now, user_id=user_id, client_id=client_id, scope=scope)
    db.session.commit()


def deny_consent(user_id: UUID, client_id: str, interaction: str, *, now: datetime) -> bool:
    """Answer the interaction with a no. False: it has been answered before."""
    if not login.answer(interaction, now=now):
        db.session.rollback()
        return False
    audit.record(audit.Event.CONSENT_DENIED, now=now, user_id=user_id, client_id=client_id)
    db.session.commit()
    return True
