"""A running key ring follows the files in its folder."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from idp.oidc.keys import files as key_files
from idp.oidc.keys import rotation as key_rotation
from idp.oidc.keys.files import RETENTION
from idp.oidc.keys.ring import KeyRing
from tests.slow_unit.oidc.keys.key_folder import NOW, header_of, kids, put, ring_of


def test_change_is_noticed(folder: Path, ec_jwk: dict[str, Any]) -> None:
    ring = ring_of(folder)
    token, generation = ring.sign({"sub": "a"}, alg="ES256", now=NOW), ring.generation
    key_rotation.rotate(folder, alg="ES256", now=NOW, force=True)
    after = ring.sign({}, alg="ES256", now=NOW)
    assert header_of(after)["kid"] != "ec"
    assert ring.generation == generation + 1
    assert kids(ring) >= {"ec", header_of(after)["kid"]}
    assert ring.verify(token)["sub"] == "a"


def test_another_key_under_the_same_kid_is_noticed(folder: Path) -> None:
    ring = ring_of(folder)
    token, before = ring.sign({}, alg="ES256", now=NOW), ring.jwks()
    put(folder, "ec", dict(ECKey.generate_key("P-256").as_dict(private=True)), alg="ES256")
    assert ring.jwks() != before
    with pytest.raises(ValueError, match="signature is wrong"):
        ring.verify(token)
    assert ring.verify(ring.sign({"sub": "a"}, alg="ES256", now=NOW))["sub"] == "a"


def test_untouched_folder_keeps_its_generation(folder: Path) -> None:
    ring = ring_of(folder)
    before = ring.generation
    os.utime(folder / "ec.json")
    assert (ring.generation, ring.problems) == (before, ())


def test_change_is_looked_for_once_an_interval(folder: Path) -> None:
    ring = KeyRing(folder, clock=lambda: NOW, check_interval_seconds=3600)
    (folder / "ec.json").unlink()
    assert ring.algs == ("RS256", "ES256")


BREAKS: dict[str, Callable[[Path], object]] = {
    "no JSON": lambda folder: (folder / "ec.json").write_text("{"),
    "open to others": lambda folder: (folder / "ec.json").chmod(0o644),
    "RS256 gone": lambda folder: (folder / "rsa.json").rename(folder / "rsa.bak"),
    "folder gone": lambda folder: folder.rename(folder.with_suffix(".gone")),
}


@pytest.mark.parametrize("case", BREAKS)
def test_broken_change_keeps_the_old_keys(
    folder: Path, ec_jwk: dict[str, Any], caplog: pytest.LogCaptureFixture, case: str
) -> None:
    ring = ring_of(folder)
    before = ring.jwks(), ring.generation
    BREAKS[case](folder)
    assert len(ring.problems) == 1
    assert (ring.jwks(), ring.generation) == before
    assert ring.verify(ring.sign({"sub": "a"}, alg="ES256", now=NOW))["sub"] == "a"
    assert [record.name for record in caplog.records] == ["idp.keys"]  # once, not at every look


def test_mended_folder_is_used_again(folder: Path) -> None:
    ring = ring_of(folder)
    (folder / "ec.json").chmod(0o644)
    assert ring.problems
    (folder / "ec.json").chmod(0o600)
    assert ring.problems == ()
    folder.rename(folder.with_suffix(".away"))
    assert ring.problems
    folder.with_suffix(".away").rename(folder)
    assert ring.problems == ()


def test_retired_key_leaves_the_set_when_its_time_is_up(folder: Path, ec_jwk: dict[str, Any]) -> None:
    put(folder, "ec", ec_jwk, alg="ES256", state="retired")
    now = NOW + RETENTION - timedelta(seconds=1)
    ring = KeyRing(folder, clock=lambda: now, check_interval_seconds=0)
    before = ring.generation
    assert kids(ring) == {"rsa", "ec"}
    now += timedelta(seconds=1)
    assert kids(ring) == {"rsa"}
    assert ring.generation == before + 1


@pytest.fixture
def rotations(folder: Path) -> Iterator[threading.Thread]:
    """Twenty forced ES256 rotations in another thread, done when the test is."""

    def turn() -> None:
        for number in range(20):
            key_rotation.rotate(folder, alg="ES256", now=NOW + timedelta(minutes=number), force=True)

    thread = threading.Thread(target=turn)
    yield thread
    thread.join()


def test_tokens_verify_with_what_is_published_at_the_time(folder: Path, rotations: threading.Thread) -> None:
    ring = ring_of(folder)
    signers = set()
    rotations.start()
    while rotations.is_alive():
        token = ring.sign({"sub": "a"}, alg="ES256", now=NOW)
        kid = header_of(token)["kid"]
        [published] = [key for key in json.loads(ring.jwks())["keys"] if key["kid"] == kid]
        jws.deserialize_compact(token, ECKey.import_key(published), ["ES256"])
        assert ring.problems == ()
        signers.add(kid)
    assert len(signers) > 2
    assert header_of(ring.sign({}, alg="ES256", now=NOW))["kid"] == key_files.list_keys(folder)[1].kid


def test_reader_always_finds_one_active_key(folder: Path, rotations: threading.Thread) -> None:
    (folder / "rsa.json").unlink()
    seen = set()
    rotations.start()
    while rotations.is_alive():
        [signer] = [key.kid for key in key_files.list_keys(folder) if key.state == "active"]
        seen.add(signer)
    assert len(seen) > 2
