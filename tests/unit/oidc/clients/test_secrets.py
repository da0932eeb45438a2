"""Client secrets are hashes with an end."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from idp.cli import main
from idp.oidc.clients.registry import expired_clients
from tests.unit.oidc.clients.clients_yaml import HASH, NOW, SECRET, changed, load, problems, with_field


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (SECRET, "must be the SHA-256 of a secret in 64 hex digits"),
        ("hunter2", "must be the SHA-256 of a secret in 64 hex digits"),
        (HASH[:-1], "must be the SHA-256"),
        (HASH[:-1] + "g", "must be the SHA-256"),
        (sha256(""), "low-entropy"),
        (sha256("secret"), "low-entropy"),
        (sha256("changeme\n"), "low-entropy"),
        (sha256("password").upper(), "low-entropy"),
        (sha256("reports"), "low-entropy secret made from the client_id"),
        ("ab" * 32, "low-entropy"),
    ],
)
def test_refused_secret(tmp_path: Path, value: str, words: str) -> None:
    [problem] = problems(tmp_path, changed(HASH, value))
    assert problem.startswith('clients.yaml:10:18: client "reports", client_secrets[0].sha256: ')
    assert words in problem
    assert value not in problem
    assert value[:9] not in problem


@pytest.mark.parametrize(
    ("secrets", "words"),
    [
        ("[hunter2]", "client_secrets[0]: must be a mapping"),
        ("hunter2", "client_secrets: must be a list"),
        ("[]", "client_secrets: is missing"),
        ("[{not_after: 2027-06-30}]", "client_secrets[0].sha256: is missing"),
        (f"[{{sha256: {HASH}, not_afte: 2027-06-30}}]", 'no such field, did you mean "not_after"?'),
        (f"[{{sha256: {HASH}, not_after: 2027-13-30}}]", "client_secrets[0].not_after: must be a date"),
        (f"[{{sha256: {HASH}, not_after: 2027-06-30T12:00:00}}]", "or a time with its zone"),
        (f"[{{sha256: {HASH}, not_after: 0001-01-01T00:00+14:00}}]", "must be a date"),
        (f"[{{sha256: {HASH}, not_after: 20270630}}]", "must be a date"),
    ],
)
def test_refused_secrets(tmp_path: Path, secrets: str, words: str) -> None:
    old = f"    client_secrets:\n      - {{sha256: {HASH}, not_after: 2027-06-30}}\n"
    [problem] = problems(tmp_path, changed(old, f"    client_secrets: {secrets}\n"))
    assert words in problem
    assert "hunter2" not in problem
    assert HASH not in problem


def test_a_confidential_client_needs_a_secret_and_a_public_one_has_none(tmp_path: Path) -> None:
    [missing] = problems(tmp_path, changed("    token_endpoint_auth_method: none\n", ""))
    assert missing.startswith('clients.yaml:11:3: client "phone", client_secrets: is missing: token_endpoint')
    [excess] = problems(tmp_path, with_field("token_endpoint_auth_method: none"))
    assert excess.startswith('clients.yaml:11:7: client "reports", client_secrets: must be left out')


def test_a_public_client_cannot_do_without_pkce(tmp_path: Path) -> None:
    text = changed("    application_type: native", "    application_type: native\n    require_pkce: false")
    [problem] = problems(tmp_path, text)
    assert problem.startswith('clients.yaml:14:19: client "phone", require_pkce: must be true')


def test_a_secret_is_checked_against_its_hash(tmp_path: Path) -> None:
    other = "n3w-8xk2LQmVb7YtRz0PcGdHs5JfWa9EoUi4TqXy6ZlB"
    line = f"      - {{sha256: {HASH}, not_after: 2027-06-30}}\n"
    client = load(tmp_path, changed(line, f"{line}      - sha256: {sha256(other).upper()}\n"))["reports"]
    last = datetime(2027, 6, 30, 23, 59, 59, tzinfo=UTC)
    assert client.check_secret(SECRET, NOW)
    assert client.check_secret(other, NOW)
    assert client.check_secret(SECRET, last)
    assert not client.check_secret(SECRET, last + timedelta(seconds=1))
    assert client.check_secret(other, last + timedelta(seconds=1))
    for wrong in ("", SECRET[:-1], SECRET + "x", HASH, SECRET + "\udc80", "x" * 10_000_000):
        assert not client.check_secret(wrong, NOW)


def test_an_expired_secret_leaves_the_file_valid_and_the_client_unable_to_authenticate(
    tmp_path: Path,
) -> None:
    found = load(tmp_path, changed("2027-06-30", "2026-05-31"))
    assert list(found) == ["reports", "phone"]
    assert not found["reports"].check_secret(SECRET, NOW)
    assert expired_clients(found, NOW) == (
        'every secret of "reports" has expired; make one with: idp clients secret'
    )
    assert expired_clients(found, NOW - timedelta(days=2)) is None  # nor is `phone`, which has none, named


def test_a_client_with_one_secret_left_has_not_expired(tmp_path: Path) -> None:
    line = f"      - {{sha256: {HASH}, not_after: 2027-06-30}}\n"
    other = f"      - {{sha256: {sha256('another-one')}, not_after: 2026-05-31}}\n"
    assert expired_clients(load(tmp_path, changed(line, other + line)), NOW) is None


@pytest.mark.parametrize(("last_day", "note"), [("2999-06-30", False), ("2000-05-31", True)])
def test_the_check_command_notes_expired_secrets(tmp_path: Path, last_day: str, note: bool) -> None:
    load(tmp_path, changed("2027-06-30", last_day))
    result = CliRunner().invoke(main, ["clients", "check", str(tmp_path / "clients.yaml")])
    assert result.exit_code == 0
    assert result.stdout.endswith("clients.yaml: 2 clients, no problems\n")
    assert ('note: every secret of "reports" has expired;' in result.stderr) is note


def test_a_secret_may_end_at_a_moment(tmp_path: Path) -> None:
    client = load(tmp_path, changed("2027-06-30", "2026-06-01T14:00:01+02:00"))["reports"]
    assert client.check_secret(SECRET, NOW + timedelta(seconds=1))
    assert not client.check_secret(SECRET, NOW + timedelta(seconds=2))
