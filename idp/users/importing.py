"""Adding many people at once, from a file: all of them, or only those whose lines are good."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from idp import audit
from idp.config import Settings
from idp.db import db
from idp.users import mails, phone
from idp.users.fields import BadInput, checked_email, checked_name, email_key
from idp.users.import_file import Line
from idp.users.models import Company, Role, Status, User

BATCH = 500
MAX_SEARCHED = 200  # among a thousand companies each takes 14 ms
LOCALES = ("sv", "en")
YES = ("yes", "true", "1", "ja", "sant")
NO = ("", "no", "false", "0", "nej", "falskt")

T = TypeVar("T")


class Welcome(StrEnum):
    """The new people who are mailed a welcome."""

    ALL = "all"
    WITHOUT_PASSWORD = "without password"  # noqa: S105 - those who bring no hash need the way to a first one
    NONE = "none"


@dataclass(frozen=True)
class Options:
    """`partial`: add the people on good lines even if other lines are bad. `dry_run`: add nobody."""

    partial: bool = False
    dry_run: bool = False
    create_companies: bool = False
    welcome: Welcome = Welcome.WITHOUT_PASSWORD


@dataclass(frozen=True)
class BadLine:
    """Every problem of one line of the file."""

    number: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """The result of an import; in a dry run the expected one."""

    lines: int
    added: int
    welcomed: int
    new_companies: tuple[str, ...]
    bad: tuple[BadLine, ...]


Progress = Callable[[str, int, int], None]
"""Called with the present step, the number done, and the number in all."""


@dataclass
class _Checked:
    """The people of the good lines as rows of the table, and the companies these need."""

    people: list[dict[str, Any]] = field(default_factory=list)
    new_companies: dict[str, UUID] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)


def run(
    lines: Sequence[Line],
    options: Options,
    *,
    check_hash: Callable[[str], object],
    settings: Settings,
    now: datetime,
    progress: Progress,
) -> Outcome:
    """Check every line, then add everybody in one transaction, which commits at the end or not at all.

    `check_hash` raises `ValueError`, in words that do not repeat it, for a hash that cannot be used. Raises
    `BadInput` when somebody else has added one of the addresses or companies meanwhile.
    """
    checked = _check(lines, options, check_hash=check_hash, now=now, progress=progress)
    people = checked.people if options.partial or not checked.bad else []
    companies = checked.new_companies if people else {}
    welcomed = [person for person in people if _is_welcomed(person, options.welcome)]
    if people and not options.dry_run:
        try:
            _add(people, companies, options.welcome, settings=settings, now=now, progress=progress)
            db.session.commit()
        except IntegrityError:
            db.session.rollback()
            raise BadInput(
                "somebody else has added an address or company of this file meanwhile: "
                "nothing was changed, run the import again"
            ) from None
    return Outcome(len(lines), len(people), len(welcomed), tuple(companies), tuple(checked.bad))


# Checking


def _check(
    lines: Sequence[Line],
    options: Options,
    *,
    check_hash: Callable[[str], object],
    now: datetime,
    progress: Progress,
) -> _Checked:
    checked = _Checked()
    companies = _Companies(may_create=options.create_companies)
    first_seen: dict[str, int] = {}
    done = 0
    for some in _in_batches(lines):
        read = [(line, *_row(line.values, check_hash=check_hash, now=now)) for line in some]
        taken = _taken([row["email_key"] for _, row, _ in read])
        for line, row, problems in read:
            if line.problem:
                problems.insert(0, line.problem)
            key = row["email_key"]
            if key in taken:
                problems.append(f"there is already a user with the address {row['email']}")
            elif key and first_seen.setdefault(key, line.number) != line.number:
                problems.append(f"has the same address as line {first_seen[key]}")
            company_id = companies.find(line.values["company"], problems)
            if problems:
                checked.bad.append(BadLine(line.number, tuple(problems)))
            else:
                checked.people.append({**row, "company_id": company_id})
                companies.use(company_id, checked.new_companies)
        done += len(some)
        progress("checked", done, len(lines))
    return checked


def _row(
    values: dict[str, str], *, check_hash: Callable[[str], object], now: datetime
) -> tuple[dict[str, Any], list[str]]:
    """The line's values as a row of the table, without its company, and their problems."""
    problems: list[str] = []

    def tried(work: Callable[[], T], otherwise: T) -> T:
        try:
            return work()
        except BadInput as error:
            problems.extend(error.problems)
        return otherwise

    stored_hash = values["password_hash"]
    if stored_hash:
        try:
            check_hash(stored_hash)
        except ValueError as error:
            problems.append(f"password_hash {error}")
    email = tried(lambda: checked_email(values["email"]), "")
    title = values["title"]
    verified = tried(lambda: _yes_or_no(values["email_verified"]), False)
    row = {
        "id": uuid4(),
        "email": email,
        "email_key": email_key(email),
        "email_verified_at": now if verified else None,
        "name": tried(lambda: checked_name(values["name"], "name"), ""),
        "title": tried(lambda: checked_name(title, "title"), "") if title else None,
        "phone": tried(lambda: _phone(values["phone"]), "") if values["phone"] else None,
        "locale": tried(lambda: _one_of(values["locale"] or "sv", LOCALES, "locale"), ""),
        "role": tried(lambda: _one_of(values["role"] or Role.USER.value, tuple(Role), "role"), ""),
        "status": Status.ACTIVE.value,
        "notices": True,
        "password_hash": stored_hash or None,
        "created_at": now,
        "updated_at": now,
    }
    return row, problems


