"""Mails about accounts: the welcome, and notices about the BankID and login methods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from flask_babel import LazyString

from idp import mail, outbox
from idp.config import Settings
from idp.mail import OutgoingMail, Recipient
from idp.outbox import Urgency
from idp.users.models import User

WELCOME_KIND = "welcome"
BANKID_KIND = "notice_bankid"
METHOD_KIND = "notice_method"


@dataclass(frozen=True)
class Notice:
    """The facts for a notice to an account's owner about a change: settings, and the address it came from.

    Without an address an operator or administrator made it.
    """

    settings: Settings
    address: str | None = None
    device: str | None = None


def queue_welcome(user: User, *, settings: Settings, now: datetime) -> None:
    """Put the welcome mail in the caller's transaction. It contains neither password nor token."""
    welcome = _welcome(user.recipient, settings)
    outbox.queue(welcome, now=now, kind=WELCOME_KIND, user_id=user.id, urgency=Urgency.LATER)


def queue_welcomes(people: Sequence[Mapping[str, Any]], *, settings: Settings, now: datetime) -> None:
    """The same for many people, by their rows of the table."""
    welcomes = [
        (_welcome(Recipient(person["email"], person["name"], person["locale"]), settings), person["id"])
        for person in people
    ]
    outbox.queue_many(welcomes, now=now, kind=WELCOME_KIND)


def _welcome(to: Recipient, settings: Settings) -> OutgoingMail:
    own_words = settings.brand.in_language("welcome", to.locale)
    return mail.compose(
        "welcome",
        to,
        settings=settings,
        paragraphs=[line.strip() for line in own_words.splitlines() if line.strip()],
    )


def queue_bankid_notice(
    owner: User, change: Literal["linked", "replaced", "unlinked"], *, notice: Notice, now: datetime
) -> None:
    """Notify the owner of a change of the account's BankID, in the caller's transaction. No link logs in."""
    told = mail.compose(
        "notice_bankid",
        owner.recipient,
        settings=notice.settings,
        change=change,
        at=now,
        address=notice.address,
        device=notice.device,
    )
    outbox.queue(told, now=now, kind=BANKID_KIND, user_id=owner.id)


def queue_method_notice(owner: User, in_words: LazyString, *, notice: Notice, now: datetime) -> None:
    """Notify the owner of the first login by another method than before, in the caller's transaction.

    `in_words` is the method in the words of a sentence: "med BankID".
    """
    told = mail.compose(
        "notice_method",
        owner.recipient,
        settings=notice.settings,
        in_words=in_words,
        at=now,
        address=notice.address,
        device=notice.device,
    )
    outbox.queue(told, now=now, kind=METHOD_KIND, user_id=owner.id)
