import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey
from joserfc.util import json_b64encode, urlsafe_b64decode, urlsafe_b64encode

from idp.config import ConfigError
from idp.oidc.keys import files as key_files
from idp.oidc.keys import rotation as key_rotation
from idp.oidc.keys.files import RETENTION
from idp.oidc.keys.ring import JWKS_MAX_AGE_SECONDS, KeyRing
from idp.oidc.keys.rotation import PUBLISHED_SECONDS, RefusedError

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=PUBLISHED_SECONDS)
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def rsa_jwk() -> dict[str, Any]:
    return dict(RSAKey.generate_key(2048).as_dict(private=True))


@pytest.fixture(scope="module")
def ec_jwk() -> dict[str, Any]:
    return dict(ECKey.generate_key("P-256").as_dict(private=True))


def put(folder: Path, kid: str, jwk: dict[str, Any], **changes: Any) -> Path:
    """A key file, active and valid unless changed, written the way a careless editor would."""
    state = changes.get("state", "active")
    body = {
        "kid": kid,
        "alg": "RS256",
        "state": state,
        "created_at": NOW.isoformat(),
        "activated_at": None if state == "next" else NOW.isoformat(),
        "retired_at": NOW.isoformat() if state == "retired" else None,
        "private_jwk": jwk,
        **changes,
    }
    path = folder / f"{kid}.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(body))
    return path


@pytest.fixture
def folder(tmp_path: Path, rsa_jwk: dict[str, Any], ec_jwk: dict[str, Any]) -> Path:
    """An RS256 key that stays, an ES256 key to play with."""
    put(tmp_path, "rsa", rsa_jwk)
    put(tmp_path, "ec", ec_jwk, alg="ES256")
    return tmp_path


def ring_of(folder: Path, now: datetime = NOW) -> KeyRing:
    return KeyRing(folder, clock=lambda: now, check_interval_seconds=0)


def header_of(token: str) -> dict[str, Any]:
    return dict(json.loads(urlsafe_b64decode(token.split(".", 1)[0].encode())))


def kids(ring: KeyRing) -> set[str]:
    return {key["kid"] for key in json.loads(ring.jwks())["keys"]}


def states(folder: Path, alg: str = "ES256") -> list[str]:
    return [key.state for key in key_files.list_keys(folder) if key.alg == alg]


# Signing and verifying


@pytest.fixture(scope="module")
def ring(
    tmp_path_factory: pytest.TempPathFactory, rsa_jwk: dict[str, Any], ec_jwk: dict[str, Any]
) -> KeyRing:
    folder = tmp_path_factory.mktemp("keys")
    put(folder, "rs", rsa_jwk)
    put(folder, "ps", rsa_jwk, alg="PS256")
    put(folder, "es", ec_jwk, alg="ES256")
    put(folder, "ed", dict(OKPKey.generate_key("Ed25519").as_dict(private=True)), alg="EdDSA")
    return KeyRing(folder, clock=lambda: NOW)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_signed_token_verifies_with_the_published_key(ring: KeyRing, alg: str) -> None:
    token = ring.sign({"sub": "åsa"}, alg=alg, typ="at+jwt", now=NOW)
    assert header_of(token) == {"alg": alg, "typ": "at+jwt", "kid": alg[:2].lower()}
    assert ring.verify(token, typ="at+jwt") == {"sub": "åsa", "iat": int(NOW.timestamp())}
    if alg != "EdDSA":  # joserfc only takes RFC 9864's name for it
        theirs = jws.deserialize_compact(token, KeySet.import_key_set(json.loads(ring.jwks())), [alg])
        assert json.loads(theirs.payload or b"") == ring.verify(token)


def test_claims_may_set_iat(ring: KeyRing) -> None:
    assert ring.verify(ring.sign({"iat": 5}, now=NOW)) == {"iat": 5}


def test_expiry_is_the_callers_to_judge(ring: KeyRing) -> None:
    assert ring.verify(ring.sign({"exp": 1}, now=NOW))["exp"] == 1


def test_algs_are_those_with_an_active_key(ring: KeyRing) -> None:
    assert ring.algs == ("RS256", "PS256", "ES256", "EdDSA")


