"""Refresh tokens: issued with `offline_access`, used, rotated; a rotated one that comes again ends its grant.

The token that follows another is computed from it (HMAC, keyed by the provider's secret): a lost answer can
be given once more, and the database alone does not hold it.
"""

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

import sqlalchemy as sa

from idp import audit
from idp.db import InsertAndSelect, Insertion, db, insert_and_select, write_alone
from idp.oidc.models import AccessToken, Grant, RefreshToken
from idp.oidc.tokens.granted import GRANT_COLUMNS, Granted, GrantRow
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


@dataclass(frozen=True)
class _PresentedRow(GrantRow):
    expires_at: datetime
    ends_at: datetime
    used_at: datetime | None
    following_hash: str | None
    following_used_at: datetime | None
    dpop_jkt: str | None
    company: str


class _Rotated(NamedTuple):
    grant_id: UUID


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
        *GRANT_COLUMNS,
        _refresh.expires_at,
        _refresh.ends_at,
        _refresh.used_at,
        _FOLLOWING.c.token_hash.label("following_hash"),
        _FOLLOWING.c.used_at.label("following_used_at"),
        sa.func.coalesce(_FOLLOWING.c.dpop_jkt, _refresh.dpop_jkt).label("dpop_jkt"),
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
_ROTATE = InsertAndSelect(
    sa.update(_REFRESH).where(*_UNUSED).values(used_at=sa.bindparam("now")).returning(_refresh.grant_id),
    Insertion(
        _REFRESH,
        {
            "token_hash": sa.bindparam("following_hash"),
            "grant_id": _refresh.grant_id,
            "dpop_jkt": sa.bindparam("jkt"),
            "issued_at": sa.bindparam("now"),
            "expires_at": sa.bindparam("b_expires_at"),
            "ends_at": sa.bindparam("b_ends_at"),
        },
    ),
)
_EXTEND = sa.update(_REFRESH).where(*_UNUSED).values(expires_at=sa.bindparam("b_expires_at"))
_FIND_AND_STORE = InsertAndSelect(
    _FIND,
    Insertion(
        _TOKENS,
        {
            "token_hash": sa.bindparam("access_hash"),
            "grant_id": _grant.id,
            "scope": _grant.scope,
            "dpop_jkt": sa.bindparam("access_jkt"),
            "issued_at": sa.bindparam("now"),
            "expires_at": sa.bindparam("access_expires_at"),
        },
    ),
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
    write_alone(_STORE, values)
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
    secret = new_token()
    bound = {
        "token_hash": sha256_hex(token),
        "following_hash": sha256_hex(successor),
        "client_id": client_id,
        "access_hash": sha256_hex(secret),
        "access_jkt": jkt,
        "access_expires_at": now + access_token_lifetime,
        "now": now,
    }
    rows = insert_and_select(_FIND_AND_STORE, bound, _PresentedRow)
    if not rows:
        return None
    row = rows[0]
    granted = replace(Granted.from_row(row), nonce=None)  # OIDC Core §12.2
    presented = Presented(
        granted, row.company, secret, token, successor, row.expires_at, row.ends_at, row.used_at is not None
    )
    proven = row.dpop_jkt in (None, jkt)
    reused = row.used_at is not None and (
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
        write_alone(_NARROW, {"b_token_hash": sha256_hex(presented.secret), "b_scope": scope})
    if presented.repeated:
        return presented.secret, presented.successor
    expires_at = min(now + idle, presented.ends_at)
    moved = abs(expires_at - presented.expires_at)
    if not rotate and moved < min(EXTEND_EVERY, idle / 60):
        return presented.secret, presented.token
    claim: dict[str, Any] = {"b_token_hash": sha256_hex(presented.token)}
    if not rotate:
        claimed = bool(write_alone(_EXTEND, claim | {"b_expires_at": expires_at}))
    else:
        following = {
            "following_hash": sha256_hex(presented.successor),
            "jkt": jkt,
            "b_expires_at": expires_at,
            "b_ends_at": presented.ends_at,
            "now": now,
        }
        claimed = bool(insert_and_select(_ROTATE, claim | following, _Rotated))
    if not claimed:
        withdraw(presented)
        return None
    return presented.secret, presented.successor if rotate else presented.token


def withdraw(presented: Presented) -> None:
    """Remove the access token that `present` stored, before anybody has its secret."""
    write_alone(_WITHDRAW, {"b_token_hash": sha256_hex(presented.secret)})


def with_scope(granted: Granted, scope: str) -> Granted:
    """The same grant with less scope, for one response (RFC 6749 §6)."""
    return replace(granted, scope=scope)


def _end_family(row: _PresentedRow, client_id: str, *, now: datetime) -> None:
    ended = db.session.execute(
        sa.update(Grant)
        .where(Grant.id == row.id, Grant.revoked_at.is_(None))
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
