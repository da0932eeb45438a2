"""Choosing a password by a mailed link, for those who forgot theirs or never had one."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from idp import audit, outbox
from idp.config import Settings
from idp.db import db
from idp.errors import TooManyTries
from idp.login import sessions
from idp.mail import OutgoingMail, Recipient
from idp.outbox import Urgency
from idp.password import mails
from idp.password.hashing import PasswordHasher
from idp.password.models import ResetLink
from idp.ratelimit import RateLimiter
from idp.tokens import new_hex_token, sha256_hex
from idp.users import accounts
from idp.users.fields import email_key
from idp.users.models import Status, User

TOKEN = re.compile(r"[0-9a-f]{64}")
LINK_KIND = "password_reset"
NOTICE_KIND = "password_notice"
NOBODY = Recipient("nobody@example.com", "Nobody Nowhere", "sv")


class LinkOver(Exception):
    """The link cannot be used, or no longer: `reason` is `unknown`, `used` or `expired`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class OpenLink:
    """A link that may be used, with the details of the account for its page and mail."""

    token_hash: str
    user_id: UUID
    recipient: Recipient
    company: str

    @property
    def own_data(self) -> tuple[str, ...]:
        """The words that a password of this person should not be made of."""
        return (self.recipient.email, self.recipient.name, self.company)


def ask(
    email: str, *, limiter: RateLimiter, address: str, account: str, settings: Settings, now: datetime
) -> None:
    """Mail a new link to the active account with this address, which voids the one before.

    Every address costs the same: link and mail are made and written for each, and taken back for an address
    that is not an active account's. Limits are silent; `account` stands for the address in them.
    """
    for name, key in (("reset_per_address", address), ("reset_per_account", account)):
        try:
            limiter.hit(name, key)
        except TooManyTries:
            user = accounts.find_by_email(email)  # for its history
            audit.record(
                audit.Event.PASSWORD_RESET_LIMITED, now=now, user_id=user.id if user else None, limit=name
            )
            db.session.commit()
            return
    user = accounts.find_by_email(email)
    active = user is not None and user.is_active
    user_id, recipient = uuid4(), NOBODY
    if user is not None and active:
        user_id, recipient = user.id, user.recipient
    token = new_hex_token()
    outgoing = mails.reset_link(recipient, token=token, settings=settings)
    audit.record(audit.Event.PASSWORD_RESET_ASKED, now=now, user_id=user.id if user else None, mailed=active)
    db.session.flush()  # begins the transaction, without which SQLite would take the savepoint for one
    savepoint = db.session.begin_nested()
    try:
        _store(user_id, recipient, token, outgoing, settings=settings, now=now)
    except IntegrityError:
        active = False  # the same account asked at the same moment, and has got that link
    if active:
        savepoint.commit()
    else:
        savepoint.rollback()
    db.session.commit()


def open_link(token: str, *, now: datetime) -> OpenLink:
    """The account that a link is for; changes nothing, so mail scanners may open it. Raises `LinkOver`."""
    if not TOKEN.fullmatch(token):
        raise LinkOver("unknown")
    token_hash = sha256_hex(token)
    query = (
        sa.select(ResetLink, User)
        .join(User, sa.and_(User.id == ResetLink.user_id, User.email_key == ResetLink.email_key))
        .options(joinedload(User.company))
        .where(ResetLink.token_hash == token_hash, User.status == Status.ACTIVE.value)
    )
    row = db.session.execute(query).one_or_none()
    if row is None:
        raise LinkOver("unknown")
    link, user = row
    if link.used_at is not None:
        raise LinkOver("used")
    if link.expires_at <= now:
        raise LinkOver("expired")
    return OpenLink(token_hash, user.id, user.recipient, user.company.name)


def choose_password(
    link: OpenLink,
    password: str,
    *,
    hasher: PasswordHasher,
    address: str | None,
    settings: Settings,
    now: datetime,
) -> None:
    """Use the link up: store the password, end the account's sessions and grants, and mail a notice.

    The caller has checked the password. Raises `LinkOver` when another request used the link first, and
    `Busy`, which leaves it unused.
    """
    new_hash = hasher.hash(password)
    proven = _claim(link.token_hash, now)
    if proven is None or not accounts.set_password(link.user_id, new_hash, proven=proven, now=now):
        db.session.rollback()
        raise LinkOver("used")
    audit.record(audit.Event.PASSWORD_CHANGED, now=now, user_id=link.user_id, by="reset link")
    sessions.end_all_of(link.user_id, now=now, reason="password changed")
    notice = mails.password_notice(link.recipient, now=now, address=address, settings=settings)
    outbox.queue(notice, now=now, kind=NOTICE_KIND, user_id=link.user_id)
    db.session.commit()


def _store(
    user_id: UUID,
    recipient: Recipient,
    token: str,
    outgoing: OutgoingMail,
    *,
    settings: Settings,
    now: datetime,
) -> None:
    expires_at = now + timedelta(minutes=settings.reset.link_minutes)
    db.session.execute(sa.delete(ResetLink).where(ResetLink.user_id == user_id))
    db.session.add(
        ResetLink(
            token_hash=sha256_hex(token),
            user_id=user_id,
            email_key=email_key(recipient.email),
            created_at=now,
            expires_at=expires_at,
        )
    )
    outbox.queue(
        outgoing,
        now=now,
        kind=LINK_KIND,
        user_id=user_id,
        urgency=Urgency.WAITED_FOR,
        useful_until=expires_at,
    )
    db.session.flush()


def _claim(token_hash: str, now: datetime) -> str | None:
    """Mark a link used, once; the address it was mailed to. None: used or expired meanwhile."""
    statement = (
        sa.update(ResetLink)
        .where(ResetLink.token_hash == token_hash, ResetLink.used_at.is_(None), ResetLink.expires_at > now)
        .values(used_at=now)
        .returning(ResetLink.email_key)
    )
    return db.session.scalar(statement)
