"""What is slowed down: each limit once used up and once more, and whom it leaves alone (429)."""

from functools import partial
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.users.models import Role
from tests.factories import PASSWORD, SECRET, make_client
from tests.fakes import assertions
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import csrf
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import World, fields_of, log_in, post

SETTINGS = {
    "IDP_LIMIT_LOGIN_PER_ACCOUNT": "3/15 minutes",
    "IDP_LIMIT_LOGIN_PER_ADDRESS": "6/minute",
    "IDP_LIMIT_LOGIN_OVERALL": "60/minute",
    "IDP_LIMIT_CLIENT_AUTHENTICATION": "3/minute",
    "IDP_LIMIT_RESET_PER_ADDRESS": "4/hour",
    "IDP_LIMIT_RESET_PER_ACCOUNT": "2/hour",
    "IDP_LIMIT_EMAIL_CHANGE": "2/hour",
    "IDP_LIMIT_USERS_PER_COMPANY": "2/hour",
}
CLIENTS = {
    "portal": make_client(grant_types=["authorization_code", "client_credentials"]),
    "keys": make_client(
        grant_types=["authorization_code", "client_credentials"],
        token_endpoint_auth_method="private_key_jwt",
        client_secrets=None,
        jwks=assertions.public("ES256"),
    ),
}


def tries(browser: FlaskClient, email: str, password: str, address: str) -> TestResponse:
    """The answer to a direct login from an address."""
    options: dict[str, Any] = {**HTTPS, "environ_base": {"REMOTE_ADDR": address}}
    token = csrf(browser.get("/login/password", **options))
    fields = {"email": email, "password": password, "csrf_token": token}
    return browser.post("/login/password", data=fields, **options)


def cases(world: World) -> Cases:
    yield from _logins(world)
    yield from _clients(world)
    yield from _mails(world)
    yield from _administrators(world)
    yield from _everybody(world)


def _logins(world: World) -> Cases:
    email, browser = world.person(), world.browser()
    for number in range(1, 5):
        yield f"account: wrong password {number}", partial(tries, browser, email, "fel", "192.0.2.1")
    yield "account: the right password", partial(tries, browser, email, PASSWORD, "192.0.2.1")
    yield (
        "account: the right password, from elsewhere",
        partial(tries, world.browser(), email, PASSWORD, "192.0.2.2"),
    )
    yield "account: in capitals", partial(tries, world.browser(), email.upper(), "fel", "192.0.2.2")
    with world.later(901):
        yield "account: after a quarter of an hour", partial(tries, browser, email, PASSWORD, "192.0.2.1")
    own, known = world.person(), world.browser()
    assert tries(known, own, PASSWORD, "192.0.2.3").status_code == 303
    for _ in range(3):
        tries(world.browser(), own, "fel", "192.0.2.4")
    yield "account: from a browser that knows it", partial(tries, known, own, PASSWORD, "192.0.2.3")
    for number in range(6):
        tries(world.browser(), f"nobody{number}@example.se", "fel", "192.0.2.5")
    yield "address: once more", partial(tries, world.browser(), "x@example.se", "fel", "192.0.2.5")
    yield "address: the right password", partial(tries, world.browser(), own, PASSWORD, "192.0.2.5")
    yield "address: another one", partial(tries, world.browser(), world.person(), PASSWORD, "192.0.2.6")
    line = "2001:db8:1:2::"
    for number in range(6):
        tries(world.browser(), f"nobody{number}@example.se", "fel", f"{line}{number}")
    yield (
        "address: another one of the same line",
        partial(tries, world.browser(), "x@example.se", "fel", f"{line}99"),
    )


