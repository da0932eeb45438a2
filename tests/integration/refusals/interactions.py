"""A login that waits, and the consent page: whose it is, how long it waits, and what ends it."""

import json
from functools import partial
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.factories import PASSWORD, make_client
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import ANNA, World, post, subject_of


def at(host: str) -> dict[str, Any]:
    return {"redirect_uris": [f"https://{host}.example.se/cb"]}


CLIENTS = {
    "portal": make_client(),
    "members": make_client(**at("members"), companies=["Annat AB"]),
    "asking": make_client(**at("asking"), consent="explicit"),
    "plain": make_client(**at("plain"), initiate_login_uri=None, client_name=None),
}
PLACES = ("/login/{}", "/login/{}/password", "/authorize/{}", "/consent/{}")


def cases(world: World) -> Cases:
    yield from _passwords(world)
    yield from _over(world)
    yield from _foreign(world)
    yield from _given_up(world)
    yield from _entries(world)
    yield from _wrong_people(world)
    yield from _consents(world)


Waiting = tuple[RelyingParty, TestResponse, str]


def waiting(world: World, client_id: str = "portal", **changes: Any) -> Waiting:
    """A relying app, the login page that its request led to, and the uid in its address."""
    rp = world.rp(client_id)
    page = rp.follow(rp.authorize(**changes))
    return rp, page, page.request.path.split("/")[2]


def answer(rp: RelyingParty, page: TestResponse, email: str = ANNA, password: str = PASSWORD) -> TestResponse:
    """Where the login form leads in the end."""
    return rp.follow(rp.submit(page, email=email, password=password))


def _passwords(world: World) -> Cases:
    disabled, without = world.person(), world.person(password=None)
    world.disable(disabled)
    for name, fields in {
        "nothing changed": {},
        "wrong password": {"password": "fel lösenord"},
        "password in another case": {"password": PASSWORD.upper()},
        "empty password": {"password": ""},
        "password of 10,000 characters": {"password": "x" * 10_000},
        "password with a NUL": {"password": PASSWORD + "\x00"},
        "unknown address": {"email": "nobody@example.se"},
        "empty address": {"email": ""},
        "no address at all": {"email": "anna"},
        "address of 10,000 characters": {"email": "x" * 10_000},
        "address with a NUL": {"email": ANNA + "\x00"},
        "disabled person": {"email": disabled},
        "person without a password": {"email": without},
        "address in capitals": {"email": ANNA.upper()},
    }.items():
        rp, page, _ = waiting(world)
        yield f"password: {name}", partial(answer, rp, page, **fields)
        sent = {"email": ANNA, "password": PASSWORD, **fields}
        yield f"password: {name}, directly", partial(post, world.browser(), "/login/password", **sent)


def _over(world: World) -> Cases:
    """An address of a login that is over, or never was."""
    for place in PLACES:
        browser = world.browser()
        for name, uid in (("unknown", "x" * 43), ("short", "x"), ("not ASCII", "å"), ("with a quote", "'--")):
            yield f"{name}: {place}", partial(browser.get, place.format(uid), **HTTPS)
        rp, page, uid = waiting(world)
        with world.later(3600):
            yield f"expired: {place}", partial(rp.browser.get, place.format(uid), **HTTPS)
        assert "code" in rp.answer(answer(rp, page))
        yield f"answered: {place}", partial(rp.browser.get, place.format(uid), **HTTPS)
        plain, page, uid = waiting(world, "plain")
        with world.later(3600):
            yield f"expired, no way back: {place}", partial(plain.browser.get, place.format(uid), **HTTPS)
    rp, page, uid = waiting(world)
    with world.later(3600):
        yield "expired: the form", partial(answer, rp, page)
    assert "code" in rp.answer(answer(rp, page))
    yield "answered: the form again", partial(answer, rp, page)
    yield "answered: cancelled afterwards", partial(rp.browser.get, f"/authorize/{uid}?cancel=1", **HTTPS)
    for method in ("HEAD", "POST", "PUT"):
        yield f"{method} /authorize", partial(rp.browser.open, f"/authorize/{uid}", method=method, **HTTPS)


def _foreign(world: World) -> Cases:
    """An address that somebody else began at."""

    def land(browser: FlaskClient, path: str) -> TestResponse:
        return RelyingParty(world.app, browser).follow(browser.get(path, **HTTPS))

    for place in PLACES:
        _, _, uid = waiting(world)
        path = place.format(uid)
        yield f"another browser: {place}", partial(world.browser().get, path, **HTTPS)
        yield f"another browser, where it leads: {place}", partial(land, world.browser(), path)
        yield f"another browser, logged in: {place}", partial(land, world.logged_in().browser, path)
        without = world.app.test_client(use_cookies=False)
        yield f"a browser without cookies: {place}", partial(land, without, path)
    for method in ("GET", "POST"):
        rp = RelyingParty(world.app, world.app.test_client(use_cookies=False))
        yield (
            f"a browser without cookies: {method}",
            lambda rp=rp, method=method: rp.follow(rp.authorize(method)),
        )
    _, _, uid = waiting(world)
    sent = {"email": ANNA, "password": PASSWORD}
    yield "another browser: the form", partial(post, world.browser(), f"/login/{uid}/password", **sent)
    rp, page, _ = waiting(world)
    rp.browser.delete_cookie("__Host-idp_browser", domain="login.example.se")
    yield "a browser that lost its cookies: the form", partial(answer, rp, page)


