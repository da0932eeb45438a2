"""Mails about accounts: the welcome."""

from datetime import datetime

from idp import mail, outbox
from idp.config import Settings
from idp.users.models import User

WELCOME_KIND = "welcome"


def queue_welcome(user: User, *, settings: Settings, now: datetime) -> None:
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
    outbox.queue(welcome, now=now, kind=WELCOME_KIND, user_id=user.id)
