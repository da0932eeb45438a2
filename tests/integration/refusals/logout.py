"""Logging out: what an app may ask for, and what the person is asked first (RP-Initiated Logout 1.0)."""

from functools import partial
from typing import Any
from urllib.parse import urlencode

from werkzeug.test import TestResponse

from idp.tokens import base64url
from tests.factories import make_client
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import World

RETURN = "https://portal.example.se/"
FORM = "application/x-www-form-urlencoded"
CLIENTS = {
    "portal": make_client(post_logout_redirect_uris=[RETURN, "https://portal.example.se/bye?x=1"]),
    "other": make_client(
        redirect_uris=["https://other.example.se/cb"],
        post_logout_redirect_uris=["https://other.example.se/"],
    ),
    "apis": make_client(redirect_uris=["https://apis.example.se/cb"], access_token_format="jwt"),
}


def end(rp: RelyingParty, method: str = "GET", **parameters: Any) -> TestResponse:
    """The answer to a logout request; None leaves a parameter out."""
    sent = {name: value for name, value in parameters.items() if value is not None}
    if method == "POST":
        return rp.browser.post("/end_session", data=sent, **HTTPS)
    return rp.browser.get("/end_session?" + urlencode(sent, doseq=True), **HTTPS)


def end_and_say_yes(rp: RelyingParty, **parameters: Any) -> TestResponse:
    """Where a logout request leads in the end."""
    answer = end(rp, **parameters)
    asks = answer.headers.get("Location", "").startswith("/logout")
    return rp.submit(rp.follow(answer)) if asks else answer


POSTED = (
    *("nothing changed", "hint missing", "hint not a token", "hint of another person", "hint twice"),
    *("client_id unknown", "post_logout_redirect_uri missing", "post_logout_redirect_uri unregistered"),
)


def cases(world: World) -> Cases:
    all_changes = _changes(world)
    for name, changes in all_changes.items():
        rp, valid = logged_in(world)
        yield name, partial(end, rp, **{**valid, **changes})
        rp, valid = logged_in(world)
        yield f"{name}, and yes where that is asked", partial(end_and_say_yes, rp, **{**valid, **changes})
    for name in POSTED:
        rp, valid = logged_in(world)
        yield f"POST: {name}", partial(end, rp, "POST", **{**valid, **all_changes[name]})
    yield from _return_addresses(world)
    yield from _nobody_here(world)
    yield from _posted_from_elsewhere(world)
    yield from _questions(world)


def logged_in(world: World) -> tuple[RelyingParty, dict[str, Any]]:
    """A browser with a session, and a logout request that would end it and lead back."""
    rp, tokens = world.tokens()
    return rp, {
        "id_token_hint": tokens.id_token,
        "client_id": "portal",
        "post_logout_redirect_uri": RETURN,
        "state": "s",
    }


def _changes(world: World) -> dict[str, dict[str, Any]]:
    _, mine = world.tokens()
    header, payload, signature = mine.id_token.split(".")
    unsigned = base64url(b'{"alg":"none","typ":"JWT"}')
    other, theirs = world.tokens("other")
    _, apis = world.tokens("apis")
    _, of_bo = world.tokens(email=world.person())
    assert other.client_id == "other"
    return {
        "nothing changed": {},
        "hint missing": {"id_token_hint": None},
        "hint empty": {"id_token_hint": ""},
        "hint not a token": {"id_token_hint": "anna@example.se"},
        "hint not ASCII": {"id_token_hint": "å.ä.ö"},
        "hint with its signature cut": {"id_token_hint": f"{header}.{payload}.{signature[:-4]}"},
        "hint with alg none": {"id_token_hint": f"{unsigned}.{payload}."},
        "hint that is an access token": {"id_token_hint": mine.access_token},
        "hint that is a JWT access token": {"id_token_hint": apis.access_token},
        "hint of another client": {"id_token_hint": theirs.id_token},
        "hint of another client, without client_id": {"id_token_hint": theirs.id_token, "client_id": None},
        "hint of another person": {"id_token_hint": of_bo.id_token},
        "hint of another session of the person": {"id_token_hint": mine.id_token},
        "hint twice": {"id_token_hint": [mine.id_token, mine.id_token]},
        "client_id of another client": {"client_id": "other"},
        "client_id unknown": {"client_id": "nobody"},
        "client_id twice": {"client_id": ["portal", "portal"]},
        "client_id unknown, no hint": {"client_id": "nobody", "id_token_hint": None},
        "post_logout_redirect_uri missing": {"post_logout_redirect_uri": None},
        "post_logout_redirect_uri unregistered": {"post_logout_redirect_uri": "https://evil.example/"},
        "post_logout_redirect_uri twice": {"post_logout_redirect_uri": [RETURN, RETURN]},
        "post_logout_redirect_uri unregistered, no hint": {
            "post_logout_redirect_uri": "https://evil.example/",
            "id_token_hint": None,
        },
        "state twice": {"state": ["s", "s"]},
        "logout_hint twice": {"logout_hint": ["x", "x"]},
        "ui_locales twice": {"ui_locales": ["sv", "en"]},
    }


