"""Workers share the notices by leases."""

import dataclasses
import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask import Flask
from time_machine import Traveller

from idp import retention, worker
from idp.app import logout_delivery
from idp.clock import utcnow
from idp.config import Settings
from idp.db import db
from idp.oidc.logout import notices
from idp.oidc.logout.notices import LogoutNotice
from idp.oidc.provider import PROVIDER
from idp.outbound import Outbound
from tests.fakes.listening_app import ListeningApp
from tests.fakes.relying_party import RelyingParty
from tests.integration.oidc.logout.backchannel.post import Post, log_out


def test_a_worker_that_comes_back_too_late_changes_nothing(
    clock: Traveller, app: Flask, rp: RelyingParty
) -> None:
    log_out(rp, rp.tokens().id_token)
    with app.app_context():
        late = notices.lease_next(now=utcnow())
        assert late is not None
        clock.shift(notices.LEASE_TIME - timedelta(seconds=1))
        assert notices.lease_next(now=utcnow()) is None
        clock.shift(1)
        present = notices.lease_next(now=utcnow())
        assert present is not None
        assert (present.id, late.attempt, present.attempt) == (late.id, 1, 2)
        notices.remove(late)
        notices.retry_later(late, now=utcnow())
        assert notices.give_up(late, "late", now=utcnow()) == 0
        assert notices.lease_next(now=utcnow()) is None
        notices.remove(present)
        assert notices.waiting() == 0


def test_no_notice_is_claimed_twice_by_workers_at_once(app: Flask, anna: str) -> None:
    with app.app_context():
        now = utcnow()
        db.session.execute(
            sa.insert(LogoutNotice),
            [
                {
                    "id": UUID(int=number),
                    "client_id": f"client-{number}",
                    "user_id": UUID(anna),
                    "session_id": UUID(int=number),
                    "queued_at": now,
                    "attempts": 0,
                    "next_attempt_at": now,
                }
                for number in range(20)
            ],
        )
        db.session.commit()
    claimed: list[UUID] = []

    def work() -> None:
        with app.app_context():
            while (mine := notices.lease_next(now=utcnow())) is not None:
                claimed.append(mine.id)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(30)
    assert len(claimed) == len(set(claimed)) == 20


def test_the_worker_notifies_the_others_while_one_app_is_deaf(
    app: Flask, parties: dict[str, RelyingParty], portal: ListeningApp, other: ListeningApp, post: Post
) -> None:
    portal.deaf = True
    parties["portal"].code()
    hint = parties["other"].tokens().id_token
    log_out(parties["other"], hint)
    stop = threading.Event()
    threads = [threading.Thread(target=worker.notify, args=(app, post.delivery, stop)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert portal.asked.wait(30)
        assert other.asked.wait(30)
    finally:
        portal.over.set()
        stop.set()
        for thread in threads:
            thread.join(30)
    assert post.waiting() == [("portal", 1)]


def test_a_worker_survives_an_unexpected_error(
    app: Flask, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    class Broken(Outbound):
        def request(self, *_args: Any, **_kwargs: Any) -> Any:
            stop.set()
            raise ValueError("nobody thought of this")

    stop = threading.Event()
    log_out(rp, rp.tokens().id_token)
    worker.notify(app, dataclasses.replace(post.delivery, outbound=Broken()), stop)
    assert post.waiting() == [("portal", 1)]


def test_a_notice_that_no_worker_came_for_is_removed(clock: Traveller, app: Flask, rp: RelyingParty) -> None:
    log_out(rp, rp.tokens().id_token)
    (over,) = notices.EXPIRED_ROWS
    with app.app_context():
        clock.shift(notices.FORGET_AFTER)
        assert list(retention.remove(over, now=utcnow())) == []
        clock.shift(1)
        assert list(retention.remove(over, now=utcnow())) == [1]


def test_settings_reach_the_delivery(app: Flask, environ: dict[str, str]) -> None:
    made = logout_delivery(Settings.from_environ(environ))
    assert made.subject_key == PROVIDER.of(app).subject_key
    assert made.issuer == "https://login.example.se"
