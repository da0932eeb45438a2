"""`idp clients` shows what is registered and names every problem of a file."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from idp.oidc.clients import schema as client_schema
from tests.factories import make_client

Run = Callable[..., Any]


@pytest.fixture
def database_url() -> str:
    return "sqlite://"  # not asked


def write(path: Path, **clients: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({"version": 1, "clients": clients}, allow_unicode=True))
    return path


def refused(result: Any) -> list[str]:
    """The problems that a command ended with, and nothing worse than that."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines
    assert all(line.startswith("error: ") for line in lines), result.stderr
    return [line.removeprefix("error: ") for line in lines]


def test_check_of_the_configured_file(run: Run, clients_file: Path) -> None:
    result = run("clients", "check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{clients_file}: 2 clients, no problems\n"


def test_check_of_another_file(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "new.yaml", en=make_client())
    result = run("clients", "check", str(path))
    assert (result.exit_code, result.stdout) == (0, f"{path}: 1 client, no problems\n")


def test_check_needs_no_settings_for_a_file_given(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IDP_ISSUER", "IDP_SECRET_KEY"):
        monkeypatch.delenv(name)
    assert run("clients", "check", str(write(tmp_path / "new.yaml", en=make_client()))).exit_code == 0


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"id_token_signed_response_alg": "PS256"},
            "there is no signing key for PS256, only for ES256, RS256",
        ),
        ({"bankid": {"certificate": "customer"}}, "IDP_BANKID_CERTIFICATES_DIR has no certificate"),
    ],
)
def test_check_and_diff_know_our_keys_and_certificates(
    run: Run, tmp_path: Path, entry: dict[str, Any], words: str
) -> None:
    path = write(tmp_path / "new.yaml", portal=make_client(**entry))
    assert words in refused(run("clients", "check", str(path)))[0]
    result = run("clients", "diff", str(path))
    assert result.exit_code == 2
    assert words in result.stderr


