"""Mina uppgifter: which details are refused, the links to a new address, and other people's sessions."""

from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.factories import PASSWORD, make_client
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import NEW
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import ANNA, World, fields_of, log_in, mailed_path, post

FORM = "application/x-www-form-urlencoded"
CLIENTS = {
    "portal": make_client(),
    "members": make_client(
        redirect_uris=["https://members.example.se/cb"], companies=["Annat AB"], client_name="Andras"
    ),
    "silent": make_client(redirect_uris=["https://silent.example.se/cb"], initiate_login_uri=None),
}
FIELDS: dict[str, dict[str, Any]] = {
    "nothing changed": {},
    "version missing": {"version": None},
    "version of another time": {"version": "7"},
    "version in words": {"version": "x"},
    "version of ten digits": {"version": "1" * 10},
    "email empty": {"email": ""},
    "email no address": {"email": "anna"},
    "email with a line break": {"email": "x@example.se\r\nBcc: y@example.se"},
    "email with a NUL": {"email": "x\x00@example.se"},
    "email of somebody else": {"email": ANNA},
    "name empty": {"name": ""},
    "name blank": {"name": "  "},
    "name of 300 characters": {"name": "x" * 300},
    "name with a NUL": {"name": "Bo\x00Ek"},
    "name turned round": {"name": "Bo\u202eEk"},
    "title of 300 characters": {"title": "x" * 300},
    "title with a NUL": {"title": "x\x00"},
    "phone in words": {"phone": "ring mig"},
    "phone too short": {"phone": "12"},
    "phone too long": {"phone": "+46" + "1" * 20},
    "phone with a NUL": {"phone": "0703032203\x00"},
    "password too short": {"password": "kort", "confirm": "kort"},
    "password easy to guess": {"password": "password1234", "confirm": "password1234"},
    "password not repeated": {"password": NEW},
    "password repeated otherwise": {"password": NEW, "confirm": NEW + "x"},
    "password missing, repeated": {"confirm": NEW},
    "password with a NUL": {"password": NEW + "\x00", "confirm": NEW + "\x00"},
    "locale unknown": {"locale": "de"},
    "locale missing": {"locale": None},
    "start_page unknown": {"start_page": "nobody"},
    "start_page for another company": {"start_page": "members"},
    "start_page that begins no login": {"start_page": "silent"},
    "resume with a NUL": {"resume": "\x00"},
    "resume unknown": {"resume": "x" * 43},
    "not UTF-8": {"name": b"\xff"},
    "no CSRF token": {"csrf_token": None},
    "two wrong": {"name": "", "phone": "x"},
}


def cases(world: World) -> Cases:
    for name, changes in FIELDS.items():
        yield name, partial(save, somebody(world)[1], **changes)
    yield from _sessions_that_ended(world)
    yield from _links(world)
    yield from _activity(world)


def somebody(world: World) -> tuple[str, FlaskClient]:
    """Somebody's address, and the browser on which they are logged in."""
    email, browser = world.person(), world.browser()
    log_in(browser, email)
    return email, browser


def form_of(browser: FlaskClient) -> dict[str, Any]:
    return fields_of(browser.get("/account", **HTTPS), "account-form")


def save(browser: FlaskClient, form: dict[str, Any] | None = None, **changes: Any) -> TestResponse:
    """The answer to the form with changes; None leaves a field out."""
    sent = (form or form_of(browser)) | changes
    body = urlencode({name: value for name, value in sent.items() if value is not None})
    return browser.post("/account", data=body, content_type=FORM, **HTTPS)


