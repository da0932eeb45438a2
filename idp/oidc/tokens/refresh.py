"""Refresh tokens: issued with `offline_access`, used, rotated; a rotated one that comes again ends its grant.

The token that follows another is computed from it (HMAC, keyed by the provider's secret): a lost answer can
be given once more, and the database alone does not hold it.
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
from idp.oidc.claims import AllowedClaims
from idp.oidc.models import AccessToken, Grant, RefreshToken
from idp.oidc.tokens.access_tokens import STORE_TOKEN
from idp.oidc.tokens.granted import Granted
from idp.tokens import base64url, new_token, sha256_hex
from idp.users.models import IS_ACTIVE, Company, User

REPEAT_SECONDS = 30  # a lost answer is given again within this time (RFC 9700 §4.14.2 leaves it open)
EXTEND_EVERY = timedelta(minutes=1)
"""A use is noted when it moves the token's end by so much, or by a sixtieth of its idle limit."""


@dataclass(frozen=True)
class Lifetime:
    """How long a refresh token lives unused, and at most with its successors (RFC 9700 §4.14.2)."""

    idle: timedelta
    absolute: timedelta


@dataclass(frozen=True)
class Presented:
    """A refresh token that its client may use now (RFC 6749 §6), and its grant.

    `company` is the person's. `secret` is of an access token that is stored and nobody knows yet:
    `rotate_or_extend` hands it out, `withdraw` removes it. `repeated`: the token has been used, and its
    answer is asked for again.
    """

    granted: Granted
    company: str
    secret: str
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
_FIND = (
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
        IS_ACTIVE,
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
_found = _FIND.cte("found")
_FIND_AND_STORE = sa.select(_found).add_cte(
    sa.insert(_TOKENS)
    .from_select(
        ["token_hash", "grant_id", "scope", "dpop_jkt", "issued_at", "expires_at"],
        sa.select(
            sa.bindparam("access_hash", type_=_token.token_hash.type),
            _found.c.grant_id,
            _found.c.scope,
            sa.bindparam("access_jkt", type_=_token.dpop_jkt.type),
            sa.bindparam("b_now", type_=_token.issued_at.type),
            sa.bindparam("access_expires_at", type_=_token.expires_at.type),
        ),
    )
    .cte("stored")
)
"""The query and an access token in one statement; only PostgreSQL lets a query write.

No parameter has the name of a column: SQLAlchemy would set that column.
"""
_rotated = _ROTATE.cte("rotated")
_ROTATE_AT_ONCE = sa.select(_rotated.c.grant_id).add_cte(
    sa.insert(_REFRESH)
    .from_select(
        ["token_hash", "grant_id", "dpop_jkt", "issued_at", "expires_at", "ends_at"],
        sa.select(
            sa.bindparam("following_hash", type_=_refresh.token_hash.type),
            _rotated.c.grant_id,
            sa.bindparam("b_jkt", type_=_refresh.dpop_jkt.type),
            sa.bindparam("b_now", type_=_refresh.issued_at.type),
            sa.bindparam("b_expires_at", type_=_refresh.expires_at.type),
            sa.bindparam("b_ends_at", type_=_refresh.ends_at.type),
        ),
    )
    .cte("followed")
)
_NARROW = (
    sa.update(_TOKENS)
    .where(_token.token_hash == sa.bindparam("b_token_hash"))
    .values(scope=sa.bindparam("b_scope"))
)
_WITHDRAW = sa.delete(_TOKENS).where(_token.token_hash == sa.bindparam("b_token_hash"))


def issue(grant_id: UUID, lifetime: Lifetime, *, jkt: str | None, now: datetime) -> str:
    """The first refresh token of a grant (OIDC Core §11), bound to the key `jkt` if any."""
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


def present(
    token: str,
    *,
    client_id: str,
    key: bytes,
    jkt: str | None,
    access_token_lifetime: timedelta,
    now: datetime,
) -> Presented | None:
    """The token, when the client may use it now (RFC 6749 §6, RFC 9700 §4.14.2).

    `key` makes its successor, `jkt` is the key that the client proves. A client that cannot prove the key
    that a token is bound to (RFC 9449 §5) can neither use nor end anything by it.

    A rotated token that comes again ends its grant, audited: except within 30 seconds and as long as its
    successor is unused, because the answer may have got lost on its way.

    The same query stores an access token of the granted scope, which saves a round trip to the database. What
    is refused after that, here or by the caller, is withdrawn; if the process dies in between, the row opens
    nothing, since nobody has its secret, and goes with the expired ones.
    """
    successor = base64url(hmac.new(key, token.encode(), hashlib.sha256).digest())
    bound = {
        "token_hash": sha256_hex(token),
        "following_hash": sha256_hex(successor),
        "client_id": client_id,
    }
    secret = new_token()
    stored = {
        "access_hash": sha256_hex(secret),
        "access_jkt": jkt,
        "access_expires_at": now + access_token_lifetime,
        "b_now": now,
    }
    row = _find_and_store(bound, stored)
    if row is None:
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
        evidence_id=row.reference,
        claims=AllowedClaims.from_json(row.claims),
    )
    repeated = row.used_at is not None
    presented = Presented(
        granted, row.company, secret, token, successor, row.expires_at, row.ends_at, repeated
    )
    proven = row.dpop_jkt in (None, jkt)
    reused = repeated and (
        row.used_at + timedelta(seconds=REPEAT_SECONDS) <= now
        or row.following_hash is None
        or row.following_used_at is not None
    )
    if proven and not reused and row.expires_at > now:
        return presented
    withdraw(presented)
    if proven and reused:
        _end_family(row, client_id, now=now)
    return None


