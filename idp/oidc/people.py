"""The accounts that tokens are about, read from the database."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from idp.db import execute_alone
from idp.oidc.claims import Person
from idp.users.models import IS_ACTIVE, Company, User

_user, _company = User.__table__.c, Company.__table__.c
PERSON_COLUMNS = (
    _user.id,
    _user.name,
    _user.email,
    _user.email_verified_at,
    _user.phone,
    _user.locale,
    _user.updated_at,
    _company.name.label("company"),
    _company.org_number,
)
"""The columns that `read_person` reads."""

_USER = (
    sa.select(*PERSON_COLUMNS)
    .join(Company.__table__, _company.id == _user.company_id)
    .where(_user.id == sa.bindparam("user_id", type_=_user.id.type), IS_ACTIVE)
)


def find_person(user_id: UUID) -> Person | None:
    """The account, None when it is unknown or not active."""
    rows = execute_alone(_USER, {"user_id": user_id})
    return read_person(rows[0]) if rows else None


def read_person(row: sa.Row[Any]) -> Person:
    """The account in a row with `PERSON_COLUMNS`."""
    return Person(
        id=row.id,
        name=row.name,
        email=row.email,
        email_verified=row.email_verified_at is not None,
        phone=row.phone,
        locale=row.locale,
        updated_at=row.updated_at,
        company=row.company,
        org_number=row.org_number,
    )
