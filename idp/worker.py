"""The worker: delivers mails and logout notices, and removes expired rows. Several may run at once."""

import signal
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError

from idp import mail, mail_transport, outbox, purge
from idp.app import logout_delivery
from idp.clock import utcnow
from idp.config import ConfigError, Settings
from idp.crypto import CannotOpen
from idp.db import db
from idp.mail_transport import Deferred, Refused, Send, Transport, Trouble
from idp.oidc.logout.backchannel import LogoutDelivery

LOOK_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0
MAILS_PER_SESSION = 50
TIDY_EVERY = timedelta(hours=1)
NOTICES_AT_ONCE = 4

log = structlog.get_logger("idp.worker")


def run(settings: Settings) -> None:
    """Deliver mails and logout notices until SIGTERM or SIGINT, which let those in hand finish.

    SIGHUP has clients.yaml read anew. Raises `ConfigError` without an IDP_MAIL_URL, and with every problem of
    keys and clients.
    """
    if settings.mail_url is None:
        raise ConfigError(["IDP_MAIL_URL is missing: it says where mails go"])
    _, sender = mail.sender(settings)
    transport = mail_transport.transport(settings.mail_url, sender=sender)
    delivery = logout_delivery(settings)
    stop, reload = threading.Event(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    log.info("worker_started", waiting=outbox.waiting())
    # Threads of their own: no mail waits for a relying app that does not answer.
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    notifiers = [
        threading.Thread(target=notify, args=(app, delivery, stop), daemon=True)
        for _ in range(NOTICES_AT_ONCE)
    ]
    for notifier in notifiers:
        notifier.start()
    pause = FIRST_PAUSE_SECONDS
    tidied: datetime | None = None
    while not stop.is_set():
        if reload.is_set():
            reload.clear()
            delivery.clients.refresh()
        try:
            fine = deliver_due(transport, stopping=stop.is_set)
            if tidied is None or utcnow() - tidied > TIDY_EVERY:
                tidied = utcnow()
                fine = tidy(transport, fine=fine, stopping=stop.is_set)
        except SQLAlchemyError as error:
            log.error("database_trouble", reason=type(error).__name__)
            db.session.rollback()
            fine = False
        db.session.remove()
        stop.wait(LOOK_SECONDS if fine else pause)
        pause = FIRST_PAUSE_SECONDS if fine else min(2 * pause, LONGEST_PAUSE_SECONDS)
    for notifier in notifiers:
        notifier.join()
    log.info("worker_stopped")


def notify(app: Flask, delivery: LogoutDelivery, stop: threading.Event) -> None:
    """Deliver one logout notice after the other until `stop` is set."""
    with app.app_context():
        while not stop.is_set():
            try:
                pause = 0.0 if delivery.deliver_next() else LOOK_SECONDS
            except SQLAlchemyError as error:
                log.error("database_trouble", reason=type(error).__name__)
                pause = FIRST_PAUSE_SECONDS
            except Exception:  # one relying app's address must not keep notices from the others
                log.exception("logout_notice_failed")
                pause = FIRST_PAUSE_SECONDS
            db.session.remove()
            stop.wait(pause)


def deliver_due(transport: Transport, *, stopping: Callable[[], bool] = lambda: False) -> bool:
    """Deliver every mail that is due, or up to `stopping`. False: nothing gets through at present."""
    while True:
        with transport.session() as send:
            for _ in range(MAILS_PER_SESSION):
                lease = None if stopping() else outbox.lease_next(now=utcnow())
                if lease is None:
                    return True
                if not _deliver(lease, send):
                    return False


def tidy(transport: Transport, *, fine: bool, stopping: Callable[[], bool]) -> bool:
    """Remove expired rows while mails go on leaving as long as they can (`fine`); whether they still can."""
    removed: Counter[str] = Counter()
    for batch in purge.batches(now=utcnow()):
        removed[batch.table] += batch.rows
        if stopping():
            break
        fine = fine and deliver_due(transport, stopping=stopping)
    if removed:
        log.info("purged", **removed)
    return fine


def _deliver(lease: outbox.Lease, send: Send) -> bool:
    if lease.useful_until is not None and lease.useful_until <= utcnow():
        outbox.give_up(lease, outbox.TOO_LATE, now=utcnow())
        log.warning("mail_too_late", **_facts(lease))
        return True
    try:
        send(outbox.open_mail(lease))
    except Trouble as error:
        log.error("mail_trouble", reason=str(error))
        _later(lease, str(error))
        return False
    except Deferred as error:
        _later(lease, str(error))
    except (Refused, CannotOpen) as error:
        _give_up(lease, str(error))
    else:
        outbox.mark_delivered(lease, now=utcnow())
        log.info("mail_delivered", **_facts(lease))
    return True


def _later(lease: outbox.Lease, reason: str) -> None:
    again = outbox.retry_later(lease, now=utcnow())
    if again is None:
        _give_up(lease, reason)
    else:
        log.warning("mail_deferred", reason=reason, again=again.isoformat(), **_facts(lease))


def _give_up(lease: outbox.Lease, reason: str) -> None:
    outbox.give_up(lease, reason, now=utcnow())
    log.error("mail_given_up", reason=reason, **_facts(lease))


def _facts(lease: outbox.Lease) -> dict[str, str | int]:
    return {"mail": str(lease.id), "kind": lease.kind, "attempt": lease.attempt}
