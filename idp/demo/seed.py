"""The demo's accounts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from idp.db import db
from idp.password.hashing import PasswordHasher
from idp.users import service as users
from idp.users.models import Company, Role

COMPANY = "Exempel AB"


@dataclass(frozen=True)
class Account:
    """Somebody who can log in. `personal_number` is one of Skatteverket's published test numbers."""

    email: str
    name: str
    title: str
    role: Role
    personal_number: str


ACCOUNTS = (
    Account("anna@example.se", "Anna Åkesson", "Ekonom", Role.USER, "189001019802"),
    Account("bjorn@example.se", "Björn Öberg", "Kontorschef", Role.COMPANY_ADMIN, "199001012385"),
)


def seed(passwords: Mapping[str, str], *, hasher: PasswordHasher, now: datetime) -> None:
    """Add company and accounts where they are missing, and let each password be the one given."""
    if db.session.scalar(sa.select(Company).where(Company.name == COMPANY)) is None:
        users.add_company(COMPANY, None, now=now)
    for account in ACCOUNTS:
        password = passwords[account.email]
        found = users.find_by_email(account.email)
        if found is None:
            new = users.NewUser(
                email=account.email,
                name=account.name,
                company=COMPANY,
                role=account.role,
                title=account.title,
                email_verified=True,
                password_hash=hasher.hash(password),
            )
            users.add_user(new, now=now)
        elif found.password_hash and not hasher.check(password, found.password_hash).ok:
            users.store_password_hash(found.id, found.password_hash, hasher.hash(password))
            db.session.commit()
