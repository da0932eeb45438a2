"""The use-cases of a company's administrators. Other companies' users do not exist for them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask_babel import LazyString, lazy_gettext

from idp import audit, outbox
from idp.admin import mails
from idp.config import Settings
from idp.db import db, execute_alone
from idp.errors import NotFound
from idp.login import sessions
from idp.users import accounts, bankid_links
from idp.users.accounts import ChangedMeanwhile, Choices, NewUser, Profile
from idp.users.fields import BadInput
from idp.users.mails import WELCOME_KIND, Notice
from idp.users.models import BankIdLink, Company, Role, Status, User

EMAIL_NOTICE_KIND = "email_notice"
ACCOUNT_NOTICE_KIND = "account_notice"  # not about security: people choose whether they get it

# The columns whose changes are mailed to the person, with their labels.
TOLD: Mapping[str, LazyString] = {
    "name": lazy_gettext("Namn"),
    "title": lazy_gettext("Titel"),
    "phone": lazy_gettext("Telefonnummer"),
    "locale": lazy_gettext("Språk"),
    "role": lazy_gettext("Roll"),
}


@dataclass(frozen=True)
class Administrator:
    """An administrator of a company's users."""

    id: UUID
    name: str
    company_id: UUID
    company: str


@dataclass(frozen=True)
class UserDetails:
    """A user as an administrator fills them in. `email` and `role` None: as they are."""

    profile: Profile
    locale: str
    email: str | None = None
    role: Role | None = None


_ADMINISTRATOR = (
    sa.select(User.id, User.name, User.company_id, Company.name.label("company"))
    .join(Company, Company.id == User.company_id)
    .where(
        User.id == sa.bindparam("user_id"),
        User.role == Role.COMPANY_ADMIN.value,
        User.status == Status.ACTIVE.value,
    )
)


def administrator(user_id: UUID) -> Administrator | None:
    """The active administrator with this id; None for everybody else."""
    rows = execute_alone(_ADMINISTRATOR, {"user_id": user_id}, Administrator)
    return rows[0] if rows else None


def user(admin: Administrator, user_id: UUID) -> User:
    """A user of the administrator's company as stored now. Raises `NotFound` for everybody else."""
    query = (
        sa.select(User)
        .where(User.id == user_id, User.company_id == admin.company_id)
        .execution_options(populate_existing=True)
    )
    found = db.session.scalar(query)
    if found is None:
        raise NotFound("no user of this company")
    return found


def colleague(admin: Administrator, user_id: UUID) -> User:
    """Another user of the administrator's company. Raises `NotFound`.

    It does so for the administrator's own account too, which is changed in Mina uppgifter.
    """
    if user_id == admin.id:
        raise NotFound("administrators must not do this to themselves")
    return user(admin, user_id)


def bankid_linked_at(user_id: UUID) -> datetime | None:
    """When the account's BankID was linked; None when it has none."""
    return db.session.scalar(sa.select(BankIdLink.linked_at).where(BankIdLink.user_id == user_id))


def welcome_failed(user_id: UUID) -> bool:
    """Whether delivery of the user's last welcome mail was given up."""
    return outbox.failed(user_id, WELCOME_KIND)


def company_of_address(email: str) -> UUID | None:
    """The company of the user with this address; None when nobody has it."""
    found = accounts.find_by_email(email)
    return found.company_id if found else None


def create(admin: Administrator, details: UserDetails, *, settings: Settings, now: datetime) -> UUID:
    """Add a user to the company, mail a welcome, and return the user's id.

    Raises `BadInput`, `AddressTaken` when the address belongs to an account, and, as every function here,
    `NotFound` when `admin` is no longer an administrator.
    """
    _take_turn(admin)
    new = NewUser(
        email=details.email or "",
        name=details.profile.name,
        company=admin.company,
        role=details.role or Role.USER,
        title=details.profile.title,
        phone=details.profile.phone,
        locale=details.locale,
    )
    return accounts.add(new, now=now, welcome=settings, by=admin.id).id


def update(
    admin: Administrator,
    user_id: UUID,
    details: UserDetails,
    *,
    version: int,
    settings: Settings,
    now: datetime,
) -> None:
    """Store the details filled in from `version` of the user. One's own address and role stay as they are.

    A new e-mail address is in force at once, unverified: links mailed to the old one are void, the person's
    sessions and grants end, and both addresses get a notice. Raises `BadInput`, `AddressTaken`,
    `ChangedMeanwhile` and `NotFound`, having stored nothing.
    """
    _take_turn(admin)
    target = user(admin, user_id)
    old_email, old_role = target.email, target.role
    before = {name: getattr(target, name) for name in TOLD}
    choices = Choices(details.locale, target.start_page, target.notices)
    try:
        accounts.update_profile(
            user_id,
            replace(details.profile, choices=choices),
            version=version,
            now=now,
            by=admin.id,
        )
        if user_id != admin.id:
            if details.email is not None and details.email != old_email:
                _change_email(admin, target, details.email, settings, now)
            if details.role is not None and details.role.value != old_role:
                _change_role(admin, user_id, details.role, now)
            _tell_of_details(admin, user(admin, user_id), before, settings, now)
    except (BadInput, ChangedMeanwhile):
        db.session.rollback()
        raise
    db.session.commit()