def rotate_or_extend(
    presented: Presented, *, scope: str, rotate: bool, jkt: str | None, idle: timedelta, now: datetime
) -> tuple[str, str] | None:
    """The new access token's secret and the next refresh token (RFC 6749 §6, RFC 9700 §4.14.2).

    None: another request was first. The claim is one conditional UPDATE; the token that follows by rotation
    is stored with it or not at all, bound to the key `jkt` if any.
    """
    if scope != presented.granted.scope:
        execute_alone(_NARROW, {"b_token_hash": sha256_hex(presented.secret), "b_scope": scope})
    if presented.repeated:
        return presented.secret, presented.successor
    expires_at = min(now + idle, presented.ends_at)
    moved = abs(expires_at - presented.expires_at)
    if not rotate and moved < min(EXTEND_EVERY, idle / 60):
        return presented.secret, presented.token
    claim: dict[str, Any] = {"b_token_hash": sha256_hex(presented.token)}
    if not rotate:
        claimed = execute_alone(_EXTEND, claim | {"b_expires_at": expires_at})
    else:
        following = {
            "following_hash": sha256_hex(presented.successor),
            "b_jkt": jkt,
            "b_expires_at": expires_at,
            "b_ends_at": presented.ends_at,
        }
        claimed = _rotate(claim | {"b_now": now}, following)
    if not claimed:
        withdraw(presented)
        return None
    return presented.secret, presented.successor if rotate else presented.token


def withdraw(presented: Presented) -> None:
    """Remove the access token that `present` stored, before anybody has its secret."""
    execute_alone(_WITHDRAW, {"b_token_hash": sha256_hex(presented.secret)})


def with_scope(granted: Granted, scope: str) -> Granted:
    """The same grant with less scope, for one response (RFC 6749 §6)."""
    return replace(granted, scope=scope)


def _find_and_store(bound: Mapping[str, Any], stored: Mapping[str, Any]) -> Any:
    """The row that `_FIND` finds, stored together with an access token; None without a row."""
    if db.engine.dialect.name == "postgresql":
        rows = execute_alone(_FIND_AND_STORE, {**bound, **stored})
        return rows[0] if rows else None
    rows = execute_alone(_FIND, bound)
    if not rows:
        return None
    access = {"token_hash": stored["access_hash"], "expires_at": stored["access_expires_at"]}
    common = {"issued_at": stored["b_now"], "dpop_jkt": stored["access_jkt"], "client_id": None}
    execute_alone(STORE_TOKEN, access | common | {"grant_id": rows[0].grant_id, "scope": rows[0].scope})
    return rows[0]


def _rotate(claim: Mapping[str, Any], following: Mapping[str, Any]) -> Sequence[Any]:
    """The claim's row, when it was the first, and the token that follows stored with it."""
    if db.engine.dialect.name == "postgresql":
        return execute_alone(_ROTATE_AT_ONCE, {**claim, **following})
    rows = db.session.execute(_ROTATE, claim).all()
    if rows:
        values = {
            "token_hash": following["following_hash"],
            "grant_id": rows[0].grant_id,
            "dpop_jkt": following["b_jkt"],
            "issued_at": claim["b_now"],
            "expires_at": following["b_expires_at"],
            "ends_at": following["b_ends_at"],
            "used_at": None,
        }
        db.session.execute(_STORE, values)
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
