"""Refresh tokens: issued with `offline_access`, used, rotated; a rotated one that comes again ends its grant.

The token that follows another is computed from it (HMAC, keyed by the provider's secret): an answer that got
lost can be given once more, and the database alone tells nobody what was in it.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa

from idp import audit
from idp.db import db, execute_alone
from idp.oidc.claims import AskedClaims
from idp.oidc.models import AccessToken, Grant, RefreshToken
from idp.oidc.service import STORE_TOKEN, Granted
from idp.tokens import base64url, new_token, sha256_hex
from idp.users.models import Company, Status, User

REPEAT_SECONDS = 30  # for so long a lost answer is given again (RFC 9700 §4.14.2 leaves it open)
EXTEND_EVERY = timedelta(minutes=1)
"""A use is noted when it moves the token's end by so much, or by a sixtieth of its idle limit."""


@dataclass(frozen=True)
class Lifetime:
    """How long a refresh token lives without being used, and at most with its successors."""

    idle: timedelta
    absolute: timedelta


@dataclass(frozen=True)
class Presented:
    """A refresh token that its client may use now, and what its grant stands for.

    `company` is the person's. `repeated`: it has been used, and its answer is asked for again.
    """

    granted: Granted
    company: str
    token: str
    successor: str
    expires_at: datetime
    ends_at: datetime
    repeated: bool


_REFRESH = cast(sa.Table, RefreshToken.__table__)
_TOKENS, _GRANTS = cast(sa.Table, AccessToken.__table__), cast(sa.Table, Grant.__table__)
_FOLLOWING = _REFRESH.alias("following")
_refresh, _token, _grant, _user, _company = (
    _REFRESH.c,
    _TOKENS.c,
    _GRANTS.c,
    User.__table__.c,
    Company.__table__.c,
)
_STORE = sa.insert(_REFRESH)
_PRESENTED = (
    sa.select(
        _refresh.grant_id,
        _refresh.expires_at,
        _refresh.ends_at,
        _refresh.used_at,
        _FOLLOWING.c.token_hash.label("following_hash"),
        _FOLLOWING.c.used_at.label("following_used_at"),
        sa.func.coalesce(_FOLLOWING.c.dpop_jkt, _refresh.dpop_jkt).label("dpop_jkt"),
        _grant.user_id,
        _grant.session_id,
        _grant.scope,
        _grant.acr,
        _grant.amr,
        _grant.auth_time,
        _grant.method,
        _grant.reference,
        _grant.claims,
        _company.name.label("company"),
    )
    .select_from(_REFRESH)
    .join(_GRANTS, _grant.id == _refresh.grant_id)
    .join(User.__table__, _user.id == _grant.user_id)
    .join(Company.__table__, _company.id == _user.company_id)
    .outerjoin(_FOLLOWING, _FOLLOWING.c.token_hash == sa.bindparam("following_hash"))
    .where(
        _refresh.token_hash == sa.bindparam("token_hash"),
        _grant.client_id == sa.bindparam("client_id"),
        _grant.revoked_at.is_(None),
        _user.status == Status.ACTIVE.value,
    )
)
_UNUSED = (_refresh.token_hash == sa.bindparam("b_token_hash"), _refresh.used_at.is_(None))
_ROTATE = (
    sa.update(_REFRESH).where(*_UNUSED).values(used_at=sa.bindparam("b_now")).returning(_refresh.grant_id)
)
_EXTEND = (
    sa.update(_REFRESH)
    .where(*_UNUSED)
    .values(expires_at=sa.bindparam("b_expires_at"))
    .returning(_refresh.grant_id)
)


def _with_token(claim: Any, *, following: bool) -> sa.Select[Any]:
    """The claim and what it gives in one statement; only PostgreSQL lets a query write.

    No parameter has the name of a column: SQLAlchemy would set that column.
    """
    claimed = claim.cte("claimed")
    statement = sa.select(claimed.c.grant_id).add_cte(_store_access_token(claimed.c.grant_id).cte("stored"))
    if not following:
        return statement
    return statement.add_cte(
        sa.insert(_REFRESH)
        .from_select(
            ["token_hash", "grant_id", "dpop_jkt", "issued_at", "expires_at", "ends_at"],
            sa.select(
                sa.bindparam("following_hash", type_=_refresh.token_hash.type),
                claimed.c.grant_id,
                sa.bindparam("access_jkt", type_=_refresh.dpop_jkt.type),
                sa.bindparam("b_now", type_=_refresh.issued_at.type),
                sa.bindparam("b_expires_at", type_=_refresh.expires_at.type),
                sa.bindparam("b_ends_at", type_=_refresh.ends_at.type),
            ),
        )
        .cte("followed")
    )


def _store_access_token(grant_id: sa.ColumnElement[UUID], *conditions: sa.ColumnElement[bool]) -> sa.Insert:
    return sa.insert(_TOKENS).from_select(
        ["token_hash", "grant_id", "scope", "dpop_jkt", "issued_at", "expires_at"],
        sa.select(
            sa.bindparam("access_hash", type_=_token.token_hash.type),
            grant_id,
            sa.bindparam("access_scope", type_=_token.scope.type),
            sa.bindparam("access_jkt", type_=_token.dpop_jkt.type),
            sa.bindparam("b_now", type_=_token.issued_at.type),
            sa.bindparam("access_expires_at", type_=_token.expires_at.type),
        ).where(*conditions),
    )


_ROTATE_AT_ONCE = _with_token(_ROTATE, following=True)
_EXTEND_AT_ONCE = _with_token(_EXTEND, following=False)
_NOT_YET_EXTENDED = _store_access_token(_refresh.grant_id, *_UNUSED).returning(_token.grant_id)


