"""Pushed authorization requests: pushing one, and coming with its request_uri (RFC 9126)."""

from functools import partial
from typing import Any

from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from tests.factories import PASSWORD, SECRET, make_client, make_public_client
from tests.fakes.proofs import JKT, proof
from tests.fakes.relying_party import HTTPS, RelyingParty, basic_value
from tests.integration.refusals import authorization
from tests.integration.refusals.authorization import CHANGES, PUSHED
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import ANNA, World

CLIENTS = {
    "portal": make_client(),
    "other": make_client(redirect_uris=["https://other.example.se/cb"]),
    "spa": make_public_client(redirect_uris=["https://spa.example.se/cb"]),
    "machine": make_client(grant_types=["client_credentials"]),
    "asking": make_client(redirect_uris=["https://asking.example.se/cb"], consent="explicit"),
    "lax": make_client(redirect_uris=["https://lax.example.se/cb"], require_pkce=False),
}
ELSEWHERE = (  # what an authorization request alone can have, or what only a browser shows
    *("nothing changed", "request_uri never pushed, with prompt none", "prompt none twice in one"),
    *("a fault, by form_post", "a fault, without a state", "prompt none, nobody logged in"),
)


def push(rp: RelyingParty, headers: dict[str, str] | None = None, **changes: Any) -> TestResponse:
    return rp.post("/par", rp.parameters(**changes), headers=headers)


def pushed(rp: RelyingParty, **changes: Any) -> str:
    """The request_uri of a request that was pushed."""
    answer = push(rp, **changes)
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["request_uri"])


def arrive(rp: RelyingParty, request_uri: str, **beside: str) -> TestResponse:
    query = {"client_id": rp.client_id, "request_uri": request_uri, **beside}
    return rp.browser.get("/authorize", query_string=query, **HTTPS)


def cases(world: World) -> Cases:
    rp = world.rp()
    yield "push: nothing changed", partial(push, rp)
    for name, changes in CHANGES.items():
        if name not in ELSEWHERE:
            yield f"push: {name}", partial(push, rp, **changes)
    for name in authorization.PARAMETERS:
        values = {name: "x", **rp.parameters()}
        doubled = MultiDict([*values.items(), (name, values[name])])
        yield f"push: {name} twice", partial(_post, rp, doubled)
        longest = 16_000 if name == "request" else 8_000
        yield f"push: {name} too long", partial(push, rp, **{name: "x" * (longest + 1)})
    yield "push: a client without the code grant", partial(push, world.rp("machine"))
    yield from _authentication(world)
    yield from _proofs(world)
    yield from _http(rp)
    yield from _arrivals(world)
    yield from _used_up(world)


def _post(rp: RelyingParty, form: Any, **options: Any) -> TestResponse:
    sent = {"Authorization": "Basic " + basic_value(rp.client_id, SECRET)}
    return rp.browser.post("/par", data=form, headers=sent, **HTTPS, **options)


def _authentication(world: World) -> Cases:
    rp, spa = world.rp(), world.rp("spa")
    yield "push: a public client", partial(push, spa)
    yield "push: a public client with a secret", partial(push, spa, client_secret=SECRET)
    yield "push: a public client's other client_id", partial(push, spa, client_id="portal")
    valid = partial(rp.post, "/par", rp.parameters())
    yield "push: wrong secret", partial(valid, basic=("portal", "wrong"))
    yield "push: unknown client", partial(valid, basic=("nobody", SECRET), client_id="nobody")
    yield "push: another client than client_id", partial(valid, basic=("other", SECRET))
    yield "push: another client's redirect_uri", partial(valid, basic=("other", SECRET), client_id="other")
    yield "push: not authenticated", partial(valid, basic=None)
    yield "push: by Bearer", partial(valid, basic=None, headers={"Authorization": "Bearer x"})
    yield "push: by a secret in the form", partial(valid, basic=None, client_secret=SECRET)
    yield "push: by two ways", partial(valid, client_secret=SECRET)
    twice = MultiDict([*rp.parameters().items(), ("client_secret", SECRET), ("client_secret", SECRET)])
    yield "push: client_secret twice", partial(_post, rp, twice)


