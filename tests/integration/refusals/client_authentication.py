"""How clients prove who they are: by a secret or an assertion, in one way only (RFC 6749 §2.3, RFC 7523)."""

import hmac
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from typing import Any

from joserfc.jwk import ECKey

from idp.clock import utcnow
from idp.tokens import base64url
from tests.factories import SECRET, make_client, make_public_client
from tests.fakes import assertions
from tests.fakes.assertions import ISSUER, KEYS, claims, form, public, sign
from tests.fakes.relying_party import RelyingParty
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import World

GRANTS = ["authorization_code", "client_credentials"]


def make_key_client(**changes: Any) -> dict[str, Any]:
    return make_client(**{"token_endpoint_auth_method": "private_key_jwt", "client_secrets": None, **changes})


ES256 = public("ES256")["keys"][0]
CLIENTS = {
    "portal": make_client(grant_types=GRANTS),
    "other": make_client(grant_types=GRANTS),
    "post": make_client(grant_types=GRANTS, token_endpoint_auth_method="client_secret_post"),
    "spa": make_public_client(),
    "keys": make_key_client(grant_types=GRANTS, jwks=public("RS256", "ES256", "EdDSA")),
    "pinned": make_key_client(
        grant_types=GRANTS, jwks=public("RS256", kid=None), token_endpoint_auth_signing_alg="PS256"
    ),
    "twins": make_key_client(grant_types=GRANTS, jwks={"keys": [ES256, {**ES256, "kid": "twin"}]}),
    "elsewhere": make_key_client(grant_types=GRANTS, jwks_uri="http://127.0.0.1:9/jwks"),
}


def header(value: str | bytes, scheme: str = "Basic") -> dict[str, str]:
    raw = value.encode() if isinstance(value, str) else value
    return {"Authorization": f"{scheme} {b64encode(raw).decode()}"}


SECRETS: dict[str, dict[str, Any]] = {
    "basic: nothing changed": {},
    "basic: wrong secret": {"basic": ("portal", SECRET + "x")},
    "basic: secret in another case": {"basic": ("portal", SECRET.upper())},
    "basic: the secret's hash": {
        "basic": ("portal", CLIENTS["portal"]["client_secrets"][0]["sha256"]),
    },
    "basic: very long secret": {"basic": ("portal", SECRET * 100)},
    "basic: empty secret": {"basic": None, "headers": header("portal:")},
    "basic: no colon": {"basic": None, "headers": header("portal")},
    "basic: empty": {"basic": None, "headers": header("")},
    "basic: unknown client": {"basic": ("nobody", SECRET)},
    "basic: client of another method": {"basic": ("post", SECRET)},
    "basic: public client": {"basic": ("spa", SECRET)},
    "basic: client with keys": {"basic": ("keys", SECRET)},
    "basic: not base64": {"basic": None, "headers": {"Authorization": "Basic ***"}},
    "basic: not UTF-8": {"basic": None, "headers": header(b"portal:\xff")},
    "basic: NUL in the secret": {"basic": None, "headers": header(f"portal:{SECRET}\x00")},
    "basic: another scheme": {"basic": None, "headers": header(f"portal:{SECRET}", "Bearer")},
    "basic: not sent": {"basic": None},
    "basic: client_id alone": {"basic": None, "client_id": "portal"},
    "basic: in the form": {"basic": None, "client_id": "portal", "client_secret": SECRET},
    "basic: the same client_id beside it": {"client_id": "portal"},
    "basic: another client_id beside it": {"client_id": "other"},
    "basic: a secret in the form too": {"client_secret": SECRET},
    "basic: an assertion too": {"client_assertion": "x", "client_assertion_type": assertions.TYPE},
    "post: nothing changed": {"basic": None, "client_id": "post", "client_secret": SECRET},
    "post: wrong secret": {"basic": None, "client_id": "post", "client_secret": "wrong"},
    "post: no secret": {"basic": None, "client_id": "post"},
    "post: empty secret": {"basic": None, "client_id": "post", "client_secret": ""},
    "post: no client_id": {"basic": None, "client_secret": SECRET},
    "post: unknown client": {"basic": None, "client_id": "nobody", "client_secret": SECRET},
    "post: public client": {"basic": None, "client_id": "spa", "client_secret": SECRET},
    "post: client_id not ASCII": {"basic": None, "client_id": "å", "client_secret": SECRET},
    "post: secret with a NUL": {"basic": None, "client_id": "post", "client_secret": SECRET + "\x00"},
}

