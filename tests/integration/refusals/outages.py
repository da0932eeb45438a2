"""When something of ours does not work: the database, the place for a hash, our own code (503, 500)."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from idp.db import db
from idp.errors import Busy
from tests.factories import PASSWORD, make_client
from tests.fakes.proofs import proof
from tests.fakes.relying_party import HTTPS, VERIFIER
from tests.fakes.reset_pages import NEW, csrf
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import ANNA, World, fields_of, log_in, mailed_path, post

SCOPE = "openid profile email offline_access"
CLIENTS = {
    "portal": make_client(
        scope=SCOPE, grant_types=["authorization_code", "refresh_token", "client_credentials"]
    )
}
Asks = dict[str, Callable[[], TestResponse]]


def cases(world: World) -> Cases:
    for name, ask in _asks(world).items():
        with database_away(world):
            yield f"database away: {name}", ask
    for name, ask in _asks(world).items():
        yield f"database back: {name}", ask
    with clients_broken(world):
        for name, ask in _asks_that_need_a_client(world).items():
            yield f"our own fault: {name}", ask
    yield from _no_place_for_a_hash(world)
    yield from _broken_clients_file(world)


@contextmanager
def database_away(world: World) -> Iterator[None]:
    def away(*_: object) -> NoReturn:
        raise sa.exc.OperationalError("SELECT secret", {}, sqlite3.OperationalError("could not connect"))

    with world.app.app_context():
        engine = db.engine
    sa.event.listen(engine, "before_cursor_execute", away)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", away)


@contextmanager
def clients_broken(world: World) -> Iterator[None]:
    def broken(_client_id: str) -> NoReturn:
        raise RuntimeError("a secret inside")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.registry, "get", broken)
        yield


def _asks(world: World) -> Asks:
    """A valid request of every kind, to be made once."""
    rp, tokens = world.tokens(scope=SCOPE)
    code = rp.answer(rp.authorize(scope=SCOPE))["code"]
    waiting = world.rp()
    page = waiting.follow(waiting.authorize())
    browser = rp.browser
    fresh = world.browser()
    sent = {"csrf_token": csrf(browser.get("/login/password", **HTTPS))}
    typed = {"csrf_token": csrf(fresh.get("/login/password", **HTTPS)), "email": ANNA, "password": PASSWORD}
    uid = page.request.path.split("/")[2]
    get, post_ = partial(browser.get, **HTTPS), partial(browser.post, **HTTPS)
    exchange = {"grant_type": "authorization_code", "code": code, "redirect_uri": rp.redirect_uri}
    return {
        "authorize": rp.authorize,
        "authorize, POST": partial(rp.authorize, "POST"),
        "authorize, nobody logged in": world.rp().authorize,
        "a login page": partial(waiting.browser.get, page.request.path, **HTTPS),
        "a consent page": partial(waiting.browser.get, f"/consent/{uid}", **HTTPS),
        "a login going on": partial(waiting.browser.get, f"/authorize/{uid}", **HTTPS),
        "a login": partial(waiting.submit, page, email=ANNA, password=PASSWORD),
        "par": partial(rp.post, "/par", rp.parameters()),
        "token, client_credentials": partial(rp.post, "/token", {"grant_type": "client_credentials"}),
        "token, with a proof": partial(
            rp.post, "/token", {"grant_type": "client_credentials"}, headers=proof()
        ),
        "token, code": partial(rp.post, "/token", {**exchange, "code_verifier": VERIFIER}),
        "token, refresh_token": partial(
            rp.post, "/token", {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        ),
        "token, wrong secret": partial(rp.post, "/token", exchange, basic=("portal", "wrong")),
        "userinfo": partial(rp.userinfo, tokens.access_token),
        "introspect": partial(rp.introspect, tokens.access_token),
        "revoke": partial(rp.revoke, tokens.access_token),
        "end_session": partial(get, "/end_session", query_string={"id_token_hint": tokens.id_token}),
        "logout page": partial(get, "/logout"),
        "login form": partial(fresh.get, "/login/password", **HTTPS),
        "a direct login": partial(fresh.post, "/login/password", data=typed, **HTTPS),
        "a forgotten password": partial(fresh.post, "/password/reset", data=typed, **HTTPS),
        "a mailed link": partial(get, "/password/reset/" + "a" * 64),
        "a confirmed address": partial(get, "/account/email/" + "a" * 64),
        "account": partial(get, "/account"),
        "account, saved": partial(post_, "/account", data=sent),
        "account, history": partial(get, "/account/history"),
        "account, apps": partial(get, "/account/apps"),
        "account, start": partial(get, "/account/start"),
        "admin": partial(get, "/admin/users"),
        "admin, a new user": partial(post_, "/admin/users/new", data=sent),
        "a page that is not": partial(get, "/nowhere"),
        "discovery": partial(get, "/.well-known/openid-configuration"),
        "jwks": partial(get, "/jwks"),
        "healthz": partial(get, "/healthz"),
        "readyz": partial(get, "/readyz"),
    }


def _asks_that_need_a_client(world: World) -> Asks:
    rp = world.rp()
    return {
        "authorize": rp.authorize,
        "par": partial(rp.post, "/par", rp.parameters()),
        "token": partial(rp.post, "/token", {"grant_type": "client_credentials"}),
        "introspect": partial(rp.introspect, "x"),
        "revoke": partial(rp.revoke, "x"),
        "end_session": partial(rp.browser.get, "/end_session?client_id=portal", **HTTPS),
    }


def _no_place_for_a_hash(world: World) -> Cases:
    def busy(*_: Any) -> NoReturn:
        raise Busy("no place")

    hasher = world.hasher
    email, browser = world.person(), world.browser()
    log_in(browser, email)
    form = fields_of(browser.get("/account", **HTTPS), "account-form")
    assert post(world.browser(), "/password/reset", email=email).status_code == 303
    path = mailed_path(world, "password_reset", "/password/reset/")
    reset = world.browser()
    link = fields_of(reset.get(path, **HTTPS), "reset-form")
    new = {"password": NEW, "confirm": NEW}
    asks: Asks = {
        "a login": partial(post, world.browser(), "/login/password", email=ANNA, password=PASSWORD),
        "an unknown person's login": partial(
            post, world.browser(), "/login/password", email="x@example.se", password="fel"
        ),
        "a new password": partial(browser.post, "/account", data={**form, **new}, **HTTPS),
        "a password by a mailed link": partial(reset.post, path, data={**link, **new}, **HTTPS),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hasher, "check", busy)
        patch.setattr(hasher, "hash", busy)
        for name, ask in asks.items():
            yield f"no place for a hash: {name}", ask
    for name, ask in asks.items():
        yield f"a place for a hash again: {name}", ask


def _broken_clients_file(world: World) -> Cases:
    good = world.clients_file.read_text()
    registry = world.registry
    rp = world.rp()
    try:
        for name, text in {"empty": "", "not YAML": "clients: [", "of another version": "version: 9"}.items():
            world.clients_file.write_text(text)
            registry.refresh()
            yield f"clients file {name}: authorize", rp.authorize
            yield f"clients file {name}: readyz", partial(rp.browser.get, "/readyz", **HTTPS)
    finally:
        world.clients_file.write_text(good)
        registry.refresh()
