"""Request objects, in the browser's request and pushed (RFC 9101, OIDC Core §6.1)."""

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from joserfc import jwe
from joserfc.jwk import ECKey, RSAKey
from werkzeug.test import TestResponse

from idp.tokens import base64url
from tests.conftest import ISSUER
from tests.factories import make_client
from tests.fakes import assertions
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.fakes.request_objects import JWKS, keyed_by_the_public_key, sign, unsigned
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import World

URN = "urn:ietf:params:oauth:request_uri:"


def at(host: str) -> dict[str, Any]:
    return {"redirect_uris": [f"https://{host}.example.se/cb"]}


CLIENTS = {
    "portal": make_client(jwks=JWKS),
    "pinned": make_client(**at("pinned"), jwks=JWKS, request_object_signing_alg="ES256"),
    "strict": make_client(**at("strict"), jwks=JWKS, require_signed_request_object=True),
    "keyless": make_client(**at("keyless")),
    "elsewhere": make_client(**at("elsewhere"), jwks_uri="http://127.0.0.1:9/jwks"),
    "signer": make_client(
        **at("signer"),
        token_endpoint_auth_method="private_key_jwt",
        client_secrets=None,
        jwks=assertions.public("ES256"),
    ),
}


def facts(rp: RelyingParty, **changes: Any) -> dict[str, Any]:
    """A valid request object's members; a change to None leaves one out."""
    now = int(time.time())
    valid = {"iss": rp.client_id, "aud": ISSUER, "exp": now + 60, **rp.parameters(), **changes}
    return {name: value for name, value in valid.items() if value is not None}


def arrive(rp: RelyingParty, request: str, **beside: str | None) -> TestResponse:
    """The answer to the request object, with what may stand beside it."""
    sent = {"client_id": rp.client_id, "redirect_uri": rp.redirect_uri, "state": "the-state", **beside}
    query = {name: value for name, value in sent.items() if value is not None}
    return rp.browser.get("/authorize", query_string={**query, "request": request}, **HTTPS)


def push(rp: RelyingParty, request: str, **beside: str) -> TestResponse:
    return rp.post("/par", {"request": request, **beside})


def encrypted(rp: RelyingParty, content: str, key: Any = None, **header: str) -> str:
    """The content encrypted to the provider, as its keys say."""
    if key is None:
        keys = rp.browser.get("/jwks", **HTTPS).get_json()["keys"]
        found = next(one for one in keys if one["use"] == "enc")
        key = RSAKey.import_key({name: found[name] for name in ("kty", "n", "e", "kid")})
    members = {"alg": "RSA-OAEP", "enc": "A128GCM", "kid": key.kid, "cty": "JWT", **header}
    return jwe.encrypt_compact(members, content, key, algorithms=[members["alg"], members["enc"]])


def objects(rp: RelyingParty) -> Iterator[tuple[str, str]]:
    """Request objects of the relying app, each with one thing changed."""
    now = int(time.time())
    valid = sign(facts(rp))
    header, payload, _ = valid.split(".")
    yield "nothing changed", valid
    members: dict[str, dict[str, Any]] = {
        "iss missing": {"iss": None},
        "iss of another client": {"iss": "pinned"},
        "aud missing": {"aud": None},
        "aud of another provider": {"aud": "https://else.example"},
        "aud a list of another provider": {"aud": ["https://else.example"]},
        "aud an object": {"aud": {"0": ISSUER}},
        "client_id missing": {"client_id": None},
        "client_id of another client": {"client_id": "pinned"},
        "sub that could authenticate": {"sub": rp.client_id},
        "expired": {"exp": now},
        "exp in words": {"exp": "soon"},
        "exp endless": {"exp": float("inf")},
        "exp true": {"exp": True},
        "not valid yet": {"nbf": now + 11},
        "nbf in words": {"nbf": "now"},
        "request inside": {"request": "x"},
        "request_uri inside": {"request_uri": URN + "x"},
        "scope a list": {"scope": ["openid"]},
        "state a number": {"state": 1},
        "max_age true": {"max_age": True},
        "max_age in words": {"max_age": "soon"},
        "claims a list": {"claims": []},
        "claims wrong inside": {"claims": {"id_token": []}},
        "scope without openid": {"scope": "email"},
        "response_type token": {"response_type": "token"},
        "code_challenge missing": {"code_challenge": None},
        "redirect_uri missing": {"redirect_uri": None},
        "redirect_uri unregistered": {"redirect_uri": "https://evil.example/"},
    }
    for name, changes in members.items():
        yield name, sign(facts(rp, **changes))
    stranger = ECKey.generate_key("P-256", {"kid": "p256"})
    yield "another key", sign(facts(rp), key=stranger)
    yield (
        "a key in the header",
        sign(facts(rp), key=stranger, header={"jwk": stranger.as_dict(private=False)}),
    )
    yield "alg none", unsigned(facts(rp))
    yield "HS256 keyed by the public key", keyed_by_the_public_key(facts(rp))
    yield "alg unknown", sign(facts(rp), header={"alg": "ES512"})
    yield "alg of another key", sign(facts(rp), header={"alg": "RS256"})
    yield "kid unknown", sign(facts(rp), header={"kid": "p257"})
    yield "crit", sign(facts(rp), header={"crit": ["exp"]})
    yield "typ of a logout token", sign(facts(rp), header={"typ": "logout+jwt"})
    yield "typ of an access token", sign(facts(rp), header={"typ": "at+jwt"})
    yield "another signature", f"{header}.{payload}.{sign(facts(rp, state='x')).rpartition('.')[2]}"
    yield "no signature", f"{header}.{payload}."
    yield "two parts", f"{header}.{payload}"
    yield "not a JWT", "x"
    yield "claims that are a list", sign([facts(rp)])  # type: ignore[arg-type]
    yield "too long", sign(facts(rp, filling="x" * 18_000))


