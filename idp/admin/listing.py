"""A company's users as a list: searched, sorted, page by page."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from idp.db import UTCDateTime, db
from idp.users.models import BankIdLink, User
from idp.users.service import email_key
from idp.users.sorting import sort_key

PAGE_SIZE = 25
MAX_QUERY = 100
MAX_WORDS = 8
LONG_AGO = sa.literal(datetime(1970, 1, 1, tzinfo=UTC), UTCDateTime())

SORTS: Mapping[str, tuple[Any, ...]] = {
    "name": (User.name_key, User.id),
    "email": (User.email_key,),
    "login": (sa.func.coalesce(User.last_login_at, LONG_AGO), User.id),
    "status": (User.status, User.name_key, User.id),
}


@dataclass(frozen=True)
class Wanted:
    """What somebody wants to see: users with all words of `query`, in an order, from a page (from 1) on."""

    query: str = ""
    sort: str = "name"
    descending: bool = False
    page: int = 1

    @classmethod
    def parse(cls, query: str, sort: str, order: str, page: str) -> "Wanted":
        """What a URL says; whatever makes no sense counts as not said."""
        shown = "".join(" " if unicodedata.category(one) in ("Cc", "Cs") else one for one in query)
        return cls(
            query=" ".join(shown.split())[:MAX_QUERY],
            sort=sort if sort in SORTS else "name",
            descending=order == "desc",
            page=max(int(page), 1) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )


@dataclass(frozen=True)
class Entry:
    """One user in the list. `last_login_at` is None for who has never logged in."""

    id: UUID
    name: str
    title: str | None
    email: str
    role: str
    status: str
    has_bankid: bool
    last_login_at: datetime | None


@dataclass(frozen=True)
class Listing:
    """One page of those found. `page` is the page wanted, or the last one there is."""

    entries: list[Entry]
    hits: int
    page: int
    pages: int


def find(company_id: UUID, wanted: Wanted) -> Listing:
    """The users of the company that are wanted."""
    conditions = [User.company_id == company_id, *_matching(wanted.query)]
    hits = db.session.scalars(sa.select(sa.func.count()).select_from(User).where(*conditions)).one()
    pages = max(-(-hits // PAGE_SIZE), 1)
    page = min(wanted.page, pages)
    rows = db.session.execute(_page(wanted, conditions, page))
    return Listing([Entry(*row) for row in rows], hits, page, pages)


def _matching(query: str) -> list[sa.ColumnElement[bool]]:
    """A condition for each word: it is in the name, the title or the address, whatever its case."""
    return [
        sa.or_(
            User.name_key.contains(sort_key(word), autoescape=True),
            User.title_key.contains(sort_key(word), autoescape=True),
            User.email_key.contains(email_key(word), autoescape=True),
        )
        for word in query.split()[:MAX_WORDS]
    ]


def _page(wanted: Wanted, conditions: list[Any], page: int) -> sa.Select[*tuple[Any, ...]]:
    order = SORTS[wanted.sort]
    ids = sa.select(User.id).where(*conditions).order_by(*_directed(order, wanted))
    # What else is shown is looked up for this page's users alone.
    some = ids.limit(PAGE_SIZE).offset((page - 1) * PAGE_SIZE)
    has_bankid = sa.exists().where(BankIdLink.user_id == User.id)
    columns = (User.id, User.name, User.title, User.email, User.role, User.status)
    shown = sa.select(*columns, has_bankid, User.last_login_at).where(User.id.in_(some))
    return shown.order_by(*_directed(order, wanted))


def _directed(order: tuple[Any, ...], wanted: Wanted) -> list[Any]:
    return [column.desc() if wanted.descending else column for column in order]
