"""An account's own details: read, and saved as its owner has changed them."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple, cast
from uuid import UUID

import sqlalchemy as sa

from idp import audit, outbox
from idp.account import email_change
from idp.account.models import EmailChange
from idp.config import Settings
from idp.crypto import PersonalNumberKeys
from idp.db import db, execute_alone
from idp.login import sessions
from idp.login.credential_change import Change
from idp.mail import Recipient
from idp.password import mails as password_mails
from idp.password.hashing import PasswordHasher
from idp.password.reset import NOTICE_KIND
from idp.ratelimit import RateLimiter
from idp.users import accounts, bankid_links
from idp.users.accounts import ChangedMeanwhile, Choices, Profile
from idp.users.models import BankIdLink, Company, Role, User
from idp.users.personal_number import PersonalNumber


class Keep(Enum):
    """The value of a field that stays as it is; None stands for its removal."""

    AS_IT_IS = "as it is"


@dataclass(frozen=True)
class AccountDetails:
    """An account as its owner sees it. `pending_email` is not confirmed yet."""

    user_id: UUID
    version: int
    email: str
    profile: Profile
    choices: Choices
    company: str
    is_company_admin: bool
    stated: PersonalNumber | None
    linked: PersonalNumber | None
    pending_email: str | None


@dataclass(frozen=True)
class AccountChanges:
    """The details that the owner has filled in. `password` and `email`: None keeps the present one."""

    profile: Profile
    password: str | None = None
    email: str | None = None
    number: PersonalNumber | Keep | None = Keep.AS_IT_IS

    @property
    def credential_changes(self) -> tuple[Change, ...]:
        """The changes among these that concern how, or as whom, the person logs in."""
        asked = {
            Change.PASSWORD: self.password is not None,
            Change.EMAIL: self.email is not None,
            Change.STATED_NUMBER: self.number is not Keep.AS_IT_IS,
        }
        return tuple(change for change, is_asked in asked.items() if is_asked)


class _DetailsRow(NamedTuple):
    version: int
    email: str
    name: str
    title: str | None
    phone: str | None
    locale: str
    start_page: str | None
    notices: bool
    role: str
    stated_number: str | None
    company: str
    number_encrypted: str | None
    pending_email: str | None


_user, _company = cast(sa.Table, User.__table__).c, cast(sa.Table, Company.__table__).c
_change, _link = cast(sa.Table, EmailChange.__table__).c, cast(sa.Table, BankIdLink.__table__).c
_DETAILS = (
    sa.select(
        _user.version,
        _user.email,
        _user.name,
        _user.title,
        _user.phone,
        _user.locale,
        _user.start_page,
        _user.notices,
        _user.role,
        _user.stated_number,
        _company.name.label("company"),
        _link.number_encrypted,
        _change.email.label("pending_email"),
    )
    .select_from(User.__table__)
    .join(Company.__table__, _company.id == _user.company_id)
    .outerjoin(BankIdLink.__table__, _link.user_id == _user.id)
    .outerjoin(
        EmailChange.__table__,
        sa.and_(
            _change.user_id == _user.id,
            _change.old_key == _user.email_key,
            _change.used_at.is_(None),
            _change.expires_at > sa.bindparam("now"),
        ),
    )
    .where(_user.id == sa.bindparam("user_id"))
)


def details(user_id: UUID, *, keys: PersonalNumberKeys | None, now: datetime) -> AccountDetails:
    """The account's details as they are now."""
    row = execute_alone(_DETAILS, {"user_id": user_id, "now": now}, _DetailsRow)[0]
    choices = Choices(locale=row.locale, start_page=row.start_page, notices=bool(row.notices))
    return AccountDetails(
        user_id=user_id,
        version=row.version,
        email=row.email,
        profile=Profile(name=row.name, title=row.title, phone=row.phone, choices=choices),
        choices=choices,
        company=row.company,
        is_company_admin=row.role == Role.COMPANY_ADMIN.value,
        stated=bankid_links.opened(row.stated_number, user_id, keys=keys) if keys else None,
        linked=bankid_links.opened(row.number_encrypted, user_id, keys=keys) if keys else None,
        pending_email=row.pending_email,
    )


def confirmation_failed(account: AccountDetails) -> bool:
    """Whether the mail to the address that waits for its link was given up."""
    return account.pending_email is not None and outbox.failed(account.user_id, email_change.KIND)


def save(
    before: AccountDetails,
    changes: AccountChanges,
    *,
    session_id: UUID,
    hasher: PasswordHasher,
    limiter: RateLimiter,
    keys: PersonalNumberKeys | None,
    address: str | None,
    settings: Settings,
    now: datetime,
) -> str | None:
    """Store the changes to `before`, all or none; returns the session's new cookie if it gets one.

    The caller has checked everything, also that the login allows these changes. A new password ends the
    other sessions; a new address waits for its confirmation. Raises `ChangedMeanwhile`, `Busy`, and
    `TooManyTries` for too many new addresses.
    """
    owner = Recipient(before.email, changes.profile.name, before.choices.locale)
    new_hash = hasher.hash(changes.password) if changes.password is not None else None
    accounts.hold(before.user_id, version=before.version)  # after the hash, which takes time
    if changes.email is not None:
        email_change.count(before.user_id, changes.email, limiter=limiter, now=now)
    if changes.profile != before.profile:
        accounts.update_profile(before.user_id, changes.profile, version=before.version, now=now)
    if keys is not None and changes.number is not Keep.AS_IT_IS:
        bankid_links.state_number(before.user_id, changes.number, keys=keys, now=now)
    cookie = None
    if new_hash is not None:
        cookie = _change_password(
            before.user_id,
            owner,
            new_hash,
            session_id=session_id,
            address=address,
            settings=settings,
            now=now,
        )
    if changes.email is not None:
        email_change.ask(before.user_id, owner, changes.email, address=address, settings=settings, now=now)
    db.session.commit()
    return cookie


def _change_password(
    user_id: UUID,
    owner: Recipient,
    new_hash: str,
    *,
    session_id: UUID,
    address: str | None,
    settings: Settings,
    now: datetime,
) -> str:
    if not accounts.set_password(user_id, new_hash, proven=None, now=now):
        db.session.rollback()
        raise ChangedMeanwhile
    audit.record(audit.Event.PASSWORD_CHANGED, now=now, user_id=user_id, by="account page")
    cookie = sessions.end_others(user_id, keep=session_id, now=now, reason="password changed")
    notice = password_mails.password_notice(
        owner,
        now=now,
        address=address,
        settings=settings,
        one_is_left=True,
    )
    outbox.queue(notice, now=now, kind=NOTICE_KIND, user_id=user_id)
    return cookie
