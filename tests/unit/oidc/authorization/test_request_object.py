"""Each refused request object is a valid one with one thing changed."""

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey

from idp.oidc.authorization import request_object
from idp.oidc.authorization.parameters import RequestError
from idp.oidc.clients import jws as client_jws
from idp.oidc.clients.client import Client
from idp.oidc.clients.jwks import read_set
from idp.oidc.clients.jws import Unverified
from idp.oidc.clients.keys import KeysUnavailable
from tests.factories import NOON
from tests.fakes.request_objects import JWKS, keyed_by_the_public_key, sign, unsigned
from tests.unit.oidc.authorization.valid_request import ISSUER, VALID, client

MOMENT = int(NOON.timestamp())
CLAIMS = {**VALID, "iss": "portal", "aud": ISSUER, "iat": MOMENT, "nbf": MOMENT, "exp": MOMENT + 300}
REGISTERED, _ = read_set(JWKS)


def verify(found: Unverified) -> dict[str, Any]:
    return client_jws.verify(found, REGISTERED.keys)


def read(text: str, known: Client | None = None) -> dict[str, str]:
    return request_object.read(
        text,
        client=known or client(),
        decrypt=str,
        verify=verify,
        audiences=(ISSUER, f"{ISSUER}/authorize"),
        now=NOON,
    )


def claims(**changes: Any) -> dict[str, Any]:
    """Valid claims; a change to None leaves one out."""
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"])
def test_every_supported_signature_is_verified(alg: str) -> None:
    assert read(sign(CLAIMS, alg=alg)) == VALID


@pytest.mark.parametrize(
    "typ", [None, "JWT", "jwt", "oauth-authz-req+jwt", "application/oauth-authz-req+jwt"]
)
def test_the_typ_is_that_of_a_request_object_or_of_any_jwt(typ: str | None) -> None:
    assert read(sign(CLAIMS, header={"typ": typ})) == VALID


def test_only_the_registered_alg_counts_when_there_is_one() -> None:
    strict = client(request_object_signing_alg="ES384")
    assert read(sign(CLAIMS, alg="ES384"), strict) == VALID
    with pytest.raises(RequestError):
        read(sign(CLAIMS, alg="ES256"), strict)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": f"{ISSUER}/authorize"},
        {"aud": ["https://else.example", ISSUER]},
        {"exp": None},
        {"nbf": None, "iat": None},
        {"nbf": MOMENT + 10},
        {"exp": MOMENT + 0.5},
        {"jti": "one", "sub": "somebody"},
    ],
)
def test_claims_that_may_vary(changes: dict[str, Any]) -> None:
    assert read(sign(claims(**changes))) == VALID


def test_members_that_are_json_or_numbers_become_their_text() -> None:
    asked = {"id_token": {"acr": {"essential": True}}}
    found = read(sign(claims(claims=asked, max_age=60)))
    assert json.loads(found["claims"]) == asked
    assert found["max_age"] == "60"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"iss": "spa"},
        {"iss": ["portal"]},
        {"aud": None},
        {"aud": []},
        {"aud": "https://else.example"},
        {"aud": f"{ISSUER}/"},
        {"aud": f"{ISSUER}/token"},
        {"aud": {"issuer": ISSUER}},
        {"aud": [[ISSUER]]},
        {"client_id": None},
        {"client_id": "spa"},
        {"client_id": ["portal"]},
        {"sub": "portal"},
        {"exp": MOMENT},
        {"exp": MOMENT - 1},
        {"exp": str(MOMENT + 300)},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("-inf")},
        {"exp": [MOMENT + 300]},
        {"nbf": MOMENT + 11},
        {"nbf": "now"},
        {"nbf": 10**400},
        {"request": "eyJ"},
        {"request_uri": "urn:ietf:params:oauth:request_uri:x"},
        {"scope": ["openid"]},
        {"state": 1},
        {"state": {"a": 1}},
        {"max_age": True},
        {"max_age": 1.5},
        {"claims": [1]},
        {"redirect_uri": ["https://portal.example.se/cb"]},
    ],
)
def test_a_request_object_with_one_claim_changed_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        read(sign(claims(**changes)))
    assert caught.value.error == "invalid_request_object"
    assert caught.value.description.isascii()
    assert not set(caught.value.description) & set('"\\')


FOREIGN = ECKey.generate_key("P-256", {"kid": "p256"})


@pytest.mark.parametrize(
    "text",
    [
        unsigned(CLAIMS),
        keyed_by_the_public_key(CLAIMS),
        sign(CLAIMS, key=FOREIGN),
        sign(CLAIMS, key=FOREIGN, header={"jwk": FOREIGN.as_dict(private=False)}),
        sign(CLAIMS, key=FOREIGN, header={"kid": None, "jwk": FOREIGN.as_dict(private=False)}),
        sign(CLAIMS, header={"kid": "unknown"}),
        sign(CLAIMS, header={"kid": 1}),
        sign(CLAIMS, header={"kid": "rsa"}),
        sign(CLAIMS, header={"crit": ["exp"]}),
        sign(CLAIMS, header={"crit": ["b64"], "b64": False}),
        sign(CLAIMS, header={"typ": "at+jwt"}),
        sign(CLAIMS, header={"typ": "client-authentication+jwt"}),
        sign(CLAIMS, header={"typ": ["JWT"]}),
        sign(CLAIMS, header={"alg": ["ES256"]}),
        sign(CLAIMS, header={"alg": {}}),
        sign(CLAIMS, alg="RS256", header={"alg": "PS256"}),
        sign(CLAIMS, header={"alg": "ES512"}),
        sign(CLAIMS)[:-4],
        sign(CLAIMS) + "A",
        sign(CLAIMS).rsplit(".", 1)[0],
        sign(CLAIMS).rsplit(".", 1)[0] + ".",
        sign(CLAIMS) + ".x.y",
        "å.å.å",
        "..",
        "",
        "W10.W10.W10",
    ],
)
def test_a_text_that_the_client_did_not_sign_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(text)
    assert caught.value.error == "invalid_request_object"
    assert caught.value.description.isascii()


def test_keys_that_cannot_be_fetched_are_no_fault_of_the_request() -> None:
    def unavailable(_found: Unverified) -> dict[str, Any]:
        raise KeysUnavailable

    with pytest.raises(RequestError) as caught:
        request_object.read(
            sign(CLAIMS), client=client(), decrypt=str, verify=unavailable, audiences=(ISSUER,), now=NOON
        )
    assert caught.value.error == "temporarily_unavailable"
