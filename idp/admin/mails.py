"""The mail that an administrator's change causes."""

from datetime import datetime
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from idp import mail
from idp.config import Settings
from idp.i18n import TIME_ZONE
from idp.mail import OutgoingMail


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
        when=format_datetime(now, "long", tzinfo=ZoneInfo(TIME_ZONE), locale=locale),
    )
