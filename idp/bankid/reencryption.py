"""Evidence and unused results, encrypted again when the encryption key is replaced."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from idp.bankid.models import EVIDENCE_PURPOSE, RESULT_PURPOSE, Evidence, Order
from idp.crypto import Sealer
from idp.db import db

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
    changed = 0
    last = ""
    while True:
        query = sa.select(key, column).where(key > last, column.is_not(None)).order_by(key).limit(BATCH)
        rows = db.session.execute(query).all()
        if not rows:
            return changed
        for order_id, sealed in rows:
            last = order_id
            if sealer.is_current(sealed):
                continue
            opened = sealer.open(sealed, purpose=purpose, context=order_id)
            statement = (
                sa.update(key.class_)
                .where(key == order_id, column == sealed)  # unless it has been used or purged meanwhile
                .values({column: sealer.seal(opened, purpose=purpose, context=order_id)})
                .returning(key)
                .execution_options(synchronize_session=False)
            )
            changed += len(db.session.scalars(statement).all())
        db.session.commit()
