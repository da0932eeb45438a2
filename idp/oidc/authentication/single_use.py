"""Single use of client assertions and DPoP proofs, at all workers and machines that share a database."""

from datetime import datetime
from typing import cast

import sqlalchemy as sa

from idp.db import insert_ignoring, write_alone
from idp.oidc.models import UsedAssertion

_USED = cast(sa.Table, UsedAssertion.__table__)


def claim_once(digest: str, *, ends_at: datetime) -> bool:
    """Use something up (RFC 7523 §3, RFC 9449 §11.1), remembered until it stops counting at `ends_at`.

    False: it has been used, at this server or another that shares the database.
    """
    values = {"assertion_hash": digest, "expires_at": ends_at}
    return bool(write_alone(insert_ignoring(_USED), values))
