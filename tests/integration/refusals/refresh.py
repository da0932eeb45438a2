"""Refresh tokens: what is not one, whose it is, and what has ended it (RFC 6749 §6, RFC 9700 §4.14)."""

from functools import partial
from typing import Any

from werkzeug.test import TestResponse

from idp.tokens import sha256_hex
from tests.factories import SECRET, make_client, make_public_client
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import World, log_in, post, subject_of

SCOPE = "openid profile email offline_access"
OFFLINE: dict[str, Any] = {"scope": SCOPE, "grant_types": ["authorization_code", "refresh_token"]}


def at(host: str) -> dict[str, Any]:
    return {"redirect_uris": [f"https://{host}.example.se/cb"]}


CLIENTS = {
    "portal": make_client(**OFFLINE),
    "other": make_client(**OFFLINE, **at("other")),
    "spa": make_public_client(**OFFLINE, **at("spa")),
    "spa2": make_public_client(**OFFLINE, **at("spa2")),
    "brief": make_client(**OFFLINE, **at("brief"), refresh_token_idle_minutes=10, refresh_token_hours=1),
    "bare": make_client(**at("bare"), scope=SCOPE),
}


def refresh(rp: RelyingParty, token: str, /, **changes: Any) -> TestResponse:
    return rp.post("/token", {"grant_type": "refresh_token", "refresh_token": token}, **changes)


def cases(world: World) -> Cases:
    rp, tokens = world.tokens(scope=SCOPE)
    token = tokens.refresh_token
    changes: dict[str, dict[str, Any]] = {
        "token missing": {"refresh_token": None},
        "token empty": {"refresh_token": ""},
        "token unknown": {"refresh_token": "x" * 43},
        "token cut": {"refresh_token": token[:-1]},
        "token in another case": {"refresh_token": token.swapcase()},
        "token not ASCII": {"refresh_token": "å" * 43},
        "token of 20,000 characters": {"refresh_token": "x" * 20_000},
        "token with a NUL": {"refresh_token": token + "\x00"},
        "the token's hash": {"refresh_token": sha256_hex(token)},
        "an access token": {"refresh_token": tokens.access_token},
        "an ID token": {"refresh_token": tokens.id_token},
        "a code": {"refresh_token": rp.code(scope=SCOPE)},
        "another client": {"basic": ("other", SECRET)},
        "wrong secret": {"basic": ("portal", "wrong")},
        "not authenticated": {"basic": None},
        "wider scope": {"scope": SCOPE + " phone"},
        "unknown scope": {"scope": "openid x"},
        "less scope": {"scope": "openid"},
        "as a code": {"grant_type": "authorization_code"},
        "nothing changed": {},
    }
    for name, fields in changes.items():
        yield name, partial(refresh, rp, token, **fields)
    yield (
        "token twice",
        partial(rp.post, "/token", {"grant_type": "refresh_token"}, refresh_token=[token, token]),
    )
    yield "a client without the grant", partial(refresh, world.rp("bare"), token)
    yield from _rotated(world)
    yield from _lifetimes(world)
    yield from _ended(world)
    yield from _entries(world)


def _rotated(world: World) -> Cases:
    spa, first = world.tokens("spa", scope=SCOPE)
    second = spa.refresh(first.refresh_token)
    yield "rotated: the answer again at once", partial(refresh, spa, first.refresh_token)
    yield "rotated: by another public client", partial(refresh, spa, second.refresh_token, client_id="spa2")
    with world.later(30):
        yield "rotated: again after half a minute", partial(refresh, spa, first.refresh_token)
        yield "rotated: the newest after that", partial(refresh, spa, second.refresh_token)
    spa, first = world.tokens("spa", scope=SCOPE)
    second = spa.refresh(first.refresh_token)
    third = spa.refresh(second.refresh_token)
    yield "rotated: again after its successor was used", partial(refresh, spa, first.refresh_token)
    yield "rotated: the newest after that too", partial(refresh, spa, third.refresh_token)
    spa, first = world.tokens("spa", scope=SCOPE)
    second = spa.refresh(first.refresh_token)
    with world.later(60):
        yield (
            "rotated: reused by another client",
            partial(refresh, spa, first.refresh_token, client_id="spa2"),
        )
        yield "rotated: the newest, untouched by another client", partial(refresh, spa, second.refresh_token)


