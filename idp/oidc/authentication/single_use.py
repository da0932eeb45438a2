"""Single use of client assertions and DPoP proofs, at all workers and machines that share a database."""

from datetime import datetime
from typing import cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from idp.db import db, execute_alone
from idp.oidc.models import UsedAssertion

_USED = cast(sa.Table, UsedAssertion.__table__)
_CLAIM = {
    name: insert(_USED).on_conflict_do_nothing().returning(_USED.c.assertion_hash)
    for name, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}


def claim_once(digest: str, *, ends_at: datetime) -> bool:
    """Use something up (RFC 7523 §3, RFC 9449 §11.1), remembered until it stops counting at `ends_at`.

    False: it has been used, at this server or another that shares the database.
    """
    values = {"assertion_hash": digest, "expires_at": ends_at}
    return bool(execute_alone(_CLAIM[db.engine.dialect.name], values))
