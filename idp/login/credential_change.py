"""Which login lets a person change how they log in. Pure.

BankID may not make, confirm or reset another way to log in (BankID's terms for relying parties,
"ID-växling"): a change of what logs a person in needs an own login, by something that is theirs with us.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

RECENT_LOGIN = timedelta(minutes=15)


class Change(Enum):
    """What a person can change about how, or as whom, they log in; the values are the audit's words."""

    PASSWORD = "password"  # noqa: S105 - what changes
    EMAIL = "email"
    STATED_NUMBER = "stated personal number"
    BANKID_LINK = "BankID linked"
    BANKID_UNLINK = "BankID unlinked"


class Answer(Enum):
    """What a change needs before it is made."""

    YES = "nothing more"
    RECENT_LOGIN = "a login of the last 15 minutes"
    OWN_LOGIN = "an own login of the last 15 minutes"


BY_ANY_LOGIN = frozenset({Change.BANKID_UNLINK})
"""Changes that only take a way in away: any recent login will do, the one by that BankID too."""


@dataclass(frozen=True)
class Login:
    """A login as far as changes are concerned: when it was, and whether its method is the person's own."""

    auth_time: datetime
    is_own: bool


def needed_for(change: Change, login: Login, *, now: datetime) -> Answer:
    """What `change` needs beside this login: nothing, a more recent one, or an own one."""
    if not login.is_own and change not in BY_ANY_LOGIN:
        return Answer.OWN_LOGIN
    return Answer.YES if login.auth_time >= now - RECENT_LOGIN else Answer.RECENT_LOGIN
