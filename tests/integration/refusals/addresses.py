"""Every address there is, by every method, to somebody who should not ask so: 401, 404, 405, 413, CSRF."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.factories import PASSWORD, make_client
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import csrf
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import ANNA, World

CLIENTS = {"portal": make_client()}
METRICS_TOKEN = "a-token-made-by-a-machine-0123456789abcdef"
SETTINGS = {"IDP_METRICS_TOKEN": METRICS_TOKEN}
SAMPLES = {
    "uid": "x" * 43,
    "token": "a" * 64,
    "user_id": "00000000-0000-4000-8000-000000000000",
    "session_id": "00000000-0000-4000-8000-000000000000",
    "filename": "nothing.css",
}
LOOKED_FOR = ("GET", "HEAD", "POST", "PUT")


def cases(world: World) -> Cases:
    yield from sweep(world, ("/",))
    yield from _addresses_that_are_not(world)
    yield from _bodies(world)
    yield from _tokens_of_forms(world)
    browser = world.browser()
    for name, value in (
        ("nothing", None),
        ("another token", "Bearer x"),
        ("the token by Basic", f"Basic {METRICS_TOKEN}"),
        ("the token not ASCII", "Bearer å"),
    ):
        headers = {"Authorization": value} if value else {}
        yield f"figures: {name}", partial(browser.get, "/metrics", headers=headers, **HTTPS)


def sweep(world: World, beginnings: Iterable[str]) -> Cases:
    """Every address that begins so: by methods it has not, by nobody, and by somebody logged in."""
    for rule, path, methods in addresses(world, tuple(beginnings)):
        for method in LOOKED_FOR:
            if method not in methods:
                yield f"{method} {rule}", partial(world.browser().open, path, method=method, **HTTPS)
        if "GET" in methods:
            yield f"GET {rule}, nobody", partial(world.browser().get, path, **HTTPS)
            yield f"GET {rule}, Anna", partial(world.logged_in().browser.get, path, **HTTPS)
        if "HEAD" in methods:
            yield f"HEAD {rule}, nobody", partial(world.browser().head, path, **HTTPS)
        if "POST" in methods:
            yield f"POST {rule}, no CSRF token", partial(world.browser().post, path, **HTTPS)
            yield f"POST {rule}, nobody", partial(empty_form, world.browser(), path)
            yield f"POST {rule}, Anna", partial(empty_form, world.logged_in().browser, path)


def addresses(world: World, beginnings: tuple[str, ...]) -> list[tuple[str, str, set[str]]]:
    """Rule, an address that it matches, and its methods together."""
    found: dict[str, tuple[str, set[str]]] = {}
    for rule in world.app.url_map.iter_rules():
        if rule.rule.startswith(beginnings):
            built = rule.build({name: SAMPLES[name] for name in rule.arguments if name in SAMPLES})
            assert built is not None, rule
            found.setdefault(rule.rule, (built[1], set()))[1].update(rule.methods or ())
    return [(rule, path, methods) for rule, (path, methods) in sorted(found.items())]


def empty_form(browser: FlaskClient, path: str) -> TestResponse:
    """The answer to a form in which nothing is filled in but the browser's CSRF token."""
    token = csrf(browser.get("/login/password", **HTTPS))
    return browser.post(path, data={"csrf_token": token}, **HTTPS)


def _addresses_that_are_not(world: World) -> Cases:
    browser = world.browser()
    for path in (
        *("/nowhere", "/token/", "/token/x", "/login//x", "/login//password", "/authorize/x/y", "/login/x"),
        *("/login/x/password", "/consent/x", "/account/resume/x", "/admin/resume/x", "/password/reset/x"),
        *("/account/email/x", "/admin/users/x", "/account/sessions/x/end", "/login/%00", "/consent/a%00b"),
        *(
            "/login/%FF/password",
            "/authorize/%ED%A0%80",
            "/static/",
            "/static/../app.py",
            "/static/%2e%2e/app.py",
        ),
        *("/brand/logo", "/favicon.ico", "/.well-known/nothing", "/.well-known/openid-configuration/x"),
        *("/.well-known/webfinger", "/register", "/metrics/", "/account/bankid", "/login/bankid"),
        "/" + "x" * 5000,
    ):
        yield f"GET {path[:60]}", partial(browser.get, path, **HTTPS)


def _bodies(world: World) -> Cases:
    form = "application/x-www-form-urlencoded"
    for path in ("/login/password", "/password/reset", "/logout", "/account", "/admin/users/new"):
        browser = world.browser()
        token = csrf(browser.get("/login/password", **HTTPS))
        send = partial(browser.post, path, **HTTPS)
        yield f"{path}: 100,000 bytes", partial(send, data={"csrf_token": token, "email": "x" * 100_000})
        yield (
            f"{path}: 2,000 fields",
            partial(send, data={"csrf_token": token, **{f"x{number}": "" for number in range(2_000)}}),
        )
        yield (
            f"{path}: 200 fields in parts",
            partial(
                send,
                data={"csrf_token": token, **{f"x{number}": "" for number in range(200)}},
                content_type="multipart/form-data",
            ),
        )
        yield f"{path}: JSON", partial(send, json={"csrf_token": token, "email": ANNA})
        yield (
            f"{path}: not UTF-8",
            partial(send, data=f"csrf_token={token}&email=".encode() + b"\xff", content_type=form),
        )
        yield (
            f"{path}: broken parts",
            partial(send, data=b"--x\r\nnothing", content_type="multipart/form-data; boundary=x"),
        )


def _tokens_of_forms(world: World) -> Cases:
    """The login form, right but for the token that shows that it was sent from our page."""

    def send(browser: FlaskClient, token: str | None, **options: Any) -> TestResponse:
        fields = {"email": ANNA, "password": PASSWORD}
        sent = fields if token is None else {**fields, "csrf_token": token}
        return browser.post("/login/password", data=sent, **HTTPS, **options)

    browser = world.browser()
    token = csrf(browser.get("/login/password", **HTTPS))
    yield "CSRF token missing", partial(send, browser, None)
    yield "CSRF token empty", partial(send, browser, "")
    yield "CSRF token wrong", partial(send, browser, "x")
    yield "CSRF token cut", partial(send, browser, token[:-1])
    yield "CSRF token of another browser", partial(send, browser, world.csrf_of_another_browser())
    yield "CSRF token without its cookie", partial(send, world.browser(), token)
    yield "CSRF token in the query", partial(send, browser, None, query_string={"csrf_token": token})
    yield "CSRF token in a header", partial(send, world.browser(), None, headers={"X-CSRFToken": token})
    with world.later(12 * 3600 + 1):
        yield "CSRF token half a day old", partial(send, browser, token)
    yield (
        "CSRF token in order, from another site",
        partial(
            send,
            browser,
            token,
            headers={"Referer": "https://evil.example/", "Origin": "https://evil.example"},
        ),
    )
