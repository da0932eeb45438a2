"""Building the application: the one module that knows every part."""

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import Migrate
from jinja2 import StrictUndefined
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from idp import errors, i18n, logs, mail, metrics, outbox
from idp.account import activity_views, email_change, email_views, linking_views
from idp.account import views as account_views
from idp.admin import views as admin_views
from idp.audit import AuditRow
from idp.bankid import method as bankid_method
from idp.bankid import views as bankid_views
from idp.bankid.api import named_certificates
from idp.config import ConfigError, Settings
from idp.crypto import NUMBER_KEYS
from idp.db import db
from idp.extensions import SETTINGS, current_settings
from idp.login import guard, interactions, methods, sessions
from idp.login import views as login_views
from idp.login.methods import LoginMethod
from idp.login.waiting_client import DESCRIBE_CLIENT, WaitingClient
from idp.oidc import endpoints as oidc_endpoints
from idp.oidc import revocation
from idp.oidc.blueprint import is_machine_endpoint
from idp.oidc.clients.client import Client
from idp.oidc.clients.keys import ClientKeys
from idp.oidc.clients.registry import ClientRegistry, load_clients
from idp.oidc.keys.ring import KeyRing
from idp.oidc.logout import frontchannel, notices
from idp.oidc.logout.backchannel import LogoutDelivery
from idp.oidc.metadata import DOCUMENTS
from idp.oidc.models import Consent, Grant
from idp.oidc.provider import PROVIDER, Provider
from idp.oidc.tokens.server import TOKEN_SERVER, TokenServer
from idp.outbound import Outbound
from idp.password import method as password_method
from idp.password import views as password_views
from idp.ratelimit import LIMITER, RateLimiter
from idp.reference import request_facts
from idp.templating import LanguageEnvironment
from idp.user_agent import recognise
from idp.users import accounts, bankid_links
from idp.users import mails as user_mails
from idp.users.mails import Notice
from idp.web import setup as web_setup

MIGRATIONS = Path(__file__).parent / "migrations"
# Plans are kept per connection: one made while a table was still empty would always scan it.
POSTGRESQL_OPTIONS = "-c enable_seqscan=off -c jit=off -c timezone=UTC"
MODELS = (AuditRow, Consent, Grant, outbox.QueuedMail)  # their modules register every table


class Way(NamedTuple):
    """A login method with what `create_app` wires in: how it is set up, and its pages, also those about it
    in Mina uppgifter. The pages are there while it is switched on."""

    name: str
    set_up: Callable[[Flask, Settings], LoginMethod]
    pages: tuple[ModuleType, ...]


# Every way to log in, in the order of the tabs: a new one is a folder, and a line here.
METHODS = (
    Way(bankid_method.NAME, bankid_method.set_up, (bankid_views, linking_views)),
    Way(password_method.NAME, password_method.set_up, (password_views,)),
)
METHOD_NAMES = tuple(way.name for way in METHODS)


class Application(Flask):
    """Flask that need not ask at every hook of a request whether it is a coroutine: none is."""

    jinja_environment = LanguageEnvironment

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_tool_app(settings: Settings) -> Flask:
    """Database, texts and news between features, for commands that need neither keys nor clients."""
    app = Application("idp")
    app.config["SQLALCHEMY_DATABASE_URI"] = _prepared_url(settings.database_url)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = _engine_options(settings)
    SETTINGS.put(app, settings)
    logs.configure(settings.log, request_facts)
    i18n.register(app, secure=settings.is_https)
    mail.register(app)
    outbox.register(app, settings)
    # Here, because commands end sessions too, and with them the tokens issued from them.
    accounts.user_disabled.connect(_end_sessions)
    accounts.password_set.connect(email_change.void)
    bankid_links.bankid_taken_away.connect(bankid_method.end_sessions)
    sessions.new_method.connect(_tell_of_new_method)
    interactions.moved_on.connect(methods.abandon_others)
    sessions.sessions_ended.connect(revocation.revoke_grants_of_sessions)
    sessions.sessions_ended.connect(notices.queue)
    sessions.logins_void.connect(revocation.revoke_grants_of_person)
    db.init_app(app)
    Migrate(app, db, directory=str(MIGRATIONS), render_as_batch=True)
    return app


def create_app(settings: Settings) -> Flask:
    """The whole provider. Raises `ConfigError` with every problem of keys and clients."""
    app = create_tool_app(settings)
    app.jinja_env.undefined = StrictUndefined
    keys, clients = _load(settings)
    limiter = RateLimiter(settings)
    secret = settings.secret_key.get_secret_value()
    found = _set_up_methods(app, settings)
    numbers = NUMBER_KEYS.find(app)
    issuer = Provider(
        issuer=settings.issuer,
        clients=clients,
        keys=keys,
        limiter=limiter,
        client_keys=ClientKeys(Outbound(allow_loopback=settings.is_loopback)),
        subject_key=_subject_key(settings),
        successor_key=hmac.new(secret.encode(), b"refresh token successors", hashlib.sha256).digest(),
        nonce_key=hmac.new(secret.encode(), b"DPoP nonces", hashlib.sha256).digest(),
        methods={method.name: method for method in found},
        person_number=partial(bankid_links.number_of, keys=numbers) if numbers else None,
    )
    PROVIDER.put(app, issuer)
    TOKEN_SERVER.put(app, TokenServer(issuer))
    LIMITER.put(app, limiter)
    DOCUMENTS.put(app, {})
    guard.LOGOUT_FRAMES.put(app, partial(frontchannel.frame_urls, issuer))
    DESCRIBE_CLIENT.put(app, partial(_describe, clients))

    metrics.register(app, settings)
    web_setup.register(app, settings, readiness=lambda: readiness(keys, clients))
    errors.register(app, is_protocol_endpoint=is_machine_endpoint)
    oidc_endpoints.register(app)
    pages = (account_views, email_views, activity_views, admin_views)
    for views in (login_views, *pages):
        app.register_blueprint(views.blueprint)

    @app.context_processor
    def account_icon() -> dict[str, Any]:
        live = guard.page_session()
        return {"account_user": {"name": live.name, "email": live.email} if live else None}

    return app


