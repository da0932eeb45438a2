"""Pushed authorization requests (RFC 9126), stored until the request with their request_uri is answered."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

import sqlalchemy as sa

from idp.db import db, execute_alone, write_alone
from idp.login.interactions import InteractionOver
from idp.oidc.authentication.dpop import InvalidProof
from idp.oidc.authorization.authorize import PUSHED_URN, Pushed
from idp.oidc.models import PushedRequest
from idp.tokens import new_token, sha256_hex

LIFETIME_SECONDS = 60
CREDENTIALS = frozenset(("client_id", "client_secret", "client_assertion", "client_assertion_type"))
"""The parameters of a push by which the client authenticates."""


class _PushedRow(NamedTuple):
    parameters: dict[str, Any]
    expires_at: datetime
    used_at: datetime | None


_PUSHED = cast(sa.Table, PushedRequest.__table__)
_pushed = _PUSHED.c
_STORE = sa.insert(_PUSHED)
_FIND = sa.select(_pushed.parameters, _pushed.expires_at, _pushed.used_at).where(
    _pushed.request_hash == sa.bindparam("request_hash"), _pushed.client_id == sa.bindparam("client_id")
)


def push(client_id: str, parameters: Mapping[str, str], *, now: datetime) -> str:
    """The new request_uri of a checked request, stored for its client (RFC 9126 §2.2)."""
    request_uri = PUSHED_URN + new_token()
    values: dict[str, Any] = {
        "request_hash": sha256_hex(request_uri),
        "client_id": client_id,
        "parameters": dict(parameters),
        "expires_at": now + timedelta(seconds=LIFETIME_SECONDS),
    }
    write_alone(_STORE, values)
    return request_uri


def bind_to_key(parameters: Mapping[str, str], jkt: str | None) -> Mapping[str, str]:
    """The parameters, the code bound to the key that the push itself proved, if any (RFC 9449 §10.1).

    Raises `InvalidProof` when they name another key.
    """
    if jkt is None:
        return parameters
    if parameters.get("dpop_jkt", jkt) != jkt:
        raise InvalidProof("is signed with a key other than that of dpop_jkt")
    return {**parameters, "dpop_jkt": jkt}


def find(request_uri: str, client_id: str, *, now: datetime) -> Pushed:
    """The client's pushed request (RFC 9126 §4). Finding it does not use it up.

    Raises `InteractionOver`: `answered`, or `expired`, which also stands for an unknown one and another
    client's.
    """
    request_hash = sha256_hex(request_uri)
    rows = execute_alone(_FIND, {"request_hash": request_hash, "client_id": client_id}, _PushedRow)
    if rows and rows[0].used_at is not None:
        raise InteractionOver("answered", client_id)
    if not rows or rows[0].expires_at <= now:
        raise InteractionOver("expired", client_id)
    return Pushed(request_hash, rows[0].parameters)


def claim_request(request_hash: str, *, now: datetime) -> bool:
    """Claim the one response to a request (RFC 9126 §4), in the caller's transaction. False: it is answered.

    The request's lifetime does not matter any more: a login that it began in time may take its own.
    """
    statement = (
        sa.update(PushedRequest)
        .where(PushedRequest.request_hash == request_hash, PushedRequest.used_at.is_(None))
        .values(used_at=now)
        .returning(PushedRequest.request_hash)
        .execution_options(synchronize_session=False)
    )
    return db.session.scalar(statement) is not None


def claim_request_and_commit(request_hash: str, *, now: datetime) -> bool:
    """Claim the one response to a request (RFC 9126 §4) and commit: the response is an error."""
    claimed = claim_request(request_hash, now=now)
    db.session.commit()
    return claimed
