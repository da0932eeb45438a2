"""Proofs of a key, at the token endpoint and with tokens that are bound to one (RFC 9449)."""

from functools import partial
from typing import Any

from joserfc.jwk import ECKey, OctKey
from werkzeug.test import TestResponse

from idp.clock import utcnow
from idp.tokens import s256_challenge
from tests.factories import make_client, make_public_client
from tests.fakes.assertions import ISSUER, KEYS
from tests.fakes.proofs import JKT, claims, proof, sign, with_token
from tests.fakes.relying_party import HTTPS, RelyingParty, Tokens
from tests.integration.refusals.refresh import refresh
from tests.integration.refusals.token import exchange
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import World

SCOPE = "openid profile email offline_access"
GRANTS = ["authorization_code", "refresh_token", "client_credentials"]
CLIENTS = {
    "portal": make_client(scope=SCOPE, grant_types=GRANTS),
    "strict": make_client(dpop_bound_access_tokens=True, redirect_uris=["https://strict.example.se/cb"]),
    "spa": make_public_client(
        scope=SCOPE, grant_types=GRANTS[:2], redirect_uris=["https://spa.example.se/cb"]
    ),
}


def proofs(path: str, **valid: Any) -> dict[str, str]:
    """Headers with one thing changed; `valid` are the claims that a proof in order has."""
    now = int(utcnow().timestamp())
    good = partial(claims, path, **valid)
    members: dict[str, dict[str, Any]] = {
        "jti missing": {"jti": None},
        "jti empty": {"jti": ""},
        "jti a number": {"jti": 1},
        "htm missing": {"htm": None},
        "htm another": {"htm": "PUT"},
        "htm in another case": {"htm": good()["htm"].lower()},
        "htu missing": {"htu": None},
        "htu of another endpoint": {"htu": ISSUER + "/jwks"},
        "htu of another host": {"htu": "https://evil.example" + path},
        "htu of another scheme": {"htu": "http://login.example.se" + path},
        "htu of another port": {"htu": "https://login.example.se:8443" + path},
        "htu not an address": {"htu": "https://[::1" + path},
        "htu with a user": {"htu": "https://x@login.example.se" + path},
        "htu a list": {"htu": [ISSUER + path]},
        "iat missing": {"iat": None},
        "iat in words": {"iat": "now"},
        "iat true": {"iat": True},
        "iat too old": {"iat": now - 300},
        "iat of the future": {"iat": now + 61},
        "nonce unknown": {"nonce": "x"},
        "nonce a number": {"nonce": 1},
    }
    found = {name: sign(good(**changes)) for name, changes in members.items()}
    stranger = ECKey.generate_key("P-256")
    private = KEYS["ES256"].as_dict(private=True)
    headers: dict[str, dict[str, Any]] = {
        "typ missing": {"typ": None},
        "typ another": {"typ": "JWT"},
        "jwk missing": {"jwk": None},
        "jwk of another key": {"jwk": stranger.as_dict(private=False)},
        "jwk private": {"jwk": private},
        "jwk symmetric": {"jwk": OctKey.generate_key(256).as_dict(private=True)},
        "jwk for encryption": {"jwk": {**KEYS["ES256"].as_dict(private=False), "use": "enc"}},
        "alg none": {"alg": "none"},
        "alg of another key": {"alg": "RS256"},
        "crit": {"crit": ["exp"]},
    }
    public = KEYS["ES256"].as_dict(private=False)
    small = {"kty": "RSA", "n": "AQAB" * 40, "e": "AQAB"}
    jwks: dict[str, Any] = {
        "text": "x",
        "a list": [public],
        "empty": {},
        "of an unknown kind": {**public, "kty": "XX"},
        "of an unknown curve": {**public, "crv": "secp256k1"},
        "without a coordinate": {name: value for name, value in public.items() if name != "y"},
        "with another coordinate": {**public, "y": public["x"]},
        "with a coordinate that is a number": {**public, "y": 1},
        "of a small RSA key": small,
        "of an RSA key without an exponent": {**KEYS["RS256"].as_dict(private=False), "e": "AA"},
        "of an RSA key in other letters": {**KEYS["RS256"].as_dict(private=False), "n": "å"},
        "of X25519": {"kty": "OKP", "crv": "X25519", "x": KEYS["EdDSA"].as_dict(private=False)["x"]},
        "for nothing": {**public, "key_ops": []},
        "of an unknown use": {**public, "use": "x"},
        "for another alg": {**public, "alg": "ES384"},
        "with an empty kid": {**public, "kid": ""},
    }
    headers |= {f"jwk {name}": {"jwk": jwk} for name, jwk in jwks.items()}
    found |= {name: sign(good(), header=changes) for name, changes in headers.items()}
    cut = sign(good()).rpartition(".")[0]
    return found | {
        "empty": "",
        "not a JWT": "x.y.z",
        "no signature": cut + ".",
        "two in one": f"{sign(good())},{sign(good())}",
        "too long": sign(good(filling="x" * 9_000)),
    }


