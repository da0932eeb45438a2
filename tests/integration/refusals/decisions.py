"""The authorization endpoint: refused because of who is, or is not, logged in (OIDC Core §3.1.2.3)."""

import json
from base64 import urlsafe_b64decode
from functools import partial
from typing import Any
from uuid import UUID

from werkzeug.test import TestResponse

from idp.tokens import base64url
from tests.factories import make_client
from tests.fakes.relying_party import HTTPS
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import World, log_in, subject_of

SESSION_COOKIE = "__Host-idp_session"


def at(host: str) -> dict[str, Any]:
    return {"redirect_uris": [f"https://{host}.example.se/cb"]}


CLIENTS = {
    "portal": make_client(),
    "other": make_client(**at("other")),
    "members": make_client(**at("members"), companies=["Annat AB"]),
    "asking": make_client(**at("asking"), consent="explicit"),
    "hasty": make_client(**at("hasty"), default_max_age=60),
    "pairwise": make_client(**at("pairwise"), subject_type="pairwise"),
    "apis": make_client(**at("apis"), access_token_format="jwt"),
    "signed": make_client(**at("signed"), userinfo_signed_response_alg="ES256"),
    "bankid-only": make_client(**at("bankid-only"), login_methods=["bankid"]),
}


HEADERS: dict[str, dict[str, Any]] = {
    "another alg": {"alg": "ES256"},
    "an unknown kid": {"kid": "x"},
    "a kid that is a number": {"kid": 1},
    "another typ": {"typ": "at+jwt"},
    "crit": {"crit": ["exp"]},
    "a long header": {"kid": "x" * 5000},
}


def _header(token: str) -> dict[str, Any]:
    part = token.partition(".")[0]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def silent(world: World, client_id: str = "portal", **changes: Any) -> TestResponse:
    """The answer to a request that must not ask, from a browser on which Anna is logged in."""
    return world.logged_in(client_id).authorize(prompt="none", **changes)


def by(sub: str) -> str:
    """A `claims` parameter that asks for one person."""
    return json.dumps({"id_token": {"sub": {"value": sub}}})


def cases(world: World) -> Cases:
    yield "nothing changed", partial(silent, world)
    yield "nobody logged in", partial(world.rp().authorize, prompt="none")
    yield (
        "nobody logged in, by form_post",
        partial(world.rp().authorize, prompt="none", response_mode="form_post"),
    )
    yield "nobody logged in, without a state", partial(world.rp().authorize, prompt="none", state=None)
    yield from _sessions_that_ended(world)
    yield from _logins_too_old(world)
    yield from _hints(world)
    yield from _other_people(world)
    yield from _clients(world)
    yield from _consents(world)


def _sessions_that_ended(world: World) -> Cases:
    rp = world.logged_in()
    with world.later(3600):
        yield "an hour without a visit", partial(rp.authorize, prompt="none")
    rp = world.logged_in()
    assert rp.submit(rp.browser.get("/logout", **HTTPS)).status_code == 200
    yield "logged out", partial(rp.authorize, prompt="none")
    email = world.person()
    rp = world.logged_in(email=email)
    world.disable(email)
    yield "the person was disabled", partial(rp.authorize, prompt="none")
    rp = world.rp()
    rp.browser.set_cookie(SESSION_COOKIE, "x" * 43, domain="login.example.se")
    yield "a made-up session cookie", partial(rp.authorize, prompt="none")
    rp = world.logged_in()
    for visit in range(1, 11):
        with world.later(visit * 3590):
            assert "code" in rp.answer(rp.authorize(prompt="none"))
    with world.later(10 * 3600):
        yield "ten hours after the login", partial(rp.authorize, prompt="none")


def _logins_too_old(world: World) -> Cases:
    rp, hasty = world.logged_in(), world.logged_in("hasty")
    yield "max_age as old as the login", partial(rp.authorize, prompt="none", max_age="0")
    with world.later(61):
        yield "max_age younger than the login", partial(rp.authorize, prompt="none", max_age="60")
        yield "default_max_age younger than the login", partial(hasty.authorize, prompt="none")
        yield "prompt login", partial(rp.authorize, prompt="login")
        yield "prompt select_account", partial(rp.authorize, prompt="select_account")


