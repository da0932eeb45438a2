"""The mails that an administrator's changes cause."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from flask_babel import LazyString

from idp import mail
from idp.config import Settings
from idp.i18n import TIME_ZONE
from idp.mail import OutgoingMail


def details_changed(
    to: str,
    to_name: str,
    locale: str,
    *,
    fields: Sequence[LazyString],
    by: str,
    now: datetime,
    settings: Settings,
) -> OutgoingMail:
    """The mail that the administrator named `by` changed these details of an account."""
    return mail.compose(
        "notice_details",
        to=to,
        to_name=to_name,
        locale=locale,
        settings=settings,
        fields=fields,
        by=by,
        when=_when(now, locale),
    )


def access_changed(
    to: str, to_name: str, locale: str, *, is_open: bool, by: str, now: datetime, settings: Settings
) -> OutgoingMail:
    """The mail that the administrator named `by` shut somebody out, or let them in again (`is_open`)."""
    return mail.compose(
        "notice_access",
        to=to,
        to_name=to_name,
        locale=locale,
        settings=settings,
        is_open=is_open,
        by=by,
        when=_when(now, locale),
    )


def address_changed(
    to: str, to_name: str, locale: str, *, old: str, new: str, by: str, now: datetime, settings: Settings
) -> OutgoingMail:
    """The notice, for the old address and for the new, that the administrator named `by` changed it."""
    return mail.compose(
        "notice_email_by_administrator",
        to=to,
        to_name=to_name,
        locale=locale,
        settings=settings,
        old=old,
        new=new,
        by=by,
        when=_when(now, locale),
    )


def _when(now: datetime, locale: str) -> str:
    return format_datetime(now, "long", tzinfo=ZoneInfo(TIME_ZONE), locale=locale)