def issue(grant_id: UUID, lifetime: Lifetime, *, jkt: str | None, now: datetime) -> str:
    """The first refresh token of a grant, bound to the key `jkt` if any."""
    token = new_token()
    ends_at = now + lifetime.absolute
    values = {
        "token_hash": sha256_hex(token),
        "grant_id": grant_id,
        "dpop_jkt": jkt,
        "issued_at": now,
        "expires_at": min(now + lifetime.idle, ends_at),
        "ends_at": ends_at,
        "used_at": None,
    }
    execute_alone(_STORE, values)
    return token


def present(token: str, *, client_id: str, key: bytes, jkt: str | None, now: datetime) -> Presented | None:
    """The token, when the client may use it now; `key` makes its successor, `jkt` is what the client proves.

    Who cannot prove the key that a token is bound to (RFC 9449 §5) can neither use nor end anything by it.

    A rotated one that comes again ends its grant, audited (RFC 9700 §4.14.2): except within 30 seconds, and
    as long as its successor is unused, for then the answer may have got lost on its way.
    """
    successor = base64url(hmac.new(key, token.encode(), hashlib.sha256).digest())
    values = {
        "token_hash": sha256_hex(token),
        "following_hash": sha256_hex(successor),
        "client_id": client_id,
    }
    rows = execute_alone(_PRESENTED, values)
    if not rows:
        return None
    row = rows[0]
    if row.dpop_jkt not in (None, jkt):
        return None
    if row.used_at is not None and (
        row.used_at + timedelta(seconds=REPEAT_SECONDS) <= now
        or row.following_hash is None
        or row.following_used_at is not None
    ):
        _end_family(row, client_id, now=now)
        return None
    if row.expires_at <= now:
        return None
    granted = Granted(
        grant_id=row.grant_id,
        user_id=row.user_id,
        session_id=row.session_id,
        scope=row.scope,
        nonce=None,  # OIDC Core §12.2
        acr=row.acr,
        amr=tuple(row.amr),
        auth_time=row.auth_time,
        method=row.method,
        reference=row.reference,
        claims=AskedClaims.from_json(row.claims),
    )
    repeated = row.used_at is not None
    return Presented(granted, row.company, token, successor, row.expires_at, row.ends_at, repeated)


def use(
    presented: Presented,
    *,
    scope: str,
    rotate: bool,
    jkt: str | None,
    idle: timedelta,
    access_token_lifetime: timedelta,
    now: datetime,
) -> tuple[str, str] | None:
    """A new access token's secret, and the refresh token to go on with; None: somebody was first, look again.

    The claim is one conditional UPDATE; what it gives is stored with it or not at all, bound to the key
    `jkt` if any: the access token, and the token that follows by rotation.
    """
    secret = new_token()
    stored = {"token_hash": sha256_hex(secret), "expires_at": now + access_token_lifetime}
    if presented.repeated:
        values = {"grant_id": presented.granted.grant_id, "client_id": None, "scope": scope, "issued_at": now}
        execute_alone(STORE_TOKEN, stored | values | {"dpop_jkt": jkt})
        return secret, presented.successor
    expires_at = min(now + idle, presented.ends_at)
    moved = abs(expires_at - presented.expires_at)
    claim: dict[str, Any] = {
        "b_token_hash": sha256_hex(presented.token),
        "b_now": now,
        "access_hash": stored["token_hash"],
        "access_expires_at": stored["expires_at"],
        "access_scope": scope,
        "access_jkt": jkt,
    }
    if not rotate and moved < min(EXTEND_EVERY, idle / 60):
        return (secret, presented.token) if execute_alone(_NOT_YET_EXTENDED, claim) else None
    claim["b_expires_at"] = expires_at
    if rotate:
        claim |= {"following_hash": sha256_hex(presented.successor), "b_ends_at": presented.ends_at}
    if db.engine.dialect.name == "postgresql":
        rows = execute_alone(_ROTATE_AT_ONCE if rotate else _EXTEND_AT_ONCE, claim)
    else:
        rows = _use_in_steps(claim, rotate=rotate)
    if not rows:
        return None
    return secret, presented.successor if rotate else presented.token


def narrowed(granted: Granted, scope: str) -> Granted:
    """The same with less scope, for one answer."""
    return replace(granted, scope=scope)


def _use_in_steps(claim: Mapping[str, Any], *, rotate: bool) -> Sequence[sa.Row[Any]]:
    wanted = ("b_token_hash", "b_now" if rotate else "b_expires_at")
    rows = db.session.execute(_ROTATE if rotate else _EXTEND, {name: claim[name] for name in wanted}).all()
    if rows:
        grant_id, now = rows[0].grant_id, claim["b_now"]
        access = {"token_hash": claim["access_hash"], "expires_at": claim["access_expires_at"]}
        common = {"grant_id": grant_id, "issued_at": now, "dpop_jkt": claim["access_jkt"]}
        db.session.execute(STORE_TOKEN, common | access | {"client_id": None, "scope": claim["access_scope"]})
        if rotate:
            following = {"token_hash": claim["following_hash"], "ends_at": claim["b_ends_at"]}
            expires = {"expires_at": claim["b_expires_at"], "used_at": None}
            db.session.execute(_STORE, common | following | expires)
    db.session.commit()
    return rows


def _end_family(row: Any, client_id: str, *, now: datetime) -> None:
    ended = db.session.execute(
        sa.update(Grant)
        .where(Grant.id == row.grant_id, Grant.revoked_at.is_(None))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )
    if cast(sa.CursorResult[Any], ended).rowcount:
        audit.record(
            audit.Event.REFRESH_TOKEN_REUSED,
            now=now,
            user_id=row.user_id,
            session_id=row.session_id,
            client_id=client_id,
            actor="client",
        )
    db.session.commit()