def _authorize_and_follow(rp: RelyingParty, method: str) -> TestResponse:
    return rp.follow(rp.authorize(method))


def _given_up(world: World) -> Cases:
    for name, changes in {
        "": {},
        ", by form_post": {"response_mode": "form_post"},
        ", without a state": {"state": None},
    }.items():
        rp, _, uid = waiting(world, **changes)
        yield f"cancelled{name}", partial(rp.browser.get, f"/authorize/{uid}?cancel=1", **HTTPS)
    rp, page, uid = waiting(world)
    rp.browser.get(f"/authorize/{uid}?cancel=1", **HTTPS)
    yield "cancelled twice", partial(rp.browser.get, f"/authorize/{uid}?cancel=1", **HTTPS)
    yield "cancelled: the form", partial(answer, rp, page)


def _entries(world: World) -> Cases:
    """What clients.yaml says by the time somebody has logged in."""
    changes: dict[str, dict[str, Any]] = {
        "the client was removed": {},
        "the redirect_uri was removed": {"redirect_uris": ["https://portal.example.se/new"]},
        "the login method was removed": {"login_methods": ["bankid"]},
        "the person's company was removed": {"companies": ["Annat AB"]},
        "a scope was removed": {"scope": "openid"},
        "the code grant was removed": {"grant_types": ["client_credentials"]},
        "a consent is demanded": {"consent": "explicit"},
    }
    for name, fields in changes.items():
        rp, page, uid = waiting(world)
        with world.entry("portal", **fields):
            yield f"{name}: the form", partial(answer, rp, page)
        for place in PLACES:
            rp, page, uid = waiting(world)
            with world.entry("portal", **fields):
                yield f"{name}: {place}", partial(rp.browser.get, place.format(uid), **HTTPS)


def _wrong_people(world: World) -> Cases:
    """A login that is genuine, but not the one that was asked for."""
    bo = world.person()
    _, tokens = world.tokens(email=bo)
    asked = json.dumps({"id_token": {"sub": {"value": subject_of(tokens)}}})
    for name, changes in {"claims": {"claims": asked}, "hint": {"id_token_hint": tokens.id_token}}.items():
        rp, page, _ = waiting(world, **changes)
        yield f"somebody else than the {name} names", partial(answer, rp, page)
        yield f"the one whom the {name} names", partial(answer, rp, page, bo)
    several = json.dumps(
        {"id_token": {"sub": {"values": [subject_of(tokens), "0" * 8 + "-0000-4000-8000-" + "0" * 12]}}}
    )
    rp, page, _ = waiting(world, claims=several)
    yield "somebody else than several that claims names", partial(answer, rp, page)
    rp, page, _ = waiting(world, "members")
    yield "somebody of another company", partial(answer, rp, page)


def _consents(world: World) -> Cases:
    def asked(**changes: Any) -> Waiting:
        """The consent page of somebody who has never been asked."""
        email = world.person()
        rp, page, uid = waiting(world, "asking", **changes)
        return rp, answer(rp, page, email), uid

    rp, page, uid = asked()
    yield "consent: neither yes nor no", partial(rp.submit, page)
    yield "consent: another answer", partial(rp.submit, page, answer="maybe")
    yield "consent: no CSRF token", partial(rp.submit, page, answer="allow", csrf_token="")
    yield "consent: HEAD", partial(rp.browser.head, f"/consent/{uid}", **HTTPS)
    yield "consent: passed over", partial(rp.browser.get, f"/authorize/{uid}", **HTTPS)
    yield (
        "consent: in another browser",
        partial(post, world.logged_in().browser, f"/consent/{uid}", answer="allow"),
    )
    with world.later(3600):
        yield "consent: too late", partial(rp.submit, page, answer="allow")
    yield "consent: denied", partial(rp.submit, page, answer="deny")
    yield "consent: denied twice", partial(rp.submit, page, answer="deny")
    yield "consent: given after it was denied", partial(rp.submit, page, answer="allow")
    rp, page, uid = asked(response_mode="form_post")
    yield "consent: denied, by form_post", partial(rp.submit, page, answer="deny")
    rp, page, uid = asked()
    assert rp.submit(rp.browser.get("/logout", **HTTPS)).status_code == 200
    yield (
        "consent: given by somebody logged out",
        partial(post, rp.browser, f"/consent/{uid}", answer="allow"),
    )
    rp, page, uid = asked()
    yield "consent: given", partial(rp.submit, page, answer="allow")
    yield "consent: where it leads", partial(rp.browser.get, f"/authorize/{uid}", **HTTPS)
    yield "consent: given twice", partial(rp.submit, page, answer="allow")
    rp, page, uid = asked()
    with world.entry("asking", companies=["Annat AB"]):
        yield (
            "consent: given to a client for another company",
            partial(lambda rp, page: rp.follow(rp.submit(page, answer="allow")), rp, page),
        )
    rp, page, uid = asked()
    with world.entry("asking"):
        yield "consent: given to a client that was removed", partial(rp.submit, page, answer="allow")
    rp, page, uid = asked(prompt="login")
    with world.later(1):
        yield "consent: of an earlier login than asked for", partial(rp.submit, page, answer="deny")
