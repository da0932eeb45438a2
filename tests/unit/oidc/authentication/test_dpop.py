"""Each refused DPoP proof is a valid one with one thing changed (RFC 9449 §4.3)."""

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from joserfc.jwk import ECKey, OctKey

from idp.oidc.authentication import dpop
from idp.oidc.authentication.dpop import InvalidProof, NonceNeeded
from idp.tokens import base64url
from tests.factories import NOON
from tests.fakes.assertions import ISSUER, KEYS
from tests.fakes.proofs import JKT, claims, sign

pytestmark = pytest.mark.usefixtures("noon")
NONCE_KEY = b"n" * 32
TOKEN = "an-access-token"
NOW = int(NOON.timestamp())
WEAK = {"kty": "RSA", "n": base64url(b"\xff" * 128), "e": "AQAB"}
P384 = ECKey.generate_key("P-384")
PUBLIC = KEYS["ES256"].as_dict(private=False)


@pytest.fixture
def noon() -> Any:
    with time_machine.travel(NOON, tick=False):
        yield


def check(header: str, **changes: Any) -> dpop.Proof:
    compared = {
        "method": "POST",
        "url": f"{ISSUER}/token",
        "nonce_key": NONCE_KEY,
        "now": NOON,
        "access_token": None,
    }
    return dpop.check_proof(header, **compared | changes)


@pytest.mark.parametrize("alg", dpop.ALGS)
def test_a_proof_by_every_announced_alg(alg: str) -> None:
    found = check(sign(claims(), alg=alg))
    assert found.jkt == JKT[alg]
    assert found.ends_at == NOON + dpop.MAX_AGE


def test_the_thumbprint_is_that_of_rfc_9449() -> None:
    """The key of the examples, and what §6 computes of it."""
    jwk = {
        "kty": "EC",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        "crv": "P-256",
    }
    header = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklD"
        "UkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2"
        "R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHB"
        "zOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8ig"
        "iMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
    )
    then = NOON.fromtimestamp(1562262616, NOON.tzinfo)
    found = check(header, url="https://server.example.com/token", now=then)
    assert found.jkt == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" == ECKey.import_key(jwk).thumbprint()


@pytest.mark.parametrize(
    "htu",
    [
        "https://login.example.se/token",
        "https://login.example.se:443/token",
        "HTTPS://LOGIN.example.se/token",
        "https://login.example.se/%74oken",
        "https://login.example.se/token?a=b",
        "https://login.example.se/token#part",
    ],
)
def test_an_endpoints_url_in_its_spellings(htu: str) -> None:
    assert check(sign(claims(htu=htu)))


def test_an_empty_path_is_the_root() -> None:
    assert check(sign(claims(htu="http://127.0.0.1:80")), url="http://127.0.0.1/")


CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"jti": None}, "jti"),
    ({"jti": ""}, "jti"),
    ({"jti": 1}, "jti"),
    ({"htm": None}, "htm"),
    ({"htm": "GET"}, "htm"),
    ({"htm": "post"}, "htm"),
    ({"htm": ["POST"]}, "htm"),
    ({"htu": None}, "htu"),
    ({"htu": 1}, "htu"),
    ({"htu": ""}, "htu"),
    ({"htu": "/token"}, "htu"),
    ({"htu": "https://login.example.se/userinfo"}, "htu"),
    ({"htu": "https://login.example.se/token/"}, "htu"),
    ({"htu": "https://login.example.se/Token"}, "htu"),
    ({"htu": "https://login.example.se/token%2f"}, "htu"),
    ({"htu": "http://login.example.se/token"}, "htu"),
    ({"htu": "https://login.example.se:8443/token"}, "htu"),
    ({"htu": "https://login.example.se:0/token"}, "htu"),
    ({"htu": "https://login.example.se:x/token"}, "htu"),
    ({"htu": "https://[login.example.se/token"}, "htu"),
    ({"htu": "https://a@login.example.se/token"}, "htu"),
    ({"htu": "https://evil.example/token"}, "htu"),
    ({"htu": "https://login.example.se.evil.example/token"}, "htu"),
    ({"iat": None}, "iat"),
    ({"iat": str(NOW)}, "iat"),
    ({"iat": True}, "iat"),
    ({"iat": [NOW]}, "iat"),
    ({"iat": NOW - 300}, "iat"),
    ({"iat": NOW + 61}, "iat"),
    ({"iat": NOW * 1000}, "iat"),
    ({"iat": -NOW}, "iat"),
    ({"iat": 10**400}, "iat"),
    ({"iat": float("nan")}, "iat"),
    ({"iat": float("inf")}, "iat"),
]


@pytest.mark.parametrize(("changes", "word"), CLAIMS, ids=[json.dumps(case[0]) for case in CLAIMS])
def test_a_proof_with_one_claim_changed_is_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidProof, match=f"the DPoP proof .*{word}"):
        check(sign(claims(**changes)))


@pytest.mark.parametrize("iat", [NOW - 299, NOW, NOW + 60, NOW + 0.5])
def test_a_proof_by_a_clock_a_little_off_is_taken(iat: float) -> None:
    assert check(sign(claims(iat=iat))).ends_at > NOON


