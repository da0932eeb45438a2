"""Statements that are transactions by themselves: what they answer, and when they may be run."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask import Flask

from idp.clock import utcnow
from idp.db import (
    InsertAndSelect,
    Insertion,
    db,
    execute_alone,
    insert_and_select,
    insert_ignoring,
    server_time,
    write_alone,
)
from idp.users.models import Company, User
from tests.factories import make_user

TABLE = sa.Table(
    "alone_things",
    sa.MetaData(),
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("of", sa.String(40)),
    sa.Column("used", sa.Boolean),
)
STORE = sa.insert(TABLE)
NAMES = sa.select(TABLE.c.name).order_by(TABLE.c.name)
CLAIM = (
    sa.update(TABLE)
    .where(TABLE.c.name == sa.bindparam("wanted"), TABLE.c.used.is_(False))
    .values(used=sa.true())
    .returning(TABLE.c.name, TABLE.c.of)
)
FOLLOW = InsertAndSelect(
    CLAIM,
    Insertion(
        TABLE, {"name": sa.bindparam("follower"), "of": TABLE.c.name, "used": sa.bindparam("follower_used")}
    ),
)


class Name(NamedTuple):
    name: str


class Thing(NamedTuple):
    name: str
    of: str | None


@pytest.fixture(autouse=True)
def _tables(app: Flask) -> Iterator[None]:
    with app.app_context():
        TABLE.create(db.engine)
        write_alone(STORE, {"name": "a", "of": None, "used": False})
        yield
        db.session.remove()
        TABLE.drop(db.engine)


def names() -> list[str]:
    return [row.name for row in execute_alone(NAMES, {}, Name)]


def follow(follower: str) -> list[Any]:
    asked = {"wanted": "a", "follower": follower, "follower_used": False}
    return list(insert_and_select(FOLLOW, asked, Thing))


def test_rows_written_are_counted() -> None:
    assert write_alone(STORE, {"name": "b", "of": "a", "used": False}) == 1
    use = sa.update(TABLE).where(TABLE.c.of == sa.bindparam("whose")).values(used=sa.true())
    assert [write_alone(use, {"whose": whose}) for whose in ("a", "nobody")] == [1, 0]
    assert write_alone(sa.delete(TABLE), {}) == 2


def test_an_insert_that_ignores_stores_a_row_once() -> None:
    things = [{"name": name, "of": None, "used": False} for name in ("a", "b", "b")]
    assert [write_alone(insert_ignoring(TABLE), thing) for thing in things] == [0, 1, 0]
    assert names() == ["a", "b"]


def test_a_claimed_row_is_followed_once() -> None:
    assert follow("b") == [Thing("a", None)]
    assert names() == ["a", "b"]
    assert follow("c") == []
    assert names() == ["a", "b"]


def test_a_row_that_cannot_be_followed_is_not_claimed() -> None:
    with pytest.raises(sa.exc.IntegrityError):
        follow("a")
    assert follow("b") == [Thing("a", None)]


def test_rows_are_of_the_statements_columns() -> None:
    with pytest.raises(TypeError, match="has the fields"):
        execute_alone(NAMES, {}, Thing)


def test_no_parameter_sets_a_column_unasked() -> None:
    """SQLAlchemy would: the claimed row would get the name that was meant for the new one."""
    with pytest.raises(ValueError, match=r"alone_things: \['name'\]"):
        InsertAndSelect(CLAIM, Insertion(TABLE, {"name": sa.bindparam("name"), "of": TABLE.c.name}))


def test_the_server_has_a_clock(database_url: str) -> None:
    shown = server_time()
    assert (shown is None) == database_url.startswith("sqlite")
    assert shown is None or shown.tzinfo is not None


def add(user: User) -> None:
    db.session.add(Company(id=uuid4(), name="Nytt AB", created_at=utcnow()))


def change(user: User) -> None:
    user.name = "Annan"


def delete(user: User) -> None:
    db.session.delete(user)


def flush(user: User) -> None:
    change(user)
    db.session.flush()


def update(user: User) -> None:
    db.session.execute(sa.update(User).values(title="Chef"))


def update_table(user: User) -> None:
    db.session.execute(sa.update(User.__table__).values(title="Chef"))  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [add, change, delete, flush, update, update_table])
def test_none_runs_beside_uncommitted_changes(app: Flask, step: Any) -> None:
    """Our tests fail where one does."""
    user_id: UUID = make_user().id
    with app.app_context():
        step(db.session.get_one(User, user_id))
        with pytest.raises(AssertionError, match="a statement runs alone beside changes"):
            names()
        db.session.rollback()
        assert names() == ["a"]
        step(db.session.get_one(User, user_id))
        db.session.commit()
        assert names() == ["a"]
