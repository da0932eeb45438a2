"""Refresh tokens: issued with `offline_access`, used, rotated; a rotated one that comes again ends its grant.

The token that follows another is computed from it (HMAC, keyed by the provider's secret): a lost answer can
be given once more, and the database alone does not hold it.
"""

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

import sqlalchemy as sa

from idp import audit
from idp.db import InsertAndSelect, Insertion, execute_alone, insert_and_select, write_alone
from idp.oidc import revocation
from idp.oidc.models import AccessToken, Grant, RefreshToken
from idp.oidc.tokens import access_tokens
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

    `company` is the person's. `repeated`: the token has been used, and its answer is asked for again.
    """

    granted: Granted
    company: str
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


class _Claimed(NamedTuple):
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
_CLAIM = (
    sa.update(_REFRESH)
    .where(_refresh.token_hash == sa.bindparam("presented_hash"), _refresh.used_at.is_(None))
    .returning(_refresh.grant_id)
)
_ACCESS = Insertion(
    _TOKENS,
    {
        "token_hash": sa.bindparam("access_hash"),
        "grant_id": _refresh.grant_id,
        "scope": sa.bindparam("scope"),
        "dpop_jkt": sa.bindparam("jkt"),
        "issued_at": sa.bindparam("now"),
        "expires_at": sa.bindparam("access_until"),
    },
)
_SUCCESSOR = Insertion(
    _REFRESH,
    {
        "token_hash": sa.bindparam("successor_hash"),
        "grant_id": _refresh.grant_id,
        "dpop_jkt": sa.bindparam("jkt"),
        "issued_at": sa.bindparam("now"),
        "expires_at": sa.bindparam("idle_until"),
        "ends_at": sa.bindparam("at_most_until"),
    },
)
_ROTATE = InsertAndSelect(_CLAIM.values(used_at=sa.bindparam("now")), _SUCCESSOR, _ACCESS)
_EXTEND = InsertAndSelect(_CLAIM.values(expires_at=sa.bindparam("idle_until")), _ACCESS)


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


def present(token: str, *, client_id: str, key: bytes, jkt: str | None, now: datetime) -> Presented | None:
    """The token, when the client may use it now (RFC 6749 §6, RFC 9700 §4.14.2).

    `key` makes its successor, `jkt` is the key that the client proves. A client that cannot prove the key
    that a token is bound to (RFC 9449 §5) can neither use nor end anything by it.

    A rotated token that comes again ends its grant, audited: except within 30 seconds and as long as its
    successor is unused, because the answer may have got lost on its way.
    """
    successor = base64url(hmac.new(key, token.encode(), hashlib.sha256).digest())
    bound = {
        "token_hash": sha256_hex(token),
        "following_hash": sha256_hex(successor),
        "client_id": client_id,
    }
    rows = execute_alone(_FIND, bound, _PresentedRow)
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
        revocation.revoke_grant_of_client(
            Grant.id == row.id,
            Grant.revoked_at.is_(None),
            event=audit.Event.REFRESH_TOKEN_REUSED,
            client_id=client_id,
            now=now,
        )
        return None
    if row.expires_at <= now:
        return None
    granted = replace(Granted.from_row(row), nonce=None)  # OIDC Core §12.2
    repeated = row.used_at is not None
    return Presented(granted, row.company, token, successor, row.expires_at, row.ends_at, repeated)


def rotate_or_extend(
    presented: Presented,
    *,
    scope: str,
    rotate: bool,
    jkt: str | None,
    idle: timedelta,
    access_token_lifetime: timedelta,
    now: datetime,
) -> tuple[str, str] | None:
    """A new access token's secret and the next refresh token (RFC 6749 §6, RFC 9700 §4.14.2).

    None: another request was first. The claim is one conditional UPDATE; the access token and the token that
    follows by rotation are stored with it or not at all, bound to the key `jkt` if any.
    """
    secret, grant_id = new_token(), presented.granted.grant_id
    access_until, idle_until = now + access_token_lifetime, min(now + idle, presented.ends_at)
    moved = abs(idle_until - presented.expires_at)
    if presented.repeated or (not rotate and moved < min(EXTEND_EVERY, idle / 60)):
        access_tokens.store(secret, grant_id=grant_id, scope=scope, jkt=jkt, now=now, expires_at=access_until)
        return secret, presented.successor if presented.repeated else presented.token
    bound = {
        "presented_hash": sha256_hex(presented.token),
        "successor_hash": sha256_hex(presented.successor),
        "access_hash": sha256_hex(secret),
        "scope": scope,
        "jkt": jkt,
        "now": now,
        "access_until": access_until,
        "idle_until": idle_until,
        "at_most_until": presented.ends_at,
    }
    if not insert_and_select(_ROTATE if rotate else _EXTEND, bound, _Claimed):
        return None
    return secret, presented.successor if rotate else presented.token


def with_scope(granted: Granted, scope: str) -> Granted:
    """The same grant with less scope, for one response (RFC 6749 §6)."""
    return replace(granted, scope=scope)