HEADERS: list[tuple[dict[str, Any], str]] = [
    ({"typ": None}, "typ"),
    ({"typ": "JWT"}, "typ"),
    ({"typ": "at+jwt"}, "typ"),
    ({"typ": 1}, "header of the wrong type"),
    ({"alg": None}, "alg"),
    ({"alg": "none"}, "alg"),
    ({"alg": "HS256"}, "alg"),
    ({"alg": "ES384"}, "alg"),
    ({"alg": "RS256"}, "does not suit"),
    ({"crit": ["exp"]}, "crit"),
    ({"b64": False}, "crit"),
    ({"jwk": None}, "unusable jwk"),
    ({"jwk": "x"}, "unusable jwk"),
    ({"jwk": []}, "unusable jwk"),
    ({"jwk": {}}, "unusable jwk"),
    ({"jwk": {**PUBLIC, "x": "AAAA"}}, "unusable jwk"),
    ({"jwk": {**PUBLIC, "kty": "oct", "k": "eA"}}, "unusable jwk, which is part of a private key"),
    ({"jwk": {**PUBLIC, "key_ops": ["sign"]}}, "unusable jwk"),
    ({"jwk": KEYS["ES256"].as_dict(private=True)}, "unusable jwk, which is part of a private key"),
    ({"jwk": OctKey.generate_key(256).as_dict(private=True)}, "unusable jwk"),
    ({"jwk": WEAK, "alg": "RS256"}, "1024 bits"),
    ({"jwk": P384.as_dict(private=False)}, "does not suit"),
    ({"jwk": KEYS["RS256"].as_dict(private=False)}, "does not suit"),
    ({"jwk": ECKey.generate_key("P-256").as_dict(private=False)}, "wrong signature"),
]


@pytest.mark.parametrize(("changes", "words"), HEADERS, ids=[str(i) for i in range(len(HEADERS))])
def test_a_proof_with_one_header_changed_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidProof, match=words):
        check(sign(claims(), header=changes))


def test_a_key_for_encryption_signs_nothing() -> None:
    with pytest.raises(InvalidProof):
        check(sign(claims(), header={"jwk": {**PUBLIC, "use": "enc"}}))


def test_texts_that_are_not_proofs_are_refused() -> None:
    valid = sign(claims())
    head, body, signature = valid.split(".")
    other = base64url(json.dumps(claims(htm="POST")).encode())
    for header in (
        *("", ".", "..", "x", head, f"{head}.{body}", f"{head}.{body}.", f"{valid}.x", "å" + valid),
        *(
            f"{valid},{sign(claims())}",
            f"{head}.{other}.{signature}",
            f"{base64url(b'[]')}.{body}.{signature}",
        ),
        sign(claims(jti="j" * dpop.MAX_LENGTH)),
        base64url(b"[" * 5000) + f".{body}.{signature}",
    ):
        with pytest.raises(InvalidProof):
            check(header)


@pytest.mark.parametrize("ath", [None, "", "x", 1, TOKEN])
def test_a_proof_with_a_token_holds_its_hash(ath: Any) -> None:
    assert check(sign(claims(access_token=TOKEN)), access_token=TOKEN)
    with pytest.raises(InvalidProof, match="ath"):
        check(sign(claims(access_token=TOKEN, ath=ath)), access_token=TOKEN)


def test_a_proof_for_another_method_or_endpoint_is_refused() -> None:
    for changes in ({"method": "GET"}, {"url": f"{ISSUER}/par"}, {"url": "https://other.example.se/token"}):
        with pytest.raises(InvalidProof):
            check(sign(claims()), **changes)


def test_proofs_are_told_apart_by_key_and_jti() -> None:
    same = check(sign(claims(jti="one")))
    assert check(sign(claims(jti="one", htu=f"{ISSUER}/token?"))).digest == same.digest
    assert check(sign(claims(jti="two"))).digest != same.digest
    assert check(sign(claims(jti="one"), alg="EdDSA")).digest != same.digest
    assert check(sign(claims(jti="\ud800"))).digest


def test_a_nonce_is_in_force_for_its_time_and_the_next() -> None:
    given = dpop.current_nonce(NONCE_KEY, NOON)
    assert len(given) == 43
    for seconds in (-60, 0, dpop.NONCE_SECONDS, 2 * dpop.NONCE_SECONDS - 1):
        now = NOON + timedelta(seconds=seconds)
        made = claims(nonce=given, iat=int(now.timestamp()))
        assert check(sign(made), now=now)
    assert dpop.current_nonce(NONCE_KEY, NOON + timedelta(seconds=dpop.NONCE_SECONDS)) != given


OLD = NOON - timedelta(seconds=2 * dpop.NONCE_SECONDS)


@pytest.mark.parametrize(
    "nonce",
    [
        "",
        "x",
        1,
        ["x"],
        "å",
        "\ud800",
        dpop.current_nonce(NONCE_KEY, OLD),
        dpop.current_nonce(b"other", NOON),
    ],
)
def test_a_nonce_that_is_not_in_force(nonce: Any) -> None:
    with pytest.raises(NonceNeeded):
        check(sign(claims(nonce=nonce)))


def test_a_proof_that_is_wrong_otherwise_is_not_asked_for_a_nonce() -> None:
    with pytest.raises(InvalidProof):
        check(sign(claims(nonce="x", htm="GET")))