AT_USERINFO = (  # the same check as at the token endpoint, answered in another way
    *("jti missing", "htm another", "htu of another endpoint", "iat too old", "nonce unknown"),
    *("typ missing", "jwk of another key", "empty", "not a JWT", "two in one"),
)


def ask(rp: RelyingParty, headers: dict[str, str], **options: Any) -> TestResponse:
    return rp.app.test_client().get("/userinfo", headers=headers, **HTTPS, **options)


def cases(world: World) -> Cases:
    yield from _at_the_token_endpoint(world)
    yield from _codes(world)
    yield from _refresh_tokens(world)
    yield from _at_userinfo(world)


def _at_the_token_endpoint(world: World) -> Cases:
    rp = world.rp()
    own = partial(rp.post, "/token", {"grant_type": "client_credentials"})
    used = proof()
    yield "token: nothing changed", partial(own, headers=used)
    yield "token: used before", partial(own, headers=used)
    for name, header in proofs("/token").items():
        yield f"token: {name}", partial(own, headers={"DPoP": header})
    given = own(headers=proof()).headers["DPoP-Nonce"]
    yield "token: nonce in force", partial(own, headers=proof(nonce=given))
    with world.later(600):
        yield "token: nonce too old", partial(own, headers=proof(nonce=given))
    wrong = {"headers": proof(htm="GET"), "basic": ("portal", "wrong")}
    yield "token: wrong secret and wrong proof", partial(own, **wrong)


def _codes(world: World) -> Cases:
    rp, code = world.code(dpop_jkt=JKT["ES256"])
    yield "bound code: no proof", partial(exchange, rp, code)
    yield "bound code: another key", partial(exchange, rp, code, headers=proof(alg="EdDSA"))
    yield "bound code: wrong proof", partial(exchange, rp, code, headers=proof(htm="GET"))
    yield "bound code: nothing changed", partial(exchange, rp, code, headers=proof())
    strict, code = world.code("strict")
    yield "a client that must prove: no proof", partial(exchange, strict, code)
    yield "a client that must prove: nothing changed", partial(exchange, strict, code, headers=proof())
    pushed = rp.post("/par", rp.parameters(), headers=proof("/par")).get_json()["request_uri"]
    code = rp.answer(rp.authorize(request_uri=pushed))["code"]
    yield "code of a push with a proof: no proof", partial(exchange, rp, code)


def bound(world: World, client_id: str) -> tuple[RelyingParty, Tokens]:
    """Tokens that are bound to the key for ES256."""
    rp, code = world.code(client_id, scope=SCOPE)
    tokens = rp.exchange(code, headers=proof())
    assert tokens.body["token_type"] == "DPoP", tokens
    return rp, tokens


def _refresh_tokens(world: World) -> Cases:
    spa, tokens = bound(world, "spa")
    yield "bound refresh token: no proof", partial(refresh, spa, tokens.refresh_token)
    yield (
        "bound refresh token: another key",
        partial(refresh, spa, tokens.refresh_token, headers=proof(alg="EdDSA")),
    )
    yield "bound refresh token: nothing changed", partial(refresh, spa, tokens.refresh_token, headers=proof())
    with world.later(60):
        yield "bound refresh token: reused, no proof", partial(refresh, spa, tokens.refresh_token)
        yield "bound refresh token: reused", partial(refresh, spa, tokens.refresh_token, headers=proof())
    portal, tokens = bound(world, "portal")
    yield (
        "confidential client's refresh token: another key",
        partial(refresh, portal, tokens.refresh_token, headers=proof(alg="EdDSA")),
    )


def _at_userinfo(world: World) -> Cases:
    rp, tokens = bound(world, "portal")
    token = tokens.access_token
    used = with_token(token)
    yield "userinfo: nothing changed", partial(ask, rp, used)
    yield "userinfo: used before", partial(ask, rp, used)
    yield "userinfo: as a bearer token", partial(ask, rp, {"Authorization": f"Bearer {token}"})
    yield (
        "userinfo: as a bearer token, with a proof",
        partial(ask, rp, {**with_token(token), "Authorization": f"Bearer {token}"}),
    )
    yield "userinfo: no proof", partial(ask, rp, {"Authorization": f"DPoP {token}"})
    yield "userinfo: another key", partial(ask, rp, with_token(token, alg="EdDSA"))
    yield "userinfo: unknown token", partial(ask, rp, with_token("unknown"))
    ath = s256_challenge(token)
    made = proofs("/userinfo", htm="GET", ath=ath)
    for name in AT_USERINFO:
        yield f"userinfo: {name}", partial(ask, rp, {"Authorization": f"DPoP {token}", "DPoP": made[name]})
    yield "userinfo: ath missing", partial(ask, rp, with_token(token, ath=None))
    yield "userinfo: ath of another token", partial(ask, rp, with_token(token, ath=s256_challenge("x")))
    other, unbound = world.tokens()
    yield "userinfo: a token without a key", partial(ask, other, with_token(unbound.access_token))
    yield (
        "userinfo: in the form, with a proof",
        partial(
            other.browser.post,
            "/userinfo",
            data={"access_token": token},
            headers=proof("/userinfo", access_token=token),
            **HTTPS,
        ),
    )
