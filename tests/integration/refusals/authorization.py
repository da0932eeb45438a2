"""The authorization endpoint: refused before anybody is asked to log in (OIDC Core §3.1.2)."""

import json
from base64 import b64encode
from functools import partial
from typing import Any
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from tests.factories import make_client, make_public_client
from tests.fakes import request_objects
from tests.fakes.relying_party import HTTPS
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import World

AUTHN_PROVIDER = "https://id.oidc.se/param/authnProvider"
USER_MESSAGE = "https://id.oidc.se/param/userMessage"
PUSHED = "urn:ietf:params:oauth:request_uri:"
PARAMETERS = (
    *("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce"),
    *("code_challenge", "code_challenge_method", "prompt", "max_age", "acr_values", "display"),
    *("login_hint", "id_token_hint", "ui_locales", "claims", "claims_locales"),
    *("request", "request_uri", "registration", "dpop_jkt", AUTHN_PROVIDER, USER_MESSAGE),
)


def at(host: str) -> dict[str, Any]:
    return {"redirect_uris": [f"https://{host}.example.se/cb"]}


CLIENTS = {
    "portal": make_client(),
    "query": make_client(redirect_uris=["https://query.example.se/cb?tenant=7"]),
    "native": make_public_client(
        application_type="native", redirect_uris=["http://127.0.0.1/cb", "com.example.app:/cb"]
    ),
    "lax": make_client(**at("lax"), require_pkce=False),
    "machine": make_client(**at("machine"), grant_types=["client_credentials"]),
    "pushing": make_client(**at("pushing"), require_pushed_authorization_requests=True),
    "signing": make_client(**at("signing"), jwks=request_objects.JWKS, require_signed_request_object=True),
    "bankid-only": make_client(**at("bankid-only"), login_methods=["bankid"]),
}


def message(**changes: Any) -> str:
    """A user message, with changes; None leaves a member out."""
    valid = {"message": b64encode(b"Hej").decode(), **changes}
    return json.dumps({name: value for name, value in valid.items() if value is not None})