def _clients(world: World) -> Cases:
    rp, keys = world.rp(), world.rp("keys")
    own = {"grant_type": "client_credentials"}

    def from_address(address: str, path: str, form: dict[str, Any], secret: str) -> TestResponse:
        browser = world.browser()
        browser.environ_base["REMOTE_ADDR"] = address
        return browser.post(path, data=form, auth=("portal", secret), **HTTPS)

    for number in range(1, 5):
        yield f"client: wrong secret {number}", partial(from_address, "192.0.2.1", "/token", own, "wrong")
    yield "client: the right secret", partial(from_address, "192.0.2.1", "/token", own, SECRET)
    yield "client: wrong secret, from elsewhere", partial(from_address, "192.0.2.2", "/token", own, "wrong")
    token = {"token": "x"}
    for path, form in (("/introspect", token), ("/revoke", token), ("/par", rp.parameters())):
        yield f"client: wrong secret at {path}", partial(from_address, "192.0.2.1", path, form, "wrong")
    with world.later(61):
        yield (
            "client: wrong secret, after a minute",
            partial(from_address, "192.0.2.1", "/token", own, "wrong"),
        )
    wrong = {"basic": None, "client_assertion_type": assertions.TYPE, "client_assertion": "x"}
    for number in range(1, 5):
        yield f"client: wrong assertion {number}", partial(keys.post, "/token", own, **wrong)


def _mails(world: World) -> Cases:
    def forgot(email: str, address: str) -> TestResponse:
        browser = world.browser()
        browser.environ_base["REMOTE_ADDR"] = address
        return post(browser, "/password/reset", email=email)

    email = world.person()
    for number in range(1, 4):
        yield f"reset: {number}", partial(forgot, email, f"192.0.2.{number}")
    for number in range(1, 6):
        other = f"x{number}@example.se"
        yield f"reset: person {number} from one address", partial(forgot, other, "192.0.2.9")
    email, browser = world.person(), world.browser()
    log_in(browser, email)
    for number in range(1, 4):
        form = fields_of(browser.get("/account", **HTTPS), "account-form")
        sent = {**form, "email": f"new{number}.{email}"}
        yield f"another address: {number}", partial(browser.post, "/account", data=sent, **HTTPS)
    other = world.browser()
    for number in range(1, 4):
        other = world.browser()
        log_in(other, world.person())
        form = fields_of(other.get("/account", **HTTPS), "account-form")
        sent = {**form, "email": "wanted@example.se"}
        yield f"the same address, by person {number}", partial(other.post, "/account", data=sent, **HTTPS)


def _administrators(world: World) -> Cases:
    browser = world.browser()
    log_in(browser, world.person(role=Role.COMPANY_ADMIN))
    made = []

    def new(number: int) -> TestResponse:
        fields = {"name": "Nils Ny", "email": f"nils{number}@example.se", "locale": "sv", "role": "user"}
        answer = post(browser, "/admin/users/new", **fields)
        made.append(answer.headers.get("Location", ""))
        return answer

    for number in range(1, 4):
        yield f"new user {number}", partial(new, number)
    form = fields_of(browser.get(made[0], **HTTPS), "user-form")
    changed = {**form, "email": "changed@example.se"}
    yield "another address for a user", partial(browser.post, made[0], data=changed, **HTTPS)
    yield "another name for a user", partial(browser.post, made[0], data={**form, "name": "Bo"}, **HTTPS)
    other = world.browser()
    log_in(other, world.person(role=Role.COMPANY_ADMIN, company="Annat AB"))
    fields = {"name": "Nils Ny", "email": "nils@annat.se", "locale": "sv", "role": "user"}
    yield "new user in another company", partial(post, other, "/admin/users/new", **fields)


def _everybody(world: World) -> Cases:
    """Last, for nobody gets in after it."""
    answer, number = None, 0
    while answer is None or answer.status_code == 401:
        number += 1
        answer = tries(world.browser(), f"n{number}@example.se", "fel", f"198.51.100.{number % 250}")
    assert number < 70
    yield (
        "everybody: the right password",
        partial(tries, world.browser(), world.person(), PASSWORD, "203.0.113.1"),
    )
