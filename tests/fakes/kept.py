"""What takes long to make and is the same for every application of a run: made once."""

import sqlite3
from types import CodeType
from typing import Any

import sqlalchemy as sa
from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule

from idp.db import db


class CompiledTemplates(BytecodeCache):
    """Code by the template's name, file, text and language, and by its whitespace rules."""

    def __init__(self) -> None:
        self._code: dict[tuple[Any, ...], CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get(self._key(bucket))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[self._key(bucket)] = bucket.code

    @staticmethod
    def _key(bucket: Bucket) -> tuple[Any, ...]:
        rules: Any = bucket.environment  # mails have other rules than pages
        months = tuple(rules.texts.months.values()) if getattr(rules, "texts", None) else ()
        written = rules.trim_blocks, rules.lstrip_blocks, str(rules.autoescape)
        return bucket.key, bucket.checksum, *written, months


class UrlBuilders:
    """The functions that Werkzeug writes for `url_for`, two for each rule: its words say all they hold."""

    def __init__(self) -> None:
        self._write = Rule._compile_builder
        self._written: dict[Any, Any] = {}

    def of(self, rule: Rule, append_unknown: bool = True) -> Any:
        if rule.defaults:
            return self._write(rule, append_unknown)
        words = rule.rule, tuple(rule._trace), append_unknown
        if words not in self._written:
            self._written[words] = self._write(rule, append_unknown)
        return self._written[words]


class Engines:
    """An engine for each way to connect, with the statements it has compiled.

    One application at a time uses it. On PostgreSQL its connections stay open too, for they know the tables
    and their statements by then; a database in memory goes with its connection.
    """

    def __init__(self) -> None:
        self._make = db._make_engine
        self._made: dict[str, sa.Engine] = {}
        self._tables = sqlite3.connect(":memory:", check_same_thread=False)

    def lend(self, bind_key: str | None, options: dict[str, Any], app: Flask) -> sa.Engine:
        """In place of Flask-SQLAlchemy's `_make_engine`."""
        way = repr(sorted(options.items(), key=str))
        if way not in self._made:
            self._made[way] = self._make(bind_key, options, app)
        return self._made[way]

    def take_back(self, engine: sa.Engine) -> None:
        """After a test. What it has not given back itself is left to it."""
        pool: Any = engine.pool
        if engine.dialect.name == "sqlite" or pool.checkedout():
            engine.dispose()

    def make_tables(self, engine: sa.Engine) -> None:
        """Every table in a new database in memory: copied, once they have been made."""
        with engine.connect() as connection:
            database: Any = connection.connection.driver_connection
            if self._tables.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
                db.metadata.create_all(connection)
                connection.commit()
                database.backup(self._tables)
            else:
                self._tables.backup(database)

    def close(self) -> None:
        for engine in self._made.values():
            engine.dispose()
        self._tables.close()
