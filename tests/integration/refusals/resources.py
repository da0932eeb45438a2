"""What is asked with or about a token: userinfo, introspection, revocation (RFC 6750, RFC 7662, RFC 7009)."""

from functools import partial
from typing import Any

from werkzeug.test import TestResponse

from tests.factories import SECRET, make_client, make_public_client
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import World

SCOPE = "openid profile email offline_access"
GRANTS = ["authorization_code", "refresh_token", "client_credentials"]


def at(host: str) -> dict[str, Any]:
    return {"redirect_uris": [f"https://{host}.example.se/cb"]}


CLIENTS = {
    "portal": make_client(scope=SCOPE, grant_types=GRANTS),
    "other": make_client(**at("other"), scope=SCOPE, grant_types=GRANTS),
    "apis": make_client(**at("apis"), access_token_format="jwt"),
    "elsewhere": make_client(
        **at("elsewhere"), jwks_uri="http://127.0.0.1:9/jwks", userinfo_encrypted_response_alg="ECDH-ES"
    ),
    "spa": make_public_client(**at("spa"), scope=SCOPE, grant_types=GRANTS[:2]),
}


def cases(world: World) -> Cases:
    yield from _userinfo(world)
    yield from _tokens_that_ended(world)
    for endpoint in ("introspect", "revoke"):
        for name, ask in _about_a_token(world, endpoint):
            yield f"{endpoint}: {name}", ask
    yield from _introspection(world)


def _userinfo(world: World) -> Cases:
    rp, tokens = world.tokens(scope=SCOPE)
    token = tokens.access_token
    ask = partial(rp.app.test_client().open, "/userinfo", **HTTPS)
    send = partial(ask, method="POST")
    good = {"Authorization": f"Bearer {token}"}
    yield "userinfo: nothing changed", partial(ask, headers=good)
    yield "userinfo: POST", partial(send, headers=good)
    yield "userinfo: POST, in the form", partial(send, data={"access_token": token})
    yield "userinfo: no token", ask
    yield "userinfo: POST, no token", send
    for name, value in (
        ("empty", "Bearer"),
        ("blank", "Bearer  "),
        ("unknown", "Bearer " + "x" * 43),
        ("cut", f"Bearer {token[:-1]}"),
        ("in another case", f"Bearer {token.swapcase()}"),
        ("not ASCII", "Bearer å"),
        ("of 10,000 characters", "Bearer " + "x" * 10_000),
        ("by Basic", f"Basic {token}"),
        ("by no scheme", token),
        ("that is a refresh token", f"Bearer {tokens.refresh_token}"),
        ("that is an ID token", f"Bearer {tokens.id_token}"),
        ("that is a code", f"Bearer {rp.code(scope=SCOPE)}"),
        ("of the client itself", f"Bearer {rp.client_token().access_token}"),
    ):
        yield f"userinfo: token {name}", partial(ask, headers={"Authorization": value})
    yield "userinfo: token in the query", partial(ask, query_string={"access_token": token})
    yield "userinfo: token in the query too", partial(ask, query_string={"access_token": token}, headers=good)
    yield "userinfo: POST, token in the form too", partial(send, data={"access_token": token}, headers=good)
    yield "userinfo: POST, token twice in the form", partial(send, data={"access_token": [token, token]})
    yield "userinfo: POST, token in JSON", partial(send, json={"access_token": token})
    yield "userinfo: POST, 100,000 bytes", partial(send, data={"access_token": "x" * 100_000})
    for method in ("PUT", "DELETE"):
        yield (
            f"userinfo: {method}",
            partial(rp.browser.open, "/userinfo", method=method, headers=good, **HTTPS),
        )
    bare = rp.refresh(tokens.refresh_token, scope="email").access_token
    yield "userinfo: token without openid", partial(rp.userinfo, bare)
    apis, jwt = world.tokens("apis")
    header, payload, signature = jwt.access_token.split(".")
    yield "userinfo: JWT, nothing changed", partial(apis.userinfo, jwt.access_token)
    yield "userinfo: JWT, its signature cut", partial(apis.userinfo, f"{header}.{payload}.{signature[:-8]}")
    yield "userinfo: JWT, no signature", partial(apis.userinfo, f"{header}.{payload}.")
    yield "userinfo: JWT, that is an ID token", partial(apis.userinfo, jwt.id_token)
    elsewhere, encrypted = world.tokens("elsewhere")
    yield (
        "userinfo: to be encrypted to keys that cannot be fetched",
        partial(elsewhere.userinfo, encrypted.access_token),
    )


