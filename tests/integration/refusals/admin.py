"""Company users: what an administrator may not see or do, and which details are refused."""

from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.users.models import Role
from tests.factories import PASSWORD, make_client
from tests.fakes.relying_party import HTTPS
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import ANNA, World, fields_of, log_in, post

FORM = "application/x-www-form-urlencoded"
CLIENTS = {"portal": make_client()}
NEW_USER = {"name": "Nils Ny", "email": "nils@example.se", "locale": "sv", "role": "user"}
FIELDS: dict[str, dict[str, Any]] = {
    "name missing": {"name": None},
    "name empty": {"name": ""},
    "name of 300 characters": {"name": "x" * 300},
    "name with a NUL": {"name": "x\x00"},
    "title of 300 characters": {"title": "x" * 300},
    "title with a NUL": {"title": "x\x00"},
    "email empty": {"email": ""},
    "email no address": {"email": "nils"},
    "email with a line break": {"email": "nils@example.se\r\nBcc: x@example.se"},
    "email of a colleague": {"email": ANNA},
    "email of another company's": {"email": "sven@annat.se"},
    "phone in words": {"phone": "ring mig"},
    "locale unknown": {"locale": "de"},
    "locale missing": {"locale": None},
    "role unknown": {"role": "root"},
    "role missing": {"role": None},
    "not UTF-8": {"name": b"\xff"},
    "no CSRF token": {"csrf_token": None},
}
PAGES = ("", "/disable", "/unlink")
ACTIONS = ("/disable", "/enable", "/unlink", "/welcome")


def cases(world: World) -> Cases:
    world.person(email="sven@annat.se", company="Annat AB")
    admin = administrator(world)
    for number, (name, changes) in enumerate({"nothing changed": {}, **FIELDS}.items()):
        form = {**NEW_USER, "email": f"nils{number}@example.se"}
        yield f"new: {name}", partial(save, admin, "/admin/users/new", form, **changes)
    yield from _details(world, admin)
    yield from _people(world, admin)
    yield from _logins(world)


def administrator(world: World) -> FlaskClient:
    """A browser on which an administrator of Exempel AB has logged in."""
    browser = world.browser()
    log_in(browser, world.person(role=Role.COMPANY_ADMIN))
    return browser


def save(browser: FlaskClient, path: str, form: dict[str, Any], **changes: Any) -> TestResponse:
    """The answer to the form with changes, sent with the browser's CSRF token; None leaves a field out."""
    token = fields_of(browser.get("/login/password", **HTTPS), "login-form")["csrf_token"]
    sent = {**form, "csrf_token": token, **changes}
    body = urlencode({name: value for name, value in sent.items() if value is not None})
    return browser.post(path, data=body, content_type=FORM, **HTTPS)


def path_of(browser: FlaskClient, email: str) -> str:
    """The address of a colleague's page, as the list says it."""
    page = browser.get("/admin/users", query_string={"q": email}, **HTTPS).text
    found = page.partition('href="/admin/users/')[2].partition('"')[0]
    while found and len(found) != len("00000000-0000-4000-8000-000000000000"):
        page = page.partition(f'href="/admin/users/{found}"')[2]
        found = page.partition('href="/admin/users/')[2].partition('"')[0]
    assert found, email
    return f"/admin/users/{found}"


def _details(world: World, admin: FlaskClient) -> Cases:
    for name, changes in {
        "nothing changed": {},
        **FIELDS,
        "version missing": {"version": None},
        "version in words": {"version": "x"},
        "version of another time": {"version": "7"},
    }.items():
        path = path_of(admin, world.person())
        form = fields_of(admin.get(path, **HTTPS), "user-form")
        yield f"details: {name}", partial(save, admin, path, form, **changes)
    email = world.person()
    path = path_of(admin, email)
    form = fields_of(admin.get(path, **HTTPS), "user-form")
    assert save(admin, path, form, title="Ekonom").status_code == 303
    yield "details: changed by somebody meanwhile", partial(save, admin, path, form, title="Inköpare")
    world.disable(email)
    yield "details: of somebody disabled meanwhile", partial(save, admin, path, form, title="Inköpare")
    yield "welcome: somebody disabled", partial(post, admin, path + "/welcome")
    yield "disable: somebody disabled", partial(admin.get, path + "/disable", **HTTPS)