JWE_HEADERS: dict[str, Any] = {
    "header that is a list": [],
    "alg dir": {"alg": "dir", "enc": "A128GCM"},
    "alg missing": {"enc": "A128GCM"},
    "enc unknown": {"alg": "RSA-OAEP", "enc": "A192GCM"},
    "zip": {"alg": "RSA-OAEP", "enc": "A128GCM", "zip": "DEF"},
    "kid a number": {"alg": "RSA-OAEP", "enc": "A128GCM", "kid": 1},
}


def with_header(token: str, header: Any) -> str:
    """A JWE whose header says something else."""
    return base64url(json.dumps(header).encode()) + "." + token.partition(".")[2]


def encrypted_objects(rp: RelyingParty) -> Iterator[tuple[str, str]]:
    valid = sign(facts(rp))
    yield "encrypted, nothing changed", encrypted(rp, valid)
    yield "encrypted to somebody else", encrypted(rp, valid, RSAKey.generate_key(2048, {"kid": "x"}))
    yield "encrypted, unsigned inside", encrypted(rp, unsigned(facts(rp)))
    yield "encrypted, no JWT inside", encrypted(rp, "{}")
    yield "encrypted twice", encrypted(rp, encrypted(rp, valid))
    yield "encrypted by an alg that is not announced", encrypted(rp, valid, alg="RSA-OAEP-256")
    yield "encrypted, cut", encrypted(rp, valid)[:-8]
    yield "encrypted, kid unknown", encrypted(rp, valid, kid="x")
    yield "encrypted, cty of something else", encrypted(rp, valid, cty="text")
    for name, header in JWE_HEADERS.items():
        yield f"encrypted, {name}", with_header(encrypted(rp, valid), header)
    yield "five parts of nothing", "a.b.c.d.e"


def cases(world: World) -> Cases:
    rp = world.rp()
    for name, request in (*objects(rp), *encrypted_objects(rp)):
        yield name, partial(arrive, rp, request)
        yield f"pushed: {name}", partial(push, rp, request)
    bad, valid = sign(facts(rp, aud="https://else.example")), sign(facts(rp))
    yield "aud of another provider, redirect_uri not beside it", partial(arrive, rp, bad, redirect_uri=None)
    yield (
        "aud of another provider, redirect_uri unregistered",
        partial(arrive, rp, bad, redirect_uri="https://evil.example/"),
    )
    yield "aud of another provider, by form_post", partial(arrive, rp, bad, response_mode="form_post")
    yield "client_id beside it missing", partial(arrive, rp, valid, client_id=None)
    yield "client_id beside it unknown", partial(arrive, rp, valid, client_id="nobody")
    yield "client_id beside it of another client", partial(arrive, rp, valid, client_id="pinned")
    yield "response_type beside it another", partial(arrive, rp, valid, response_type="token")
    yield "request_uri beside it", partial(arrive, rp, valid, request_uri="https://portal.example.se/r")
    yield "nonce beside it with a NUL", partial(arrive, rp, valid, nonce="x\x00")
    yield "scope beside it another", partial(arrive, rp, valid, scope="email")
    yield "pushed: client_id beside it of another client", partial(push, rp, valid, client_id="pinned")
    yield "pushed: request_uri beside it", partial(push, rp, valid, request_uri=URN + "x")
    yield from _clients(world)


def _clients(world: World) -> Cases:
    pinned, keyless, elsewhere = world.rp("pinned"), world.rp("keyless"), world.rp("elsewhere")
    strict, signer = world.rp("strict"), world.rp("signer")
    yield "a client with one alg", partial(arrive, pinned, sign(facts(pinned)))
    yield "a client with one alg, by another", partial(arrive, pinned, sign(facts(pinned), alg="RS256"))
    yield "a client without keys", partial(arrive, keyless, sign(facts(keyless)))
    yield "pushed: a client without keys", partial(push, keyless, sign(facts(keyless)))
    yield "a client whose keys cannot be fetched", partial(arrive, elsewhere, sign(facts(elsewhere)))
    yield "pushed: a client whose keys cannot be fetched", partial(push, elsewhere, sign(facts(elsewhere)))
    yield "a client that must sign", partial(arrive, strict, sign(facts(strict)))
    yield "a client that must sign, unsigned", strict.authorize
    yield "pushed: a client that must sign, unsigned", partial(strict.post, "/par", strict.parameters())
    both = assertions.sign({**assertions.claims("signer"), **signer.parameters()})
    yield "a client assertion with a request in it", partial(arrive, signer, both)