def _hints(world: World) -> Cases:
    """The id_token_hint, which must be a token of ours to this client, and whose person must be here."""
    rp, tokens = world.tokens()
    header, payload, signature = tokens.id_token.split(".")
    hinted = partial(rp.authorize, prompt="none")
    unsigned = base64url(b'{"alg":"none","typ":"JWT"}')
    yield "hint in order", partial(hinted, id_token_hint=tokens.id_token)
    yield "hint with its signature cut", partial(hinted, id_token_hint=f"{header}.{payload}.{signature[:-4]}")
    yield "hint with alg none", partial(hinted, id_token_hint=f"{unsigned}.{payload}.")
    for name, changes in HEADERS.items():
        said = base64url(json.dumps({**_header(tokens.id_token), **changes}).encode())
        hint = f"{said}.{payload}.{signature}"
        yield f"hint with {name}", partial(hinted, id_token_hint=hint)
    yield "hint that is an access token", partial(hinted, id_token_hint=tokens.access_token)
    apis, their_tokens = world.tokens("apis")
    yield (
        "hint that is a JWT access token",
        partial(apis.authorize, prompt="none", id_token_hint=their_tokens.access_token),
    )
    yield "hint of another client", partial(hinted, id_token_hint=their_tokens.id_token)
    signed, its_tokens = world.tokens("signed")
    userinfo = signed.userinfo(its_tokens.access_token).text
    yield "hint that is a userinfo answer", partial(signed.authorize, prompt="none", id_token_hint=userinfo)
    bo = world.person()
    _, tokens_of_bo = world.tokens(email=bo)
    yield "hint of somebody else", partial(hinted, id_token_hint=tokens_of_bo.id_token)
    yield "hint of somebody else, who may log in", partial(rp.authorize, id_token_hint=tokens_of_bo.id_token)
    world.disable(bo)
    yield "hint of somebody disabled", partial(hinted, id_token_hint=tokens_of_bo.id_token)
    pairwise, pairwise_tokens = world.tokens("pairwise")
    world.empty("access_tokens", "grants", "browser_sessions")
    log_in(pairwise.browser)
    yield (
        "hint of a session that nobody remembers",
        partial(pairwise.authorize, prompt="none", id_token_hint=pairwise_tokens.id_token),
    )
    yield (
        "hint of a session that nobody remembers, and claims of somebody else",
        partial(pairwise.authorize, id_token_hint=pairwise_tokens.id_token, claims=by("somebody")),
    )


def _other_people(world: World) -> Cases:
    rp, tokens = world.tokens()
    _, tokens_of_bo = world.tokens(email=world.person())
    bo, anna = subject_of(tokens_of_bo), subject_of(tokens)
    yield "claims of the person who is logged in", partial(rp.authorize, prompt="none", claims=by(anna))
    yield "claims of somebody else", partial(rp.authorize, prompt="none", claims=by(bo))
    yield "claims of somebody else, who may log in", partial(rp.authorize, claims=by(bo))
    yield (
        "claims of one of several others",
        partial(rp.authorize, claims=json.dumps({"id_token": {"sub": {"values": [bo, str(UUID(int=1))]}}})),
    )
    yield (
        "hint and claims of different people",
        partial(rp.authorize, id_token_hint=tokens.id_token, claims=by(bo)),
    )
    yield (
        "claims of somebody whom a pairwise client does not know",
        partial(world.logged_in("pairwise").authorize, claims=by(anna)),
    )


def _clients(world: World) -> Cases:
    yield "a client for another company", world.logged_in("members").authorize
    yield "a client for another company, silently", partial(silent, world, "members")
    yield "a client that takes another method", partial(silent, world, "bankid-only")
    yield "an acr that nothing reaches", partial(silent, world, acr_values="urn:x")


def _consents(world: World) -> Cases:
    yield "no consent given", partial(silent, world, "asking")
    yield "consent asked for by prompt", partial(world.logged_in().authorize, prompt="consent")
    rp = world.logged_in("asking", world.person())
    allowed = rp.submit(rp.follow(rp.authorize(scope="openid")), answer="allow")
    assert rp.follow(allowed).status_code == 303
    yield "consent given", partial(rp.authorize, prompt="none", scope="openid")
    yield "consent given to less", partial(rp.authorize, prompt="none", scope="openid email")
    claims = json.dumps({"userinfo": {"email": None}})
    yield "consent given to fewer claims", partial(rp.authorize, prompt="none", scope="openid", claims=claims)
