"""What tests stand on: a real provider on a real database, fresh for each test."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
import yaml
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from idp.app import create_app
from idp.bankid.api import certificate
from idp.cli import main
from idp.clock import utcnow
from idp.config import Settings
from idp.db import db
from idp.oidc.keys import files as key_files
from idp.oidc.keys import rotation as key_rotation
from tests.factories import NOON, make_client, make_public_client, make_user
from tests.fakes.alone import watch
from tests.fakes.kept import CompiledTemplates, Engines, UrlBuilders
from tests.fakes.loopback import only_loopback
from tests.fakes.postgres import PrivatePostgres
from tests.fakes.relying_party import RelyingParty
from tests.fakes.statements import Statements, noted

pytest_plugins = ["tests.moved_clock"]

ISSUER = "https://login.example.se"
DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Nothing but this machine answers; what tests start as processes of their own is not watched."""
    with pytest.MonkeyPatch.context() as patch:
        only_loopback(patch)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PrivatePostgres]:
    """A private PostgreSQL for this run."""
    with PrivatePostgres(durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: PrivatePostgres) -> str:
    """One database with every table, emptied for each test."""
    return postgres.create_database(f"tests_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}")


@pytest.fixture(scope="session", autouse=True)
def _statements_run_alone_as_they_may() -> Iterator[None]:
    """Beside no change that is not committed; their rows are what their types say."""
    with pytest.MonkeyPatch.context() as patch:
        watch(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def _each_key_checked_once() -> Iterator[None]:
    """Checking an RSA key takes longer than most tests: each is checked once, not for every application."""
    check, checked = key_files._import, {}

    def once(alg: Any, jwk: dict[str, str]) -> Any:
        asked = alg, tuple(sorted(jwk.items()))
        if asked not in checked:
            checked[asked] = check(alg, jwk)
        return checked[asked]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_files, "_import", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _each_certificate_key_checked_once() -> Iterator[None]:
    """The same for the key of the certificate at BankID."""
    check = functools.cache(certificate.load_pem_private_key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificate, "load_pem_private_key", check)
        yield


@pytest.fixture(scope="session", autouse=True)
def _each_template_compiled_once() -> Iterator[None]:
    """Compiling the templates of one page takes longer than all else in most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "jinja_options", {**Flask.jinja_options, "bytecode_cache": CompiledTemplates()})
        yield


@pytest.fixture(scope="session", autouse=True)
def _each_rule_compiled_once() -> Iterator[None]:
    """An application has 47 rules with two functions each, which is half the work of making it."""
    builders = UrlBuilders()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", lambda rule, unknown=True: builders.of(rule, unknown))
        yield


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """What `app` is connected with: kept from test to test, while the database is emptied."""
    kept = Engines()
    yield kept
    kept.close()


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signing keys for RS256 and ES256, made once."""
    directory = tmp_path_factory.mktemp("keys")
    key_rotation.rotate(directory, now=utcnow())
    key_rotation.rotate(directory, alg="ES256", now=utcnow())
    return directory


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """Every test that uses the database runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return "sqlite://"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    """The clients.yaml of the test; change it before asking for `app`."""
    return {
        "portal": make_client(),
        "spa": make_public_client(client_name="Appen", redirect_uris=["https://spa.example.se/cb"]),
    }


@pytest.fixture
def clients_file(tmp_path: Path, clients: dict[str, dict[str, Any]]) -> Path:
    path = tmp_path / "clients.yaml"
    path.write_text(
        yaml.dump({"version": 1, "clients": clients}, Dumper=yaml.CSafeDumper, allow_unicode=True)
    )
    return path


@pytest.fixture
def environ(database_url: str, keys_dir: Path, clients_file: Path) -> dict[str, str]:
    """The settings of the test, as environment variables; change it before asking for `app`."""
    return {
        "IDP_ISSUER": ISSUER,
        "IDP_SECRET_KEY": "0123456789abcdef0123456789abcdef",
        "IDP_DATABASE_URL": database_url,
        "IDP_KEYS_DIR": str(keys_dir),
        "IDP_CLIENTS_FILE": str(clients_file),
        "IDP_PASSWORD_HASH_MEMORY_KIB": "8",
        "IDP_PASSWORD_HASH_TIME": "1",
    }


@pytest.fixture
def app(environ: dict[str, str], engines: Engines) -> Iterator[Flask]:
    """The whole provider on an empty database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "_make_engine", engines.lend)
        application = create_app(Settings.from_environ(environ))
    application.testing = False  # errors get their pages, as they do for users
    with application.app_context():
        empty_database(engines)
    yield application
    with application.app_context():
        db.session.remove()
        engines.take_back(db.engine)


def empty_database(engines: Engines) -> None:
    """Make the tables, or empty them: PostgreSQL keeps them from test to test."""
    if str(db.engine.url) == "sqlite://":
        engines.make_tables(db.engine)
        return
    if db.engine.dialect.name == "sqlite" or not sa.inspect(db.engine).has_table("users"):
        db.create_all()
        return
    # DELETE, for TRUNCATE makes new files for every table; replica: triggers and foreign keys are off.
    names = [table.name for table in db.metadata.sorted_tables]
    with db.engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        connection.exec_driver_sql("; ".join(f"DELETE FROM {name}" for name in names), None)
        connection.execute(sa.text("SELECT setval(pg_get_serial_sequence('audit_events', 'id'), 1, false)"))


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """Noon, standing still; `clock.shift(seconds)` moves it, for libraries too."""
    # A timestamp: an aware datetime would take the machine's zone with it.
    with time_machine.travel(NOON.timestamp(), tick=False) as traveller:
        yield traveller


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    """A browser: keeps cookies, follows nothing by itself."""
    return app.test_client()


@pytest.fixture
def anna(app: Flask) -> str:
    """anna@example.se, who can log in with factories.PASSWORD; her id."""
    with app.app_context():
        return str(make_user().id)


@pytest.fixture
def rp(app: Flask, browser: FlaskClient) -> RelyingParty:
    """The relying app `portal`, with the browser of its user."""
    return RelyingParty(app, browser)


@pytest.fixture
def run(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run an `idp` command with the test's settings; gives click's result."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    def invoke(*arguments: str, stdin: str = "") -> Any:
        return CliRunner().invoke(main, list(arguments), input=stdin)

    return invoke


@pytest.fixture
def statements(app: Flask) -> Iterator[Statements]:
    """What is asked of the database from now on."""
    with app.app_context():
        engine = db.engine
    with noted(engine) as found:
        yield found
