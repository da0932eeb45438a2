"""Choosing a password by a mailed link: what can be no address, which links open nothing, which passwords."""

from functools import partial
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.factories import make_client
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import NEW, choose
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import ANNA, World, fields_of, log_in, mailed_path, post

CLIENTS = {"portal": make_client()}
ADDRESSES: dict[str, str | None] = {
    "nothing changed": ANNA,
    "missing": None,
    "empty": "",
    "blank": "  ",
    "no address": "anna",
    "no domain": "anna@",
    "two": f"{ANNA}, bo@example.se",
    "with a NUL": ANNA + "\x00",
    "with a line break": ANNA + "\r\nBcc: x@example.se",
    "too long": "x" * 300 + "@example.se",
    "unknown": "nobody@example.se",
}
PASSWORDS: dict[str, dict[str, Any]] = {
    "missing": {"password": ""},
    "too short": {"password": "kort", "confirm": "kort"},
    "too long": {"password": "lång " * 500},
    "easy to guess": {"password": "password1234"},
    "the company's name": {"password": "exempel ab 2026"},
    "one letter": {"password": "a" * 20},
    "with a NUL": {"password": NEW + "\x00"},
    "with a line break": {"password": NEW + "\n"},
    "not UTF-8": {"password": NEW.encode() + b"\xff"},
    "not repeated": {"confirm": ""},
    "repeated otherwise": {"confirm": NEW + "x"},
    "nothing changed": {},
}


def cases(world: World) -> Cases:
    for name, address in ADDRESSES.items():
        yield f"address {name}", partial(post, world.browser(), "/password/reset", email=address)
    disabled = world.person()
    world.disable(disabled)
    yield "address of somebody disabled", partial(post, world.browser(), "/password/reset", email=disabled)
    browser = world.browser()
    for uid in ("x", "x" * 44, "å" * 43, "../" * 14 + "x"):
        yield (
            f"a login called {uid[:9]}",
            partial(browser.get, "/password/reset", query_string={"uid": uid}, **HTTPS),
        )
    for name, changes in PASSWORDS.items():
        path = link(world, world.person())
        yield f"password {name}", partial(choose, world.browser(), path, **{"password": NEW, **changes})
    yield from _links(world)


def link(world: World, email: str) -> str:
    """Path of a link that was mailed to the address."""
    assert post(world.browser(), "/password/reset", email=email).status_code == 303
    return mailed_path(world, "password_reset", "/password/reset/")


def send(browser: FlaskClient, path: str, fields: dict[str, str]) -> TestResponse:
    return browser.post(path, data={**fields, "password": NEW, "confirm": NEW}, **HTTPS)


def _links(world: World) -> Cases:
    browser = world.browser()
    path = link(world, world.person())
    token = path.rpartition("/")[2]
    for name, wrong in {
        "in order": token,
        "unknown": "a" * 64,
        "cut": token[:-1],
        "with a letter more": token + "a",
        "in capitals": token.upper(),
        "not ASCII": "å" * 64,
    }.items():
        yield f"link {name}", partial(browser.get, f"/password/reset/{wrong}", **HTTPS)
        yield f"link {name}: HEAD", partial(browser.head, f"/password/reset/{wrong}", **HTTPS)
        yield f"link {name}: the form", partial(post, browser, f"/password/reset/{wrong}")
    email = world.person()
    first, second = link(world, email), link(world, email)
    yield "link with a newer one", partial(browser.get, first, **HTTPS)
    fields = fields_of(browser.get(second, **HTTPS), "reset-form")
    with world.later(3600):
        yield "link an hour old", partial(browser.get, second, **HTTPS)
        yield "link an hour old: the form", partial(send, browser, second, fields)
    yield "link: without the CSRF token", partial(send, browser, second, {})
    assert send(browser, second, fields).status_code == 303
    yield "link used", partial(browser.get, second, **HTTPS)
    yield "link used: the form", partial(send, browser, second, fields)
    email = world.person()
    path = link(world, email)
    world.disable(email)
    yield "link of somebody disabled", partial(browser.get, path, **HTTPS)
    yield "link of somebody disabled: the form", partial(post, browser, path, password=NEW, confirm=NEW)
    email = world.person()
    path = link(world, email)
    person = world.browser()
    log_in(person, email)
    form = fields_of(person.get("/account", **HTTPS), "account-form")
    assert person.post("/account", data={**form, "email": "new" + email}, **HTTPS).status_code == 303
    confirm = mailed_path(world, "email_change", "/account/email/")
    assert post(person, confirm).status_code == 303
    yield "link mailed to an address of before", partial(browser.get, path, **HTTPS)
