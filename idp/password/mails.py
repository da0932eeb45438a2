"""Mails about passwords: the link to choose one, and the notice that one was chosen."""

from datetime import datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from idp import mail
from idp.config import Settings
from idp.i18n import TIME_ZONE
from idp.mail import OutgoingMail


def reset_link(to: str, to_name: str, locale: str, *, token: str, settings: Settings) -> OutgoingMail:
    """The mail with the link; the address in it is for password managers and decides nothing."""
    link = f"{settings.issuer}/password/reset/{token}?{urlencode({'email': to})}"
    return mail.compose(
        "reset",
        to=to,
        to_name=to_name,
        locale=locale,
        settings=settings,
        link=link,
        minutes=settings.reset.link_minutes,
    )


def password_notice(
    to: str,
    to_name: str,
    locale: str,
    *,
    now: datetime,
    address: str | None,
    settings: Settings,
    one_is_left: bool = False,
) -> OutgoingMail:
    """The notice that the account has a new password, since `now`, chosen from `address`.

    All its logins have ended: the one it was chosen in is left if there is one.
    """
    return mail.compose(
        "notice_password",
        to=to,
        to_name=to_name,
        locale=locale,
        settings=settings,
        when=format_datetime(now, "long", tzinfo=ZoneInfo(TIME_ZONE), locale=locale),
        address=address,
        one_is_left=one_is_left,
    )
