"""Every end of a session notifies the apps that it was used in."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from time_machine import Traveller

from idp.clock import utcnow
from idp.db import db
from idp.login import sessions
from tests.factories import PASSWORD, make_user
from tests.fakes import reset_pages
from tests.fakes.listening_app import ListeningApp
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.oidc.logout.backchannel.post import HOUR, Post, log_out

Run = Callable[..., Any]


def by_the_app(rp: RelyingParty) -> None:
    log_out(rp, rp.tokens().id_token)


def in_the_form(rp: RelyingParty) -> None:
    rp.submit(rp.browser.get("/logout", **HTTPS))


def from_another_browser(rp: RelyingParty) -> None:
    phone = RelyingParty(rp.app, rp.app.test_client())
    phone.code()
    token = reset_pages.csrf(phone.browser.get("/account", **HTTPS))
    ended = phone.browser.post("/account/sessions/end-others", data={"csrf_token": token}, **HTTPS)
    assert ended.status_code == 303


def by_a_new_password(rp: RelyingParty) -> None:
    path = reset_pages.link(rp.app, rp.app.test_client())
    assert reset_pages.choose(rp.app.test_client(), path).status_code == 303


def by_another_person(rp: RelyingParty) -> None:
    with rp.app.app_context():
        make_user(email="bo@example.se", name="Bo")
    page = rp.follow(rp.authorize(prompt="login"))
    assert "code" in rp.answer(rp.follow(rp.submit(page, email="bo@example.se", password=PASSWORD)))


@pytest.mark.parametrize(
    "end", [by_the_app, in_the_form, from_another_browser, by_a_new_password, by_another_person]
)
def test_every_end_of_a_session_in_a_browser_notifies_the_app(
    rp: RelyingParty, portal: ListeningApp, post: Post, end: Callable[[RelyingParty], None]
) -> None:
    rp.code()
    assert post.deliver() == 0
    end(rp)
    assert post.deliver() == len(portal.heard) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("users", "disable", "anna@example.se"),
        ("sessions", "end", "--user", "anna@example.se"),
        ("sessions", "end", "--all", "--yes"),
    ],
)
def test_commands_notify_the_apps_too(
    parties: dict[str, RelyingParty], run: Run, portal: ListeningApp, post: Post, command: tuple[str, ...]
) -> None:
    parties["portal"].tokens()
    parties["silent"].tokens()
    assert run(*command).exit_code == 0
    post.deliver()
    assert len(portal.heard) == 1
    assert post.waiting() == [], "who does not listen is not waited for"


def test_a_session_that_runs_out_notifies_nobody_but_its_logout_does(
    clock: Traveller, app: Flask, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    hint = rp.tokens().id_token
    clock.shift(HOUR + timedelta(seconds=1))
    assert "error" in rp.answer(rp.authorize(prompt="none"))
    assert post.deliver() == 0
    log_out(RelyingParty(app, app.test_client()), hint)
    assert post.deliver() == 0, "a hint alone, in a link, does nothing"
    log_out(rp, hint)
    assert post.deliver() == 1
    assert len(portal.heard) == 1


def test_no_session_ends_without_its_notices(app: Flask, rp: RelyingParty, anna: str, post: Post) -> None:
    rp.code()
    with app.app_context():
        sessions.end_all_of(UUID(anna), now=utcnow(), reason="test")
        db.session.rollback()
    assert post.waiting() == []
    with app.app_context():
        sessions.end_all_of(UUID(anna), now=utcnow(), reason="test")
        db.session.commit()
    assert post.waiting() == [("portal", 0)]
