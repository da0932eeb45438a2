"""Keys that a relying app publishes: not to be had, not fit, or none that fits (503, 400, 401)."""

from functools import partial
from typing import Any

from werkzeug.test import TestResponse

from tests.factories import make_client
from tests.fakes import assertions, encrypted, request_objects
from tests.fakes.assertions import claims, form, public
from tests.fakes.key_server import KeyServer, key_server
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.refusals.refresh import refresh
from tests.integration.refusals.token import exchange
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import World

ISSUER = "http://localhost:8000"  # what is on loopback may be fetched by a provider on loopback alone
SETTINGS = {"IDP_ISSUER": ISSUER}
SCOPE = "openid offline_access"
CLIENTS = {
    "portal": make_client(),
    "signs": make_client(
        token_endpoint_auth_method="private_key_jwt",
        client_secrets=None,
        grant_types=["client_credentials"],
        jwks_uri="http://127.0.0.1:9/jwks",
    ),
    "requests": make_client(
        redirect_uris=["https://requests.example.se/cb"], jwks_uri="http://127.0.0.1:9/jwks"
    ),
    "opens": make_client(
        redirect_uris=["https://opens.example.se/cb"],
        scope=SCOPE,
        grant_types=["authorization_code", "refresh_token"],
        jwks_uri="http://127.0.0.1:9/jwks",
        id_token_encrypted_response_alg="ECDH-ES",
        userinfo_encrypted_response_alg="ECDH-ES",
    ),
}


KEYS = {  # what each client publishes when nothing is wrong
    "signs": public("ES256")["keys"],
    "requests": request_objects.JWKS["keys"],
    "opens": encrypted.JWKS["keys"],
}


def cases(world: World) -> Cases:
    with key_server() as server:
        for number, (name, serve) in enumerate(FAULTS.items()):
            uri = f"{server.http_url}?{number}"  # what was fetched from another address is kept for an hour
            serve(server, KEYS["signs"])
            with world.entry("signs", jwks_uri=uri):
                yield f"assertion: {name}", partial(authenticate, world.rp("signs"))
            serve(server, KEYS["requests"])
            with world.entry("requests", jwks_uri=uri):
                yield f"request object: {name}", partial(authorize, world.rp("requests"))
            as_it_should_be(server, KEYS["opens"])
            with world.entry("opens", jwks_uri=server.http_url):
                rp, tokens = world.tokens("opens", scope=SCOPE)
                code = rp.answer(rp.authorize(scope=SCOPE))["code"]
            serve(server, KEYS["opens"])
            with world.entry("opens", jwks_uri=uri):
                yield f"encryption: {name}, code", partial(exchange, rp, code)
                yield f"encryption: {name}, refresh", partial(refresh, rp, tokens.refresh_token)
                yield f"encryption: {name}, userinfo", partial(rp.userinfo, tokens.access_token)


def as_it_should_be(server: KeyServer, keys: list[Any]) -> None:
    server.status, server.headers, server.misbehave = 200, {}, None
    server.serve_keys(*keys)


def _answer(status: int = 200, body: bytes | None = None, **headers: str) -> Any:
    def serve(server: KeyServer, keys: list[Any]) -> None:
        as_it_should_be(server, keys)
        server.status, server.headers = status, headers
        if body is not None:
            server.body = body

    return serve


def _other_keys(server: KeyServer, _keys: list[Any]) -> None:
    as_it_should_be(server, public("EdDSA", kid="p256")["keys"])


def _of_another_kid(server: KeyServer, keys: list[Any]) -> None:
    as_it_should_be(server, [{**key, "kid": "x" + key["kid"], "use": "sig"} for key in keys])


def _hang_up(server: KeyServer, keys: list[Any]) -> None:
    as_it_should_be(server, keys)
    server.misbehave = lambda _stream: None


FAULTS = {
    "nothing changed": as_it_should_be,
    "an error": _answer(500),
    "not found": _answer(404),
    "a redirect": _answer(302, Location="https://else.example/jwks"),
    "not JSON": _answer(body=b"<html>"),
    "no set": _answer(body=b"[]"),
    "an empty set": _answer(body=b'{"keys": []}'),
    "too large": _answer(body=b'{"keys": [' + b" " * 1_000_000 + b"]}"),
    "only other keys": _other_keys,
    "only keys of another kid, to sign with": _of_another_kid,
    "hanging up": _hang_up,
}


def authenticate(rp: RelyingParty) -> TestResponse:
    assertion = assertions.sign(claims("signs", aud=ISSUER))
    return rp.post("/token", {"grant_type": "client_credentials"}, **form(assertion))


def authorize(rp: RelyingParty) -> TestResponse:
    request = request_objects.sign({"iss": rp.client_id, "aud": ISSUER, **rp.parameters()})
    query = {"client_id": rp.client_id, "redirect_uri": rp.redirect_uri, "state": "the-state"}
    return rp.browser.get("/authorize", query_string={**query, "request": request}, **HTTPS)
