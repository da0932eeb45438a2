"""The token endpoint: exchanging a code, a token for the client itself, and forms that are neither."""

from functools import partial
from typing import Any

from werkzeug.test import TestResponse

from idp.tokens import sha256_hex
from tests.factories import SECRET, make_client, make_public_client
from tests.fakes import encrypted
from tests.fakes.relying_party import HTTPS, VERIFIER, RelyingParty, basic_value
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import World

FORM = "application/x-www-form-urlencoded"
GRANTS = ["authorization_code", "refresh_token", "client_credentials"]


def at(host: str) -> dict[str, Any]:
    return {"redirect_uris": [f"https://{host}.example.se/cb"]}


CLIENTS = {
    "portal": make_client(redirect_uris=["https://portal.example.se/cb", "https://portal.example.se/2"]),
    "other": make_client(redirect_uris=["https://portal.example.se/cb"]),
    "spa": make_public_client(**at("spa")),
    "spa2": make_public_client(**at("spa")),
    "lax": make_client(**at("lax"), require_pkce=False),
    "machine": make_client(**at("machine"), grant_types=["client_credentials"]),
    "all": make_client(**at("all"), grant_types=GRANTS, scope="openid offline_access"),
    "elsewhere": make_client(
        **at("elsewhere"), jwks_uri="http://127.0.0.1:9/jwks", id_token_encrypted_response_alg="ECDH-ES"
    ),
    "encrypted": make_client(
        **at("encrypted"), jwks=encrypted.JWKS, id_token_encrypted_response_alg="ECDH-ES"
    ),
}


def exchange(rp: RelyingParty, code: str, /, **changes: Any) -> TestResponse:
    """The answer to an exchange with changes to its form; None leaves a field out."""
    valid = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": rp.redirect_uri,
        "code_verifier": VERIFIER,
    }
    return rp.post("/token", valid, **changes)


def cases(world: World) -> Cases:
    rp, code = world.code()
    for name, changes in CHANGES.items():
        yield name, partial(exchange, rp, code, **changes)
    yield "code in another case", partial(exchange, rp, code.swapcase())
    yield "code with a space", partial(exchange, rp, code + " ")
    yield "code with a NUL", partial(exchange, rp, code + "\x00")
    yield "code of another client", partial(exchange, rp, code, basic=("other", SECRET))
    yield "nothing changed", partial(exchange, rp, code)  # after all this the code is still good
    yield "code used", partial(exchange, rp, code)
    yield "code used, by another client", partial(exchange, rp, code, basic=("other", SECRET))
    yield "code used, with a wrong verifier", partial(exchange, rp, code, code_verifier="w" * 43)
    yield from _codes_that_ended(world)
    yield from _pkce(world)
    yield from _entries(world)
    yield from _client_credentials(world)
    yield from _http(world)


