"""What `db.execute_alone` asks of its callers, and what they ask of it, watched while tests run."""

import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from idp import db as database
from idp.db import db

WRITTEN = "written"


class Watched:
    """An engine whose statements run alone, while the session holds no change that they would not see.

    Every row is what its type says that it is.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def execute(
        self, statement: sa.Executable, parameters: Mapping[str, Any], row: type[Any] | None = None
    ) -> Any:
        if db.session.registry.has():
            refuse_changes(db.session())
        result = self._engine.execute(statement, parameters, row)
        if row is not None:
            for one in result:
                check_types(one)
        return result


def watch(patch: Any) -> None:
    """Watch every statement that runs alone in whatever application."""
    find = database._alone
    patch.setattr(database, "_alone", lambda: Watched(find()))
    sa.event.listen(Session, "after_flush", lambda session, _context: session.info.update({WRITTEN: True}))
    sa.event.listen(Session, "do_orm_execute", _note_write)
    sa.event.listen(Session, "after_transaction_end", _forget_writes)


def refuse_changes(session: Session) -> None:
    """Raise `AssertionError` when the session holds what is not committed."""
    changed = [*session.new, *session.dirty, *session.deleted]
    assert not changed, f"a statement runs alone beside changes that are not flushed: {changed}"
    assert not session.info.get(WRITTEN), "a statement runs alone beside changes that are not committed"


def check_types(row: Any) -> None:
    """Raise `AssertionError` when a field of a NamedTuple or dataclass holds what it does not say."""
    for name, hint in _hints(type(row)).items():
        value = getattr(row, name)
        assert _is(value, hint), f"{type(row).__name__}.{name} is {type(value).__name__}, not {hint}"


@cache
def _hints(row: type[Any]) -> Mapping[str, Any]:
    return typing.get_type_hints(row)


def _is(value: object, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_is(value, one) for one in typing.get_args(hint))
    return type(value) is (typing.get_origin(hint) or hint)


def _note_write(state: ORMExecuteState) -> None:
    if state.is_insert or state.is_update or state.is_delete:
        state.session.info[WRITTEN] = True


def _forget_writes(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(WRITTEN, None)
