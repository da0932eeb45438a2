"""Accounts: add, find, change, disable, enable."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from blinker import Namespace
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from idp import audit
from idp.config import Settings
from idp.db import UTCDateTime, db
from idp.users import mails
from idp.users.fields import BadInput, checked_email, checked_name, checked_phone, email_key
from idp.users.models import Company, Role, Status, User
from idp.users.sorting import sort_key

_signals = Namespace()
user_disabled = _signals.signal("user-disabled")
"""Sent with `user_id` and `now` inside the transaction that disables somebody."""

password_set = _signals.signal("password-set")
"""Sent with `user_id` inside the transaction that gives somebody another password."""


class AddressTaken(BadInput):
    """The address already belongs to an account."""

    def __init__(self, email: str) -> None:
        super().__init__(f"there is already a user with the address {email}")
        self.email = email


class ChangedMeanwhile(Exception):
    """The form was filled in from an older version of the account; nothing was stored."""


@dataclass(frozen=True)
class Choices:
    """The choices of the person alone. `start_page` is a client_id, None "Mina uppgifter"."""

    locale: str
    start_page: str | None
    notices: bool


@dataclass(frozen=True)
class Profile:
    """An account's details as filled in; empty title or phone: none. Without `choices` these stay."""

    name: str
    title: str | None
    phone: str | None  # in any spelling that `phone.parse` understands
    choices: Choices | None = None


@dataclass(frozen=True)
class NewUser:
    """The details of an account to add; `password_hash` comes from `idp.password`."""

    email: str
    name: str
    company: str
    role: Role = Role.USER
    title: str | None = None
    phone: str | None = None  # in any spelling that `phone.parse` understands
    locale: str = "sv"
    email_verified: bool = False
    password_hash: str | None = None


def add(new: NewUser, *, now: datetime, welcome: Settings | None = None, by: UUID | None = None) -> User:
    """A new account, which is mailed a welcome if `welcome` has the settings to write it by.

    `by` is the administrator who did it. Raises `BadInput` for bad fields, an unknown company or a taken
    address; `AddressTaken` if the address is the only problem.
    """
    problems: list[str] = []
    email = name = ""
    title, telephone = new.title, new.phone
    try:
        email = checked_email(new.email)
    except BadInput as error:
        problems += error.problems
    try:
        name = checked_name(new.name, "name")
    except BadInput as error:
        problems += error.problems
    try:
        title = checked_name(new.title, "title") if new.title else None
    except BadInput as error:
        problems += error.problems
    try:
        telephone = checked_phone(new.phone) if new.phone else None
    except BadInput as error:
        problems += error.problems
    company = db.session.scalar(sa.select(Company).where(Company.name == new.company))
    if company is None:
        problems.append(f"there is no company {new.company!r}: add it with `idp companies add`")
    if company is None or problems:
        raise BadInput(*problems)
    user = User(
        company_id=company.id,
        email=email,
        email_key=email_key(email),
        email_verified_at=now if new.email_verified else None,
        name=name,
        title=title,
        phone=telephone,
        locale=new.locale,
        role=new.role.value,
        password_hash=new.password_hash,
        created_at=now,
        updated_at=now,
    )
    db.session.add(user)
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        raise AddressTaken(email) from None
    audit.record(audit.Event.USER_CREATED, now=now, user_id=user.id, administrator=by)
    if welcome is not None:
        mails.queue_welcome(user, settings=welcome, now=now)
    db.session.commit()
    return user


def send_welcome(user: User, *, settings: Settings, now: datetime, by: UUID | None = None) -> None:
    """Mail somebody the welcome again; `by` is the administrator who did it."""
    mails.queue_welcome(user, settings=settings, now=now)
    audit.record(audit.Event.USER_WELCOMED, now=now, user_id=user.id, administrator=by)
    db.session.commit()


def find_by_email(email: str) -> User | None:
    """The account with this address, in any case of letters; company loaded."""
    key = email_key(email)
    if not key.isprintable():
        return None  # nobody's; and databases refuse a NUL or half a character in a query
    query = sa.select(User).options(joinedload(User.company)).where(User.email_key == key)
    return db.session.scalar(query)


def find(user_id: UUID) -> User | None:
    """The account with this id; company loaded."""
    return db.session.scalar(sa.select(User).options(joinedload(User.company)).where(User.id == user_id))


def list_all(*, company: str | None = None) -> list[User]:
    """Accounts by address; company loaded."""
    query = sa.select(User).options(joinedload(User.company)).order_by(User.email_key)
    if company is not None:
        query = query.join(User.company).where(Company.name == company)
    return list(db.session.scalars(query))


def disable(user_id: UUID, *, now: datetime, by: UUID | None = None) -> bool:
    """Disable an account at once: its sessions and tokens end too. False when it already was disabled.

    `by` is the administrator who did it.
    """
    return _set_status(user_id, Status.DISABLED, audit.Event.USER_DISABLED, now, by)


