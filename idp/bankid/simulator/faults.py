"""Faults that can be switched on: for the next few times, or until they are switched off."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from idp.bankid.simulator.evidence import Defect

ABSENT = "absent"
SAME, DIFFERENT = "same", "different"
NO = "no"


class HttpFault(StrEnum):
    """A defective or refusing answer of the RP API."""

    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    FORBIDDEN_HTML = "403_html"
    TIMEOUT = "408"
    TOO_MANY = "429"
    INTERNAL = "500"
    BAD_GATEWAY_HTML = "502_html"
    MAINTENANCE = "503"
    UNAVAILABLE_HTML = "503_html"
    EMPTY = "empty"
    HTML = "html"
    IN_PROGRESS = "already_in_progress"
    INVALID = "invalid_parameters"
    DROP = "drop"
    DROP_ANSWER = "drop_answer"


class Fault(StrEnum):
    """The faults that can be switched on. `VALUES` lists the values of those with a fixed choice."""

    HTTP = "http"
    SLOW = "slow"
    SLOW_BODY = "slow_body"
    FAILED_HINT = "failed_hint"
    PENDING_HINT = "pending_hint"
    STATUS = "status"
    EVIDENCE = "evidence"
    MISSING = "missing"
    DEVICE_IP = "device_ip"
    RISK = "risk"
    MRTD = "mrtd"


FAILED_HINTS = (
    "expiredTransaction",
    "certificateErr",
    "userCancel",
    "cancelled",
    "startFailed",
    "userDeclinedCall",
    "notSupportedByUserApp",
    "transactionRiskBlocked",
    "mrtdVerificationFailed",
    "facialRecognitionFailed",
    "nfcNotSupportedByDevice",
    "multipleBankIdsOnDevice",
    "stepUpFailed",
)
PENDING_HINTS = (
    "outstandingTransaction",
    "noClient",
    "started",
    "userMrtd",
    "userCallConfirm",
    "userSign",
    "processing",
    "userFace",
    "userStepUp",
)
COMPLETION_FIELDS = (
    "user",
    "user.personalNumber",
    "user.name",
    "user.givenName",
    "user.surname",
    "device",
    "device.ipAddress",
    "device.uhi",
    "bankIdIssueDate",
    "stepUp",
    "signature",
    "ocspResponse",
    "risk",
)
UNKNOWN_HINT = "somethingNew"

VALUES: Mapping[Fault, tuple[str, ...]] = {
    Fault.HTTP: tuple(HttpFault),
    Fault.SLOW: ("3", "15"),
    Fault.SLOW_BODY: ("3", "60"),
    Fault.FAILED_HINT: (*FAILED_HINTS, UNKNOWN_HINT),
    Fault.PENDING_HINT: (*PENDING_HINTS, UNKNOWN_HINT),
    Fault.STATUS: ("capital",),
    Fault.EVIDENCE: tuple(Defect),
    Fault.MISSING: COMPLETION_FIELDS,
    Fault.DEVICE_IP: (SAME, DIFFERENT),
    Fault.RISK: ("low", "moderate", "high", ABSENT),
    Fault.MRTD: ("yes", NO),
}
"""The values that the phone page offers."""
FREE = frozenset(
    {Fault.SLOW, Fault.SLOW_BODY, Fault.FAILED_HINT, Fault.PENDING_HINT, Fault.DEVICE_IP, Fault.RISK}
)
"""The faults that take other values too: seconds, codes that do not exist yet, any address."""
CALLS = ("auth", "sign", "phone/auth", "phone/sign", "collect", "cancel")
MAX_SLOW_SECONDS = 120


@dataclass(frozen=True)
class Switch:
    """A fault that is on, `left` times more (None: until it is switched off), for one call or for all."""

    fault: Fault
    value: str
    left: int | None = 1
    call: str | None = None


class Faults:
    """The faults that are on in one simulator."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._switches: list[Switch] = []

    def add(self, switch: Switch) -> None:
        """Switch a fault on, after those that are on already. Raises `ValueError` in plain words."""
        if switch.fault not in FREE and switch.value not in VALUES[switch.fault]:
            raise ValueError(f"{switch.fault}: value must be one of {', '.join(VALUES[switch.fault])}")
        if switch.fault in (Fault.SLOW, Fault.SLOW_BODY) and not _is_seconds(switch.value):
            raise ValueError(f"{switch.fault}: value must be seconds, at most {MAX_SLOW_SECONDS}")
        if switch.call not in {None, *CALLS}:
            raise ValueError(f"call must be one of {', '.join(CALLS)}")
        if switch.left is not None and switch.left < 1:
            raise ValueError("count must be at least 1, or null for until reset")
        with self._lock:
            self._switches.append(switch)

    def take(self, fault: Fault, call: str | None = None) -> str | None:
        """The value of this fault for this call, which uses it once; None if it is not on."""
        with self._lock:
            for place, switch in enumerate(self._switches):
                if switch.fault is fault and switch.call in {None, call}:
                    if switch.left == 1:
                        del self._switches[place]
                    elif switch.left is not None:
                        self._switches[place] = replace(switch, left=switch.left - 1)
                    return switch.value
        return None

    def active(self) -> list[Switch]:
        """The faults that are on, in the order in which they will happen."""
        with self._lock:
            return list(self._switches)

    def reset(self) -> None:
        """Switch every fault off."""
        with self._lock:
            self._switches.clear()


def _is_seconds(text: str) -> bool:
    try:
        return 0 <= float(text) <= MAX_SLOW_SECONDS
    except ValueError:
        return False
