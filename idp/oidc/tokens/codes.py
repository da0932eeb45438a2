"""Authorization codes in the database: issue one, exchange it, revoke what a replayed one issued."""

from datetime import datetime, timedelta
from typing import cast
from uuid import uuid4

import sqlalchemy as sa

from idp import audit
from idp.db import InsertAndSelect, Insertion, db, insert_and_select, write_alone
from idp.login import interactions
from idp.login.models import BrowserSession
from idp.login.sessions import LiveSession
from idp.oidc import revocation
from idp.oidc.authorization import par
from idp.oidc.authorization.authorize import AuthorizationRequest
from idp.oidc.models import AccessToken, Grant
from idp.oidc.tokens.granted import GRANT_COLUMNS, OFFLINE, Granted, GrantRow
from idp.tokens import new_token, s256_challenge, sha256_hex
from idp.users.models import IS_ACTIVE, User

CODE_SECONDS = 60


class SessionOver(Exception):
    """The session behind a response has ended, or its person may not log in any more (OIDC Core §3.1.2.3)."""


_GRANTS, _TOKENS = cast(sa.Table, Grant.__table__), cast(sa.Table, AccessToken.__table__)
_SESSIONS = cast(sa.Table, BrowserSession.__table__)
_grant, _user = _GRANTS.c, User.__table__.c
_STORED_COLUMNS = [column for column in _GRANTS.columns if column.name not in ("code_used_at", "revoked_at")]
_STORE_GRANT = sa.insert(_GRANTS).from_select(
    _STORED_COLUMNS,
    sa.select(*[sa.bindparam(column.name, type_=column.type) for column in _STORED_COLUMNS])
    .select_from(_SESSIONS)
    .join(User.__table__, _user.id == _SESSIONS.c.user_id)
    .where(
        _SESSIONS.c.id == sa.bindparam("session_id", type_=_grant.session_id.type),
        _SESSIONS.c.ended_at.is_(None),
        IS_ACTIVE,
    )
    .with_for_update(read=True, of=_SESSIONS),
    include_defaults=False,
)
"""A grant, unless its session has ended meanwhile. A session's end waits for the grant, to revoke it; the
grant waits for an end that has yet to be committed."""
_CLAIM = (
    sa.update(_GRANTS)
    .where(
        _grant.code_hash == sa.bindparam("b_code_hash"),
        _grant.client_id == sa.bindparam("b_client_id"),
        _grant.redirect_uri == sa.bindparam("b_redirect_uri"),
        _grant.code_challenge.is_not_distinct_from(sa.bindparam("challenge")),
        sa.or_(_grant.dpop_jkt.is_(None), _grant.dpop_jkt == sa.bindparam("jkt")),
        _grant.code_used_at.is_(None),
        _grant.revoked_at.is_(None),
        _grant.code_expires_at > sa.bindparam("now"),
        sa.exists().where(_user.id == _grant.user_id, IS_ACTIVE),
    )
    .values(code_used_at=sa.bindparam("now"))
    .returning(*GRANT_COLUMNS)
)
_EXCHANGE = InsertAndSelect(
    _CLAIM,
    Insertion(
        _TOKENS,
        {
            "token_hash": sa.bindparam("token_hash"),
            "grant_id": _grant.id,
            "scope": _grant.scope,
            "dpop_jkt": sa.bindparam("jkt"),
            "issued_at": sa.bindparam("now"),
            "expires_at": sa.bindparam("expires_at"),
        },
    ),
)


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
        "id": uuid4(),
        "client_id": request.client.client_id,
        "user_id": live.event.user_id,
        "session_id": live.id,
        "scope": request.scope,
        "redirect_uri": request.to.redirect_uri,
        "nonce": request.nonce,
        "code_hash": sha256_hex(code),
        "code_challenge": request.code_challenge,
        "dpop_jkt": request.dpop_jkt,
        "code_expires_at": now + timedelta(seconds=CODE_SECONDS),
        "acr": live.event.acr,
        "amr": list(live.event.amr),
        "auth_time": live.event.auth_time,
        "method": live.event.method,
        "reference": live.event.evidence_id,
        "claims": request.claims.to_json(),
        "offline": OFFLINE in request.scope.split(),
        "created_at": now,
    }
    pushed = request.to.pushed
    if interaction is None and pushed is None:
        if not write_alone(_STORE_GRANT, values):
            raise SessionOver
        return code
    if (interaction is not None and not interactions.claim_answer(interaction, now=now)) or (
        pushed is not None and not par.claim_request(pushed, now=now)
    ):
        db.session.rollback()
        return None
    if db.session.execute(_STORE_GRANT.returning(_grant.id), values).one_or_none() is None:
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
    asked = {
        "b_code_hash": sha256_hex(code),
        "b_client_id": client_id,
        "b_redirect_uri": redirect_uri,
        "challenge": s256_challenge(code_verifier) if code_verifier is not None else None,
        "jkt": jkt,
        "now": now,
        "token_hash": sha256_hex(secret),
        "expires_at": now + access_token_lifetime,
    }
    rows = insert_and_select(_EXCHANGE, asked, GrantRow)
    return (Granted.from_row(rows[0]), secret) if rows else None


def revoke_if_replayed(code: str, *, client_id: str, now: datetime) -> bool:
    """Revoke everything that a used code issued when its own client sends it again (RFC 6749 §4.1.2)."""
    return revocation.revoke_grant_of_client(
        Grant.code_hash == sha256_hex(code),
        Grant.code_used_at.is_not(None),
        event=audit.Event.CODE_REPLAYED,
        client_id=client_id,
        now=now,
    )
