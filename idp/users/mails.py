"""Mails about accounts: the welcome, and what happened to the BankID."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from idp import mail, outbox
from idp.config import Settings
from idp.i18n import TIME_ZONE
from idp.outbox import Urgency
from idp.users.models import User

WELCOME_KIND = "welcome"
BANKID_KIND = "notice_bankid"
METHOD_KIND = "notice_method"


@dataclass(frozen=True)
class Notice:
    """How to tell the owner of an account of a change, and from where it was made.

    Without an address it was made by somebody who looks after accounts.
    """

    settings: Settings
    address: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class Newcomer:
    """Whoever is welcomed, where there is no `User` of them at hand."""

    id: UUID
    email: str
    name: str
    locale: str


def queue_welcome(user: User | Newcomer, *, settings: Settings, now: datetime) -> None:
    """Put the welcome mail in the caller's transaction. It holds neither password nor token."""
    own_words = settings.brand.in_language("welcome", user.locale)
    welcome = mail.compose(
        "welcome",
        to=user.email,
        to_name=user.name,
        locale=user.locale,
        settings=settings,
        paragraphs=[line.strip() for line in own_words.splitlines() if line.strip()],
    )
    outbox.queue(welcome, now=now, kind=WELCOME_KIND, user_id=user.id, urgency=Urgency.LATER)


def queue_bankid_notice(
    owner: User, change: Literal["linked", "replaced", "unlinked"], *, notice: Notice, now: datetime
) -> None:
    """Tell the owner what happened to the account's BankID, in the caller's transaction. No link logs in."""
    told = mail.compose(
        "notice_bankid",
        to=owner.email,
        to_name=owner.name,
        locale=owner.locale,
        settings=notice.settings,
        change=change,
        when=format_datetime(now, "long", tzinfo=ZoneInfo(TIME_ZONE), locale=owner.locale),
        address=notice.address,
        device=notice.device,
    )
    outbox.queue(told, now=now, kind=BANKID_KIND, user_id=owner.id)


def queue_method_notice(owner: User, method: str, *, notice: Notice, now: datetime) -> None:
    """Tell the owner of the first login by another method than before, in the caller's transaction."""
    told = mail.compose(
        "notice_method",
        to=owner.email,
        to_name=owner.name,
        locale=owner.locale,
        settings=notice.settings,
        method=method,
        when=format_datetime(now, "long", tzinfo=ZoneInfo(TIME_ZONE), locale=owner.locale),
        address=notice.address,
        device=notice.device,
    )
    outbox.queue(told, now=now, kind=METHOD_KIND, user_id=owner.id)
