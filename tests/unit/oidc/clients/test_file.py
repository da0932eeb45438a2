"""A bad clients.yaml is reported with every problem at its place, in the order of the file."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from idp.config import ConfigError
from idp.oidc.clients import file as client_file
from idp.oidc.clients import yaml_nodes as client_yaml
from idp.oidc.clients.registry import load_clients
from tests.unit.oidc.clients.clients_yaml import (
    HASH,
    VALID,
    changed,
    load,
    problems,
    with_field,
    with_redirect,
)


def test_the_valid_file(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert list(found) == ["reports", "phone"]
    reports, phone = found.values()
    assert reports.client_id == "reports"
    assert reports.redirect_uris == ("https://rapporter.example.se/cb",)
    assert reports.scopes == {"openid", "email"}
    assert reports.token_endpoint_auth_method == "client_secret_basic"
    assert reports.grant_types == ("authorization_code",)
    assert reports.login_methods == ("bankid", "password")
    assert reports.client_secrets[0].not_after == datetime(2027, 6, 30, 23, 59, 59, 999999, UTC)
    assert reports.require_pkce is True
    assert reports.companies is None
    assert (reports.access_token_minutes, reports.id_token_minutes) == (10, 5)
    assert reports.sector == "rapporter.example.se"
    assert phone.client_secrets == ()
    assert phone.scopes == {"openid"}
    assert HASH not in repr(reports)


def test_the_sample_in_the_repository_is_valid() -> None:
    sample = Path(__file__).parents[4] / "clients.yaml"
    assert load_clients(sample, login_methods=["password"]) == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: the file is empty"),
        ("# nothing\n", "1:1: the file is empty"),
        ("- a\n", "1:1: must be a mapping with version, defaults and clients"),
        ("clients: {}\n", "1:1: the section version is missing"),
        ("version: 1\n", "1:1: the section clients is missing"),
        ("version: 1\nclient: {}\n", '2:1: there is no section "client", did you mean "clients"?'),
        ("version: 2\nclients: {}\n", "1:10: version: must be 1 (got 2)"),
        ("version: true\nclients: {}\n", "1:10: version: must be 1 (got true)"),
        ("version: 1\nclients:\n", "2:9: clients: must be a mapping; write clients: {} when"),
        ("version: 1\nclients: [a]\n", "2:10: clients: must be a mapping; write clients: {} when"),
        ("version: 1\nclients: {a: 1}\n", '2:14: client "a": must be a mapping of fields (got 1)'),
        ("version: 1\nclients: {}\nversion: 1\n", '3:1: the key "version" appears twice, first on line 1'),
        ("version: 1\nclients: !x {}\n", '2:10: YAML tags are not allowed (got "!x")'),
        ("version: 1\ndefaults: {scop: x}\nclients: {}\n", '2:12: defaults: there is no field "scop", did'),
        ("version: 1\ndefaults: {consent: x}\nclients: {}\n", "2:21: defaults, consent: must be implicit or"),
        ("version: 1\nclients: &a {<<: *a}\nx: 1\n", '3:1: there is no section "x"'),
        ("version: 1\nå: \x01\n", "2:4: contains a control character (U+0001)"),
        (b"version: 1\n\xc3\xa5: \xff\n", "2:4: is not UTF-8 text"),
        ("version: 1\nclients:\n\ta: 1\n", "3:1: this is not YAML: while scanning for the next token found"),
        ("version: 1\nclients: {a: *x}\n", "2:14: this is not YAML: found undefined alias"),
        ("version: 1\nclients: {\n", "3:1: this is not YAML: "),
        ("version: 1\nclients: {}\n---\n", "3:1: this is not YAML: expected a single document"),
        ("version: 1\nclients: " + "[" * 1000, "1:1: is nested too deeply"),
    ],
)
@pytest.mark.parametrize("loader", ["C", "Python"])
def test_refused_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str, text: str | bytes, problem: str
) -> None:
    if loader == "Python":
        monkeypatch.setattr(client_yaml, "LOADER", yaml.SafeLoader)
    [found] = problems(tmp_path, text)
    assert found.startswith(f"clients.yaml:{problem}")


def test_tabs_get_advice(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "version: 1\nclients:\n\ta: 1\n")
    assert problem.endswith("; indent with spaces, not tabs")


def test_aliases_that_hold_themselves_or_multiply_end(tmp_path: Path) -> None:
    itself = with_field("contacts: &c [*c]")
    assert problems(tmp_path, itself)[0].startswith(
        'clients.yaml:9:15: client "reports", contacts[0]: must be'
    )
    bomb = "".join(f"  b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]\n" for n in range(1, 40))
    started = time.monotonic()
    found = problems(tmp_path, changed("defaults:\n", f"defaults:\n  b0: &b0 [x]\n{bomb}"))
    assert len(found) == 40
    assert time.monotonic() - started < 1


def test_a_byte_order_mark_and_windows_lines_are_no_problem(tmp_path: Path) -> None:
    assert len(load(tmp_path, b"\xef\xbb\xbf" + VALID.replace("\n", "\r\n").encode())) == 2


def test_missing_unreadable_and_too_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            load_clients(path, login_methods=["password"])
        assert caught.value.problems[0].startswith(f"{path}: ")
    monkeypatch.setattr(client_file, "MAX_FILE_BYTES", len(VALID) - 1)
    [problem] = problems(tmp_path, VALID)
    assert "is larger than" in problem


def test_every_problem_is_reported_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        with_redirect("http://x.se/cb").replace("openid email", "openid emial").replace("2027-06", "2027-13")
    )
    text = text.replace("application_type: native", "application_type: nativ").replace("none", "nun")
    text = text.replace("[bankid, password]", "[bankid, x]")
    found = [problem.split(":")[1:3] for problem in problems(tmp_path, text)]
    assert found == [["3", "27"], ["7", "21"], ["8", "12"], ["10", "95"], ["13", "23"], ["14", "33"]]


def test_a_default_that_does_not_fit_one_client_names_it(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, changed("defaults:\n", "defaults:\n  require_pkce: false\n"))
    assert problem.startswith('clients.yaml:3:17: client "phone" (from defaults), require_pkce: must be true')


def test_a_misspelt_key_is_not_reported_as_missing_too(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, changed("    redirect_uris: [https:", "    redirect_uri: [https:"))
    assert 'did you mean "redirect_uris"?' in problem


def test_values_are_quoted_short_and_without_control_characters(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, with_field('tos_uri: "x\\n\\u202e' + "y" * 200 + '"'))
    assert problem.endswith('(got "x\\n\\u202e' + "y" * 77 + '…")')