def _proofs(world: World) -> Cases:
    rp, used = world.rp(), proof("/par")
    yield "push: with a proof", partial(push, rp, used)
    yield "push: with a proof used before", partial(push, rp, used)
    yield "push: with a proof for another endpoint", partial(push, rp, proof("/token"))
    yield (
        "push: with a proof of another key than dpop_jkt",
        partial(push, rp, proof("/par"), dpop_jkt=JKT["EdDSA"]),
    )
    yield "push: with an unknown nonce", partial(push, rp, proof("/par", nonce="x"))
    yield "push: with a proof that is empty", partial(push, rp, {"DPoP": ""})


def _http(rp: RelyingParty) -> Cases:
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        yield f"push: {method}", partial(rp.browser.open, "/par", method=method, **HTTPS)
    yield "push: an empty form", partial(_post, rp, {})
    yield (
        "push: not UTF-8",
        partial(_post, rp, b"client_id=%ff", content_type="application/x-www-form-urlencoded"),
    )
    yield "push: JSON", partial(_post, rp, "{}", content_type="application/json")
    yield "push: 100,000 bytes", partial(_post, rp, {"state": "x" * 100_000})


def _arrivals(world: World) -> Cases:
    rp, other = world.rp(), world.rp("other")
    yield "arrival: nothing changed", partial(arrive, rp, pushed(rp))
    yield "arrival: unknown", partial(arrive, rp, PUSHED + "x" * 43)
    yield "arrival: empty", partial(arrive, rp, PUSHED)
    yield "arrival: in another case", partial(arrive, rp, PUSHED + pushed(rp).removeprefix(PUSHED).swapcase())
    yield "arrival: another client's", partial(arrive, other, pushed(rp))
    yield "arrival: client_id missing", partial(arrive, rp, pushed(rp), client_id="")
    yield "arrival: client_id unknown", partial(arrive, rp, pushed(rp), client_id="nobody")
    yield "arrival: beside a request object", partial(arrive, rp, pushed(rp), request="x")
    yield (
        "arrival: other parameters beside it",
        partial(arrive, rp, pushed(rp), redirect_uri="https://evil.example/", prompt="none", scope="x"),
    )
    request_uri = pushed(rp)
    with world.later(60):
        yield "arrival: after a minute", partial(arrive, rp, request_uri)
    request_uri = pushed(rp)
    with world.entry("portal"):
        yield "arrival: the client was removed", partial(arrive, rp, request_uri)
    changes: dict[str, dict[str, Any]] = {
        "the redirect_uri was removed": {"redirect_uris": ["https://portal.example.se/new"]},
        "a scope was removed": {"scope": "openid"},
        "the code grant was removed": {"grant_types": ["client_credentials"]},
        "the login method was removed": {"login_methods": ["bankid"]},
    }
    for name, fields in changes.items():
        request_uri = pushed(rp)
        with world.entry("portal", **fields):
            yield f"arrival: {name}", partial(_arrive_and_follow, rp, request_uri)


def _arrive_and_follow(rp: RelyingParty, request_uri: str) -> TestResponse:
    return rp.follow(arrive(rp, request_uri))


def _used_up(world: World) -> Cases:
    rp = world.logged_in()
    request_uri = pushed(rp)
    yield "arrival: logged in", partial(arrive, rp, request_uri)
    yield "arrival: again after a code", partial(arrive, rp, request_uri)
    request_uri = pushed(world.rp(), prompt="none")
    nobody = world.rp()
    yield "arrival: with prompt none, nobody logged in", partial(arrive, nobody, request_uri)
    yield "arrival: again after an error", partial(arrive, nobody, request_uri)
    rp = world.rp()
    request_uri = pushed(rp)
    uid = arrive(rp, request_uri).headers["Location"].rpartition("/")[2]
    yield "arrival: cancelled", partial(rp.browser.get, f"/authorize/{uid}?cancel=1", **HTTPS)
    yield "arrival: again after it was cancelled", partial(arrive, rp, request_uri)
    first, second = world.rp(), world.rp()
    request_uri = pushed(first)
    pages = [party.follow(arrive(party, request_uri)) for party in (first, second)]
    for name, party, page in (("first", first, pages[0]), ("second", second, pages[1])):
        answer = party.submit(page, email=ANNA, password=PASSWORD)
        yield f"arrival: in two browsers, the {name}", partial(party.follow, answer)
    first, second = world.logged_in("asking"), world.logged_in("asking")
    request_uri = pushed(first)
    pages = [party.follow(arrive(party, request_uri)) for party in (first, second)]
    for name, party, page in (("first", first, pages[0]), ("second", second, pages[1])):
        yield f"arrival: denied in two browsers, the {name}", partial(party.submit, page, answer="deny")
