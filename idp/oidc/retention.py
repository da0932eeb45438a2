"""Expired tokens, pushed requests and assertions, and grants by which nothing is in force any more."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from idp.login.models import BrowserSession
from idp.oidc.logout import notices
from idp.oidc.models import AccessToken, Grant, PushedRequest, RefreshToken, UsedAssertion
from idp.retention import ExpiredRows

KEEP_GRANTS = timedelta(days=1)
"""A code that is sent again within this time is known as a used one, and audited."""

KEEP_PUSHED = timedelta(days=2)
"""Longer than any login may take that a pushed request has begun in time."""

KEEP_ASSERTIONS = timedelta(hours=1)
"""Longer than clocks may differ: a forgotten assertion must be expired at every machine."""


def _access_tokens(now: datetime) -> sa.ColumnElement[bool]:
    return AccessToken.expires_at < now


def _refresh_tokens(now: datetime) -> sa.ColumnElement[bool]:
    # Used ones stay until they expire too: one that comes again ends its grant.
    return RefreshToken.expires_at < now


def _pushed_requests(now: datetime) -> sa.ColumnElement[bool]:
    return PushedRequest.expires_at < now - KEEP_PUSHED


def _assertions(now: datetime) -> sa.ColumnElement[bool]:
    return UsedAssertion.expires_at < now - KEEP_ASSERTIONS


def _grants(now: datetime) -> sa.ColumnElement[bool]:
    # Single values rather than EXISTS, for which PostgreSQL would read all sessions and refresh tokens for
    # each batch. An access token cannot be found by its grant, so their grants are listed.
    with_access_token = sa.select(AccessToken.grant_id).where(
        AccessToken.expires_at >= now, AccessToken.grant_id.is_not(None)
    )
    live_refresh_token = (
        sa.select(RefreshToken.grant_id)
        .where(RefreshToken.grant_id == Grant.id, RefreshToken.expires_at >= now)
        .limit(1)
        .scalar_subquery()
    )
    # A session's grants show which relying apps it reached: they stay as long as the session.
    live_session = (
        sa.select(BrowserSession.id)
        .where(
            BrowserSession.id == Grant.session_id,
            BrowserSession.ended_at.is_(None),
            BrowserSession.expires_at > now,
        )
        .scalar_subquery()
    )
    in_force = sa.and_(
        Grant.revoked_at.is_(None),
        sa.or_(Grant.id.in_(with_access_token), live_refresh_token.is_not(None)),
    )
    # The condition that most grants meet comes first: few sessions are then read.
    return sa.and_(
        Grant.created_at < now - KEEP_GRANTS,
        sa.case((in_force, sa.false()), else_=live_session.is_(None)),
    )


EXPIRED_ROWS = (
    ExpiredRows(AccessToken, AccessToken.token_hash, _access_tokens),
    ExpiredRows(RefreshToken, RefreshToken.token_hash, _refresh_tokens),
    ExpiredRows(Grant, Grant.id, _grants, walk=Grant.created_at),
    ExpiredRows(PushedRequest, PushedRequest.request_hash, _pushed_requests),
    ExpiredRows(UsedAssertion, UsedAssertion.assertion_hash, _assertions),
    *notices.EXPIRED_ROWS,
)
