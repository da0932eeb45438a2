"""A notice is tried again until its app has heard it or an hour is over."""

from pathlib import Path

import pytest
import yaml
from flask import Flask
from time_machine import Traveller

from idp.app import logout_delivery
from idp.clock import utcnow
from idp.extensions import SETTINGS
from idp.oidc.logout import notices
from tests.fakes.listening_app import ListeningApp
from tests.fakes.relying_party import RelyingParty
from tests.integration.oidc.logout.backchannel.post import HOUR, Post, log_out


def test_pauses_between_tries_grow_for_an_hour_then_the_notice_is_given_up(
    clock: Traveller, rp: RelyingParty, anna: str, portal: ListeningApp, post: Post
) -> None:
    portal.status = 500
    log_out(rp, rp.tokens().id_token)
    pauses = []
    while post.deliver() and post.waiting():
        pauses.append(post.pause())
        clock.shift(pauses[-1] - 1)
        assert post.deliver() == 0
        clock.shift(1)
    assert pauses == [10, 20, 40, 80, 160] + 10 * [300]
    (event,) = post.given_up()
    assert (event.client_id, event.actor, str(event.user_id)) == ("portal", "worker", anna)
    assert event.session_id is not None
    assert event.detail == {"attempts": 16, "reason": "the answer is 500"}


@pytest.mark.parametrize("status", [302, 401, 404, 429, 503])
def test_an_app_is_notified_when_it_listens_again(
    clock: Traveller, rp: RelyingParty, portal: ListeningApp, post: Post, status: int
) -> None:
    portal.status, portal.headers = status, {"Location": portal.uri}
    log_out(rp, rp.tokens().id_token)
    post.deliver()
    assert (post.waiting(), len(portal.heard)) == ([("portal", 1)], 1)
    portal.status = 200
    clock.shift(10)
    assert post.deliver() == 1
    assert post.waiting() == []
    first, second = (heard.form["logout_token"] for heard in portal.heard)
    assert first != second, "each delivery has a token of its own"


def test_an_app_that_refuses_is_asked_three_times(
    clock: Traveller, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    portal.status = 400
    log_out(rp, rp.tokens().id_token)
    for seconds in (10, 20, 0):
        assert post.deliver() == 1
        clock.shift(seconds)
    assert post.waiting() == []
    assert [event.detail["attempts"] for event in post.given_up()] == [3]


def test_an_app_that_is_not_there_holds_up_no_other(
    clock: Traveller, app: Flask, parties: dict[str, RelyingParty], other: ListeningApp, post: Post
) -> None:
    for _ in range(3):
        parties["other"].code()
        hint = parties["portal"].tokens().id_token
        log_out(parties["portal"], hint)
        clock.shift(1)
    with app.app_context():
        claimed = notices.lease_next(now=utcnow())  # somebody waits for its answer
        assert claimed is not None
    told = {"other": "portal", "portal": "other"}[claimed.client_id]
    post.deliver()
    assert post.waiting() == [(claimed.client_id, 1), (claimed.client_id, 0), (claimed.client_id, 0)]
    assert told not in dict(post.waiting())


def test_an_apps_newer_notices_wait_for_the_one_that_is_tried(
    clock: Traveller, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    portal.status = 500
    log_out(rp, rp.tokens().id_token)
    assert post.deliver() == 1
    log_out(rp, rp.tokens().id_token)
    assert post.deliver() == 0, "in a pause"
    clock.shift(10)
    assert post.deliver() == 1
    assert post.waiting() == [("portal", 2), ("portal", 0)]
    portal.status = 200
    clock.shift(20)
    assert post.deliver() == 2
    assert post.waiting() == []


def test_one_refusal_gives_up_all_notices_an_hour_old(
    clock: Traveller, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    portal.status = 400
    for _ in range(2):
        log_out(rp, rp.tokens().id_token)
    clock.shift(HOUR)
    log_out(rp, rp.tokens().id_token)
    for seconds in (10, 20):
        assert post.deliver() == 1
        clock.shift(seconds)
    assert post.deliver() == 2, "and then the one that has not waited for so long"
    assert post.waiting() == [("portal", 1)]
    assert sorted(event.detail["attempts"] for event in post.given_up()) == [0, 3]


@pytest.mark.parametrize("gone", ["address", "client"])
def test_a_removed_client_is_not_notified(
    rp: RelyingParty, portal: ListeningApp, clients_file: Path, post: Post, gone: str
) -> None:
    log_out(rp, rp.tokens().id_token)
    left = yaml.safe_load(clients_file.read_text())
    if gone == "client":
        del left["clients"]["portal"]
    else:
        del left["clients"]["portal"]["backchannel_logout_uri"]
    clients_file.write_text(yaml.safe_dump(left))
    post.delivery.clients.refresh()
    assert post.deliver() == 1
    assert (portal.heard, post.waiting(), post.given_up()) == ([], [], [])


def test_a_notice_is_not_sent_to_an_address_inside(
    app: Flask, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    log_out(rp, rp.tokens().id_token)
    made = logout_delivery(SETTINGS.of(app))
    assert Post(app, made).deliver() == 1
    assert portal.heard == []
    assert post.waiting() == [("portal", 1)]
