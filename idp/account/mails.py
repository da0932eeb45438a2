"""Mails about an account's e-mail address."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from idp import mail
from idp.config import Settings
from idp.i18n import TIME_ZONE
from idp.mail import OutgoingMail


def confirm_address(
    to: str, to_name: str, locale: str, *, old: str, token: str, lifetime: timedelta, settings: Settings
) -> OutgoingMail:
    """The mail with the link that makes `to` the address of the account that has `old`."""
    return mail.compose(
        "email_confirm",
        to=to,
        to_name=to_name,
        locale=locale,
        settings=settings,
        old=old,
        link=f"{settings.issuer}/account/email/{token}",
        minutes=int(lifetime.total_seconds()) // 60,
    )


def address_taken(to: str, to_name: str, locale: str, *, settings: Settings) -> OutgoingMail:
    """To the owner of an address that another account asked for: it has an account already."""
    return mail.compose("email_taken", to=to, to_name=to_name, locale=locale, settings=settings)


def change_asked(
    to: str,
    to_name: str,
    locale: str,
    *,
    new: str,
    now: datetime,
    address: str | None,
    settings: Settings,
) -> OutgoingMail:
    """The notice to the old address that the account asked for `new`, at `now` from `address`."""
    return mail.compose(
        "notice_email_asked",
        to=to,
        to_name=to_name,
        locale=locale,
        settings=settings,
        new=new,
        when=_when(now, locale),
        address=address,
    )


def changed(
    to: str,
    to_name: str,
    locale: str,
    *,
    new: str,
    now: datetime,
    address: str | None,
    settings: Settings,
) -> OutgoingMail:
    """The notice to the old address that the account's is `new`, since `now`, confirmed from `address`."""
    return mail.compose(
        "notice_email",
        to=to,
        to_name=to_name,
        locale=locale,
        settings=settings,
        new=new,
        when=_when(now, locale),
        address=address,
    )


def _when(now: datetime, locale: str) -> str:
    return format_datetime(now, "long", tzinfo=ZoneInfo(TIME_ZONE), locale=locale)