def disable(admin: Administrator, user_id: UUID, *, settings: Settings, now: datetime) -> bool:
    """Disable a colleague at once. False when they were disabled already. Raises `NotFound`."""
    _take_turn(admin)
    target = colleague(admin, user_id)
    if target.is_active:
        _tell_of_access(admin, target, is_open=False, settings=settings, now=now)
    return accounts.disable(user_id, now=now, by=admin.id)


def enable(admin: Administrator, user_id: UUID, *, settings: Settings, now: datetime) -> bool:
    """Enable a colleague again. False when they were not disabled. Raises `NotFound`."""
    _take_turn(admin)
    target = colleague(admin, user_id)
    if not target.is_active:
        _tell_of_access(admin, target, is_open=True, settings=settings, now=now)
    return accounts.enable(user_id, now=now, by=admin.id)


def unlink_bankid(admin: Administrator, user_id: UUID, *, settings: Settings, now: datetime) -> bool:
    """Unlink a colleague's BankID and mail them a notice. False when there is none. Raises `NotFound`."""
    _take_turn(admin)
    return bankid_links.unlink(colleague(admin, user_id).id, notice=Notice(settings), now=now, by=admin.id)


def send_welcome(admin: Administrator, user_id: UUID, *, settings: Settings, now: datetime) -> None:
    """Mail an active colleague the welcome again. Raises `NotFound`."""
    target = colleague(admin, user_id)
    if not target.is_active:
        raise NotFound("a disabled user gets no welcome mail")
    accounts.send_welcome(target, settings=settings, now=now, by=admin.id)


def _take_turn(admin: Administrator) -> None:
    """Lock the company's row until the transaction ends, and check again that `admin` is its administrator.

    Administrators cannot remove their own role or access, and each is one while they act: so one is always
    left, also when two act on each other at once. The UPDATE that changes nothing locks on every database,
    and begins SQLite's write transaction before anything is read.
    """
    db.session.rollback()
    db.session.execute(
        sa.update(Company)
        .where(Company.id == admin.company_id)
        .values(name=Company.name)
        .execution_options(synchronize_session=False)
    )
    still = db.session.execute(_ADMINISTRATOR, {"user_id": admin.id}).one_or_none()
    if still is None or still.company_id != admin.company_id:
        db.session.rollback()
        raise NotFound("no longer an administrator")


def _change_email(admin: Administrator, target: User, email: str, settings: Settings, now: datetime) -> None:
    user_id, old = target.id, target.recipient
    if not accounts.set_email(user_id, email, instead_of=target.email_key, verified=False, now=now):
        raise ChangedMeanwhile
    audit.record(audit.Event.EMAIL_CHANGED, now=now, user_id=user_id, administrator=admin.id)
    sessions.end_all_of(user_id, now=now, reason="e-mail address changed by an administrator")
    for to in (old, replace(old, email=email)):
        notice = mails.address_changed(
            to, old=old.email, new=email, by=admin.name, now=now, settings=settings
        )
        outbox.queue(notice, now=now, kind=EMAIL_NOTICE_KIND, user_id=user_id)


def _tell_of_details(
    admin: Administrator, target: User, before: Mapping[str, Any], settings: Settings, now: datetime
) -> None:
    fields = [label for name, label in TOLD.items() if getattr(target, name) != before[name]]
    if fields and target.notices:
        told = mails.details_changed(
            target.recipient,
            fields=fields,
            by=admin.name,
            now=now,
            settings=settings,
        )
        outbox.queue(told, now=now, kind=ACCOUNT_NOTICE_KIND, user_id=target.id)


def _tell_of_access(
    admin: Administrator, target: User, *, is_open: bool, settings: Settings, now: datetime
) -> None:
    if target.notices:
        told = mails.access_changed(
            target.recipient,
            is_open=is_open,
            by=admin.name,
            now=now,
            settings=settings,
        )
        outbox.queue(told, now=now, kind=ACCOUNT_NOTICE_KIND, user_id=target.id)


def _change_role(admin: Administrator, user_id: UUID, role: Role, now: datetime) -> None:
    db.session.execute(
        sa.update(User)
        .where(User.id == user_id)
        .values(role=role.value)
        .execution_options(synchronize_session=False)
    )
    audit.record(audit.Event.USER_UPDATED, now=now, user_id=user_id, administrator=admin.id, role=role.value)