def _tokens_that_ended(world: World) -> Cases:
    rp, tokens = world.tokens()
    with world.later(600):
        yield "userinfo: token ten minutes old", partial(rp.userinfo, tokens.access_token)
    email = world.person()
    rp, tokens = world.tokens(email=email)
    world.disable(email)
    yield "userinfo: the person was disabled", partial(rp.userinfo, tokens.access_token)
    rp, tokens = world.tokens()
    assert rp.submit(rp.browser.get("/logout", **HTTPS)).status_code == 200
    yield "userinfo: logged out", partial(rp.userinfo, tokens.access_token)
    rp, tokens = world.tokens()
    assert rp.revoke(tokens.access_token).status_code == 200
    yield "userinfo: revoked", partial(rp.userinfo, tokens.access_token)
    rp, code = world.code()
    tokens = rp.exchange(code)
    rp.exchange(code)
    yield "userinfo: its code was replayed", partial(rp.userinfo, tokens.access_token)
    rp, tokens = world.tokens()
    with world.entry("portal"):
        yield "userinfo: the client was removed", partial(rp.userinfo, tokens.access_token)


def _about_a_token(world: World, endpoint: str) -> Cases:
    rp, spa = world.rp(), world.rp("spa")
    token = rp.client_token().access_token
    path = f"/{endpoint}"
    valid = partial(rp.post, path, {"token": token})
    yield "nothing changed", valid
    yield "a hint of another kind", partial(valid, token=token, token_type_hint="refresh_token")
    yield "token missing", partial(valid, token=None)
    yield "token empty", partial(valid, token="")
    yield "token twice", partial(valid, token=[token, token])
    yield "token with a NUL", partial(valid, token="x\x00")
    yield "token unknown", partial(valid, token="x" * 43)
    yield "token of another client", partial(valid, basic=("other", SECRET))
    yield "wrong secret", partial(valid, basic=("portal", "wrong"))
    yield "not authenticated", partial(valid, basic=None)
    yield "by two ways", partial(valid, client_secret=SECRET)
    yield "by a bearer token", partial(valid, basic=None, headers={"Authorization": f"Bearer {token}"})
    yield "a public client", partial(spa.post, path, {"token": "x" * 43})
    yield "token of 100,000 characters", partial(valid, token="x" * 100_000)
    browser = world.browser()
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        yield method, partial(browser.open, path, method=method, query_string={"token": token}, **HTTPS)


def _introspection(world: World) -> Cases:
    def of(rp: RelyingParty, token: str, **changes: Any) -> TestResponse:
        return rp.introspect(token, **changes)

    rp, tokens = world.tokens(scope=SCOPE)
    other = ("other", SECRET)
    for name, token in (
        ("access token", tokens.access_token),
        ("refresh token", tokens.refresh_token),
        ("ID token", tokens.id_token),
        ("code", rp.code(scope=SCOPE)),
    ):
        yield f"introspect: {name}", partial(of, rp, token)
        yield f"introspect: {name} of another client", partial(of, rp, token, basic=other)
    with world.later(600):
        yield "introspect: access token ten minutes old", partial(of, rp, tokens.access_token)
    with world.entry("portal", grant_types=["authorization_code"]):
        yield "introspect: refresh token whose grant was removed", partial(of, rp, tokens.refresh_token)
    assert rp.revoke(tokens.refresh_token).status_code == 200
    yield "introspect: refresh token revoked", partial(of, rp, tokens.refresh_token)
    yield "introspect: access token of a revoked grant", partial(of, rp, tokens.access_token)
    spa, tokens = world.tokens("spa", scope=SCOPE)
    yield "introspect: a public client's own", partial(of, spa, tokens.access_token)
    spa.refresh(tokens.refresh_token)
    yield "revoke: a rotated token of another client", partial(rp.revoke, tokens.refresh_token)