def test_alg_without_active_key(folder: Path, ec_jwk: dict[str, Any]) -> None:
    put(folder, "ec", ec_jwk, alg="ES256", state="next")
    ring = ring_of(folder)
    assert ring.algs == ("RS256",)
    with pytest.raises(LookupError, match="idp keys rotate --alg ES256"):
        ring.sign({}, alg="ES256", now=NOW)


def test_jwks_holds_no_private_member(ring: KeyRing) -> None:
    published = json.loads(ring.jwks())["keys"]
    assert [set(key) for key in published] == [
        {"kty", "n", "e", "kid", "use", "alg"},
        {"kty", "n", "e", "kid", "use", "alg"},
        {"kty", "crv", "x", "y", "kid", "use", "alg"},
        {"kty", "crv", "x", "kid", "use", "alg"},
    ]
    assert all(key["use"] == "sig" and not PRIVATE_MEMBERS & set(key) for key in published)


def test_private_key_is_not_in_the_repr(folder: Path, ec_jwk: dict[str, Any]) -> None:
    text = repr(key_files.list_keys(folder))
    assert "kid='ec'" in text
    assert ec_jwk["d"] not in text


def _resigned(header: dict[str, Any], payload: str, key: Any, alg: str) -> str:
    """A token whose signature is right for `key` and `alg`, whatever its header says."""
    signed = json_b64encode(header) + b"." + payload.encode()
    signature = jws.JWSRegistry.algorithms[alg].sign(signed, key)
    return (signed + b"." + urlsafe_b64encode(signature)).decode()


FORGERIES: dict[str, Callable[[dict[str, Any], str, RSAKey], str]] = {
    "alg none": lambda head, body, key: _resigned({**head, "alg": "none"}, body, key, "none"),
    "HS256 with the public PEM": lambda head, body, key: _resigned(
        {**head, "alg": "HS256"}, body, OctKey.import_key(key.as_bytes(private=False).hex()), "HS256"
    ),
    "HS256 under RS256's name": lambda head, body, key: _resigned(
        head, body, OctKey.import_key(key.as_bytes(private=False).hex()), "HS256"
    ),
    "another alg of the same key": lambda head, body, key: _resigned(
        {**head, "alg": "PS256"}, body, key, "PS256"
    ),
    "another alg in the header only": lambda head, body, key: _resigned(
        {**head, "alg": "PS256"}, body, key, "RS256"
    ),
    "another key": lambda head, body, key: _resigned(head, body, ECKey.generate_key("P-256"), "ES256"),
    "unknown kid": lambda head, body, key: _resigned({**head, "kid": "else"}, body, key, "RS256"),
    "kid of another alg": lambda head, body, key: _resigned({**head, "kid": "ps"}, body, key, "RS256"),
    "kid no string": lambda head, body, key: _resigned({**head, "kid": ["rs"]}, body, key, "RS256"),
    "no kid": lambda head, body, key: _resigned({"alg": "RS256", "typ": "JWT"}, body, key, "RS256"),
    "key in the header": lambda head, body, key: _resigned(
        {**head, "jwk": key.as_dict(private=False)}, body, key, "RS256"
    ),
    "critical extension": lambda head, body, key: _resigned({**head, "crit": ["exp"]}, body, key, "RS256"),
    "another typ": lambda head, body, key: _resigned({**head, "typ": "logout+jwt"}, body, key, "RS256"),
    "header a list": lambda head, body, key: _resigned(["alg", "kid", "typ"], body, key, "RS256"),  # type: ignore[arg-type]
}