def _sessions_that_ended(world: World) -> Cases:
    """A form that was filled in before the session ended, or a while after the login."""
    with_changes = {"name": "Bo Ny"}
    email, browser = somebody(world)
    form = form_of(browser)
    with world.later(901):
        yield "a name, a while after the login", partial(save, browser, form, **with_changes)
        for name, changes in {
            "a password": {"password": NEW, "confirm": NEW},
            "an address": {"email": "x" + email},
        }.items():
            form = form_of(browser)
            yield f"{name}, a while after the login", partial(save, browser, form, **changes)
        answer = save(browser, form_of(browser), email="y" + email)
        uid = answer.headers["Location"].rpartition("/")[2]
        yield "resumed before the login", partial(browser.get, f"/account/resume/{uid}", **HTTPS)
        yield "resumed in another browser", partial(world.browser().get, f"/account/resume/{uid}", **HTTPS)
        yield "resumed as somebody else", partial(somebody(world)[1].get, f"/account/resume/{uid}", **HTTPS)
        yield "resumed as an administrator's", partial(browser.get, f"/admin/resume/{uid}", **HTTPS)
        login = f"/login/{uid}/password"
        yield "renewed by somebody else", partial(post, browser, login, email=ANNA, password=PASSWORD)
        yield "renewed with a wrong password", partial(post, browser, login, email=email, password="fel")
        yield "renewed", partial(post, browser, login, email=email, password=PASSWORD)
        yield "resumed", partial(browser.get, f"/account/resume/{uid}", **HTTPS)
        with world.later(3600):
            yield "resumed too late", partial(browser.get, f"/account/resume/{uid}", **HTTPS)
    email, browser = somebody(world)
    form = form_of(browser)
    with world.later(3600):
        yield "the session has run out", partial(save, browser, form, **with_changes)
    email, browser = somebody(world)
    form = form_of(browser)
    world.disable(email)
    yield "the person was disabled", partial(save, browser, form, **with_changes)
    rp = world.rp()
    uid = rp.authorize().headers["Location"].rpartition("/")[2]
    yield "resumed with a relying app's login", partial(rp.browser.get, f"/account/resume/{uid}", **HTTPS)


def _links(world: World) -> Cases:
    """The link that is mailed to a new address."""

    def ask(world: World) -> tuple[str, FlaskClient, str]:
        email, browser = somebody(world)
        assert save(browser, email="new." + email).status_code == 303
        return email, browser, mailed_path(world, "email_change", "/account/email/")

    _, browser, path = ask(world)
    token = path.rpartition("/")[2]
    for name, wrong in {
        "in order": token,
        "unknown": "a" * 64,
        "cut": token[:-1],
        "in capitals": token.upper(),
    }.items():
        yield f"link {name}", partial(world.browser().get, f"/account/email/{wrong}", **HTTPS)
        if name != "in order":
            yield f"link {name}: the form", partial(post, world.browser(), f"/account/email/{wrong}")
    with world.later(24 * 3600):
        yield "link a day old", partial(browser.get, path, **HTTPS)
        yield "link a day old: the form", partial(post, browser, path)
    yield "link in order: the form", partial(post, world.browser(), path)
    yield "link used", partial(browser.get, path, **HTTPS)
    yield "link used: the form", partial(post, browser, path)
    email, browser, path = ask(world)
    assert post(browser, "/account/email/withdraw").status_code == 303
    yield "link withdrawn", partial(browser.get, path, **HTTPS)
    yield "withdrawn twice", partial(post, browser, "/account/email/withdraw")
    email, browser, path = ask(world)
    assert save(browser, email="newer." + email).status_code == 303
    yield "link with a newer one", partial(browser.get, path, **HTTPS)
    email, browser, path = ask(world)
    world.disable(email)
    yield "link of somebody disabled", partial(browser.get, path, **HTTPS)
    email, browser, path = ask(world)
    world.person(email="new." + email)
    yield "link to an address that was taken meanwhile", partial(browser.get, path, **HTTPS)
    yield "link to an address that was taken meanwhile: the form", partial(post, browser, path)


def _activity(world: World) -> Cases:
    unknown = "00000000-0000-4000-8000-000000000000"
    _, browser = somebody(world)
    yield "end a session that is not", partial(post, browser, f"/account/sessions/{unknown}/end")
    other_email, other = somebody(world)
    page = other.get("/account", **HTTPS).text
    theirs = page.partition("/account/sessions/")[2].partition("/end")[0]
    assert len(theirs) == len(unknown), page
    yield "end somebody else's session", partial(post, browser, f"/account/sessions/{theirs}/end")
    yield "somebody else's session goes on", partial(other.get, "/account", **HTTPS)
    yield "revoke a client that is not", partial(post, browser, "/account/apps/revoke", client_id="nobody")
    yield "revoke nothing", partial(post, browser, "/account/apps/revoke")
    yield "revoke a NUL", partial(post, browser, "/account/apps/revoke", client_id="\x00")
    world.disable(other_email)
    for path in ("/account", "/account/history", "/account/apps", "/account/start"):
        yield f"disabled: GET {path}", partial(other.get, path, **HTTPS)
    for path in ("/account/sessions/end-others", "/account/email/withdraw", "/account/apps/revoke"):
        yield f"disabled: POST {path}", partial(post, other, path)
