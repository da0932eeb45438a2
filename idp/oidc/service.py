"""Grants, codes and access tokens in the database: issue, claim, find, revoke."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from idp import audit
from idp.db import db, execute_alone
from idp.login import interactions
from idp.login.models import BrowserSession
from idp.login.sessions import LiveSession
from idp.oidc.authorization import par
from idp.oidc.authorization.authorize import AuthorizationRequest
from idp.oidc.claims import AskedClaims, Person
from idp.oidc.models import AccessToken, Consent, Grant
from idp.tokens import new_token, s256_challenge, sha256_hex
from idp.users.models import IS_ACTIVE, Company, User

CODE_SECONDS = 60
OFFLINE = "offline_access"  # the scope that lets a grant outlive its session (OIDC Core §11)


class SessionOver(Exception):
    """The session that was to answer has ended, or its person may not log in any more."""


@dataclass(frozen=True)
class Granted:
    """What a grant stands for, as tokens tell it."""

    grant_id: UUID
    user_id: UUID
    session_id: UUID
    scope: str
    nonce: str | None
    acr: str
    amr: tuple[str, ...]
    auth_time: datetime
    method: str | None
    reference: str | None
    claims: AskedClaims


@dataclass(frozen=True)
class TokenFacts:
    """What an access token stands for, and the key that it is bound to, if it is (RFC 9449)."""

    person: Person
    client_id: str
    scope: str
    claims: AskedClaims
    dpop_jkt: str | None


_GRANTS, _TOKENS = cast(sa.Table, Grant.__table__), cast(sa.Table, AccessToken.__table__)
_SESSIONS = cast(sa.Table, BrowserSession.__table__)
_grant, _token, _user, _company = _GRANTS.c, _TOKENS.c, User.__table__.c, Company.__table__.c
_GRANTED = [column for column in _GRANTS.columns if column.name not in ("code_used_at", "revoked_at")]
_GRANT = (
    sa.insert(_GRANTS)
    .from_select(
        _GRANTED,
        sa.select(*[sa.bindparam(f"b_{column.name}", type_=column.type) for column in _GRANTED])
        .select_from(_SESSIONS)
        .join(User.__table__, _user.id == _SESSIONS.c.user_id)
        .where(
            _SESSIONS.c.id == sa.bindparam("b_session_id", type_=_grant.session_id.type),
            _SESSIONS.c.ended_at.is_(None),
            IS_ACTIVE,
        )
        .with_for_update(read=True, of=_SESSIONS),
        include_defaults=False,
    )
    .returning(_grant.id)
)
"""A grant, unless its session has ended meanwhile. Whoever is ending it waits for this to be there to be
revoked; whoever has yet to commit the end is waited for."""
STORE_TOKEN = sa.insert(_TOKENS)
_CLAIM = (
    sa.update(_GRANTS)
    .where(
        _grant.code_hash == sa.bindparam("b_code_hash"),
        _grant.client_id == sa.bindparam("b_client_id"),
        _grant.redirect_uri == sa.bindparam("b_redirect_uri"),
        _grant.code_challenge.is_not_distinct_from(sa.bindparam("b_challenge")),
        sa.or_(_grant.dpop_jkt.is_(None), _grant.dpop_jkt == sa.bindparam("b_jkt")),
        _grant.code_used_at.is_(None),
        _grant.revoked_at.is_(None),
        _grant.code_expires_at > sa.bindparam("b_now"),
        sa.exists().where(_user.id == _grant.user_id, IS_ACTIVE),
    )
    .values(code_used_at=sa.bindparam("b_now"))
    .returning(
        _grant.id,
        _grant.user_id,
        _grant.session_id,
        _grant.scope,
        _grant.nonce,
        _grant.acr,
        _grant.amr,
        _grant.auth_time,
        _grant.method,
        _grant.reference,
        _grant.claims,
    )
)
_claimed = _CLAIM.cte("claimed")
_EXCHANGE = sa.select(_claimed).add_cte(
    sa.insert(_TOKENS)
    .from_select(
        ["token_hash", "grant_id", "scope", "dpop_jkt", "issued_at", "expires_at"],
        sa.select(
            sa.bindparam("token_hash", type_=_token.token_hash.type),
            _claimed.c.id,
            _claimed.c.scope,
            sa.bindparam("b_jkt", type_=_token.dpop_jkt.type),
            sa.bindparam("issued_at", type_=_token.expires_at.type),
            sa.bindparam("expires_at", type_=_token.expires_at.type),
        ),
    )
    .cte("stored")
)
"""Claim and token in one statement; only PostgreSQL lets a query write."""
_FACTS = (
    _user.id,
    _user.name,
    _user.email,
    _user.email_verified_at,
    _user.phone,
    _user.locale,
    _user.updated_at,
    _company.name.label("company"),
    _company.org_number,
)
_USER = (
    sa.select(*_FACTS)
    .join(Company.__table__, _company.id == _user.company_id)
    .where(_user.id == sa.bindparam("user_id", type_=_user.id.type), IS_ACTIVE)
)
_HOLDER = (
    sa.select(_token.scope, _token.dpop_jkt, _grant.client_id, _grant.claims, *_FACTS)
    .select_from(_TOKENS)
    .join(_GRANTS, _grant.id == _token.grant_id)
    .join(User.__table__, _user.id == _grant.user_id)
    .join(Company.__table__, _company.id == _user.company_id)
    .where(
        _token.token_hash == sa.bindparam("token_hash"),
        _token.expires_at > sa.bindparam("now"),
        _grant.revoked_at.is_(None),
        IS_ACTIVE,
    )
)


def issue_code(
    request: AuthorizationRequest, live: LiveSession, *, interaction: str | None, now: datetime
) -> str | None:
    """A new code for `request`, answered by the person of `live`.

    `interaction` is the stored request this answers. It is claimed in the same transaction, as is the pushed
    request it came from; None is returned when one has been answered before: no request gives two codes.
    Raises `SessionOver`, and claims nothing, when the session has ended since it was read.
    """
    code = new_token()
    values = {
        "b_id": uuid4(),
        "b_client_id": request.client.client_id,
        "b_user_id": live.event.user_id,
        "b_session_id": live.id,
        "b_scope": request.scope,
        "b_redirect_uri": request.to.redirect_uri,
        "b_nonce": request.nonce,
        "b_code_hash": sha256_hex(code),
        "b_code_challenge": request.code_challenge,
        "b_dpop_jkt": request.dpop_jkt,
        "b_code_expires_at": now + timedelta(seconds=CODE_SECONDS),
        "b_acr": live.event.acr,
        "b_amr": list(live.event.amr),
        "b_auth_time": live.event.auth_time,
        "b_method": live.event.method,
        "b_reference": live.event.reference,
        "b_claims": request.claims.to_json(),
        "b_offline": OFFLINE in request.scope.split(),
        "b_created_at": now,
    }
    pushed = request.to.pushed
    if interaction is None and pushed is None:
        if not execute_alone(_GRANT, values):
            raise SessionOver
        return code
    if (interaction is not None and not interactions.claim_answer(interaction, now=now)) or (
        pushed is not None and not par.use(pushed, now=now)
    ):
        db.session.rollback()
        return None
    if db.session.execute(_GRANT, values).one_or_none() is None:
        db.session.rollback()
        raise SessionOver
    db.session.commit()
    return code


def exchange_code(
    code: str,
    *,
    client_id: str,
    redirect_uri: str,
    code_verifier: str | None,
    jkt: str | None,
    access_token_lifetime: timedelta,
    now: datetime,
) -> tuple[Granted, str] | None:
    """What `code` stood for and a new access token's secret, once; None when it may not be exchanged so.

    The claim holds every binding (client, redirect_uri, PKCE challenge, key, lifetime, not used, not
    revoked) in one conditional UPDATE, so of many parallel exchanges one wins, and a wrong one does not
    spend the code. The token is stored with the claim or not at all. `jkt` is the key that the exchange
    proves: the token is bound to it, and the code may be (RFC 9449 §10).
    """
    secret = new_token()
    claim = {
        "b_code_hash": sha256_hex(code),
        "b_client_id": client_id,
        "b_redirect_uri": redirect_uri,
        "b_challenge": s256_challenge(code_verifier) if code_verifier is not None else None,
        "b_jkt": jkt,
        "b_now": now,
    }
    token = {
        "token_hash": sha256_hex(secret),
        "issued_at": now,
        "expires_at": now + access_token_lifetime,
    }
    if db.engine.dialect.name == "postgresql":
        rows = execute_alone(_EXCHANGE, claim | token)
    else:
        rows = _exchange_in_two(claim, token)
    if not rows:
        return None
    row = rows[0]
    granted = Granted(
        grant_id=row.id,
        user_id=row.user_id,
        session_id=row.session_id,
        scope=row.scope,
        nonce=row.nonce,
        acr=row.acr,
        amr=tuple(row.amr),
        auth_time=row.auth_time,
        method=row.method,
        reference=row.reference,
        claims=AskedClaims.from_json(row.claims),
    )
    return granted, secret


def _exchange_in_two(claim: dict[str, Any], token: dict[str, Any]) -> Sequence[sa.Row[Any]]:
    rows = db.session.execute(_CLAIM, claim).all()
    if rows:
        db.session.execute(
            STORE_TOKEN,
            {
                **token,
                "grant_id": rows[0].id,
                "client_id": None,
                "scope": rows[0].scope,
                "dpop_jkt": claim["b_jkt"],
            },
        )
    db.session.commit()
    return rows


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


def issue_client_token(client_id: str, *, jkt: str | None, lifetime: timedelta, now: datetime) -> str:
    """The secret of a new access token that stands for the client itself, bound to the key `jkt` if any."""
    secret = new_token()
    values = {
        "token_hash": sha256_hex(secret),
        "grant_id": None,
        "client_id": client_id,
        "scope": "",
        "dpop_jkt": jkt,
        "issued_at": now,
        "expires_at": now + lifetime,
    }
    execute_alone(STORE_TOKEN, values)
    return secret


def find_holder(token_hash: str, *, now: datetime) -> TokenFacts | None:
    """What a person's access token stands for; None when it does not count."""
    rows = execute_alone(_HOLDER, {"token_hash": token_hash, "now": now})
    if not rows:
        return None
    row = rows[0]
    asked = AskedClaims.from_json(row.claims)
    return TokenFacts(_person(row), row.client_id, row.scope, asked, row.dpop_jkt)