def test_check_without_keys_says_so(
    run: Run, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write(tmp_path / "new.yaml", portal=make_client(id_token_signed_response_alg="PS256"))
    monkeypatch.setenv("IDP_KEYS_DIR", str(tmp_path / "none"))
    result = run("clients", "check", str(path))
    assert result.exit_code == 0
    assert result.stderr.startswith("note: not checked against the signing keys: ")


def test_check_names_every_problem_with_its_place(run: Run, clients_file: Path) -> None:
    write(
        clients_file,
        a=make_client(redirect_uris=["http://portal.example.se/cb"]),
        b=make_client(scope="openid everything"),
        c=make_client(redirect_uri=["https://portal.example.se/cb"]),
    )
    told = refused(run("clients", "check"))
    assert all(line.startswith("clients.yaml:") for line in told)
    for client, field in (("a", "redirect_uris"), ("b", "scope"), ("c", "redirect_uri")):
        assert any(f'client "{client}"' in line and field in line for line in told), told


@pytest.mark.parametrize("name", ["", "missing.yaml", "."])
def test_check_of_an_unreadable_file(run: Run, tmp_path: Path, name: str) -> None:
    assert refused(run("clients", "check", str(tmp_path / name)))


def test_list_of_clients(run: Run) -> None:
    result = run("clients", "list", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [
        {
            "client_id": "portal",
            "name": "Portalen",
            "authentication": "client_secret_basic",
            "scope": "openid profile email phone",
        },
        {
            "client_id": "spa",
            "name": "Appen",
            "authentication": "none",
            "scope": "openid profile email phone",
        },
    ]
    table = run("clients", "list").stdout.splitlines()
    assert table[0].split() == ["client_id", "name", "authentication", "scope"]
    assert len(table) == 3


def test_list_without_clients(run: Run, clients_file: Path) -> None:
    write(clients_file)
    result = run("clients", "list")
    assert result.exit_code == 0
    assert result.stdout == f"{clients_file} has no clients yet\n"


def test_list_of_a_broken_file(run: Run, clients_file: Path) -> None:
    write(clients_file, a=make_client(scope="everything"))
    assert 'client "a"' in refused(run("clients", "list"))[0]


def test_a_list_shows_no_secret(run: Run, clients: dict[str, dict[str, Any]]) -> None:
    digest = clients["portal"]["client_secrets"][0]["sha256"]
    for arguments in (("list",), ("list", "--json"), ("check",)):
        assert digest not in run("clients", *arguments).output


def test_show_says_what_is_in_force_and_from_where(run: Run, clients_file: Path) -> None:
    entry = make_client(
        scope=None, client_secrets=[{"sha256": "5f2b" + "0123456789ab" * 5, "not_after": "2999-06-30"}]
    )
    text = {"version": 1, "defaults": {"consent": "explicit"}, "clients": {"portal": entry}}
    clients_file.write_text(yaml.safe_dump(text))
    result = run("clients", "show", "portal", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["fields"]["client_secrets"] == "1 secret, next expiry 2999-06-30"
    assert told["fields"]["scope"] == "openid"
    origins = {field: told["origins"][field] for field in ("client_name", "consent", "scope")}
    assert origins == {"client_name": "entry", "consent": "defaults", "scope": "built in"}
    assert told["developer"]["discovery"] == "https://login.example.se/.well-known/openid-configuration"
    assert "5f2b" not in result.output
    people = run("clients", "show", "portal").stdout
    assert "consent: explicit   (defaults)" in people
    assert "scope: openid   (built in)" in people


def test_show_of_an_unknown_client(run: Run) -> None:
    assert "nobody" in refused(run("clients", "show", "nobody"))[0]


def test_diff_of_the_same_clients(run: Run, clients_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("# another text, the same clients\n" + clients_file.read_text())
    result = run("clients", "diff", str(other))
    assert (result.exit_code, result.output) == (0, "")


def test_diff_says_what_changes_and_what_comes_of_it(
    run: Run, tmp_path: Path, clients: dict[str, dict[str, Any]]
) -> None:
    new = write(tmp_path / "new.yaml", portal=make_client(scope="openid profile email"), other=make_client())
    result = run("clients", "diff", str(new))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "added: other",
        "removed: spa: its requests, codes and tokens are refused at once",
        "changed: portal",
        "  scope: openid profile email phone → openid profile email",
        "  note: requests for phone get invalid_scope; access tokens with it live at most 10 minutes",
    ]
    told = json.loads(run("clients", "diff", "--json", str(new)).stdout)
    assert (told["added"], told["removed"]) == (["other"], ["spa"])
    assert told["changed"][0]["fields"][0]["field"] == "scope"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({}, {"redirect_uris": ["https://new.example.se/cb"]}, "redirect_uri https://portal.example.se/cb"),
        (
            {"grant_types": ["authorization_code", "refresh_token"]},
            {},
            "the grant refresh_token gets unauthorized_client",
        ),
        ({"scope": "openid offline_access"}, {"scope": "openid"}, "refresh tokens are refused at once"),
        ({"login_methods": ["bankid", "password"]}, {}, "logins by bankid"),
        ({}, {"companies": ["Exempel AB"]}, "people of all other companies"),
        ({"companies": ["A", "B"]}, {"companies": ["A"]}, "people of B"),
        ({}, {"token_endpoint_auth_method": "client_secret_post"}, "authenticate by client_secret_post"),
        ({}, {"client_secrets": [{"sha256": "5f2b" + "0123456789ab" * 5}]}, "none of its present secrets"),
        ({}, {"subject_type": "pairwise"}, "another sub"),
        ({}, {"consent": "explicit"}, "consent at the next login"),
        ({"require_pkce": False}, {}, "without PKCE"),
        ({}, {"id_token_signed_response_alg": "ES256"}, "signed with ES256"),
    ],
)
def test_diff_tells_consequences(
    run: Run, tmp_path: Path, old: dict[str, Any], new: dict[str, Any], words: str
) -> None:
    files = [
        str(write(tmp_path / f"{name}.yaml", portal=make_client(**fields)))
        for name, fields in (("new", new), ("old", old))
    ]
    result = run("clients", "diff", *files)
    assert result.exit_code == 1
    notes = [line for line in result.stdout.splitlines() if line.startswith("  note: ")]
    assert any(words in note for note in notes), result.stdout


def test_diff_shows_no_whole_hash(run: Run, tmp_path: Path, clients: dict[str, dict[str, Any]]) -> None:
    digest = "5f2b" + "0123456789ab" * 5
    new = write(tmp_path / "new.yaml", portal=make_client(client_secrets=[{"sha256": digest}]))
    output = run("clients", "diff", str(new)).output
    assert "5f2b0123…" in output
    assert digest not in output
    assert clients["portal"]["client_secrets"][0]["sha256"] not in output


def test_diff_of_a_bad_file(run: Run, tmp_path: Path) -> None:
    result = run("clients", "diff", str(write(tmp_path / "new.yaml", a=make_client(scope="everything"))))
    assert (result.exit_code, result.stdout) == (2, "")
    assert 'client "a"' in result.stderr


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ((), {"token_endpoint_auth_method": "client_secret_basic", "scope": "openid profile email"}),
        (("--auth", "client_secret_post"), {"token_endpoint_auth_method": "client_secret_post"}),
        (("--type", "spa"), {"token_endpoint_auth_method": "none", "application_type": "web"}),
        (("--type", "native"), {"token_endpoint_auth_method": "none", "application_type": "native"}),
        (("--scope", "openid offline_access"), {"grant_types": ["authorization_code", "refresh_token"]}),
        (
            ("--auth", "private_key_jwt", "--jwks-uri", "https://app.example.se/jwks.json"),
            {"jwks_uri": "https://app.example.se/jwks.json"},
        ),
    ],
)
def test_a_new_entry_is_valid_and_holds_no_secret(
    run: Run, clients_file: Path, options: tuple[str, ...], fields: dict[str, Any]
) -> None:
    uris = ("--redirect-uri", "https://app.example.se/cb", "--redirect-uri", "http://127.0.0.1/cb")
    result = run("clients", "new", "yes", "--name", 'Åsas "app" # 1', *uris, *options)
    assert result.exit_code == 0, result.output
    clients_file.write_text(f"version: 1\nclients:\n{result.stdout}")
    shown = json.loads(run("clients", "show", "yes", "--json").stdout)["fields"]
    assert shown["client_name"] == 'Åsas "app" # 1'
    assert shown["redirect_uris"] == [uris[1], uris[3]]
    assert fields.items() <= shown.items()
    if shown["token_endpoint_auth_method"].startswith("client_secret"):
        secret = result.stderr.split()[-1]
        assert secret not in result.stdout
        assert hashlib.sha256(secret.encode()).hexdigest() in result.stdout
    else:
        assert result.stderr == ""


@pytest.mark.parametrize(
    ("client_id", "options", "words"),
    [
        ("new", ("--redirect-uri", "http://app.example.se/cb"), "redirect_uris"),
        ("new", ("--scope", "openid everything"), "scope"),
        ("a b", (), "client_id"),
        ("portal", (), "already"),
    ],
)
def test_a_new_entry_that_would_be_refused(
    run: Run, client_id: str, options: tuple[str, ...], words: str
) -> None:
    valid = ("--name", "Nya", "--redirect-uri", "https://app.example.se/cb")
    assert words in refused(run("clients", "new", client_id, *valid, *options))[0]


def test_the_shipped_schema_is_that_of_the_models(run: Run) -> None:
    shipped = Path(client_schema.__file__).with_name(client_schema.SHIPPED)
    assert shipped.read_text() == run("clients", "schema").stdout, "run `make schema`"
