"""Evidence and unused results, encrypted again when the encryption key is replaced."""

from typing import Any

from sqlalchemy.orm import InstrumentedAttribute

from idp.bankid.models import EVIDENCE_PURPOSE, RESULT_PURPOSE, Evidence, Order
from idp.crypto import Sealer
from idp.db import rewrite_column

BATCH = 200


def reencrypt(sealer: Sealer) -> int:
    """Encrypt with the first key what an older one encrypted. Returns the number of rows of evidence.

    Raises `CannotOpen` when the key of a row is missing.
    """
    _reencrypt(sealer, Order.id, Order.result, RESULT_PURPOSE)
    return _reencrypt(sealer, Evidence.order_id, Evidence.sealed, EVIDENCE_PURPOSE)


def _reencrypt(
    sealer: Sealer, key: InstrumentedAttribute[str], column: InstrumentedAttribute[Any], purpose: str
) -> int:
    def sealed_anew(order_id: str, sealed: str) -> dict[Any, str] | None:
        if sealer.is_current(sealed):
            return None
        opened = sealer.open(sealed, purpose=purpose, context=order_id)
        return {column: sealer.seal(opened, purpose=purpose, context=order_id)}

    return rewrite_column(column, key, sealed_anew, batch=BATCH)
