"""Introspection (RFC 7662) and revocation (RFC 7009) of a client's own tokens."""

from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

import sqlalchemy as sa

from idp import audit
from idp.db import db, execute_alone
from idp.oidc import claims, revocation
from idp.oidc.clients.client import Client
from idp.oidc.models import AccessToken, Grant, RefreshToken
from idp.oidc.provider import Provider
from idp.oidc.tokens import content as tokens
from idp.tokens import sha256_hex
from idp.users.models import IS_ACTIVE, User

INACTIVE = {"active": False}


class _TokenRow(NamedTuple):
    """Of an access token or a refresh token, as `kind` says. A client's own has no `user_id`."""

    kind: str
    client_id: str
    user_id: UUID | None
    scope: str
    dpop_jkt: str | None
    issued_at: datetime | None
    expires_at: datetime


_REFRESH, _TOKENS, _GRANTS, _USERS = (
    cast(sa.Table, model.__table__) for model in (RefreshToken, AccessToken, Grant, User)
)
_refresh, _token, _grant, _user = _REFRESH.c, _TOKENS.c, _GRANTS.c, _USERS.c
_NOW = sa.bindparam("now", type_=_token.expires_at.type)
_IN_FORCE = sa.and_(_grant.revoked_at.is_(None), IS_ACTIVE)
# Both kinds are searched: a hint may be wrong (RFC 7662 §2.1), and one token is never of both.
_FIND = sa.union_all(
    sa.select(
        sa.literal("access").label("kind"),
        sa.func.coalesce(_token.client_id, _grant.client_id).label("client_id"),
        _grant.user_id,
        _token.scope,
        _token.dpop_jkt,
        _token.issued_at,
        _token.expires_at,
    )
    .select_from(_TOKENS)
    .outerjoin(_GRANTS, _grant.id == _token.grant_id)
    .outerjoin(_USERS, _user.id == _grant.user_id)
    .where(
        _token.token_hash == sa.bindparam("access_hash"),
        _token.expires_at > _NOW,
        sa.or_(_token.client_id.is_not(None), _IN_FORCE),
    ),
    sa.select(
        sa.literal("refresh"),
        _grant.client_id,
        _grant.user_id,
        _grant.scope,
        _refresh.dpop_jkt,
        _refresh.issued_at,
        _refresh.expires_at,
    )
    .select_from(_REFRESH)
    .join(_GRANTS, _grant.id == _refresh.grant_id)
    .join(_USERS, _user.id == _grant.user_id)
    .where(
        _refresh.token_hash == sa.bindparam("refresh_hash"),
        _refresh.expires_at > _NOW,
        _refresh.used_at.is_(None),
        _IN_FORCE,
    ),
)


def introspect(provider: Provider, client: Client, token: str, *, now: datetime) -> dict[str, Any]:
    """The state of a token of the client's; `{"active": false}` for any other (RFC 7662 §2.2)."""
    hashes = {"access_hash": tokens.stored_hash(provider, token), "refresh_hash": sha256_hex(token)}
    rows = execute_alone(_FIND, {**hashes, "now": now}, _TokenRow)
    if not rows or rows[0].client_id != client.client_id:
        return INACTIVE
    row = rows[0]
    if row.kind == "refresh" and not client.check_grant_type("refresh_token"):
        return INACTIVE
    facts: dict[str, Any] = {
        "active": True,
        "iss": provider.issuer,
        "client_id": client.client_id,
        "sub": client.client_id
        if row.user_id is None
        else claims.subject(client, row.user_id, provider.subject_key),
        "exp": int(row.expires_at.timestamp()),
    }
    if row.kind == "access":
        facts |= {"aud": provider.issuer, "token_type": tokens.token_type(row.dpop_jkt)}
    if row.dpop_jkt is not None:
        facts["cnf"] = {"jkt": row.dpop_jkt}  # RFC 9449 §6.2
    if row.issued_at is not None:
        facts["iat"] = int(row.issued_at.timestamp())
    if scope := " ".join(name for name in row.scope.split() if name in client.scopes):
        facts["scope"] = scope  # as far as the client is still registered for it
    return facts


def revoke(provider: Provider, client: Client, token: str, *, now: datetime) -> None:
    """End a token of the client's: an access token alone, a refresh token with its grant (RFC 7009 §2.1).

    Any other token stays as it is, and the answer is the same (§2.2).
    """
    removed = db.session.execute(
        sa.delete(AccessToken)
        .where(
            AccessToken.token_hash == tokens.stored_hash(provider, token),
            sa.or_(
                AccessToken.client_id == client.client_id,
                sa.exists().where(Grant.id == AccessToken.grant_id, Grant.client_id == client.client_id),
            ),
        )
        .returning(AccessToken.grant_id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if removed is not None:
        db.session.commit()
        return
    of_token = sa.select(RefreshToken.grant_id).where(RefreshToken.token_hash == sha256_hex(token))
    revocation.revoke_grant_of_client(
        Grant.id == of_token.scalar_subquery(),
        Grant.revoked_at.is_(None),
        event=audit.Event.TOKEN_REVOKED,
        client_id=client.client_id,
        now=now,
    )