def encoded(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def acr(**spec: Any) -> str:
    return json.dumps({"id_token": {"acr": spec}})


CHANGES: dict[str, dict[str, Any]] = {
    "nothing changed": {},
    # before anything is known about where errors should go
    "client_id missing": {"client_id": None},
    "client_id empty": {"client_id": ""},
    "client_id unknown": {"client_id": "nobody"},
    "client_id in another case": {"client_id": "PORTAL"},
    "redirect_uri missing": {"redirect_uri": None},
    "redirect_uri empty": {"redirect_uri": ""},
    "redirect_uri unregistered": {"redirect_uri": "https://evil.example/"},
    "redirect_uri of another client": {"redirect_uri": "https://lax.example.se/cb"},
    "redirect_uri in another case": {"redirect_uri": "https://portal.example.se/CB"},
    "redirect_uri with a port": {"redirect_uri": "https://portal.example.se:443/cb"},
    "redirect_uri with a query": {"redirect_uri": "https://portal.example.se/cb?x=1"},
    "redirect_uri with a fragment": {"redirect_uri": "https://portal.example.se/cb#x"},
    "redirect_uri unregistered, by form_post": {
        "redirect_uri": "https://evil.example/",
        "response_mode": "form_post",
    },
    # what goes back to the client
    "response_type missing": {"response_type": None},
    "response_type empty": {"response_type": ""},
    "response_type token": {"response_type": "token"},
    "response_type id_token": {"response_type": "id_token"},
    "response_type hybrid": {"response_type": "code id_token"},
    "response_type none": {"response_type": "none"},
    "response_mode unknown": {"response_mode": "fragment"},
    "response_mode of a JWT": {"response_mode": "query.jwt"},
    "a fault, by form_post": {"response_type": "token", "response_mode": "form_post"},
    "a fault, without a state": {"response_type": "token", "state": None},
    "scope missing": {"scope": None},
    "scope empty": {"scope": ""},
    "scope without openid": {"scope": "profile email"},
    "scope unknown": {"scope": "openid address"},
    "scope of a personal number": {"scope": "openid https://id.oidc.se/scope/naturalPersonNumber"},
    "scope offline_access, not registered": {"scope": "openid offline_access"},
    "prompt unknown": {"prompt": "create"},
    "prompt none with login": {"prompt": "none login"},
    "prompt none with consent": {"prompt": "consent none"},
    "prompt none with select_account": {"prompt": "none select_account"},
    "prompt none, nobody logged in": {"prompt": "none"},
    "prompt none twice in one": {"prompt": "none none"},
    "max_age negative": {"max_age": "-1"},
    "max_age in words": {"max_age": "soon"},
    "max_age with a fraction": {"max_age": "1.5"},
    "max_age of ten digits": {"max_age": "1" * 10},
    "max_age in other digits": {"max_age": "٣"},
    "acr_values unknown": {"acr_values": "urn:unknown"},
    "authnProvider unknown": {AUTHN_PROVIDER: "somebody"},
    "authnProvider of another client": {AUTHN_PROVIDER: "bankid"},
    "ui_locales unknown": {"ui_locales": "xx"},
    "display unknown": {"display": "hologram"},
    "code_challenge missing": {"code_challenge": None},
    "code_challenge and method missing": {"code_challenge": None, "code_challenge_method": None},
    "code_challenge empty": {"code_challenge": ""},
    "code_challenge short": {"code_challenge": "x" * 42},
    "code_challenge long": {"code_challenge": "x" * 44},
    "code_challenge padded": {"code_challenge": "x" * 42 + "="},
    "code_challenge_method missing": {"code_challenge_method": None},
    "code_challenge_method plain": {"code_challenge_method": "plain"},
    "code_challenge_method in another case": {"code_challenge_method": "s256"},
    "dpop_jkt short": {"dpop_jkt": "x" * 42},
    "dpop_jkt of other characters": {"dpop_jkt": "x" * 42 + "+"},
    "id_token_hint not a token": {"id_token_hint": "anna@example.se"},
    "id_token_hint unsigned": {"id_token_hint": "eyJhbGciOiJub25lIn0.e30."},
    "registration": {"registration": "{}"},
    "request_uri not pushed": {"request_uri": "https://portal.example.se/request"},
    "request_uri never pushed": {"request_uri": PUSHED + "x" * 43},
    "request_uri never pushed, with prompt none": {"request_uri": PUSHED + "x" * 43, "prompt": "none"},
    "request_uri never pushed, beside a request": {"request_uri": PUSHED + "x" * 43, "request": "x"},
    "request not a JWT": {"request": "x"},
    "request beside request_uri": {"request": "x", "request_uri": "https://portal.example.se/request"},
    # claims
    "claims not JSON": {"claims": "{"},
    "claims a list": {"claims": "[]"},
    "claims nested too deep": {"claims": '{"id_token":' + "[" * 3000 + "]" * 3000 + "}"},
    "claims with NaN": {"claims": '{"id_token": {"x": {"value": NaN}}}'},
    "claims with a member twice": {"claims": '{"userinfo": {}, "userinfo": {}}'},
    "claims with an id_token that is a list": {"claims": '{"id_token": []}'},
    "claims with a userinfo that is text": {"claims": '{"userinfo": "x"}'},
    "claims asking by true": {"claims": '{"userinfo": {"email": true}}'},
    "claims with an essential in words": {"claims": acr(essential="yes")},
    "claims with value and values": {"claims": acr(value="x", values=["x"])},
    "claims with no values": {"claims": acr(values=[])},
    "claims with values that are text": {"claims": acr(values="x")},
    "claims with a value that is an object": {"claims": acr(value={})},
    "claims with an essential acr that nothing reaches": {"claims": acr(essential=True, value="urn:x")},
    "claims with an acr that nothing reaches": {"claims": acr(value="urn:x")},
    "claims with a sub that nobody has": {"claims": '{"id_token": {"sub": {"value": "nobody"}}}'},
    "claims with a sub that is a number": {"claims": '{"id_token": {"sub": {"value": 1}}}'},
    # the user message
    "userMessage not JSON": {USER_MESSAGE: "Hej"},
    "userMessage with NaN": {USER_MESSAGE: '{"message": NaN}'},
    "userMessage a list": {USER_MESSAGE: "[]"},
    "userMessage with a member twice": {USER_MESSAGE: '{"message": "SGVq", "message": "SGVq"}'},
    "userMessage of no known type": {USER_MESSAGE: message(mime_type="image/png")},
    "userMessage with a type that is a number": {USER_MESSAGE: message(mime_type=1)},
    "userMessage without a message": {USER_MESSAGE: message(message=None)},
    "userMessage in eleven languages": {
        USER_MESSAGE: message(**{f"message#{letter}x": "SGVq" for letter in "abcdefghij"})
    },
    "userMessage with no language tag": {USER_MESSAGE: message(**{"message#": "SGVq"})},
    "userMessage with a language twice": {
        USER_MESSAGE: message(**{"message#sv": "SGVq", "message#SV": "SGVq"})
    },
    "userMessage a number": {USER_MESSAGE: message(message=1)},
    "userMessage not base64": {USER_MESSAGE: message(message="Hej!")},
    "userMessage not UTF-8": {USER_MESSAGE: message(message=encoded(b"\xff"))},
    "userMessage empty": {USER_MESSAGE: message(message="")},
    "userMessage blank": {USER_MESSAGE: message(message=encoded(" \n"))},
    "userMessage of 1001 bytes": {USER_MESSAGE: message(message=encoded("x" * 1001))},
    "userMessage turning the text round": {USER_MESSAGE: message(message=encoded("\u202e"))},
}

POSTED = (
    *("nothing changed", "client_id missing", "client_id unknown", "redirect_uri missing"),
    *("redirect_uri unregistered", "response_type missing", "response_type token", "response_mode unknown"),
    *("a fault, by form_post", "scope missing", "scope without openid", "prompt none with login"),
    *("prompt none, nobody logged in", "max_age negative", "code_challenge missing"),
    *("code_challenge_method plain", "claims not JSON", "registration", "request_uri not pushed"),
    *("request_uri never pushed", "request not a JWT", "userMessage not JSON"),
)


def cases(world: World) -> Cases:
    for name, changes in CHANGES.items():
        yield name, partial(world.rp().authorize, **changes)
    for name in POSTED:
        yield f"POST: {name}", partial(world.rp().authorize, "POST", **CHANGES[name])
    yield "request_uri never pushed, twice", partial(doubled, world, "request_uri", value=PUSHED + "x" * 43)
    yield from _malformed(world)
    yield from _of_clients(world)
    yield from _of_http(world)


def _malformed(world: World) -> Cases:
    """Any parameter twice, too long, or with characters that no value holds."""
    for parameter in PARAMETERS:
        yield f"{parameter} twice", partial(doubled, world, parameter)
        longest = 16_000 if parameter == "request" else 8_000
        yield f"{parameter} too long", partial(world.rp().authorize, **{parameter: "x" * (longest + 1)})
        yield f"{parameter} with a NUL", partial(world.rp().authorize, **{parameter: "x\x00"})
    for parameter in ("client_id", "redirect_uri", "state", "nonce"):
        yield f"{parameter} with a line break", partial(world.rp().authorize, **{parameter: "x\r\nY: z"})
    for parameter in ("client_id", "redirect_uri", "scope", "state", "request", "claims"):
        yield f"POST: {parameter} twice", partial(doubled, world, parameter, "POST")


def doubled(world: World, parameter: str, method: str = "GET", value: str = "x") -> TestResponse:
    rp = world.rp()
    values = {parameter: value, **rp.parameters()}
    pairs = [*values.items(), (parameter, values[parameter])]
    if method == "POST":
        return rp.browser.post("/authorize", data=MultiDict(pairs), **HTTPS)
    return rp.browser.get("/authorize?" + urlencode(pairs), **HTTPS)


def _of_clients(world: World) -> Cases:
    """What a client's entry does not allow."""
    yield "a client without the code grant", world.rp("machine").authorize
    yield "a client that must push", world.rp("pushing").authorize
    yield "a client that must sign", world.rp("signing").authorize
    yield (
        "a client that need not prove, with a plain challenge",
        partial(world.rp("lax").authorize, code_challenge_method="plain"),
    )
    yield (
        "a client that need not prove, with a method alone",
        partial(world.rp("lax").authorize, code_challenge=None),
    )
    yield "a client whose redirect_uri has a query", partial(world.rp("query").authorize, scope="email")
    for uri in (
        *("http://localhost/cb", "http://[::1]/cb", "http://127.0.0.1:65536/cb", "http://127.0.0.1:1/cb/"),
        *("https://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb", "com.example.app:/other"),
    ):
        yield f"a native client at {uri}", partial(world.rp("native").authorize, redirect_uri=uri)
    bankid_only = world.rp("bankid-only")
    yield "a client whose login methods are not here", lambda: bankid_only.follow(bankid_only.authorize())
    with world.entry("portal"):
        yield "a client that was removed", world.rp().authorize
    with world.entry("portal", redirect_uris=["https://portal.example.se/new"]):
        yield "a redirect_uri that was removed", world.rp().authorize


def _of_http(world: World) -> Cases:
    """Requests that are not what HTTP or a form should be."""
    rp = world.rp()
    send = rp.browser.open
    yield "HEAD", partial(rp.browser.head, "/authorize", query_string=rp.parameters(), **HTTPS)
    for method in ("PUT", "DELETE", "PATCH"):
        yield method, partial(send, "/authorize", method=method, query_string=rp.parameters(), **HTTPS)
    yield (
        "POST with the parameters in the query",
        partial(rp.browser.post, "/authorize", query_string=rp.parameters(), **HTTPS),
    )
    yield "POST of JSON", partial(rp.browser.post, "/authorize", json=rp.parameters(), **HTTPS)
    yield "POST of 100,000 bytes", partial(rp.authorize, "POST", login_hint="x" * 100_000)
    query = urlencode(rp.parameters(state=None)).encode()
    form = "application/x-www-form-urlencoded"
    for how, value in (("raw", b"\xff"), ("escaped", b"%ff")):
        yield (
            f"POST: state not UTF-8, {how}",
            partial(
                rp.browser.post, "/authorize", data=query + b"&state=" + value, content_type=form, **HTTPS
            ),
        )
