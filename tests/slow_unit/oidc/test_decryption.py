"""The key ring decrypts what is encrypted to its published keys."""

import json
from base64 import urlsafe_b64decode
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey, RSAKey

from idp.oidc.keys import rotation as key_rotation
from idp.oidc.keys.files import DECRYPTION_ALGS
from idp.oidc.keys.ring import CONTENT_ENCS, KeyRing
from idp.oidc.keys.rotation import PUBLISHED_SECONDS
from idp.tokens import base64url
from tests.factories import NOON

INNER = "header.claims.signature"
DAY = timedelta(days=1)
ZEROS = base64url(b"\0" * 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    for alg in ("RS256", *DECRYPTION_ALGS):
        key_rotation.rotate(directory, alg=alg, now=NOON)
    return directory


@pytest.fixture
def ring(folder: Path) -> KeyRing:
    return KeyRing(folder, clock=lambda: NOON)


def published(ring: KeyRing, alg: str, which: int = 0) -> RSAKey:
    jwks = json.loads(ring.jwks())["keys"]
    return RSAKey.import_key([key for key in jwks if key["alg"] == alg][which])


def encrypted(key: Any, *, content: str = INNER, **changes: Any) -> str:
    """INNER encrypted to the key; a change to None leaves a header member out."""
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": key.kid, "cty": "JWT", **changes}
    header = {name: value for name, value in header.items() if value is not None}
    registry = jwe.JWERegistry(algorithms=[header["alg"], header["enc"], "DEF"], strict_check_header=False)
    return jwe.encrypt_compact(header, content, key, registry=registry)


def test_the_published_keys_are_for_encryption(ring: KeyRing) -> None:
    keys = json.loads(ring.jwks())["keys"]
    assert {key["alg"]: key["use"] for key in keys} == {
        "RS256": "sig",
        "RSA-OAEP": "enc",
        "RSA-OAEP-256": "enc",
    }
    assert not any(set(key) & {"d", "p", "q", "dp", "dq", "qi"} for key in keys)
    assert ring.algs == ("RS256",)
    assert ring.decryption_algs == DECRYPTION_ALGS


@pytest.mark.parametrize("enc", CONTENT_ENCS)
@pytest.mark.parametrize("alg", DECRYPTION_ALGS)
def test_every_announced_pair_opens(ring: KeyRing, alg: str, enc: str) -> None:
    assert ring.decrypt(encrypted(published(ring, alg), alg=alg, enc=enc)) == INNER


def test_the_kid_may_be_left_out_and_the_next_key_be_used(ring: KeyRing) -> None:
    assert ring.decrypt(encrypted(published(ring, "RSA-OAEP-256"), kid=None, cty=None)) == INNER
    assert ring.decrypt(encrypted(published(ring, "RSA-OAEP-256", 1))) == INNER


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"enc": "A128CBC-HS256"}, "must be encrypted by one of"),
        ({"alg": "RSA-OAEP"}, "not encrypted to one of our RSA-OAEP keys"),
        ({"kid": "unknown"}, "not encrypted to one of our RSA-OAEP-256 keys"),
        ({"zip": "DEF"}, "may have in its JWE header only"),
        ({"jku": "https://evil.example/"}, "may have in its JWE header only"),
        ({"cty": "json"}, "must have a signed JWT inside"),
        ({"content": "å"}, "cannot be decrypted"),
    ],
)
def test_a_jwe_with_one_thing_changed_is_refused(ring: KeyRing, changes: dict[str, Any], words: str) -> None:
    key = published(ring, "RSA-OAEP-256")
    assert ring.decrypt(encrypted(key)) == INNER
    with pytest.raises(ValueError, match=words):
        ring.decrypt(encrypted(key, **changes))


def test_a_signing_key_opens_nothing(ring: KeyRing) -> None:
    jwk = {**published(ring, "RS256").as_dict(), "use": "enc", "alg": "RSA-OAEP-256"}
    with pytest.raises(ValueError, match="to one of our"):
        ring.decrypt(encrypted(RSAKey.import_key(jwk)))


@pytest.mark.parametrize("changes", [{"alg": "RSA1_5"}, {"alg": "dir"}, {"alg": None}, {"crit": ["kid"]}])
def test_a_header_that_we_do_not_announce_is_refused(ring: KeyRing, changes: dict[str, Any]) -> None:
    _, *parts = encrypted(published(ring, "RSA-OAEP-256")).split(".")
    header = {"alg": "RSA-OAEP", "enc": "A256GCM", **changes}
    with pytest.raises(ValueError, match=r"must be encrypted by one of|may have in its JWE header only"):
        ring.decrypt(".".join([base64url(json.dumps(header).encode()), *parts]))


def test_a_decryption_key_signs_nothing(ring: KeyRing) -> None:
    parts = ring.sign({"sub": "anna"}, now=NOON).split(".")
    header = json.loads(urlsafe_b64decode(parts[0] + "=="))
    header |= {"kid": published(ring, "RSA-OAEP").kid, "alg": "RSA-OAEP"}
    with pytest.raises(ValueError, match="kid is unknown"):
        ring.verify(".".join([base64url(json.dumps(header).encode()), *parts[1:]]))


def test_another_recipients_token_and_a_changed_one_look_the_same(ring: KeyRing) -> None:
    ours = published(ring, "RSA-OAEP-256")
    foreign = encrypted(RSAKey.generate_key(2048), kid=ours.kid)
    parts = encrypted(ours).split(".")
    changed = [".".join([*parts[:place], ZEROS, *parts[place + 1 :]]) for place in range(1, len(parts))]
    for token in (foreign, *changed, encrypted(ours) + ".", encrypted(ours).rpartition(".")[0]):
        with pytest.raises(ValueError, match="cannot be decrypted"):
            ring.decrypt(token)


@pytest.mark.parametrize("token", ["", "....", "å....", "e30....", "W10....", "W1tb" * 3000])
def test_a_text_that_is_not_a_jwe_is_refused(ring: KeyRing, token: str) -> None:
    with pytest.raises(ValueError, match=r"is not a compact JWE|must be encrypted by"):
        ring.decrypt(token)


def test_an_elliptic_curve_is_not_announced(ring: KeyRing) -> None:
    token = encrypted(ECKey.generate_key("P-256"), alg="ECDH-ES")
    with pytest.raises(ValueError, match="must be encrypted by one of"):
        ring.decrypt(token)


def test_rotation_keeps_what_apps_may_still_encrypt_to(tmp_path: Path) -> None:
    key_rotation.rotate(tmp_path, now=NOON)
    key_rotation.rotate(tmp_path, alg="RSA-OAEP", now=NOON)
    moment = NOON
    ring = KeyRing(tmp_path, clock=lambda: moment, check_interval_seconds=0)
    old = published(ring, "RSA-OAEP")
    moment += timedelta(seconds=PUBLISHED_SECONDS)
    [line, *_] = key_rotation.rotate(tmp_path, alg="RSA-OAEP", now=moment)
    assert line.endswith("active, decrypts RSA-OAEP")
    assert ring.decrypt(encrypted(old, alg="RSA-OAEP")) == INNER
    moment += DAY
    with pytest.raises(ValueError, match="to one of our"):
        ring.decrypt(encrypted(old, alg="RSA-OAEP"))