def _return_addresses(world: World) -> Cases:
    for address in (
        *("https://portal.example.se", "https://portal.example.se/?x=1", "https://portal.example.se/a"),
        *("https://PORTAL.example.se/", "http://portal.example.se/", "https://portal.example.se:443/"),
        *("https://portal.example.se/cb", "https://portal.example.se/@evil.example/"),
        *("https://other.example.se/", "//evil.example/", "javascript:alert(1)"),
    ):
        rp, valid = logged_in(world)
        yield f"return to {address}", partial(end, rp, **{**valid, "post_logout_redirect_uri": address})
    rp, valid = logged_in(world)
    with world.entry("portal", post_logout_redirect_uris=["https://portal.example.se/new"]):
        yield "return to an address that was removed", partial(end, rp, **valid)
    rp, valid = logged_in(world)
    with world.entry("portal"):
        yield "the client was removed", partial(end, rp, **valid)


def _nobody_here(world: World) -> Cases:
    """In a browser on which nobody is logged in."""
    _, valid = logged_in(world)
    yield "nobody logged in", partial(end, world.rp(), **valid)
    yield "nobody logged in, no hint", partial(end, world.rp(), **{**valid, "id_token_hint": None})
    yield (
        "nobody logged in, unregistered address",
        partial(end, world.rp(), **{**valid, "post_logout_redirect_uri": "https://evil.example/"}),
    )
    rp = world.rp()
    yield "nothing asked", partial(end, rp)
    yield "POST: nothing asked", partial(end, rp, "POST")
    for method in ("HEAD", "PUT", "DELETE"):
        yield method, partial(rp.browser.open, "/end_session", method=method, query_string=valid, **HTTPS)
    yield "POST: 100,000 bytes", partial(end, rp, "POST", **{**valid, "state": "x" * 100_000})


def _posted_from_elsewhere(world: World) -> Cases:
    """A POST from another site comes without cookies and is sent on to a GET."""

    def location() -> tuple[RelyingParty, str]:
        rp, valid = logged_in(world)
        return rp, end(world.rp(), "POST", **valid).headers["Location"]

    rp, sent_on = location()
    yield "posted: nothing changed", partial(rp.browser.get, sent_on, **HTTPS)
    rp, sent_on = location()
    changed = sent_on[:-9] + ("A" if sent_on[-9] != "A" else "B") + sent_on[-8:]
    yield "posted: changed on the way", partial(rp.browser.get, changed, **HTTPS)
    yield "posted: nothing", partial(rp.browser.get, "/end_session/posted", **HTTPS)
    with world.later(601):
        yield "posted: ten minutes ago", partial(rp.browser.get, sent_on, **HTTPS)
    with world.entry("portal"):
        yield "posted: the client was removed", partial(rp.browser.get, sent_on, **HTTPS)
    yield "posted: HEAD", partial(rp.browser.head, sent_on, **HTTPS)
    yield "posted: POST", partial(rp.browser.post, sent_on, **HTTPS)
    yield "posted: in a browser without cookies", partial(world.browser().get, sent_on, **HTTPS)


def _questions(world: World) -> Cases:
    """The page that asks first."""

    def asked(**changes: Any) -> tuple[RelyingParty, TestResponse]:
        rp, valid = logged_in(world)
        return rp, rp.follow(end(rp, **{**valid, "id_token_hint": None, **changes}))

    rp, page = asked()
    yield "question: nothing changed", partial(rp.submit, page)
    rp, page = asked()
    yield "question: without the CSRF token", partial(rp.submit, page, csrf_token="")
    yield (
        "question: CSRF token of another browser",
        partial(rp.submit, page, csrf_token=world.csrf_of_another_browser()),
    )
    yield "question: changed state", partial(rp.submit, page, state="x")
    rp, page = asked()
    with world.later(3601):
        yield "question: answered an hour later", partial(rp.submit, page)
    rp, page = asked()
    with world.later(12 * 3600 + 1):
        yield "question: answered half a day later", partial(rp.submit, page)
    rp, page = asked()
    with world.entry("portal"):
        yield "question: the client was removed", partial(rp.submit, page)
    rp, page = asked(post_logout_redirect_uri="https://evil.example/")
    yield "question: unregistered address", partial(rp.submit, page)
    rp, page = asked()
    rp.submit(page)
    yield "question: answered twice", partial(rp.submit, page)
