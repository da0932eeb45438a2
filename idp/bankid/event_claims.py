"""Claims from the evidence of a BankID login, named by OpenID Connect Sweden's claims specification 1.0."""

import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
import structlog

from idp.bankid.models import EVIDENCE_PURPOSE, Evidence
from idp.crypto import CannotOpen, Sealer
from idp.db import db

log = structlog.get_logger("idp.bankid")

TRANSACTION = "txn"
SEALED = {
    "https://id.oidc.se/claim/userSignature": "signature",
    "https://id.oidc.se/claim/userCertificate": "certificate",
    "https://id.oidc.se/claim/authnEvidence": "ocsp_response",
    "https://id.oidc.se/claim/credentialValidFrom": "not_before",
    "https://id.oidc.se/claim/credentialValidTo": "not_after",
    "https://id.oidc.se/claim/deviceIp": "device_ip",
}
"""From a claim to its name in the sealed evidence."""


def read(sealer: Sealer, evidence_id: str, names: Collection[str]) -> dict[str, Any]:
    """Those of the claims `names` that the evidence `evidence_id` (the order's id) holds.

    The evidence is opened only for a claim that needs it. Claims of evidence that has been deleted, or whose
    key is gone, are left out: the login was good without them.
    """
    row = db.session.execute(
        sa.select(Evidence.order_ref, Evidence.sealed).where(Evidence.order_id == evidence_id)
    ).one_or_none()
    if row is None:
        return {}
    claims = {TRANSACTION: row.order_ref} if TRANSACTION in names else {}
    wanted = {name: member for name, member in SEALED.items() if name in names}
    if not wanted:
        return claims
    try:
        opened = json.loads(sealer.open(row.sealed, purpose=EVIDENCE_PURPOSE, context=evidence_id))
    except CannotOpen as error:
        log.error("bankid_evidence_unreadable", problem=str(error), order=evidence_id)
        return claims
    return claims | {name: opened[member] for name, member in wanted.items() if opened[member] is not None}
