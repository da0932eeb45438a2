"""Changing an account's e-mail address: the owner asks, and a link mailed to the new address does it."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from idp import audit, outbox
from idp.account import mails
from idp.account.models import EmailChange
from idp.config import Settings
from idp.db import db
from idp.errors import TooManyTries
from idp.mail import Recipient
from idp.outbox import Urgency
from idp.ratelimit import RateLimiter
from idp.tokens import new_hex_token, sha256_hex
from idp.users import accounts, fields
from idp.users.models import Status, User

LIFETIME = timedelta(minutes=60)
TOKEN = re.compile(r"[0-9a-f]{64}")
KIND = "email_change"
NOTICE_KIND = "email_notice"
LIMIT = "email_change"


class LinkOver(Exception):
    """The link cannot be used, or no longer: `reason` is `unknown`, `used` or `expired`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class OpenLink:
    """A link that may be used: the address that it confirms, and the account's present one and language."""

    token_hash: str
    user_id: UUID
    email: str
    old_email: str
    locale: str


def count(user_id: UUID, email: str, *, limiter: RateLimiter, now: datetime) -> None:
    """Count one request for the address, per account and per address. Raises `TooManyTries`, audited."""
    for key in (f"from:{user_id}", f"to:{sha256_hex(fields.email_key(email))[:24]}"):
        try:
            limiter.hit(LIMIT, key)
        except TooManyTries:
            audit.record(audit.Event.EMAIL_CHANGE_LIMITED, now=now, user_id=user_id)
            db.session.commit()
            raise


def ask(
    user_id: UUID, owner: Recipient, email: str, *, address: str | None, settings: Settings, now: datetime
) -> None:
    """Mail a link to the new address and a notice to the old; voids the previous link. The caller commits.

    An address of another account gets a mail without a link: the person who asks sees no difference.
    """
    token = new_hex_token()
    # One request at a time for an account; and a form filled in before must not replace this one unseen.
    db.session.execute(
        sa.update(User)
        .where(User.id == user_id)
        .values(version=User.version + 1)
        .execution_options(synchronize_session=False)
    )
    db.session.execute(sa.delete(EmailChange).where(EmailChange.user_id == user_id))
    db.session.add(
        EmailChange(
            user_id=user_id,
            token_hash=sha256_hex(token),
            email=email,
            old_key=fields.email_key(owner.email),
            created_at=now,
            expires_at=now + LIFETIME,
        )
    )
    other = accounts.find_by_email(email)
    if other is None or other.id == user_id:
        to_new = mails.confirm_address(
            replace(owner, email=email),
            old=owner.email,
            token=token,
            lifetime=LIFETIME,
            settings=settings,
        )
    else:
        to_new = mails.address_taken(other.recipient, settings=settings)
    to_old = mails.change_asked(owner, new=email, now=now, address=address, settings=settings)
    outbox.queue(
        to_new,
        now=now,
        kind=KIND,
        user_id=user_id,
        urgency=Urgency.WAITED_FOR,
        useful_until=now + LIFETIME,
    )
    outbox.queue(to_old, now=now, kind=NOTICE_KIND, user_id=user_id)
    audit.record(audit.Event.EMAIL_CHANGE_ASKED, now=now, user_id=user_id)


def open_link(token: str, *, now: datetime) -> OpenLink:
    """The change that a link confirms; changes nothing, so mail scanners may open it. Raises `LinkOver`."""
    if not TOKEN.fullmatch(token):
        raise LinkOver("unknown")
    query = (
        sa.select(EmailChange, User.email, User.locale)
        .join(User, sa.and_(User.id == EmailChange.user_id, User.status == Status.ACTIVE.value))
        .where(EmailChange.token_hash == sha256_hex(token))
    )
    row = db.session.execute(query).one_or_none()
    if row is None:
        raise LinkOver("unknown")
    change, old_email, locale = row
    if change.used_at is not None:
        raise LinkOver("used")
    if change.expires_at <= now:
        raise LinkOver("expired")
    return OpenLink(change.token_hash, change.user_id, change.email, old_email, locale)


def confirm(link: OpenLink, *, address: str | None, settings: Settings, now: datetime) -> None:
    """Use the link up: the account gets the address, verified now, and the old address gets a notice.

    Raises `LinkOver` when another request was first, or the address belongs to another account by now.
    """
    # The account's row first, as a change of its password does: else the two could deadlock.
    db.session.execute(sa.select(User.id).where(User.id == link.user_id).with_for_update())
    statement = (
        sa.update(EmailChange)
        .where(
            EmailChange.token_hash == link.token_hash,
            EmailChange.used_at.is_(None),
            EmailChange.expires_at > now,
        )
        .values(used_at=now)
        .returning(EmailChange.user_id, EmailChange.email, EmailChange.old_key)
        .execution_options(synchronize_session=False)
    )
    claimed = db.session.execute(statement).one_or_none()
    if claimed is None:
        db.session.rollback()
        raise LinkOver("used")
    before = db.session.execute(
        sa.select(User.email, User.name, User.locale).where(User.id == claimed.user_id)
    ).one()
    try:
        changed = accounts.set_email(
            claimed.user_id, claimed.email, instead_of=claimed.old_key, verified=True, now=now
        )
    except fields.BadInput:
        changed = False
    if not changed:
        db.session.rollback()
        raise LinkOver("unknown")
    audit.record(audit.Event.EMAIL_CHANGED, now=now, user_id=claimed.user_id)
    notice = mails.changed(
        Recipient(before.email, before.name, before.locale),
        new=claimed.email,
        now=now,
        address=address,
        settings=settings,
    )
    outbox.queue(notice, now=now, kind=NOTICE_KIND, user_id=claimed.user_id)
    db.session.commit()


def withdraw(user_id: UUID, *, now: datetime) -> bool:
    """Void the open link. False when there is none."""
    if withdrawn := _forget(user_id):
        audit.record(audit.Event.EMAIL_CHANGE_WITHDRAWN, now=now, user_id=user_id)
    db.session.commit()
    return withdrawn


def void(_sender: object, *, user_id: UUID) -> None:
    """Void the open link, in the caller's transaction: it may have been asked for with the old password."""
    _forget(user_id)


def _forget(user_id: UUID) -> bool:
    statement = (
        sa.delete(EmailChange)
        .where(EmailChange.user_id == user_id, EmailChange.used_at.is_(None))
        .returning(EmailChange.user_id)
        .execution_options(synchronize_session=False)
    )
    return db.session.scalar(statement) is not None