CHANGES: dict[str, dict[str, Any]] = {
    "code unknown": {"code": "x" * 43},
    "code not ASCII": {"code": "å" * 43},
    "code of 20,000 characters": {"code": "x" * 20_000},
    "code missing": {"code": None},
    "code empty": {"code": ""},
    "redirect_uri missing": {"redirect_uri": None},
    "redirect_uri empty": {"redirect_uri": ""},
    "redirect_uri another of the client's": {"redirect_uri": "https://portal.example.se/2"},
    "redirect_uri with a slash": {"redirect_uri": "https://portal.example.se/cb/"},
    "code_verifier wrong": {"code_verifier": "w" * 43},
    "code_verifier in another case": {"code_verifier": VERIFIER.upper()},
    "code_verifier missing": {"code_verifier": None},
    "code_verifier empty": {"code_verifier": ""},
    "code_verifier of 42 characters": {"code_verifier": "v" * 42},
    "code_verifier of 129 characters": {"code_verifier": "v" * 129},
    "code_verifier of other characters": {"code_verifier": "å" * 43},
    "grant_type missing": {"grant_type": None},
    "grant_type empty": {"grant_type": ""},
    "grant_type unknown": {"grant_type": "password"},
    "grant_type implicit": {"grant_type": "implicit"},
    "grant_type of a device": {"grant_type": "urn:ietf:params:oauth:grant-type:device_code"},
    "grant_type of a JWT": {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"},
    "grant_type of an exchange": {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"},
    "grant_type not ASCII": {"grant_type": "åäö\u2028<b>"},
    "grant_type with a NUL": {"grant_type": "authorization_code\x00"},
    "grant_type refresh_token, not registered": {"grant_type": "refresh_token"},
    "grant_type client_credentials, not registered": {"grant_type": "client_credentials"},
}


def _codes_that_ended(world: World) -> Cases:
    rp, code = world.code()
    with world.later(60):
        yield "code a minute old", partial(exchange, rp, code)
    email = world.person()
    rp, code = world.code(email=email)
    world.disable(email)
    yield "code of somebody disabled", partial(exchange, rp, code)
    rp, code = world.code()
    assert rp.submit(rp.browser.get("/logout", **HTTPS)).status_code == 200
    yield "code of a session that was ended", partial(exchange, rp, code)


def _pkce(world: World) -> Cases:
    lax, code = world.code("lax", code_challenge=None, code_challenge_method=None)
    yield "a verifier without a challenge", partial(exchange, lax, code)
    yield "neither verifier nor challenge", partial(exchange, lax, code, code_verifier=None)
    lax, code = world.code("lax")
    yield "a challenge without a verifier", partial(exchange, lax, code, code_verifier=None)
    spa, code = world.code("spa")
    yield "a public client with a wrong verifier", partial(exchange, spa, code, code_verifier="w" * 43)
    yield "a public client with another's code", partial(exchange, spa, code, client_id="spa2")
    yield "a public client as a confidential one", partial(exchange, spa, code, client_id="portal")
    yield "a public client without client_id", partial(exchange, spa, code, client_id=None)
    yield "a public client", partial(exchange, spa, code)


def _entries(world: World) -> Cases:
    """What clients.yaml says by the time the code comes."""
    changes: dict[str, dict[str, Any]] = {
        "the client was removed": {},
        "the code grant was removed": {"grant_types": ["client_credentials"]},
        "the login method was removed": {"login_methods": ["bankid"]},
        "the person's company was removed": {"companies": ["Annat AB"]},
        "the secrets were changed": {
            "client_secrets": [{"sha256": sha256_hex("the next secret, made by a machine")}]
        },
        "the secrets have expired": {
            "client_secrets": [{**CLIENTS["portal"]["client_secrets"][0], "not_after": "2026-11-21"}]
        },
        "the way to authenticate was changed": {"token_endpoint_auth_method": "client_secret_post"},
        "a proof is demanded": {"dpop_bound_access_tokens": True},
        "scopes were removed": {"scope": "openid"},
    }
    for name, fields in changes.items():
        rp, code = world.code()
        with world.entry("portal", **fields):
            yield name, partial(exchange, rp, code)
    for client_id in ("elsewhere", "encrypted"):
        rp, code = world.code(client_id)
        yield f"an ID token to be encrypted, {client_id}", partial(exchange, rp, code)


def _client_credentials(world: World) -> Cases:
    def ask(client_id: str, **changes: Any) -> TestResponse:
        return world.rp(client_id).post("/token", {"grant_type": "client_credentials"}, **changes)

    yield "itself: nothing changed", partial(ask, "machine")
    yield "itself: scope openid", partial(ask, "machine", scope="openid")
    yield "itself: scope unknown", partial(ask, "machine", scope="x")
    yield "itself: scope empty", partial(ask, "machine", scope="")
    yield "itself: wrong secret", partial(ask, "machine", basic=("machine", "wrong"))
    yield "itself: not registered for it", partial(ask, "portal")
    yield "itself: a public client", partial(ask, "spa")
    yield "itself: as a code", partial(ask, "machine", grant_type="authorization_code")
    yield "itself: as a refresh token", partial(ask, "machine", grant_type="refresh_token")
    yield "all grants, code missing", partial(ask, "all", grant_type="authorization_code")
    yield "all grants, refresh_token missing", partial(ask, "all", grant_type="refresh_token")


def _http(world: World) -> Cases:
    rp, browser = world.rp(), world.browser()
    authorized = {"Authorization": "Basic " + basic_value("portal", SECRET)}
    valid = {"grant_type": "authorization_code", "code": "x" * 43, "redirect_uri": rp.redirect_uri}
    send = partial(browser.post, "/token", headers=authorized, **HTTPS)
    body = f"grant_type=authorization_code&redirect_uri={rp.redirect_uri}&code_verifier={VERIFIER}"
    yield "an empty form", partial(send, data={})
    yield "the form in the query", partial(send, query_string=valid)
    yield "JSON", partial(send, json=valid)
    yield (
        "multipart",
        partial(send, data={**valid, "code_verifier": VERIFIER}, content_type="multipart/form-data"),
    )
    for name in ("code", "grant_type", "redirect_uri", "code_verifier", "client_id"):
        yield f"{name} twice", partial(send, data=f"{body}&code=a&{name}=a&{name}=b", content_type=FORM)
    yield "code twice, empty first", partial(send, data=f"{body}&code=&code=a", content_type=FORM)
    yield "not UTF-8", partial(send, data=f"{body}&code=".encode() + b"\xff", content_type=FORM)
    yield "not UTF-8, escaped", partial(send, data=f"{body}&code=%ff", content_type=FORM)
    yield "100,000 bytes", partial(send, data={**valid, "code": "x" * 100_000})
    yield "2,000 fields", partial(send, data={**valid, **{f"x{number}": "" for number in range(2_000)}})
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        yield method, partial(browser.open, "/token", method=method, headers=authorized, **HTTPS)