def logout_delivery(settings: Settings) -> LogoutDelivery:
    """The delivery of logout notices. Raises `ConfigError` with every problem of keys and clients."""
    keys, clients = _load(settings)
    outbound = Outbound(allow_loopback=settings.is_loopback)
    return LogoutDelivery(
        issuer=settings.issuer,
        clients=clients,
        keys=keys,
        subject_key=_subject_key(settings),
        outbound=outbound,
        client_keys=ClientKeys(outbound),
    )


def create_app_from_environ() -> Flask:
    """The application for a WSGI server. Raises `ConfigError`, also for a database behind on migrations."""
    settings = Settings.from_environ(os.environ)
    app = create_app(settings)
    with app.app_context():
        behind = migrations_behind()
        db.engine.dispose()  # the server forks its workers after this, and they must not share a connection
    if behind:
        raise ConfigError([behind])
    return app


def read_clients(path: Path, settings: Settings, keys: KeyRing | None) -> dict[str, Client]:
    """The clients of a clients.yaml, as a server with these settings and keys would read it.

    `keys` None: unknown, so algorithms are not checked against them. Raises `ConfigError` with every problem.
    """
    return load_clients(
        path,
        login_methods=METHOD_NAMES,
        signing_algs=keys.algs if keys else None,
        bankid_certificates=named_certificates.names(settings.bankid.certificates_dir),
    )


def readiness(keys: KeyRing, clients: ClientRegistry) -> dict[str, Any]:
    """The state of each part, for load balancers and people: `ready`, and a plain word for each."""
    clients.refresh()
    parts: dict[str, Any] = {"keys": keys.problems or "ok", "clients": clients.problems or "ok"}
    try:
        db.session.execute(sa.text("SELECT 1"))
        parts["database"] = "ok"
    except SQLAlchemyError:
        parts["database"] = "does not answer"
    parts["ready"] = parts["database"] == "ok"
    return parts


def migrations_behind() -> str | None:
    """The advice for a database that is not at the newest migration, else None.

    Raises `SQLAlchemyError` when it does not answer.
    """
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    with db.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current == newest:
        return None
    return f"the database is at migration {current}, this version needs {newest}: run `idp db upgrade`"


def _set_up_methods(app: Flask, settings: Settings) -> list[LoginMethod]:
    """Every method, known to `app`; the pages of those that are switched on are registered."""
    found = []
    for way in METHODS:
        method = way.set_up(app, settings)
        found.append(method)
        for views in way.pages if method.is_on else ():
            app.register_blueprint(views.blueprint)
    methods.register(app, tuple(found))
    return found


def _load(settings: Settings) -> tuple[KeyRing, ClientRegistry]:
    problems: list[str] = []
    keys: KeyRing | None = None
    clients: ClientRegistry | None = None
    try:
        keys = KeyRing(settings.keys_dir)
    except ConfigError as error:
        problems += error.problems
    try:
        clients = ClientRegistry(
            settings.clients_file,
            login_methods=METHOD_NAMES,
            signing_algs=(lambda: keys.algs) if keys else None,
            bankid_certificates=named_certificates.names(settings.bankid.certificates_dir),
        )
    except ConfigError as error:
        problems += error.problems
    if keys is None or clients is None:
        raise ConfigError(problems)
    return keys, clients


def _subject_key(settings: Settings) -> bytes:
    secret = settings.secret_key.get_secret_value()
    return hmac.new(secret.encode(), b"pairwise subjects", hashlib.sha256).digest()


def _describe(clients: ClientRegistry, client_id: str, language: str) -> WaitingClient | None:
    client = clients.get(client_id)
    if client is None:
        return None
    return WaitingClient(
        name=client.name(language),
        restart_url=client.initiate_login_uri or client.client_uri,
        terms={
            method.name: method.terms_of(client) for method in methods.known() if method.terms_of is not None
        },
    )


def _end_sessions(_sender: object, *, user_id: Any, now: Any) -> None:
    sessions.end_all_of(user_id, now=now, reason="user disabled")


def _tell_of_new_method(
    _sender: object, *, user_id: UUID, method: str, address: str | None, user_agent: str, now: datetime
) -> None:
    user = accounts.find(user_id)
    if user is not None:
        notice = Notice(current_settings(), address, recognise(user_agent).described)
        user_mails.queue_method_notice(user, methods.named(method).in_words, notice=notice, now=now)


def _prepared_url(url: str) -> str:
    """The database URL; the folder of an SQLite file is made."""
    database = make_url(url).database
    if url.startswith("sqlite") and database and database != ":memory:":
        path = Path(database).absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError([f"IDP_DATABASE_URL: cannot create {path.parent}: {error.strerror}"]) from None
        return f"sqlite:///{path}"
    return url


def _engine_options(settings: Settings) -> Mapping[str, Any]:
    options: dict[str, Any] = {"hide_parameters": True}  # values stay out of errors' words
    if settings.database_url.startswith("sqlite"):
        return options
    return {
        **options,
        "pool_size": settings.database_pool_size,
        "max_overflow": settings.database_pool_size,
        "pool_timeout": 10,
        "pool_recycle": 3600,
        "connect_args": {"connect_timeout": 5, "options": POSTGRESQL_OPTIONS},
    }
