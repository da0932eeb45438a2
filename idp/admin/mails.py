"""The mails that an administrator's changes cause."""

from collections.abc import Sequence
from datetime import datetime

from flask_babel import LazyString

from idp import mail
from idp.config import Settings
from idp.mail import OutgoingMail, Recipient


def details_changed(
    to: Recipient,
    *,
    fields: Sequence[LazyString],
    by: str,
    now: datetime,
    settings: Settings,
) -> OutgoingMail:
    """The mail that the administrator named `by` changed these details of an account."""
    return mail.compose(
        "notice_details",
        to,
        settings=settings,
        fields=fields,
        by=by,
        at=now,
    )


def access_changed(
    to: Recipient, *, is_open: bool, by: str, now: datetime, settings: Settings
) -> OutgoingMail:
    """The mail that the administrator named `by` disabled the account, or enabled it again (`is_open`)."""
    return mail.compose(
        "notice_access",
        to,
        settings=settings,
        is_open=is_open,
        by=by,
        at=now,
    )


def address_changed(
    to: Recipient, *, old: str, new: str, by: str, now: datetime, settings: Settings
) -> OutgoingMail:
    """The notice, for the old address and for the new, that the administrator named `by` changed it."""
    return mail.compose(
        "notice_email_by_administrator",
        to,
        settings=settings,
        old=old,
        new=new,
        by=by,
        at=now,
    )