def _people(world: World, admin: FlaskClient) -> Cases:
    """Whom an administrator has nothing to do with, or may not do things to."""
    other_company = world.browser()
    log_in(other_company, world.person(role=Role.COMPANY_ADMIN, company="Annat AB"))
    stranger = path_of(other_company, "sven@annat.se")
    own = world.person(role=Role.COMPANY_ADMIN, name="Egen Person")
    me = world.browser()
    log_in(me, own)
    mine = path_of(me, own)
    colleague = path_of(admin, ANNA)
    user = world.browser()
    log_in(user, ANNA)
    nobody = world.browser()
    for who, browser, path in (
        ("another company's user", admin, stranger),
        ("oneself", me, mine),
        ("a colleague, by a user", user, colleague),
        ("a colleague, by nobody", nobody, colleague),
    ):
        for page in PAGES:
            yield f"{who}: GET {page or 'details'}", partial(browser.get, path + page, **HTTPS)
        yield f"{who}: POST details", partial(save, browser, path, {**NEW_USER, "version": "0"})
        for action in ACTIONS:
            yield f"{who}: POST {action}", partial(post, browser, path + action)
    yield (
        "oneself: another role",
        partial(save, me, mine, fields_of(me.get(mine, **HTTPS), "user-form"), role="user"),
    )
    for query in ("page=0", "page=x", "page=999999999999", "sort=x", "order=x", "q=%00", "q=" + "x" * 3000):
        yield f"list: {query[:20]}", partial(admin.get, f"/admin/users?{query}", **HTTPS)


def _logins(world: World) -> Cases:
    """A login that is too old, has ended, or whose person is no administrator any more."""
    email = world.person(role=Role.COMPANY_ADMIN)
    admin = world.browser()
    log_in(admin, email)
    colleague = path_of(admin, world.person())
    form = fields_of(admin.get(colleague, **HTTPS), "user-form")
    with world.later(901):
        changes: dict[str, dict[str, Any]] = {
            "a title": {"title": "Ekonom"},
            "an address": {"email": "other@example.se"},
            "a role": {"role": "company_admin"},
        }
        for name, fields in changes.items():
            yield f"old login: {name}", partial(save, admin, colleague, form, **fields)
        yield (
            "old login: a new administrator",
            partial(save, admin, "/admin/users/new", NEW_USER, role="company_admin", email="a@example.se"),
        )
        for action in ACTIONS:
            yield f"old login: {action}", partial(post, admin, colleague + action)
        uid = save(admin, colleague, form, email="o@example.se").headers["Location"].rpartition("/")[2]
        yield "resumed before the login", partial(admin.get, f"/admin/resume/{uid}", **HTTPS)
        yield "resumed in another browser", partial(administrator(world).get, f"/admin/resume/{uid}", **HTTPS)
        yield "resumed as one's own account's", partial(admin.get, f"/account/resume/{uid}", **HTTPS)
        login = f"/login/{uid}/password"
        yield "renewed by somebody else", partial(post, admin, login, email=ANNA, password=PASSWORD)
        yield "renewed", partial(post, admin, login, email=email, password=PASSWORD)
        yield "resumed", partial(admin.get, f"/admin/resume/{uid}", **HTTPS)
    rp = world.rp()
    uid = rp.authorize().headers["Location"].rpartition("/")[2]
    yield "resumed with a relying app's login", partial(rp.browser.get, f"/admin/resume/{uid}", **HTTPS)
    admin = administrator(world)
    form = {**NEW_USER, "email": "z@example.se"}
    with world.later(3600):
        yield "session run out: a form", partial(save, admin, "/admin/users/new", form)
        yield "session run out: an action", partial(post, admin, colleague + "/enable")
        yield "session run out: the list", partial(admin.get, "/admin/users", **HTTPS)
    email = world.person(role=Role.COMPANY_ADMIN)
    admin = world.browser()
    log_in(admin, email)
    world.disable(email)
    yield "disabled: a form", partial(save, admin, "/admin/users/new", form)
    yield "disabled: an action", partial(post, admin, colleague + "/enable")
    admin = administrator(world)
    world.demote_administrators()
    yield "demoted: a form", partial(save, admin, "/admin/users/new", form)
    yield "demoted: an action", partial(post, admin, colleague + "/enable")
    yield "demoted: the list", partial(admin.get, "/admin/users", **HTTPS)
