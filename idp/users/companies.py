"""Companies: add and list."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from idp import audit
from idp.db import db
from idp.users.fields import BadInput, checked_name
from idp.users.models import Company, User


def add(name: str, org_number: str | None, *, now: datetime) -> Company:
    """A new company. `org_number` is ten digits, a hyphen is taken away. Raises `BadInput`."""
    name = checked_name(name, "company name")
    digits = None
    if org_number is not None:
        digits = org_number.replace("-", "").strip()
        if len(digits) != 10 or not (digits.isascii() and digits.isdigit()) or not _luhn(digits):
            raise BadInput(f"organisation number {org_number!r} is not ten digits with a correct check digit")
    company = Company(name=name, org_number=digits, created_at=now)
    db.session.add(company)
    audit.record(audit.Event.COMPANY_CREATED, now=now, company=name)
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        raise BadInput(f"there is already a company {name!r}") from None
    return company


def list_all() -> list[tuple[Company, int]]:
    """Every company by name, with its number of users."""
    count = sa.func.count(User.id)
    query = (
        sa.select(Company, count)
        .outerjoin(User, User.company_id == Company.id)
        .group_by(Company.id)
        .order_by(Company.name)
    )
    return [(company, number) for company, number in db.session.execute(query)]


def _luhn(digits: str) -> bool:
    doubled = (int(digit) * (2 - index % 2) for index, digit in enumerate(digits))
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0
