"""The checks of `idp doctor`: is everything in order that the provider needs?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from idp import mail, outbox
from idp.app import create_tool_app, migrations_behind, read_clients
from idp.bankid import setup as bankid_setup
from idp.bankid.api import named_certificates
from idp.bankid.api.environment import SetupError
from idp.config import ConfigError, Settings
from idp.crypto import PersonalNumberKeys
from idp.db import db, server_time
from idp.mail_transport import Trouble, transport
from idp.oidc.clients.registry import expired_clients
from idp.oidc.keys.ring import KeyRing
from idp.oidc.logout import notices

CERTIFICATE_WARNING = timedelta(days=60)
CLOCK_TOLERANCE = timedelta(seconds=5)
LATE_MAIL = timedelta(minutes=15)
GIVEN_UP_WITHIN = timedelta(days=7)


@dataclass(frozen=True)
class Finding:
    """The result of one check: `ok`, `warning` or `error`, and the reason in words."""

    part: str
    state: str
    text: str


def examine(settings: Settings, *, now: datetime) -> Iterator[Finding]:
    """Check every part, one after the other; a broken one does not hide the next."""
    parts: dict[str, Callable[[Settings, datetime], Finding]] = {
        "database": _database,
        "keys": _keys,
        "clients": _clients,
        "bankid": _bankid,
        "mail": _mail,
        "outbox": _outbox,
        "logout": _logout,
        "counters": _counters,
    }
    for part, check in parts.items():
        try:
            yield check(settings, now)
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
            there = server_time()
            if there is not None and abs(there - now) > CLOCK_TOLERANCE:
                text = f"its clock differs from ours by {abs(there - now).total_seconds():.0f} s"
                return Finding("database", "warning", text)
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).splitlines()[0]
            return Finding("database", "error", f"does not answer: {cause}")
        return Finding("database", "ok", f"{db.engine.name}, at the newest migration")


def _keys(settings: Settings, _now: datetime) -> Finding:
    ring = KeyRing(settings.keys_dir)
    return Finding("keys", "ok", f"signing with {', '.join(ring.algs)}")


def _clients(settings: Settings, now: datetime) -> Finding:
    found = read_clients(settings.clients_file, settings, KeyRing(settings.keys_dir))
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
    certificates = {"": bankid_setup.certificate(settings.bankid)}
    certificates |= named_certificates.read(settings.bankid.certificates_dir)
    name, first = min(certificates.items(), key=lambda item: item[1].expires_at)
    which = f"the certificate {name}" if name else "the certificate"
    if first.expires_at <= now:
        return Finding("bankid", "error", f"{which} expired on {first.expires_at:%Y-%m-%d}")
    ends = f"is valid until {first.expires_at:%Y-%m-%d}"
    others = f", the first of {len(certificates)} to expire" if len(certificates) > 1 else ""
    text = f"{settings.bankid.environment}, {which} {ends}{others}"
    return Finding("bankid", "warning" if first.expires_at - now < CERTIFICATE_WARNING else "ok", text)


def _mail(settings: Settings, _now: datetime) -> Finding:
    if settings.mail_url is None:
        text = "IDP_MAIL_URL is missing: mails stay in the queue"
        return Finding("mail", "ok" if settings.is_loopback else "warning", text)
    _, sender = mail.sender(settings)
    try:
        return Finding("mail", "ok", transport(settings.mail_url, sender=sender).check())
    except Trouble as error:
        return Finding("mail", "error", str(error))


def _outbox(settings: Settings, now: datetime) -> Finding:
    with create_tool_app(settings).app_context():
        try:
            oldest = outbox.oldest_waiting()
            waiting = outbox.waiting()
            given_up = outbox.given_up_since(now - GIVEN_UP_WITHIN)
        except SQLAlchemyError:
            return Finding("outbox", "error", "cannot be read: see the database")
    text = f"{waiting} {'mail is' if waiting == 1 else 'mails are'} waiting"
    if oldest is not None:
        text += f", the oldest for {(now - oldest).total_seconds() / 60:.0f} minutes"
    late = oldest is not None and now - oldest > LATE_MAIL
    if late:
        text += ": check that `idp worker` runs, and its log"
    if given_up:
        days = GIVEN_UP_WITHIN.days
        text += f"; {given_up} given up in the last {days} days (`idp audit list --event mail.given_up`)"
    return Finding("outbox", "warning" if late or given_up else "ok", text)


def _logout(settings: Settings, now: datetime) -> Finding:
    with create_tool_app(settings).app_context():
        try:
            waiting = notices.waiting()
            given_up = notices.given_up_since(now - GIVEN_UP_WITHIN)
        except SQLAlchemyError:
            return Finding("logout", "error", "cannot be read: see the database")
    text = f"{waiting} {'logout notice is' if waiting == 1 else 'logout notices are'} waiting"
    if given_up:
        days = GIVEN_UP_WITHIN.days
        text += (
            f"; {given_up} given up in the last {days} days (`idp audit list --event logout.notice_given_up`)"
        )
    return Finding("logout", "warning" if given_up else "ok", text)


def _counters(settings: Settings, _now: datetime) -> Finding:
    if settings.redis_url is None:
        text = "each worker counts by itself: set IDP_REDIS_URL when several run"
        return Finding("counters", "ok" if settings.is_loopback else "warning", text)
    return Finding("counters", "ok", "kept in Redis")