def _lifetimes(world: World) -> Cases:
    day = 24 * 3600
    for client_id, idle, absolute in (("portal", 30 * day, 180 * day), ("brief", 600, 3600)):
        rp, tokens = world.tokens(client_id, scope=SCOPE)
        with world.later(idle - 1):
            yield f"{client_id}: just not idle too long", partial(refresh, rp, tokens.refresh_token)
        rp, tokens = world.tokens(client_id, scope=SCOPE)
        with world.later(idle):
            yield f"{client_id}: idle too long", partial(refresh, rp, tokens.refresh_token)
        rp, tokens = world.tokens(client_id, scope=SCOPE)
        for part in range(1, 2 * absolute // idle):
            with world.later(part * idle / 2):
                assert rp.refresh(tokens.refresh_token).status == 200
        with world.later(absolute):
            yield f"{client_id}: at its end", partial(refresh, rp, tokens.refresh_token)


def _ended(world: World) -> Cases:
    email = world.person()
    rp, tokens = world.tokens(email=email, scope=SCOPE)
    world.disable(email)
    yield "the person was disabled", partial(refresh, rp, tokens.refresh_token)
    rp, tokens = world.tokens(scope=SCOPE)
    assert rp.revoke(tokens.refresh_token).status_code == 200
    yield "revoked", partial(refresh, rp, tokens.refresh_token)
    rp, code = world.code(scope=SCOPE)
    tokens = rp.exchange(code)
    rp.exchange(code)
    yield "its code was replayed", partial(refresh, rp, tokens.refresh_token)
    rp, tokens = world.tokens(scope=SCOPE)
    assert rp.submit(rp.browser.get("/logout", **HTTPS)).status_code == 200
    yield "logged out, which it outlives", partial(refresh, rp, tokens.refresh_token)
    email = world.person()
    rp, tokens = world.tokens(email=email, scope=SCOPE)
    assert post(rp.browser, "/account/apps/revoke", client_id="portal").status_code == 303
    yield "taken back without a consent, which it outlives", partial(refresh, rp, tokens.refresh_token)
    with world.entry("portal", consent="explicit"):
        rp = world.rp()
        log_in(rp.browser, email)
        allowed = rp.submit(rp.follow(rp.authorize(scope=SCOPE)), answer="allow")
        tokens = rp.exchange(rp.answer(rp.follow(allowed))["code"])
        assert subject_of(tokens)
        assert post(rp.browser, "/account/apps/revoke", client_id="portal").status_code == 303
        yield "the consent was taken back", partial(refresh, rp, tokens.refresh_token)


def _entries(world: World) -> Cases:
    """What clients.yaml says by the time the token comes."""
    changes: dict[str, dict[str, Any]] = {
        "the client was removed": {},
        "the grant was removed": {"grant_types": ["authorization_code"]},
        "offline_access was removed": {"scope": "openid profile email"},
        "a scope was removed": {"scope": "openid offline_access"},
        "the login method was removed": {"login_methods": ["bankid"]},
        "the person's company was removed": {"companies": ["Annat AB"]},
        "a proof is demanded": {"dpop_bound_access_tokens": True},
    }
    for name, fields in changes.items():
        rp, tokens = world.tokens(scope=SCOPE)
        with world.entry("portal", **fields):
            yield name, partial(refresh, rp, tokens.refresh_token)
    rp, tokens = world.tokens(scope=SCOPE)
    with world.entry("portal", scope="openid offline_access"):
        yield (
            "a scope was removed and is asked for",
            partial(refresh, rp, tokens.refresh_token, scope="email"),
        )
