"""A retired key goes when its tokens are past, and a forced one at once."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from idp.config import ConfigError
from idp.oidc.keys import files as key_files
from idp.oidc.keys import rotation as key_rotation
from idp.oidc.keys.files import RETENTION
from idp.oidc.keys.ring import KeyRing
from idp.oidc.keys.rotation import RotationRefused
from tests.slow_unit.oidc.keys.key_folder import NOW, PRIVATE_MEMBERS, kids, put, ring_of, states


@pytest.fixture
def rotated(tmp_path: Path) -> Path:
    """An active, a next and a retired ES256 key."""
    key_rotation.rotate(tmp_path, alg="ES256", now=NOW - timedelta(days=1))
    key_rotation.rotate(tmp_path, alg="ES256", now=NOW)
    return tmp_path


def test_retiring_the_active_key_lets_the_next_sign(rotated: Path) -> None:
    active, following, retired = key_files.list_keys(rotated)
    with pytest.raises(RotationRefused, match="may still be in use"):
        key_rotation.retire(rotated, active.kid, now=NOW)
    assert key_files.list_keys(rotated) == [active, following, retired]
    lines = key_rotation.retire(rotated, active.kid, now=NOW, force=True)
    assert lines[0] == f"{following.kid}: active, signs ES256"
    assert [key.kid for key in key_files.list_keys(rotated)][::2] == [following.kid, retired.kid]
    assert states(rotated) == ["active", "next", "retired"]


def test_retiring_the_active_key_without_a_next(tmp_path: Path, ec_jwk: dict[str, Any]) -> None:
    put(tmp_path, "ec", ec_jwk, alg="ES256")
    key_rotation.retire(tmp_path, "ec", now=NOW, force=True)
    assert states(tmp_path) == ["active", "next"]
    assert not (tmp_path / "ec.json").exists()


def test_retiring_the_next_key_makes_another(rotated: Path) -> None:
    active, following, retired = key_files.list_keys(rotated)
    key_rotation.retire(rotated, following.kid, now=NOW)
    after = key_files.list_keys(rotated)
    assert [after[0], after[2]] == [active, retired]
    assert (after[1].state, after[1].kid != following.kid) == ("next", True)


def test_retiring_a_retired_key_removes_it_when_its_tokens_are_past(rotated: Path) -> None:
    *others, retired = key_files.list_keys(rotated)
    with pytest.raises(RotationRefused, match="may still be in use"):
        key_rotation.retire(rotated, retired.kid, now=NOW + RETENTION - timedelta(seconds=1))
    key_rotation.retire(rotated, retired.kid, now=NOW + RETENTION)
    assert key_files.list_keys(rotated) == others


def test_retiring_a_retired_key_by_force(rotated: Path) -> None:
    *others, retired = key_files.list_keys(rotated)
    key_rotation.retire(rotated, retired.kid, now=NOW, force=True)
    assert key_files.list_keys(rotated) == others


def test_retiring_an_unknown_key(rotated: Path) -> None:
    with pytest.raises(LookupError, match="no key else"):
        key_rotation.retire(rotated, "else", now=NOW)


def test_a_hint_counts_however_long_ago_its_key_went(folder: Path) -> None:
    moment = NOW
    ring = KeyRing(folder, clock=lambda: moment, check_interval_seconds=0)
    token = ring.sign({"sub": "a"}, alg="ES256", now=NOW)
    for _ in range(3):  # retired, then past, then gone from the folder
        key_rotation.rotate(folder, alg="ES256", now=moment, force=True)
        moment += RETENTION
        assert ring.verify_hint(token)["sub"] == "a"
        with pytest.raises(ValueError, match="kid is unknown"):
            ring.verify(token)
        assert "ec" not in kids(ring)
    assert not (folder / "ec.json").exists()
    assert ring_of(folder, moment).verify_hint(token)["sub"] == "a"
    assert not PRIVATE_MEMBERS & set(json.loads((folder / "past.jwks").read_text())["keys"][0])
    with pytest.raises(ValueError, match="signature is wrong"):
        ring.verify_hint(
            f"{token.rpartition('.')[0]}.{ring.sign({}, alg='ES256', now=NOW).rpartition('.')[2]}"
        )


def test_the_keys_that_are_gone_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_files, "MAX_PAST", 2)
    for day in range(6):
        key_rotation.rotate(folder, alg="ES256", now=NOW + day * RETENTION, force=True)
    assert len(key_files.read_past(folder)) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"keys": [1]}', '{"keys": [{"kid": "a", "alg": "ES256"}]}'])
def test_a_broken_file_of_keys_that_are_gone_is_a_problem(folder: Path, text: str) -> None:
    (folder / "past.jwks").write_text(text)
    with pytest.raises(ConfigError, match=r"past.jwks: cannot be read"):
        ring_of(folder)


def test_a_key_taken_out_by_force_is_no_key_for_hints_either(folder: Path) -> None:
    ring = ring_of(folder)
    token = ring.sign({"sub": "a"}, alg="ES256", now=NOW)
    key_rotation.retire(folder, "ec", now=NOW, force=True)
    with pytest.raises(ValueError, match="kid is unknown"):
        ring.verify_hint(token)


def test_retired_by_force_stops_being_accepted(folder: Path) -> None:
    ring = ring_of(folder)
    token = ring.sign({"sub": "a"}, alg="ES256", now=NOW)
    assert ring.verify(token)["sub"] == "a"
    key_rotation.retire(folder, "ec", now=NOW, force=True)
    with pytest.raises(ValueError, match="kid is unknown"):
        ring.verify(token)
    assert ring.algs == ("RS256", "ES256")
