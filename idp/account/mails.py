"""Mails about an account's e-mail address."""

from datetime import datetime, timedelta

from idp import mail
from idp.config import Settings
from idp.mail import OutgoingMail, Recipient


def confirm_address(
    to: Recipient, *, old: str, token: str, lifetime: timedelta, settings: Settings
) -> OutgoingMail:
    """The mail with the link that makes `to` the address of the account that has `old`."""
    return mail.compose(
        "email_confirm",
        to,
        settings=settings,
        old=old,
        link=f"{settings.issuer}/account/email/{token}",
        minutes=int(lifetime.total_seconds()) // 60,
    )


def address_taken(to: Recipient, *, settings: Settings) -> OutgoingMail:
    """The mail to the owner of an address that another account asked for: it has an account already."""
    return mail.compose("email_taken", to, settings=settings)


def change_asked(
    to: Recipient,
    *,
    new: str,
    now: datetime,
    address: str | None,
    settings: Settings,
) -> OutgoingMail:
    """The notice to the old address that the account asked for `new`, at `now` from `address`."""
    return mail.compose(
        "notice_email_asked",
        to,
        settings=settings,
        new=new,
        at=now,
        address=address,
    )


def changed(
    to: Recipient,
    *,
    new: str,
    now: datetime,
    address: str | None,
    settings: Settings,
) -> OutgoingMail:
    """The notice to the old address that the account has `new` since `now`, confirmed from `address`."""
    return mail.compose(
        "notice_email",
        to,
        settings=settings,
        new=new,
        at=now,
        address=address,
    )
