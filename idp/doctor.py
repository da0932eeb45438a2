"""What `idp doctor` looks at: is everything there that the provider needs?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from idp.app import KNOWN_LOGIN_METHODS, create_tool_app, migrations_behind
from idp.bankid import setup as bankid_setup
from idp.bankid.environment import SetupError
from idp.config import ConfigError, Settings
from idp.crypto import PersonalNumberKeys
from idp.db import db
from idp.oidc.client_registry import expired_clients, load_clients
from idp.oidc.keys import KeyRing

CERTIFICATE_WARNING = timedelta(days=60)
CLOCK_TOLERANCE = timedelta(seconds=5)


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `ok`, `warning` or `error`, and what was seen."""

    part: str
    state: str
    text: str


def examine(settings: Settings, *, now: datetime) -> Iterator[Finding]:
    """Look at every part, one after the other; a broken one does not hide the next."""
    parts: dict[str, Callable[[Settings, datetime], Finding]] = {
        "database": _database,
        "keys": _keys,
        "clients": _clients,
        "bankid": _bankid,
        "counters": _counters,
    }
    for part, look in parts.items():
        try:
            yield look(settings, now)
        except ConfigError as error:
            yield Finding(part, "error", "; ".join(error.problems))
        except SetupError as error:
            yield Finding(part, "error", str(error))


def _database(settings: Settings, now: datetime) -> Finding:
    with create_tool_app(settings).app_context():
        try:
            behind = migrations_behind()
            if behind:
                return Finding("database", "error", behind)
            if db.engine.dialect.name == "postgresql":
                there: datetime | None = db.session.scalar(sa.text("SELECT now()"))
                if there is not None and abs(there - now) > CLOCK_TOLERANCE:
                    text = f"its clock and ours differ by {abs(there - now).total_seconds():.0f} s"
                    return Finding("database", "warning", text)
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).splitlines()[0]
            return Finding("database", "error", f"does not answer: {cause}")
        return Finding("database", "ok", f"{db.engine.dialect.name}, at the newest migration")


def _keys(settings: Settings, _now: datetime) -> Finding:
    ring = KeyRing(settings.keys_dir)
    return Finding("keys", "ok", f"signing with {', '.join(ring.algs)}")


def _clients(settings: Settings, now: datetime) -> Finding:
    algs = KeyRing(settings.keys_dir).algs
    found = load_clients(settings.clients_file, login_methods=KNOWN_LOGIN_METHODS, signing_algs=algs)
    expired = expired_clients(found, now)
    if expired:
        return Finding("clients", "warning", expired)
    return Finding("clients", "ok", f"{len(found)} in {settings.clients_file}")


def _bankid(settings: Settings, now: datetime) -> Finding:
    if settings.bankid.environment == "off":
        return Finding("bankid", "ok", "off")
    if settings.personal_number_keys is None:
        return Finding("bankid", "error", "IDP_PERSONAL_NUMBER_KEYS is missing")
    PersonalNumberKeys(settings.personal_number_keys.get_secret_value())
    expires = bankid_setup.certificate(settings.bankid).expires_at
    text = f"{settings.bankid.environment}, the certificate is valid until {expires:%Y-%m-%d}"
    if expires <= now:
        return Finding("bankid", "error", f"the certificate expired on {expires:%Y-%m-%d}")
    return Finding("bankid", "warning" if expires - now < CERTIFICATE_WARNING else "ok", text)


def _counters(settings: Settings, _now: datetime) -> Finding:
    if settings.redis_url is None:
        text = "each worker counts by itself: set IDP_REDIS_URL when there are several"
        return Finding("counters", "ok" if settings.is_loopback else "warning", text)
    return Finding("counters", "ok", "in Redis")
