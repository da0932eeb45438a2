"""A broken key file is named with its problem."""

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey

from idp.config import ConfigError
from idp.oidc.keys import files as key_files
from idp.oidc.keys import rotation as key_rotation
from idp.oidc.keys.ring import KeyRing
from tests.slow_unit.oidc.keys.key_folder import LATER, NOW, Change, header_of, kids, put, ring_of, states

BROKEN: dict[str, tuple[Change, str]] = {
    "unknown state": (lambda body: body.update(state="resting"), "state: Input should be"),
    "unknown alg": (lambda body: body.update(alg="ES384"), "alg: Input should be"),
    "unknown member": (lambda body: body.update(kidd="ec"), "kidd: Extra inputs"),
    "no state": (lambda body: body.pop("state"), "state: Field required"),
    "naive time": (lambda body: body.update(created_at="2026-03-02T09:00:00"), "created_at: "),
    "kid not the file's name": (lambda body: body.update(kid="other"), "kid is other, not the file's name"),
    "kid a path": (lambda body: body.update(kid="../ec"), "kid: String should match"),
    "active since never": (lambda body: body.update(activated_at=None), "activated_at is empty"),
    "retired since never": (lambda body: body.update(state="retired"), "retired_at is empty"),
    "active and retired": (lambda body: body.update(retired_at=NOW.isoformat()), "state is active but"),
    "alg of another key type": (lambda body: body.update(alg="RS256"), "private_jwk is not a key for RS256"),
    "public half only": (lambda body: body["private_jwk"].pop("d"), "both halves"),
    "half missing": (lambda body: body["private_jwk"].pop("x"), "cannot be used"),
    "not base64url": (lambda body: body["private_jwk"].update(d="?"), "cannot be used"),
    "halves of two keys": (
        lambda body: body["private_jwk"].update(d=ECKey.generate_key("P-256").as_dict(private=True)["d"]),
        "cannot be used",
    ),
}


def test_unbroken_file_is_listed(tmp_path: Path, ec_jwk: dict[str, Any]) -> None:
    put(tmp_path, "ec", ec_jwk, alg="ES256")
    assert [(key.kid, key.state, key.activated_at) for key in key_files.list_keys(tmp_path)] == [
        ("ec", "active", NOW)
    ]


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file_is_named_with_its_problem(tmp_path: Path, ec_jwk: dict[str, Any], case: str) -> None:
    change, problem = BROKEN[case]
    path = put(tmp_path, "ec", ec_jwk, alg="ES256")
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))
    with pytest.raises(ConfigError) as caught:
        key_files.list_keys(tmp_path)
    [told] = caught.value.problems
    assert told.startswith(f"{path}: ")
    assert problem in told
    assert ec_jwk["d"] not in told


def test_halves_of_two_ed25519_keys(tmp_path: Path) -> None:
    jwk = dict(OKPKey.generate_key("Ed25519").as_dict(private=True))
    put(tmp_path, "ed", jwk, alg="EdDSA")
    assert len(key_files.list_keys(tmp_path)) == 1
    put(tmp_path, "ed", {**jwk, "x": OKPKey.generate_key("Ed25519").as_dict()["x"]}, alg="EdDSA")
    with pytest.raises(ConfigError, match="both halves of one key"):
        key_files.list_keys(tmp_path)


def test_short_rsa_key(tmp_path: Path, rsa_jwk: dict[str, Any]) -> None:
    put(tmp_path, "rsa", {**rsa_jwk, "n": rsa_jwk["n"][: len(rsa_jwk["n"]) // 2]})
    with pytest.raises(ConfigError, match="RSA key of fewer than 2048 bits"):
        key_files.list_keys(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kid": "ec"', "\xff"])
def test_malformed_json(tmp_path: Path, ec_jwk: dict[str, Any], content: str) -> None:
    path = put(tmp_path, "ec", ec_jwk, alg="ES256")
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"ec\.json: not a JSON object$"):
        key_files.list_keys(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_file_open_to_others(tmp_path: Path, ec_jwk: dict[str, Any], mode: int) -> None:
    path = put(tmp_path, "ec", ec_jwk, alg="ES256")
    assert len(key_files.list_keys(tmp_path)) == 1
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode is {mode:04o}"):
        key_files.list_keys(tmp_path)


def test_every_problem_is_told_at_the_start(folder: Path) -> None:
    (folder / "rsa.json").chmod(0o644)
    (folder / "ec.json").write_text("{")
    with pytest.raises(ConfigError) as caught:
        KeyRing(folder)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("state", ["next", "retired"])
def test_no_active_rs256_key(tmp_path: Path, rsa_jwk: dict[str, Any], state: str) -> None:
    put(tmp_path, "rsa", rsa_jwk, state=state)
    with pytest.raises(ConfigError, match="no active RS256 key; make one with: idp keys rotate"):
        KeyRing(tmp_path)


def test_missing_folder(tmp_path: Path) -> None:
    for use in (KeyRing, key_files.list_keys, lambda folder: key_rotation.retire(folder, "ec", now=NOW)):
        with pytest.raises(ConfigError, match=r"folder of signing keys does not exist.*idp keys rotate"):
            use(tmp_path / "keys")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be listed"):
        key_files.list_keys(tmp_path / "file")


def test_other_files_in_the_folder_are_ignored(folder: Path) -> None:
    for name in ("README.md", ".lock", ".abc.tmp", ".hidden.json"):
        (folder / name).write_text("not a key")
    assert [key.kid for key in key_files.list_keys(folder)] == ["rsa", "ec"]


def test_the_newest_of_two_active_keys_signs(folder: Path) -> None:
    jwk = dict(ECKey.generate_key("P-256").as_dict(private=True))
    put(folder, "a-new", jwk, alg="ES256", activated_at=LATER.isoformat())
    ring = ring_of(folder)
    assert ring.problems == ()
    assert header_of(ring.sign({}, alg="ES256", now=NOW))["kid"] == "a-new"
    assert kids(ring) == {"rsa", "ec", "a-new"}
    assert states(folder) == ["active", "retired"]