ASSERTIONS: dict[str, dict[str, Any]] = {
    "no assertion": {"client_assertion": None},
    "no type": {"client_assertion_type": None},
    "the type of SAML": {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
    "the type in capitals": {"client_assertion_type": assertions.TYPE.upper()},
    "Basic too": {"basic": ("keys", SECRET)},
    "a secret too": {"client_secret": SECRET},
    "another client_id": {"client_id": "pinned"},
    "an unknown client_id": {"client_id": "nobody"},
}


def made_up() -> Iterator[tuple[str, str]]:
    """Assertions of the client `keys`, each with one thing changed."""
    now = int(utcnow().timestamp())

    def of(**changes: Any) -> dict[str, Any]:
        return claims("keys", **changes)

    members: dict[str, dict[str, Any]] = {
        "iss missing": {"iss": None},
        "sub missing": {"sub": None},
        "iss of another client": {"iss": "pinned"},
        "sub of another client": {"sub": "pinned"},
        "iss that is a list": {"iss": ["keys"], "sub": ["keys"]},
        "aud missing": {"aud": None},
        "aud of another provider": {"aud": "https://login.example.com"},
        "aud of another endpoint": {"aud": f"{ISSUER}/par"},
        "aud with a slash": {"aud": f"{ISSUER}/"},
        "aud also of another provider": {"aud": [ISSUER, "https://login.example.com"]},
        "aud empty": {"aud": []},
        "aud a list in a list": {"aud": [[ISSUER]]},
        "exp missing": {"exp": None},
        "expired": {"exp": now - 60, "iat": now - 120},
        "exp too far ahead": {"exp": now + 661, "iat": None},
        "living too long": {"exp": now + 301, "iat": now - 300},
        "exp in words": {"exp": "soon"},
        "exp true": {"exp": True},
        "exp endless": {"exp": float("inf")},
        "exp in milliseconds": {"exp": (now + 60) * 1000},
        "exp negative": {"exp": -1},
        "iat of the future": {"iat": now + 61, "exp": now + 120},
        "iat in words": {"iat": "now"},
        "not valid yet": {"nbf": now + 61},
        "jti missing": {"jti": None},
        "jti empty": {"jti": ""},
        "jti a number": {"jti": 1},
    }
    for name, changes in members.items():
        yield name, sign(of(**changes))
    stranger = ECKey.generate_key("P-256", {"kid": "p256"})
    yield "another key", sign(of(), key=stranger)
    yield "a key in the header", sign(of(), key=stranger, header={"jwk": stranger.as_dict(private=False)})
    headers: dict[str, dict[str, Any]] = {
        "alg none, signed": {"alg": "none"},
        "alg of another key": {"alg": "RS256"},
        "alg a list": {"alg": ["ES256"]},
        "alg missing": {"alg": None},
        "kid unknown": {"kid": "p257"},
        "kid of another key": {"kid": "rsa"},
        "kid a number": {"kid": 1},
        "crit": {"crit": ["exp"]},
        "b64": {"b64": False},
        "typ of a request object": {"typ": "oauth-authz-req+jwt"},
        "typ of a proof": {"typ": "dpop+jwt"},
    }
    for name, changes in headers.items():
        yield name, sign(of(), header=changes)
    valid = sign(of())
    yield "alg none", sign(of(), header={"alg": "none"}).rpartition(".")[0] + "."
    yield "RS384", sign(of(), alg="RS384", key=KEYS["RS256"])
    yield "HS256 keyed by the public key", _keyed_by_the_public_key(of())
    yield "unknown client", sign(claims("nobody"))
    yield "half a surrogate as the client", sign(claims("\ud800"))
    yield "client of another method", sign(claims("portal"))
    yield "claims that are a list", sign([of()])
    yield "another signature", f"{valid.rpartition('.')[0]}.{sign(of()).rpartition('.')[2]}"
    yield "no signature", valid.rpartition(".")[0] + "."
    yield "two parts", valid.rpartition(".")[0]
    yield "not ASCII", "å" + valid
    yield "not JSON", "eA." + valid.partition(".")[2]
    yield "very long", sign(of(filling="x" * 20_000))


def _keyed_by_the_public_key(payload: dict[str, Any]) -> str:
    """HS256 with the public key's PEM as the secret, which everybody knows (RFC 8725 §2.1)."""
    signed = sign(payload, alg="RS256", header={"alg": "HS256"}).rpartition(".")[0]
    digest = hmac.digest(KEYS["RS256"].as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64url(digest)}"


def cases(world: World) -> Cases:
    def ask(rp: RelyingParty, **changes: Any) -> Any:
        return rp.post("/token", {"grant_type": "client_credentials"}, **changes)

    rp, keys = world.rp(), world.rp("keys")
    for name, changes in SECRETS.items():
        yield name, partial(ask, rp, **changes)
    valid = sign(claims("keys"))
    yield "assertion: nothing changed", partial(ask, keys, **form(valid), client_id=None)
    yield "assertion: used before", partial(ask, keys, **form(valid), client_id=None)
    for name, changes in ASSERTIONS.items():
        yield f"assertion: {name}", partial(ask, keys, **{**form(sign(claims("keys"))), **changes})
    for name, assertion in made_up():
        yield f"assertion: {name}", partial(ask, keys, **form(assertion), client_id=None)
    yield "assertion: the client_id beside it", partial(ask, keys, **form(sign(claims("keys"))))
    yield "assertion: a client with keys, by client_id alone", partial(ask, keys, client_id="keys")
    others = {
        "one alg": sign(claims("pinned"), alg="PS256", header={"kid": None}),
        "one alg, by another": sign(claims("pinned"), alg="RS256", header={"kid": None}),
        "one of two keys": sign(claims("twins")),
        "either of two keys": sign(claims("twins"), header={"kid": None}),
        "keys that cannot be fetched": sign(claims("elsewhere")),
        "keys that cannot be fetched, expired": sign(claims("elsewhere", exp=1)),
    }
    for name, assertion in others.items():
        yield f"assertion: {name}", partial(ask, keys, **form(assertion), client_id=None)
    for endpoint in ("introspect", "revoke", "par"):
        # What proves a client's name at the token endpoint does so everywhere; what names another does not.
        for name, aud in (("issuer", ISSUER), ("itself", f"{ISSUER}/{endpoint}"), ("another", f"{ISSUER}/x")):
            fields = {"token": "x", **keys.parameters(client_id=None), **form(sign(claims("keys", aud=aud)))}
            fields["client_id"] = "keys"
            yield f"assertion: at {endpoint}, for {name}", partial(keys.post, f"/{endpoint}", {}, **fields)
        yield (
            f"{endpoint}: wrong secret",
            partial(rp.post, f"/{endpoint}", {"token": "x", **rp.parameters()}, basic=("portal", "wrong")),
        )