def find_person(user_id: UUID) -> Person | None:
    """The account, as long as it is active."""
    rows = execute_alone(_USER, {"user_id": user_id})
    return _person(rows[0]) if rows else None


def _person(row: sa.Row[Any]) -> Person:
    return Person(
        id=row.id,
        name=row.name,
        email=row.email,
        email_verified=row.email_verified_at is not None,
        phone=row.phone,
        locale=row.locale,
        updated_at=row.updated_at,
        company=row.company,
        org_number=row.org_number,
    )


def revoke_grants_of_sessions(_sender: object, *, session_ids: list[UUID], now: datetime) -> None:
    """Revoke what ended sessions issued, in the transaction that ends them (hears `sessions_ended`).

    What was granted with `offline_access` goes on.
    """
    _revoke(Grant.session_id.in_(session_ids), Grant.offline.is_(False), now=now)


def revoke_grants_of_person(_sender: object, *, user_id: UUID, keep: UUID | None, now: datetime) -> None:
    """Revoke all that a person ever granted, in the caller's transaction (hears `logins_void`).

    What was granted in the session `keep` is left.
    """
    conditions = [Grant.user_id == user_id]
    if keep is not None:
        conditions.append(Grant.session_id != keep)
    _revoke(*conditions, now=now)


def _revoke(*conditions: sa.ColumnElement[bool], now: datetime) -> None:
    db.session.execute(
        sa.update(Grant)
        .where(*conditions, Grant.revoked_at.is_(None))
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