def test_resigned_token_without_a_change_is_accepted(ring: KeyRing, rsa_jwk: dict[str, Any]) -> None:
    token = ring.sign({"sub": "a"}, now=NOW)
    again = _resigned(header_of(token), token.split(".")[1], RSAKey.import_key(rsa_jwk), "RS256")
    assert ring.verify(again, typ="JWT")["sub"] == "a"


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_token_is_refused(ring: KeyRing, rsa_jwk: dict[str, Any], forgery: str) -> None:
    token = ring.sign({"sub": "a"}, now=NOW)
    forged = FORGERIES[forgery](header_of(token), token.split(".")[1], RSAKey.import_key(rsa_jwk))
    with pytest.raises(ValueError, match="the token"):
        ring.verify(forged, typ="JWT")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda head, body, mac: f"{head}.{json_b64encode({'sub': 'b'}).decode()}.{mac}",
        lambda head, body, mac: f"{head}.{body}.{'B' if mac[0] == 'A' else 'A'}{mac[1:]}",
        lambda head, body, mac: f"{head}.{body}.",
        lambda head, body, mac: f"{head}.{body}",
        lambda head, body, mac: f"{head}.{body}.{mac}.{mac}",
        lambda head, body, mac: f"{head}.{body}.{mac}å",
        lambda head, body, mac: f"{head}=.{body}.{mac}",
        lambda head, body, mac: f"{head[:-4]}.{body}.{mac}",
        lambda head, body, mac: f"{urlsafe_b64encode(b'[' * 90_000).decode()}.{body}.{mac}",
        lambda head, body, mac: "",
    ],
)
def test_tampered_token_is_refused(ring: KeyRing, spoil: Callable[[str, str, str], str]) -> None:
    token = ring.sign({"sub": "a"}, now=NOW)
    assert ring.verify(token)["sub"] == "a"
    with pytest.raises(ValueError, match="the token"):
        ring.verify(spoil(*token.split(".")))


# What a folder must look like

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
    "alg of another key type": (lambda body: body.update(alg="RS256"), "private_jwk is no RS256 key"),
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
    with pytest.raises(ConfigError, match="RSA key of less than 2048 bits"):
        key_files.list_keys(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kid": "ec"', "\xff"])
def test_malformed_json(tmp_path: Path, ec_jwk: dict[str, Any], content: str) -> None:
    path = put(tmp_path, "ec", ec_jwk, alg="ES256")
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"ec\.json: is no JSON object$"):
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
        with pytest.raises(ConfigError, match=r"no such folder.*idp keys rotate"):
            use(tmp_path / "keys")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be listed"):
        key_files.list_keys(tmp_path / "file")


def test_other_files_are_none_of_its_business(folder: Path) -> None:
    for name in ("README.md", ".lock", ".abc.tmp", ".hidden.json"):
        (folder / name).write_text("not a key")
    assert [key.kid for key in key_files.list_keys(folder)] == ["rsa", "ec"]


def test_of_two_active_keys_the_newest_signs(folder: Path) -> None:
    jwk = dict(ECKey.generate_key("P-256").as_dict(private=True))
    put(folder, "a-new", jwk, alg="ES256", activated_at=LATER.isoformat())
    ring = ring_of(folder)
    assert ring.problems == ()
    assert header_of(ring.sign({}, alg="ES256", now=NOW))["kid"] == "a-new"
    assert kids(ring) == {"rsa", "ec", "a-new"}
    assert states(folder) == ["active", "retired"]


# A running ring


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


# What the operator does


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
    with pytest.raises(RefusedError, match="wait until 2026-03-02 09:12:00 UTC"):
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
        with suppress(RefusedError):
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
    with pytest.raises(ValueError, match="HS256 is none of"):
        key_rotation.rotate(tmp_path / "keys", alg="HS256", now=NOW)
    assert not (tmp_path / "keys").exists()


def test_two_operators_take_turns(tmp_path: Path) -> None:
    key_rotation.rotate(tmp_path, alg="ES256", now=NOW)
    refused = []

    def turn() -> None:
        try:
            key_rotation.rotate(tmp_path, alg="ES256", now=LATER)
        except RefusedError as error:
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


@pytest.fixture
def rotated(tmp_path: Path) -> Path:
    """An active, a next and a retired ES256 key."""
    key_rotation.rotate(tmp_path, alg="ES256", now=NOW - timedelta(days=1))
    key_rotation.rotate(tmp_path, alg="ES256", now=NOW)
    return tmp_path


def test_retiring_the_active_key_lets_the_next_sign(rotated: Path) -> None:
    active, following, retired = key_files.list_keys(rotated)
    with pytest.raises(RefusedError, match="may still be in use"):
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
    with pytest.raises(RefusedError, match="may still be in use"):
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
