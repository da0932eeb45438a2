"""The worker: delivers what is in the outbox until it is stopped. Several may run at once."""

import signal
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from idp import mail, mail_transport, outbox
from idp.clock import utcnow
from idp.config import ConfigError, Settings
from idp.crypto import CannotOpen
from idp.db import db
from idp.mail_transport import Deferred, Refused, Send, Transport, Trouble

LOOK_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0
MAILS_PER_SESSION = 50
TIDY_EVERY = timedelta(hours=1)

log = structlog.get_logger("idp.worker")


def run(settings: Settings) -> None:
    """Deliver mails until SIGTERM or SIGINT, which let the mail in hand finish.

    Raises `ConfigError` when no IDP_MAIL_URL says where to.
    """
    if settings.mail_url is None:
        raise ConfigError(["IDP_MAIL_URL is missing: it says where mails go"])
    _, sender = mail.sender(settings)
    transport = mail_transport.transport(settings.mail_url, sender=sender)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    log.info("worker_started", waiting=outbox.waiting())
    pause = FIRST_PAUSE_SECONDS
    tidied: datetime | None = None
    while not stop.is_set():
        try:
            fine = deliver_due(transport, stopping=stop.is_set)
            if tidied is None or utcnow() - tidied > TIDY_EVERY:
                outbox.forget(now=utcnow())
                tidied = utcnow()
        except SQLAlchemyError as error:
            log.error("database_trouble", reason=type(error).__name__)
            db.session.rollback()
            fine = False
        db.session.remove()
        stop.wait(LOOK_SECONDS if fine else pause)
        pause = FIRST_PAUSE_SECONDS if fine else min(2 * pause, LONGEST_PAUSE_SECONDS)
    log.info("worker_stopped")


def deliver_due(transport: Transport, *, stopping: Callable[[], bool] = lambda: False) -> bool:
    """Deliver every mail that is due, or up to `stopping`. False: nothing gets through at present."""
    while True:
        with transport.session() as send:
            for _ in range(MAILS_PER_SESSION):
                claimed = None if stopping() else outbox.claim(now=utcnow())
                if claimed is None:
                    return True
                if not _deliver(claimed, send):
                    return False


def _deliver(claimed: outbox.Claim, send: Send) -> bool:
    try:
        send(outbox.open_mail(claimed))
    except Trouble as error:
        log.error("mail_trouble", reason=str(error))
        _later(claimed, str(error))
        return False
    except Deferred as error:
        _later(claimed, str(error))
    except (Refused, CannotOpen) as error:
        _give_up(claimed, str(error))
    else:
        outbox.delivered(claimed, now=utcnow())
        log.info("mail_delivered", **_facts(claimed))
    return True


def _later(claimed: outbox.Claim, reason: str) -> None:
    again = outbox.retry_later(claimed, now=utcnow())
    if again is None:
        _give_up(claimed, reason)
    else:
        log.warning("mail_deferred", reason=reason, again=again.isoformat(), **_facts(claimed))


def _give_up(claimed: outbox.Claim, reason: str) -> None:
    outbox.give_up(claimed, reason, now=utcnow())
    log.error("mail_given_up", reason=reason, **_facts(claimed))


def _facts(claimed: outbox.Claim) -> dict[str, str | int]:
    return {"mail": str(claimed.id), "kind": claimed.kind, "attempt": claimed.attempt}
