"""The reasons for which evidence is refused."""

from enum import StrEnum


class Reason(StrEnum):
    """One reason for each check of `verification.verify`, in the order of the checks."""

    # Reading
    TOO_LARGE = "too_large"
    BASE64 = "base64"
    XML = "xml"
    STRUCTURE = "structure"
    DUPLICATE_ID = "duplicate_id"
    CERTIFICATE = "certificate"
    OCSP_FORMAT = "ocsp_format"
    # Signature
    ALGORITHM = "algorithm"
    REFERENCES = "references"
    DIGEST = "digest"
    SIGNATURE = "signature"
    # Certificate chain
    CHAIN = "chain"
    ROOT = "root"
    CA = "ca"
    KEY_USAGE = "key_usage"
    OCSP_UNSUCCESSFUL = "ocsp_unsuccessful"
    VALIDITY = "validity"
    # OCSP response
    RESPONDER = "responder"
    RESPONDER_USAGE = "responder_usage"
    RESPONDER_VALIDITY = "responder_validity"
    OCSP_SIGNATURE = "ocsp_signature"
    OCSP_CERTIFICATE = "ocsp_certificate"
    OCSP_STATUS = "ocsp_status"
    OCSP_TIME = "ocsp_time"
    OCSP_NONCE = "ocsp_nonce"
    # What was signed, by whom, for whom
    PERSONAL_NUMBER = "personal_number"
    POLICY = "policy"
    VISIBLE_DATA = "visible_data"
    VISIBLE_FORMAT = "visible_format"
    NON_VISIBLE_DATA = "non_visible_data"
    RELYING_PARTY = "relying_party"
    FUNC_ID = "func_id"


class EvidenceError(Exception):
    """The evidence does not prove what it should; `reason` is the check that failed."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason
