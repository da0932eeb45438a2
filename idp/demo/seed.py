"""The demo's accounts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from idp.crypto import PersonalNumberKeys
from idp.db import db
from idp.password.hashing import PasswordHasher
from idp.users import accounts, bankid_links, companies
from idp.users.models import Company, Role
from idp.users.personal_number import PersonalNumber

COMPANY = "Exempel AB"


@dataclass(frozen=True)
class Account:
    """An account to log in to. `personal_number` is that of a person in the BankID simulator."""

    email: str
    name: str
    title: str
    role: Role
    personal_number: str
    has_bankid: bool = False


ACCOUNTS = (
    Account("anna@example.se", "Anna Åkesson", "Ekonom", Role.USER, "189001019802", has_bankid=True),
    Account("bjorn@example.se", "Björn Öberg", "Kontorschef", Role.COMPANY_ADMIN, "199001012385"),
)


def seed(
    passwords: Mapping[str, str], *, hasher: PasswordHasher, keys: PersonalNumberKeys, now: datetime
) -> None:
    """Add the missing company, accounts and BankID links, and set each account's password."""
    if db.session.scalar(sa.select(Company).where(Company.name == COMPANY)) is None:
        companies.add(COMPANY, None, now=now)
    for account in ACCOUNTS:
        password = passwords[account.email]
        found = accounts.find_by_email(account.email)
        if found is None:
            new = accounts.NewUser(
                email=account.email,
                name=account.name,
                company=COMPANY,
                role=account.role,
                title=account.title,
                email_verified=True,
                password_hash=hasher.hash(password),
            )
            accounts.add(new, now=now)
        elif found.password_hash and not hasher.check(password, found.password_hash).ok:
            accounts.store_password_hash(found.id, found.password_hash, hasher.hash(password))
            db.session.commit()
        if account.has_bankid:
            _link(account, keys=keys, now=now)


def _link(account: Account, *, keys: PersonalNumberKeys, now: datetime) -> None:
    number = PersonalNumber(account.personal_number)
    opened = {user.email for user in bankid_links.find_accounts(number, keys=keys)}
    owner = accounts.find_by_email(account.email)
    if owner is not None and owner.email not in opened:
        bankid_links.link(owner.id, number, account.name, keys=keys, now=now)
