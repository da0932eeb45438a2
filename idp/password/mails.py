"""Mails about passwords: the link to choose one, and the notice that one was chosen."""

from datetime import datetime
from urllib.parse import urlencode

from idp import mail
from idp.config import Settings
from idp.mail import OutgoingMail, Recipient


def reset_link(to: Recipient, *, token: str, settings: Settings) -> OutgoingMail:
    """The mail with the link; the address in it is for password managers and decides nothing."""
    link = f"{settings.issuer}/password/reset/{token}?{urlencode({'email': to.email})}"
    return mail.compose(
        "reset",
        to,
        settings=settings,
        link=link,
        minutes=settings.reset.link_minutes,
    )


def password_notice(
    to: Recipient,
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
        to,
        settings=settings,
        at=now,
        address=address,
        one_is_left=one_is_left,
    )
