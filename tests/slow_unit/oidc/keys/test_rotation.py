"""Rotation moves every key one step and keeps published keys published long enough."""

import json
import os
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from idp.config import ConfigError
from idp.oidc.keys import files as key_files
from idp.oidc.keys import rotation as key_rotation
from idp.oidc.keys.files import RETENTION
from idp.oidc.keys.ring import JWKS_MAX_AGE_SECONDS, KeyRing
from idp.oidc.keys.rotation import RotationRefused
from tests.slow_unit.oidc.keys.key_folder import LATER, NOW, header_of, put, ring_of, states


def test_first_rotation_makes_a_folder_that_works(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "keys"
    lines = key_rotation.rotate(folder, now=NOW)
    active, following = key_files.list_keys(folder)
    assert (active.state, following.state) == ("active", "next")
    assert lines == [f"{active.kid}: active, signs RS256", f"{following.kid}: next, published for RS256"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert ring_of(folder).algs == ("RS256",)


def test_rotation_moves_every_key_one_step(tmp_path: Path) -> None:
    key_rotation.rotate(tmp_path, alg="ES256", now=NOW)
    first, second = key_files.list_keys(tmp_path)
    key_rotation.rotate(tmp_path, alg="ES256", now=LATER)
    active, following, retired = key_files.list_keys(tmp_path)
    assert (active.kid, active.activated_at, active.created_at) == (second.kid, LATER, NOW)
    assert (retired.kid, retired.retired_at, retired.activated_at) == (first.kid, LATER, NOW)
    assert (following.created_at, following.activated_at) == (LATER, None)
    assert active.public_jwk == second.public_jwk
    key_rotation.rotate(tmp_path, alg="ES256", now=LATER + RETENTION)
    assert [key.state for key in key_files.list_keys(tmp_path)] == ["active", "next", "retired"]
    assert not (tmp_path / f"{first.kid}.json").exists()


def test_rotation_waits_until_relying_apps_know_the_next_key(tmp_path: Path) -> None:
    key_rotation.rotate(tmp_path, alg="ES256", now=NOW)
    before = key_files.list_keys(tmp_path)
    with pytest.raises(RotationRefused, match="wait until 2026-03-02 09:12:00 UTC"):
        key_rotation.rotate(tmp_path, alg="ES256", now=LATER - timedelta(seconds=1))
    assert key_files.list_keys(tmp_path) == before
    key_rotation.rotate(tmp_path, alg="ES256", now=LATER - timedelta(seconds=1), force=True)
    assert states(tmp_path) == ["active", "next", "retired"]


def test_a_key_is_no_older_than_its_making(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    ticks = iter([began, began, began, began + 9.5])  # the active key's making, the next one's
    monkeypatch.setattr(key_rotation.time, "monotonic", lambda: next(ticks))
    key_rotation.rotate(tmp_path, alg="ES256", now=NOW)
    assert [key.created_at for key in key_files.list_keys(tmp_path)] == [NOW, NOW + timedelta(seconds=9)]


def test_a_client_that_keeps_the_set_as_long_as_it_may_verifies_every_token(folder: Path) -> None:
    """It is handed a set that is a minute old (another machine's), by rotations as often as they are let."""
    moment = NOW
    ring = KeyRing(folder, clock=lambda: moment, check_interval_seconds=0)
    served, kept, fetched_at = ring.jwks(), ring.jwks(), NOW
    signers = set()
    for _ in range(60):
        with suppress(RotationRefused):
            key_rotation.rotate(folder, alg="ES256", now=moment)
        if moment - fetched_at >= timedelta(seconds=JWKS_MAX_AGE_SECONDS):
            kept, fetched_at = served, moment
        token = ring.sign({}, alg="ES256", now=moment)
        jws.deserialize_compact(token, KeySet.import_key_set(json.loads(kept)), ["ES256"])
        signers.add(header_of(token)["kid"])
        served = ring.jwks()
        moment += timedelta(minutes=1)
    assert len(signers) == 5


def test_rotation_without_a_next_key_publishes_one_first(tmp_path: Path, ec_jwk: dict[str, Any]) -> None:
    put(tmp_path, "ec", ec_jwk, alg="ES256")
    lines = key_rotation.rotate(tmp_path, alg="ES256", now=LATER)
    assert "rotate again in 720 seconds" in lines[-1]
    assert key_files.list_keys(tmp_path)[0].kid == "ec"
    assert states(tmp_path) == ["active", "next"]


def test_rotation_finishes_one_that_was_cut_off(tmp_path: Path, ec_jwk: dict[str, Any]) -> None:
    """Both after the new next (two of them) and after the promotion (two active)."""
    for kid, changes in {
        "old": {},
        "new": {"activated_at": LATER.isoformat()},
        "next-1": {"state": "next"},
        "next-2": {"state": "next", "created_at": LATER.isoformat()},
    }.items():
        put(tmp_path, kid, ec_jwk, alg="ES256", **changes)
    (tmp_path / ".half.tmp").write_text("a private key")
    key_rotation.rotate(tmp_path, alg="ES256", now=LATER)
    assert {key.kid: key.state for key in key_files.list_keys(tmp_path)} == {
        "next-1": "active",
        "next-2": "next",
        "old": "retired",
        "new": "retired",
    }
    assert not (tmp_path / ".half.tmp").exists()


def test_rotation_of_a_broken_folder_changes_nothing(folder: Path) -> None:
    (folder / "ec.json").write_text("{")
    before = {path.name for path in folder.glob("*.json")}
    with pytest.raises(ConfigError):
        key_rotation.rotate(folder, alg="ES256", now=LATER)
    assert {path.name for path in folder.glob("*.json")} == before


def test_rotation_to_an_unknown_alg(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="HS256 is not one of"):
        key_rotation.rotate(tmp_path / "keys", alg="HS256", now=NOW)
    assert not (tmp_path / "keys").exists()


def test_two_operators_take_turns(tmp_path: Path) -> None:
    key_rotation.rotate(tmp_path, alg="ES256", now=NOW)
    refused = []

    def turn() -> None:
        try:
            key_rotation.rotate(tmp_path, alg="ES256", now=LATER)
        except RotationRefused as error:
            refused.append(error)

    threads = [threading.Thread(target=turn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert states(tmp_path) == ["active", "next", "retired"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_made_by_root_belong_to_the_folders_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12346)
    key_rotation.rotate(tmp_path, alg="ES256", now=NOW)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in tmp_path.iterdir()} == {(12345, 12346)}
