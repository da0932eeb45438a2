"""The BankIDs linked to accounts. Personal numbers are stored encrypted and found by a keyed hash."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from blinker import Namespace
from sqlalchemy.orm import joinedload

from idp import audit
from idp.crypto import PersonalNumberKeys
from idp.db import db, execute_alone, rewrite_column
from idp.users import mails
from idp.users.mails import Notice
from idp.users.models import BankIdLink, User
from idp.users.personal_number import PersonalNumber

_signals = Namespace()
bankid_taken_away = _signals.signal("bankid-taken-away")
"""Sent with `user_id`, `keep_session` and `now` inside the transaction that takes somebody's BankID away."""

ROTATION_BATCH = 500


class _LinkRow(NamedTuple):
    name: str
    number_encrypted: str
    linked_at: datetime
    last_used_at: datetime | None


_link = BankIdLink.__table__.c
_LINK = sa.select(_link.name, _link.number_encrypted, _link.linked_at, _link.last_used_at).where(
    _link.user_id == sa.bindparam("user_id", type_=_link.user_id.type)
)


@dataclass(frozen=True)
class LinkState:
    """A linked BankID as its owner may see it."""

    name: str
    masked_number: str
    linked_at: datetime
    last_used_at: datetime | None


def link(
    user_id: UUID,
    number: PersonalNumber,
    name: str,
    *,
    keys: PersonalNumberKeys,
    now: datetime,
    notice: Notice | None = None,
    keep_session: UUID | None = None,
) -> bool:
    """Let the person with this number log in to the account, instead of the person linked before.

    False, and nothing stored, when the account is disabled or gone. `notice` mails the owner; when another
    BankID was linked before, `bankid_taken_away` is sent.
    """
    owner = _locked(user_id)
    if owner is None or not owner.is_active:
        return False
    statement = sa.delete(BankIdLink).where(BankIdLink.user_id == user_id).returning(BankIdLink.number_lookup)
    before = db.session.scalar(statement)
    replaced = before is not None and before not in keys.lookups(number.digits)
    db.session.add(
        BankIdLink(
            user_id=user_id,
            number_lookup=keys.lookup(number.digits),
            number_encrypted=keys.encrypt(number.digits, context=str(user_id)),
            name=name,
            linked_at=now,
        )
    )
    audit.record(audit.Event.BANKID_LINKED, now=now, user_id=user_id, replaced=replaced)
    if replaced:
        bankid_taken_away.send(user_id=user_id, keep_session=keep_session, now=now)
    if notice is not None:
        mails.queue_bankid_notice(owner, "replaced" if replaced else "linked", notice=notice, now=now)
    db.session.commit()
    return True


def unlink(
    user_id: UUID,
    *,
    now: datetime,
    notice: Notice | None = None,
    keep_session: UUID | None = None,
    by: UUID | None = None,
) -> bool:
    """Take the account's BankID away. False when there was none.

    `notice` mails the owner; `by` is the administrator who did it. The sessions that the BankID logged in
    end, except `keep_session`.
    """
    owner = _locked(user_id)
    statement = sa.delete(BankIdLink).where(BankIdLink.user_id == user_id).returning(BankIdLink.user_id)
    removed = db.session.scalar(statement) is not None
    if removed and owner is not None:
        audit.record(audit.Event.BANKID_UNLINKED, now=now, user_id=user_id, administrator=by)
        bankid_taken_away.send(user_id=user_id, keep_session=keep_session, now=now)
        if notice is not None:
            mails.queue_bankid_notice(owner, "unlinked", notice=notice, now=now)
    db.session.commit()
    return removed


def _locked(user_id: UUID) -> User | None:
    """The account, locked against other links and unlinks until this transaction ends."""
    return db.session.get(User, user_id, with_for_update=True, populate_existing=True)


def find_accounts(number: PersonalNumber, *, keys: PersonalNumberKeys) -> list[User]:
    """Every account that this person's BankID opens, disabled ones too; company loaded."""
    query = (
        sa.select(User)
        .join(BankIdLink, BankIdLink.user_id == User.id)
        .where(BankIdLink.number_lookup.in_(keys.lookups(number.digits)))
        .options(joinedload(User.company))
        .order_by(User.name)
    )
    return list(db.session.scalars(query))


def state(user_id: UUID, *, keys: PersonalNumberKeys) -> LinkState | None:
    """The account's BankID, masked; None when it has none."""
    rows = execute_alone(_LINK, {"user_id": user_id}, _LinkRow)
    if not rows:
        return None
    found = rows[0]
    number = PersonalNumber(keys.decrypt(found.number_encrypted, context=str(user_id)))
    return LinkState(found.name, str(number), found.linked_at, found.last_used_at)


def number_of(user_id: UUID, *, keys: PersonalNumberKeys) -> PersonalNumber | None:
    """The number of the account's linked BankID, as committed; None when none is linked."""
    rows = execute_alone(_LINK, {"user_id": user_id}, _LinkRow)
    return opened(rows[0].number_encrypted, user_id, keys=keys) if rows else None


def stated_number(user_id: UUID, *, keys: PersonalNumberKeys) -> PersonalNumber | None:
    """The number that the account's owner has typed, without proof; None when there is none."""
    sealed = db.session.scalar(sa.select(User.stated_number).where(User.id == user_id))
    return opened(sealed, user_id, keys=keys)


def opened(sealed: str | None, user_id: UUID, *, keys: PersonalNumberKeys) -> PersonalNumber | None:
    """The number in an account's encrypted column; None when that is empty."""
    return PersonalNumber(keys.decrypt(sealed, context=str(user_id))) if sealed else None


def state_number(
    user_id: UUID, number: PersonalNumber | None, *, keys: PersonalNumberKeys, now: datetime
) -> None:
    """Keep the number that the owner typed, None to forget it. It gives no login. The caller commits."""
    sealed = keys.encrypt(number.digits, context=str(user_id)) if number else None
    db.session.execute(
        sa.update(User)
        .where(User.id == user_id)
        .values(stated_number=sealed, version=User.version + 1, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    event = audit.Event.PERSONAL_NUMBER_STATED if number else audit.Event.PERSONAL_NUMBER_REMOVED
    audit.record(event, now=now, user_id=user_id)


def note_use(user_id: UUID, *, now: datetime) -> None:
    """Note that the BankID was used to log in, in the caller's transaction."""
    db.session.execute(sa.update(BankIdLink).where(BankIdLink.user_id == user_id).values(last_used_at=now))


def rotate_key(*, keys: PersonalNumberKeys) -> int:
    """Encrypt every number under an older key with the first key; returns how many there were."""

    def linked(user_id: UUID, sealed: str) -> dict[Any, str] | None:
        if keys.is_current(sealed):
            return None
        digits = keys.decrypt(sealed, context=str(user_id))
        return {
            BankIdLink.number_encrypted: keys.encrypt(digits, context=str(user_id)),
            BankIdLink.number_lookup: keys.lookup(digits),
        }

    def stated(user_id: UUID, sealed: str) -> dict[Any, str] | None:
        if keys.is_current(sealed):
            return None
        digits = keys.decrypt(sealed, context=str(user_id))
        return {User.stated_number: keys.encrypt(digits, context=str(user_id))}

    links = rewrite_column(BankIdLink.number_encrypted, BankIdLink.user_id, linked, batch=ROTATION_BATCH)
    return links + rewrite_column(User.stated_number, User.id, stated, batch=ROTATION_BATCH)