def _phone(text: str) -> str:
    try:
        return phone.parse(text)
    except phone.NotAPhoneNumber as error:
        raise BadInput(f"phone {text[:40]!r}: {error}") from None


def _one_of(text: str, allowed: Sequence[str], what: str) -> str:
    value = text.lower()
    if value in allowed:
        return str(value)
    near = difflib.get_close_matches(value, allowed, 1)
    hint = f"did you mean {near[0]}?" if near else f"must be {' or '.join(allowed)}"
    raise BadInput(f"{what} {text[:40]!r}: {hint}")


def _yes_or_no(text: str) -> bool:
    value = text.lower()
    if value not in YES + NO:
        raise BadInput(f"email_verified {text[:40]!r}: must be yes or no")
    return value in YES


def _taken(keys: Sequence[str]) -> set[str]:
    return set(db.session.scalars(sa.select(User.email_key).where(User.email_key.in_(keys))))


class _Companies:
    """The companies there are, and those that the file may bring along."""

    def __init__(self, *, may_create: bool) -> None:
        self._may_create = may_create
        self._known: dict[str, UUID] = {
            row.name: row.id for row in db.session.execute(sa.select(Company.name, Company.id))
        }
        self._spelling = {name.casefold(): name for name in self._known}
        self._new: dict[UUID, str] = {}
        self._unknown: dict[str, str] = {}

    def find(self, text: str, problems: list[str]) -> UUID | None:
        """The company of this name, created if that is allowed; its problems are added to `problems`."""
        try:
            name = checked_name(text, "company")
        except BadInput as error:
            problems.extend(error.problems)
            return None
        found = self._known.get(name)
        if found is not None:
            return found
        alike = self._spelling.get(name.casefold())
        if alike is not None:
            problems.append(f"there is no company {name!r}: did you mean {alike!r}?")
        elif self._may_create:
            made = self._known[name] = uuid4()
            self._spelling[name.casefold()] = name
            self._new[made] = name
            return made
        else:
            problems.append(self._explained(name))
        return None

    def _explained(self, name: str) -> str:
        """Advice for an unknown company. Similar names are searched for once, for `MAX_SEARCHED` at most."""
        if name not in self._unknown:
            searched = len(self._unknown) < MAX_SEARCHED
            near = difflib.get_close_matches(name, list(self._known), 1) if searched else []
            hint = f"did you mean {near[0]!r}?" if near else "add it, or give --create-companies"
            self._unknown[name] = f"there is no company {name!r}: {hint}"
        return self._unknown[name]

    def use(self, company_id: UUID | None, needed: dict[str, UUID]) -> None:
        """Note that a good line is of this company, which must be created if it is new."""
        if company_id in self._new:
            needed[self._new[company_id]] = company_id


# Adding


def _add(
    people: Sequence[dict[str, Any]],
    companies: dict[str, UUID],
    welcome: Welcome,
    *,
    settings: Settings,
    now: datetime,
    progress: Progress,
) -> None:
    """Write everything into the transaction, which the caller commits."""
    if companies:
        rows = [{"id": company_id, "name": name, "created_at": now} for name, company_id in companies.items()]
        db.session.execute(sa.insert(Company), rows)
        for name in companies:
            audit.record(audit.Event.COMPANY_CREATED, now=now, company=name)
    done = 0
    for some in _in_batches(people):
        db.session.execute(sa.insert(User), some)
        ids = [person["id"] for person in some]
        audit.record_of_each(audit.Event.USER_CREATED, ids, now=now, by="import")
        welcomed = [person for person in some if _is_welcomed(person, welcome)]
        mails.queue_welcomes(welcomed, settings=settings, now=now)
        done += len(some)
        progress("added", done, len(people))


def _is_welcomed(person: dict[str, Any], welcome: Welcome) -> bool:
    if welcome is Welcome.WITHOUT_PASSWORD:
        return person["password_hash"] is None
    return welcome is Welcome.ALL


def _in_batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
