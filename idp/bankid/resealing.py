"""Stored evidence sealed anew, when the encryption key is replaced."""

import sqlalchemy as sa

from idp.bankid.models import Evidence
from idp.bankid.values import EVIDENCE_PURPOSE
from idp.crypto import Sealer
from idp.db import db

BATCH = 200


def reseal(sealer: Sealer) -> int:
    """Seal what an older key holds with the first key; how many rows. Raises `CannotOpen` for a lost key."""
    changed = 0
    last = ""
    while True:
        query = sa.select(Evidence).where(Evidence.order_id > last).order_by(Evidence.order_id).limit(BATCH)
        rows = list(db.session.scalars(query))
        if not rows:
            return changed
        for row in rows:
            last = row.order_id
            if not sealer.is_current(row.sealed):
                opened = sealer.open(row.sealed, purpose=EVIDENCE_PURPOSE, context=row.order_id)
                row.sealed = sealer.seal(opened, purpose=EVIDENCE_PURPOSE, context=row.order_id)
                changed += 1
        db.session.commit()
