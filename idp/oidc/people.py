"""The accounts that tokens are about, read from the database."""

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
    _user.email_verified_at.is_not(None).label("email_verified"),
    _user.phone,
    _user.locale,
    _user.updated_at,
    _company.name.label("company"),
    _company.org_number,
)
"""The columns of a `Person`."""

_USER = (
    sa.select(*PERSON_COLUMNS)
    .join(Company.__table__, _company.id == _user.company_id)
    .where(_user.id == sa.bindparam("user_id", type_=_user.id.type), IS_ACTIVE)
)


def find_person(user_id: UUID) -> Person | None:
    """The account, None when it is unknown or not active."""
    rows = execute_alone(_USER, {"user_id": user_id}, Person)
    return rows[0] if rows else None
