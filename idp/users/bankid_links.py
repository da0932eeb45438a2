"""Which BankID opens which accounts. Personal numbers are stored encrypted and found by a keyed hash."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from idp import audit
from idp.crypto import PersonalNumberKeys
from idp.db import db
from idp.users.models import BankIdLink, User
from idp.users.personal_number import PersonalNumber

ROTATION_BATCH = 500


@dataclass(frozen=True)
class LinkState:
    """A linked BankID as its owner may see it."""

    name: str
    masked_number: str
    linked_at: datetime
    last_used_at: datetime | None


def link(
    user_id: UUID, number: PersonalNumber, name: str, *, keys: PersonalNumberKeys, now: datetime
) -> None:
    """Let the person with this number log in to the account, instead of whoever could before."""
    db.session.execute(sa.delete(BankIdLink).where(BankIdLink.user_id == user_id))
    db.session.add(
        BankIdLink(
            user_id=user_id,
            number_lookup=keys.lookup(number.digits),
            number_encrypted=keys.encrypt(number.digits, context=str(user_id)),
            name=name,
            linked_at=now,
        )
    )
    audit.record(audit.Event.BANKID_LINKED, now=now, user_id=user_id)
    db.session.commit()


def unlink(user_id: UUID, *, now: datetime) -> bool:
    """Take the account's BankID away. False when there was none."""
    statement = sa.delete(BankIdLink).where(BankIdLink.user_id == user_id).returning(BankIdLink.user_id)
    removed = db.session.scalar(statement) is not None
    if removed:
        audit.record(audit.Event.BANKID_UNLINKED, now=now, user_id=user_id)
    db.session.commit()
    return removed


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
    found = db.session.get(BankIdLink, user_id)
    if found is None:
        return None
    number = PersonalNumber(keys.decrypt(found.number_encrypted, context=str(user_id)))
    return LinkState(found.name, str(number), found.linked_at, found.last_used_at)


def number_of(user_id: UUID, *, keys: PersonalNumberKeys) -> PersonalNumber | None:
    """Whose BankID is linked to the account; None when none is."""
    found = db.session.get(BankIdLink, user_id)
    if found is None:
        return None
    return PersonalNumber(keys.decrypt(found.number_encrypted, context=str(user_id)))


def note_use(user_id: UUID, *, now: datetime) -> None:
    """Note that the BankID was used to log in, in the caller's transaction."""
    db.session.execute(sa.update(BankIdLink).where(BankIdLink.user_id == user_id).values(last_used_at=now))


def rotate_key(*, keys: PersonalNumberKeys) -> int:
    """Encrypt every number that an older key holds with the first key; how many there were."""
    changed = 0
    last: UUID | None = None
    while True:
        query = sa.select(BankIdLink).order_by(BankIdLink.user_id).limit(ROTATION_BATCH)
        if last is not None:
            query = query.where(BankIdLink.user_id > last)
        links = list(db.session.scalars(query))
        if not links:
            return changed
        for entry in links:
            last = entry.user_id
            if keys.is_current(entry.number_encrypted):
                continue
            digits = keys.decrypt(entry.number_encrypted, context=str(entry.user_id))
            entry.number_encrypted = keys.encrypt(digits, context=str(entry.user_id))
            entry.number_lookup = keys.lookup(digits)
            changed += 1
        db.session.commit()
