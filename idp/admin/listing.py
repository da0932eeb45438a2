"""A company's users as a list: searched, sorted, page by page."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, cast
from uuid import UUID

import sqlalchemy as sa

from idp.db import execute_alone
from idp.users.fields import email_key
from idp.users.models import NEVER, BankIdLink, User
from idp.users.sorting import sort_key

PAGE_SIZE = 25
MAX_QUERY = 100
MAX_WORDS = 8

_USERS = cast(sa.Table, User.__table__)
_user, _link = _USERS.c, BankIdLink.__table__.c
SORTS: Mapping[str, tuple[sa.ColumnElement[Any], ...]] = {
    "name": (_user.name_key, _user.id),
    "email": (_user.email_key,),
    "login": (_user.last_login_at, _user.id),
    "status": (_user.status, _user.name_key, _user.id),
}


@dataclass(frozen=True)
class UserSearch:
    """A search of the list: the words that each user found has, the order, and the page (from 1)."""

    query: str = ""
    sort: str = "name"
    descending: bool = False
    page: int = 1

    @classmethod
    def parse(cls, query: str, sort: str, order: str, page: str) -> "UserSearch":
        """The search in a URL's parameters; a malformed one counts as left out."""
        shown = "".join(" " if unicodedata.category(one) in ("Cc", "Cs") else one for one in query)
        return cls(
            query=" ".join(shown.split())[:MAX_QUERY],
            sort=sort if sort in SORTS else "name",
            descending=order == "desc",
            page=max(int(page), 1) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )


@dataclass(frozen=True)
class ListedUser:
    """One user in the list. `last_login_at` is None when no login is known."""

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
    """One page of the users found. `page` is the page asked for, or the last one if there are fewer."""

    users: list[ListedUser]
    hits: int
    page: int
    pages: int


def find(company_id: UUID, search: UserSearch) -> Listing:
    """The page of the company's users that the search asks for."""
    words = search.query.split()[:MAX_WORDS]
    asked: dict[str, Any] = {"company_id": company_id}
    for number, word in enumerate(words):
        asked |= {f"name_{number}": _escaped(sort_key(word)), f"email_{number}": _escaped(email_key(word))}
    hits = execute_alone(_count(len(words)), asked, _Hits)[0].number
    pages = max(-(-hits // PAGE_SIZE), 1)
    page = min(search.page, pages)
    begins, ends = (page - 1) * PAGE_SIZE, min(page * PAGE_SIZE, hits)
    # A page in the second half is reached faster from the end.
    backwards = begins > hits - ends
    statement = _page(search.sort, search.descending != backwards, len(words))
    rows = execute_alone(statement, {**asked, "skipped": hits - ends if backwards else begins}, ListedUser)
    if backwards:
        rows = rows[::-1][begins - ends :]
    return Listing([_without_never(row) for row in rows], hits, page, pages)


class _Hits(NamedTuple):
    number: int


def _without_never(user: ListedUser) -> ListedUser:
    return replace(user, last_login_at=None) if user.last_login_at == NEVER else user


def _escaped(key: str) -> str:
    """The key for LIKE, escaped with "/"."""
    return key.replace("/", "//").replace("%", "/%").replace("_", "/_")


def _matching(words: int) -> list[sa.ColumnElement[bool]]:
    """The conditions: the company, and for each word that it is in the name, the title or the address."""
    found: list[sa.ColumnElement[bool]] = [_user.company_id == sa.bindparam("company_id", type_=sa.Uuid())]
    for number in range(words):
        name = sa.bindparam(f"name_{number}", type_=sa.String())
        email = sa.bindparam(f"email_{number}", type_=sa.String())
        found.append(
            sa.or_(
                _user.name_key.contains(name, escape="/"),
                _user.title_key.contains(name, escape="/"),
                _user.email_key.contains(email, escape="/"),
            )
        )
    return found


# Each kind of statement is built once: `execute_alone` caches its compiled form.


@cache
def _count(words: int) -> sa.Select[Any]:
    return sa.select(sa.func.count().label("number")).select_from(_USERS).where(*_matching(words))


@cache
def _page(sort: str, descending: bool, words: int) -> sa.Select[Any]:
    """A page's rows after those `skipped`, which are passed over in the order's index alone."""
    order = [column.desc() if descending else column for column in SORTS[sort]]
    ids = (
        sa.select(_user.id)
        .where(*_matching(words))
        .order_by(*order)
        .limit(sa.literal_column(str(PAGE_SIZE)))
        .offset(sa.bindparam("skipped", type_=sa.Integer()))
    )
    has_bankid = sa.exists().where(_link.user_id == _user.id)
    columns = (_user.id, _user.name, _user.title, _user.email, _user.role, _user.status)
    return (
        sa.select(*columns, has_bankid.label("has_bankid"), _user.last_login_at)
        .where(_user.id.in_(ids))
        .order_by(*order)
    )
