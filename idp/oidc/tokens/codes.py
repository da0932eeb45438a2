"""Authorization codes in the database: issue one, exchange it, revoke what a replayed one issued."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import sqlalchemy as sa

from idp import audit
from idp.db import db, execute_alone
from idp.login import interactions
from idp.login.models import BrowserSession
from idp.login.sessions import LiveSession
from idp.oidc.authorization import par
from idp.oidc.authorization.authorize import AuthorizationRequest
from idp.oidc.claims import AllowedClaims
from idp.oidc.models import AccessToken, Grant
from idp.oidc.tokens.access_tokens import STORE_TOKEN
from idp.oidc.tokens.granted import OFFLINE, Granted
from idp.tokens import new_token, s256_challenge, sha256_hex
from idp.users.models import IS_ACTIVE, User

CODE_SECONDS = 60


class SessionOver(Exception):
    """The session behind a response has ended, or its person may not log in any more (OIDC Core §3.1.2.3)."""


_GRANTS, _TOKENS = cast(sa.Table, Grant.__table__), cast(sa.Table, AccessToken.__table__)
_SESSIONS = cast(sa.Table, BrowserSession.__table__)
_grant, _token, _user = _GRANTS.c, _TOKENS.c, User.__table__.c
_STORED_COLUMNS = [column for column in _GRANTS.columns if column.name not in ("code_used_at", "revoked_at")]
_STORE_GRANT = (
    sa.insert(_GRANTS)
    .from_select(
        _STORED_COLUMNS,
        sa.select(*[sa.bindparam(f"b_{column.name}", type_=column.type) for column in _STORED_COLUMNS])
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
"""A grant, unless its session has ended meanwhile. A session's end waits for the grant, to revoke it; the
grant waits for an end that has yet to be committed."""
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


def issue_code(
    request: AuthorizationRequest, live: LiveSession, *, interaction: str | None, now: datetime
) -> str | None:
    """A new code for `request`, which the person of `live` answers (RFC 6749 §4.1.2).

    `interaction` is the stored request, claimed in the same transaction, as is the pushed request that it
    came from. None: one of them has been answered before, because no request gives two codes. Raises
    `SessionOver`, and claims nothing, when the session has ended since it was read.
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
        "b_reference": live.event.evidence_id,
        "b_claims": request.claims.to_json(),
        "b_offline": OFFLINE in request.scope.split(),
        "b_created_at": now,
    }
    pushed = request.to.pushed
    if interaction is None and pushed is None:
        if not execute_alone(_STORE_GRANT, values):
            raise SessionOver
        return code
    if (interaction is not None and not interactions.claim_answer(interaction, now=now)) or (
        pushed is not None and not par.claim_request(pushed, now=now)
    ):
        db.session.rollback()
        return None
    if db.session.execute(_STORE_GRANT, values).one_or_none() is None:
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
    """The grant of `code` and a new access token's secret, once (RFC 6749 §4.1.3); None when it is refused.

    The claim holds every binding (client, redirect_uri, PKCE challenge, key, lifetime, not used, not revoked)
    in one conditional UPDATE: of many parallel exchanges one wins, and a wrong one does not spend the code.
    The token is stored with the claim or not at all. `jkt` is the key that the exchange proves: the token is
    bound to it, and the code may be (RFC 9449 §10).
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
        evidence_id=row.reference,
        claims=AllowedClaims.from_json(row.claims),
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
    """Revoke everything that a used code issued when its own client sends it again (RFC 6749 §4.1.2)."""
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