def enable(user_id: UUID, *, now: datetime, by: UUID | None = None) -> bool:
    """Enable a disabled account. False when it was not disabled.

    `by` is the administrator who did it.
    """
    return _set_status(user_id, Status.ACTIVE, audit.Event.USER_ENABLED, now, by)


def store_password_hash(user_id: UUID, old: str, new: str) -> bool:
    """Replace a password's hash by a stronger one. False: it was changed meanwhile. The caller commits."""
    statement = (
        sa.update(User)
        .where(User.id == user_id, User.password_hash == old)
        .values(password_hash=new)
        .returning(User.id)
    )
    return db.session.scalar(statement) is not None


def hold(user_id: UUID, *, version: int) -> None:
    """Let nobody else change an account until the caller's transaction, which begins here, ends.

    Raises `ChangedMeanwhile` when the account is no longer at `version`. The UPDATE without a change locks
    the row on every database, and begins SQLite's write transaction before anything is read.
    """
    db.session.rollback()
    statement = (
        sa.update(User)
        .where(User.id == user_id, User.version == version)
        .values(version=version)
        .returning(User.id)
        .execution_options(synchronize_session=False)
    )
    if db.session.scalar(statement) is None:
        db.session.rollback()
        raise ChangedMeanwhile


def update_profile(
    user_id: UUID, profile: Profile, *, version: int, now: datetime, by: UUID | None = None
) -> None:
    """Store the details that somebody filled in from `version` of the account. The caller commits.

    `by` is the administrator who did it, None the person. Raises `BadInput`, and `ChangedMeanwhile`, having
    stored nothing, when the account is no longer at that version.
    """
    values: dict[str, Any] = {
        "name": checked_name(profile.name, "name"),
        "title": checked_name(profile.title, "title") if profile.title else None,
        "phone": checked_phone(profile.phone) if profile.phone else None,
    }
    if profile.choices is not None:
        values |= {
            "locale": profile.choices.locale,
            "start_page": profile.choices.start_page,
            "notices": profile.choices.notices,
        }
    values["name_key"] = sort_key(values["name"])
    values["title_key"] = sort_key(values["title"]) if values["title"] else None
    statement = (
        sa.update(User)
        .where(User.id == user_id, User.version == version)
        .values(**values, version=User.version + 1, updated_at=now)
        .returning(User.id)
    )
    if db.session.scalar(statement) is None:
        db.session.rollback()
        raise ChangedMeanwhile
    audit.record(audit.Event.USER_UPDATED, now=now, user_id=user_id, administrator=by)


def set_email(user_id: UUID, email: str, *, instead_of: str, verified: bool, now: datetime) -> bool:
    """Give an active account another address. The caller commits, or rolls back when this raises.

    False, and nothing stored, when its address is not `instead_of` (a key) by now or it is disabled.
    Raises `BadInput` for an address that is not valid or belongs to another account.
    """
    email = checked_email(email)
    statement = (
        sa.update(User)
        .where(User.id == user_id, User.email_key == instead_of, User.status == Status.ACTIVE.value)
        .values(
            email=email,
            email_key=email_key(email),
            email_verified_at=now if verified else None,
            version=User.version + 1,
            updated_at=now,
        )
        .returning(User.id)
    )
    try:
        return db.session.scalar(statement) is not None
    except IntegrityError:
        raise AddressTaken(email) from None


def set_password(user_id: UUID, new_hash: str, *, proven: str | None, now: datetime) -> bool:
    """Give an active account a password. `proven`, an address's key, has just received mail: it is verified.

    False, and nothing stored, when the account is disabled or has another address by now. The caller commits.
    """
    statement = (
        sa.update(User)
        .where(User.id == user_id, User.status == Status.ACTIVE.value)
        .values(password_hash=new_hash, version=User.version + 1, updated_at=now)
        .returning(User.id)
    )
    if proven is not None:
        verified_at = sa.func.coalesce(User.email_verified_at, sa.literal(now, UTCDateTime()))
        statement = statement.where(User.email_key == proven).values(email_verified_at=verified_at)
    stored = db.session.scalar(statement) is not None
    if stored:
        password_set.send(user_id=user_id)
    return stored


def _set_status(user_id: UUID, status: Status, event: audit.Event, now: datetime, by: UUID | None) -> bool:
    statement = (
        sa.update(User)
        .where(User.id == user_id, User.status != status.value)
        .values(status=status.value, version=User.version + 1, updated_at=now)
        .returning(User.id)
    )
    changed = db.session.scalar(statement) is not None
    if changed:
        audit.record(event, now=now, user_id=user_id, administrator=by)
        if status is Status.DISABLED:
            user_disabled.send(user_id=user_id, now=now)
    db.session.commit()
    return changed
