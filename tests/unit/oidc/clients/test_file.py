"""clients.yaml: what a client is, every refusal with its place, and the registry that follows the file."""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from idp.cli import main
from idp.config import ConfigError
from idp.oidc.clients import file as client_file
from idp.oidc.clients import problems as client_problems
from idp.oidc.clients import registry as client_registry
from idp.oidc.clients import yaml_nodes as client_yaml
from idp.oidc.clients.client import Client
from idp.oidc.clients.registry import ClientRegistry, expired_clients, load_clients

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECRET = "kUbV6Yt0r3o-XxM1cN8sQeJ5aZpLw2dG7hTfRiB4uEy"
HASH = hashlib.sha256(SECRET.encode()).hexdigest()

VALID = f"""\
version: 1
defaults:
  login_methods: [bankid, password]
clients:
  reports:
    client_name: Rapporter
    redirect_uris: [https://rapporter.example.se/cb]
    scope: openid email
    client_secrets:
      - {{sha256: {HASH}, not_after: 2027-06-30}}
  phone:
    client_name#en: Phone app
    application_type: native
    token_endpoint_auth_method: none
    redirect_uris: [com.example.app:/cb, "http://127.0.0.1/cb"]
"""


def load(tmp_path: Path, text: str | bytes = VALID) -> dict[str, Client]:
    path = tmp_path / "clients.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_clients(
        path,
        login_methods=("bankid", "password"),
        signing_algs=["RS256", "ES256"],
        bankid_certificates=["customer"],
    )


def problems(tmp_path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return caught.value.problems


def changed(old: str, new: str) -> str:
    assert VALID.count(old) == 1
    return VALID.replace(old, new)


def with_field(line: str) -> str:
    """The valid file with one more line in the client `reports`: line 9, column 5."""
    return changed("    client_secrets:", f"    {line}\n    client_secrets:")


def with_redirect(uri: str, client: str = "reports") -> str:
    old = "https://rapporter.example.se/cb" if client == "reports" else "com.example.app:/cb"
    return changed(old, f"'{uri}'")


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


def test_without_login_methods_every_method_is_allowed(tmp_path: Path) -> None:
    found = load(tmp_path, changed("  login_methods: [bankid, password]", "  consent: explicit"))
    assert found["reports"].login_methods == ("bankid", "password")
    assert found["reports"].consent == "explicit"


def test_a_clients_own_key_wins_over_defaults_and_merges(tmp_path: Path) -> None:
    text = with_field("login_methods: [password]").replace("defaults:", "defaults: &d")
    text = text.replace("    application_type: native\n", "    application_type: native\n    <<: *d\n")
    found = load(tmp_path, text)
    assert found["reports"].login_methods == ("password",)
    assert found["phone"].login_methods == ("bankid", "password")


@pytest.mark.parametrize(
    ("locale", "reports", "phone"),
    [("sv", "Rapporter", "phone"), ("en", "Rapporter", "Phone app"), ("en_GB", "Rapporter", "Phone app")],
)
def test_a_clients_name_in_each_language(tmp_path: Path, locale: str, reports: str, phone: str) -> None:
    found = load(tmp_path)
    assert (found["reports"].name(locale), found["phone"].name(locale)) == (reports, phone)


@pytest.mark.parametrize(
    "line",
    [
        "post_logout_redirect_uris: ['http://localhost:8080/', 'https://a.se/?x=1']",
        "initiate_login_uri: https://a.se/start",
        "tos_uri: https://a.se/#terms",
        "contacts: [it@a.se, Växeln 08-123]",
        "companies: [Exempel AB, '5560000001']",
        "subject_type: pairwise",
        "sector_identifier: a.se",
        "default_acr_values: [http://id.swedenconnect.se/loa/1.0/uncertified-loa3]",
        "default_max_age: 0",
        "require_auth_time: yes",
        "require_pkce: false",
        "token_endpoint_auth_method: client_secret_post",
        "id_token_signed_response_alg: ES256",
        "access_token_minutes: 60",
        "client_uri: http://[::1]:8080/x",
    ],
)
def test_further_fields_are_read(tmp_path: Path, line: str) -> None:
    field, _, text = line.partition(": ")
    value = yaml.safe_load(text)
    got = getattr(load(tmp_path, with_field(line))["reports"], field)
    assert got == (tuple(value) if isinstance(value, list) else value)


# One line more in the client `reports` → where, and the words
REFUSED_FIELDS = [
    (
        "redirect_uri: x",
        "9:5",
        'client "reports": there is no field "redirect_uri", did you mean "redirect_uris"?',
    ),
    ("zzz: 1", "9:5", 'client "reports": there is no field "zzz"'),
    (
        "client_id: x",
        "9:5",
        'client "reports": client_id: leave it out, the entry\'s own key is the client_id',
    ),
    ("scope: openid", "9:5", 'client "reports": the key "scope" appears twice, first on line 8'),
    ("007: x", "9:5", 'client "reports": a key must be text: quote it (got 007)'),
    ("jwks_uri: http://a.se/jwks", "9:15", "jwks_uri: must be https; http is for loopback addresses only"),
    ("jwks: {kty: RSA}", "9:11", "jwks: must be a JWK Set, such as {keys: [{kty: EC,"),
    (
        "token_endpoint_auth_signing_alg: RS256",
        "9:38",
        "must be left out: it is for token_endpoint_auth_method private_key_jwt",
    ),
    ("bankid: {requirement: x}", "9:27", "bankid.requirement: must be a mapping"),
    ("bankid: mobile", "9:13", "bankid: must be a mapping such as {requirement: {mrtd: true}"),
    (
        "bankid: {requirement: {certificatePolicies: [mobil]}}",
        "9:49",
        'certificatePolicies: "mobil" is not one of mobile, file, card, nordea, did you mean "mobile"?',
    ),
    ("bankid: {requirement: {certificatePolicies: []}}", "9:49", "must not be empty"),
    ("bankid: {requirement: {mrtd: 1}}", "9:34", "bankid.requirement.mrtd: must be true or false"),
    ("bankid: {requirement: {mrdt: true}}", "9:28", 'there is no such field, did you mean "mrtd"?'),
    ("bankid: {requirement: {cardReader: class2}}", "9:27", "cardReader needs card among"),
    ("bankid: {certificate: Other}", "9:27", "must be a name of lower-case letters, digits and hyphens"),
    ("bankid: {certificate: other}", "9:27", "IDP_BANKID_CERTIFICATES_DIR has no certificate of this name"),
    ("bankid: {high_risk: alow}", "9:25", 'must be refuse or allow, did you mean "allow"?'),
    ("<<: 3", "9:5", 'client "reports": << needs a mapping or a list of mappings (got 3)'),
    ("tos_uri: !!python/name:os.system", "9:14", 'YAML tags are not allowed (got "!!python/name:os.system")'),
    ("contacts: !!set {a}", "9:15", 'YAML tags are not allowed (got "!!set")'),
    ("tos_uri:", "9:13", "tos_uri: has no value: leave the key out"),
    ("tos_uri: [x]", "9:14", "tos_uri: must be text (got a list)"),
    ("tos_uri: 12:30", "9:14", "tos_uri: must be text: quote it (got 12:30)"),
    ("client_uri: no", "9:17", "client_uri: must be text: quote it (got no)"),
    (
        "logo_uri: http://a.se/",
        "9:15",
        'logo_uri: must be https; http is for loopback addresses only (got "http',
    ),
    ("initiate_login_uri: https://a.se/#x", "9:25", "initiate_login_uri: must not contain a fragment"),
    (
        "post_logout_redirect_uris: [https://a.se, /x]",
        "9:47",
        "post_logout_redirect_uris[1]: must be absolute",
    ),
    ("contacts: a@a.se", "9:15", "contacts: must be a list, such as [one, two]"),
    ("companies: []", "9:16", "companies: must not be empty"),
    ("companies: ['']", "9:17", "companies[0]: must be 1 to 200 printable characters"),
    ("login_methods: []", "9:20", "login_methods: must not be empty"),
    ("login_methods: [bankid, pasword]", "9:29", 'must be bankid or password, did you mean "password"?'),
    ("grant_types: []", "9:18", "grant_types: must not be empty"),
    ("grant_types: [refresh_token]", "9:18", "must contain authorization_code beside refresh_token"),
    ("grant_types: [refresh]", "9:19", 'did you mean "refresh_token"? (got "refresh")'),
    ("access_token_format: JWT", "9:26", 'must be opaque or jwt, did you mean "jwt"?'),
    ("refresh_token_idle_minutes: 0", "9:33", "must be at least 1 (got 0)"),
    ("refresh_token_hours: 17521", "9:26", "must be at most 17520 (got 17521)"),
    ("grant_types: [implicit]", "9:19", "grant_types[0]: must be authorization_code"),
    ("application_type: webb", "9:23", 'must be web or native, did you mean "web"? (got "webb")'),
    ("token_endpoint_auth_method: private_key", "9:33", 'did you mean "private_key_jwt"?'),
    ("token_endpoint_auth_method: client-secret-post", "9:33", 'did you mean "client_secret_post"?'),
    ("subject_type: pairwize", "9:19", 'did you mean "pairwise"?'),
    ("consent: {text: x}", "9:14", "consent: must be implicit or explicit (got a mapping)"),
    ("sector_identifier: https://a.se", "9:24", "must be a host name alone"),
    ("default_max_age: -1", "9:22", "default_max_age: must be at least 0 (got -1)"),
    ("default_max_age: '1'", "9:22", 'default_max_age: must be a whole number (got "1")'),
    ("default_acr_values: [a b]", "9:26", "must be one word of printable ASCII characters"),
    (
        "frontchannel_logout_uri: https://other.example.se/logout",
        "9:30",
        "must have scheme, host and port of one of redirect_uris",
    ),
    ("frontchannel_logout_uri: http://reports.example.se/logout", "9:30", "must be https"),
    ("frontchannel_logout_session_required: 1", "9:43", "must be true or false"),
    ("backchannel_logout_uri: https://reports.example.se/logout#x", "9:29", "must not contain a fragment"),
    ("backchannel_logout_uri: http://reports.example.se/logout", "9:29", "must be https"),
    ("backchannel_logout_session_required: ja", "9:42", "must be true or false"),
    ("require_auth_time: 1", "9:24", "require_auth_time: must be true or false (got 1)"),
    ("access_token_minutes: 61", "9:27", "access_token_minutes: must be at most 60 (got 61)"),
    ("id_token_minutes: 6", "9:23", "id_token_minutes: must be at most 5 (got 6)"),
    ("id_token_signed_response_alg: none", "9:35", "must be RS256 or PS256 or ES256 or EdDSA"),
    (
        "id_token_signed_response_alg: PS256",
        "9:35",
        "there is no signing key for PS256, only for ES256, RS256",
    ),
    ("client_secret: hunter2", "9:5", "a clear-text secret must not be in the file; list its SHA-256"),
]


@pytest.mark.parametrize(("line", "place", "words"), REFUSED_FIELDS, ids=[case[0] for case in REFUSED_FIELDS])
def test_refused_field(tmp_path: Path, line: str, place: str, words: str) -> None:
    [problem] = problems(tmp_path, with_field(line))
    assert problem.startswith(f'clients.yaml:{place}: client "reports"')
    assert words in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize("field", sorted(client_problems.LATER_FIELDS))
def test_fields_of_later_versions_are_named_as_such(tmp_path: Path, field: str) -> None:
    assert problems(tmp_path, with_field(f"{field}: true")) == [
        f'clients.yaml:9:5: client "reports": this version does not support "{field}" yet'
    ]


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("profile", "must contain openid"),
        ("openid emial", 'there is no scope "emial", did you mean "email"?'),
        ("openid offline_acess", 'did you mean "offline_access"?'),
        (
            "openid https://id.oidc.se/scope/naturalPersonOrg",
            'did you mean "https://id.oidc.se/scope/naturalPersonOrgId"',
        ),
        ("openid foo bar", 'there is no scope "foo"; there is no scope "bar"'),
    ],
)
def test_refused_scope(tmp_path: Path, scope: str, words: str) -> None:
    [problem] = problems(tmp_path, changed("openid email", scope))
    assert problem.startswith('clients.yaml:8:12: client "reports", scope: ')
    assert words in problem


@pytest.mark.parametrize(
    "uri",
    [
        "https://a.se",
        "https://a.se:8443/cb?x=%C3%A5",
        "http://localhost/",
        "http://127.0.0.1:8080/",
        "http://[::1]/",
    ],
)
def test_redirect_uri_allowed(tmp_path: Path, uri: str) -> None:
    assert load(tmp_path, with_redirect(uri))["reports"].redirect_uris == (uri,)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://x.se/cb", "must be https; http is for loopback addresses only"),
        ("http://127.0.0.1.x.se/cb", "must be https"),
        ("http://localhost@x.se/", "must not contain a user name"),
        ("https://u:p@a.se/", "must not contain a user name"),
        ("https://a.se/#x", "must not contain a fragment"),
        ("https://*.a.se/", "must not contain a wildcard"),
        ("https://a.se/ cb", "must contain only URI characters"),
        ("https://a.se\\x.se/", "must contain only URI characters"),
        ("https://å.se/", "must contain only URI characters"),
        ("", "must contain only URI characters"),
        ("/cb", "must be absolute"),
        ("//a.se/cb", "must be absolute"),
        ("https:///cb", "must name a host"),
        ("https://a.se:port/", "is not a URI"),
        ("https://a.se:70000/", "is not a URI"),
        ("https://[::1/", "is not a URI"),
        ("javascript:alert(1)", "must be https"),
        ("data:text/html,x", "must be https"),
        ("ftp://a.se/", "must be https"),
        ("com.example.app:/cb", "a private-use scheme is for application_type native only"),
    ],
)
def test_redirect_uri_refused(tmp_path: Path, uri: str, words: str) -> None:
    [problem] = problems(tmp_path, with_redirect(uri))
    assert problem.startswith('clients.yaml:7:21: client "reports", redirect_uris[0]: ')
    assert words in problem
    assert problem.endswith(f'(got "{uri}")'.replace("\\", "\\\\")) or "\\" in uri


@pytest.mark.parametrize("uri", ["javascript:alert(1)", "myapp:/cb", "com.example.app:cb", "http://x.se/"])
def test_redirect_uri_refused_for_a_native_client(tmp_path: Path, uri: str) -> None:
    [problem] = problems(tmp_path, with_redirect(uri, "phone"))
    assert problem.startswith('clients.yaml:15:21: client "phone", redirect_uris[0]: must ')


def test_redirect_uris_are_required_and_listed_once(tmp_path: Path) -> None:
    line = "    redirect_uris: [https://rapporter.example.se/cb]\n"
    where = 'client "reports", redirect_uris'
    assert problems(tmp_path, changed(line, "")) == [f"clients.yaml:5:3: {where}: is missing"]
    assert problems(tmp_path, changed(line, "    redirect_uris: []\n")) == [
        f"clients.yaml:7:20: {where}: must not be empty (got a list)"
    ]
    assert problems(tmp_path, changed(line, "    redirect_uris: [https://a.se, https://a.se]\n")) == [
        f'clients.yaml:7:35: {where}[1]: is listed twice (got "https://a.se")'
    ]


def test_a_client_for_itself_alone_needs_no_redirect_uri(tmp_path: Path) -> None:
    text = with_field("grant_types: [client_credentials]").replace(
        "    redirect_uris: [https://rapporter.example.se/cb]\n", ""
    )
    assert load(tmp_path, text)["reports"].redirect_uris == ()


def test_a_public_client_cannot_act_for_itself(tmp_path: Path) -> None:
    line = "    token_endpoint_auth_method: none\n"
    text = changed(line, line + "    grant_types: [authorization_code, client_credentials]\n")
    [problem] = problems(tmp_path, text)
    assert "token_endpoint_auth_method: must not be none: grant_types contains client_credentials" in problem


def test_pairwise_on_several_hosts_needs_a_sector(tmp_path: Path) -> None:
    text = with_field("subject_type: pairwise").replace("se/cb]", "se/cb, https://b.se/cb]")
    [problem] = problems(tmp_path, text)
    assert problem.startswith('clients.yaml:5:3: client "reports", sector_identifier: is missing: pairwise')
    text = text.replace("    client_secrets:", "    sector_identifier: example.se\n    client_secrets:")
    assert load(tmp_path, text)["reports"].sector == "example.se"


def test_pairwise_with_a_private_use_scheme_needs_a_sector(tmp_path: Path) -> None:
    text = changed("    application_type: native", "    application_type: native\n    subject_type: pairwise")
    text = text.replace(', "http://127.0.0.1/cb"', "")
    [problem] = problems(tmp_path, text)
    assert 'client "phone", sector_identifier: is missing' in problem


@pytest.mark.parametrize("client_id", ["a b", "a:b", 'a"b', "a'b", "a\\b", "å", "x" * 101, ""])
def test_refused_client_id(tmp_path: Path, client_id: str) -> None:
    key = '"' + client_id.replace("\\", "\\\\").replace('"', '\\"') + '"'
    [problem] = problems(tmp_path, changed("  reports:", f"  {key}:"))
    assert problem.startswith('clients.yaml:5:3: client "')
    assert "client_id: must be 1 to 100 printable ASCII characters" in problem


@pytest.mark.parametrize("key", ["007", "on", "no", "1.5", "2027-01-01", "~", "[a]"])
def test_a_client_id_that_yaml_reads_as_something_else(tmp_path: Path, key: str) -> None:
    [problem] = problems(tmp_path, changed("  reports:", f"  {key}:"))
    assert problem.startswith("clients.yaml:5:3: a key must be text")


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


@pytest.mark.parametrize(("last_day", "note"), [("2999-06-30", False), ("2026-05-31", True)])
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


@pytest.mark.parametrize(
    ("client_id", "uri", "matches"),
    [
        ("reports", "https://rapporter.example.se/cb", True),
        ("reports", "https://rapporter.example.se/cb/", False),
        ("reports", "https://RAPPORTER.example.se/cb", False),
        ("reports", "https://rapporter.example.se:443/cb", False),
        ("reports", "", False),
        ("phone", "com.example.app:/cb", True),
        ("phone", "com.example.app:/cb2", False),
        ("phone", "http://127.0.0.1/cb", True),
        ("phone", "http://127.0.0.1:51004/cb", True),
        ("phone", "http://127.0.0.1:51004/cb?x=1", False),
        ("phone", "http://127.0.0.1:51004/cbx", False),
        ("phone", "http://127.0.0.1:70000/cb", False),
        ("phone", "http://127.0.0.1:/cb", False),
        ("phone", "http://[::1]:51004/cb", False),
        ("phone", "http://localhost:51004/cb", False),
        ("phone", "https://127.0.0.1:51004/cb", False),
        ("phone", "http://127.0.0.1:1@x.se/cb", False),
    ],
)
def test_redirect_uri_matches(tmp_path: Path, client_id: str, uri: str, matches: bool) -> None:
    assert load(tmp_path)[client_id].redirect_uri_matches(uri) is matches


def test_only_a_native_client_may_vary_the_port(tmp_path: Path) -> None:
    client = load(tmp_path, with_redirect("http://127.0.0.1:8080/cb"))["reports"]
    assert client.redirect_uri_matches("http://127.0.0.1:8080/cb")
    assert not client.redirect_uri_matches("http://127.0.0.1:8081/cb")


class File:
    """A clients.yaml whose every write has a time of its own, long past."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = 0
        self.write(VALID)

    def write(self, text: str) -> None:
        """Replace the file as editors do: by a rename."""
        new = self.path.with_suffix(".new")
        new.write_text(text)
        self._written += 1
        os.utime(new, (self._written, self._written))
        new.replace(self.path)

    def registry(
        self, interval: float = 0, algs: Callable[[], Collection[str]] | None = None
    ) -> ClientRegistry:
        return ClientRegistry(
            self.path,
            login_methods=["bankid", "password"],
            signing_algs=algs,
            clock=lambda: NOW,
            check_interval_seconds=interval,
        )


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "clients.yaml")


def test_registry_refuses_to_begin_with_a_bad_file(file: File) -> None:
    file.write(VALID.replace("openid email", "email"))
    with pytest.raises(ConfigError, match="must contain openid"):
        file.registry()


def test_registry_follows_the_file(file: File, caplog: pytest.LogCaptureFixture) -> None:
    registry = file.registry()
    reports = registry.get("reports")
    assert reports is not None
    assert registry.get("nobody") is None
    caplog.set_level(logging.INFO, "idp.clients")
    file.write(VALID.replace("openid email", "openid").replace("  phone:", "  tablet:"))
    assert registry.get("reports") != reports
    assert registry.get("tablet") is not None
    assert registry.get("phone") is None
    assert [record.getMessage().partition(" loaded: ")[2] for record in caplog.records] == [
        "1 clients added, 1 changed, 1 removed"
    ]


def test_registry_knows_who_begins_logins_by_themselves(file: File) -> None:
    registry = file.registry()
    before = registry.initiating()
    assert dict(before) == {}
    file.write(with_field("initiate_login_uri: https://reports.example.se/login"))
    assert dict(registry.initiating()) == {"reports": registry.get("reports")}
    assert dict(before) == {}, "one moment's set"


@pytest.mark.parametrize("broken", [VALID.replace("openid", "oppenid"), VALID[:100], "", None])
def test_a_bad_file_changes_nothing_and_is_logged_once(
    file: File, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    registry = file.registry()
    before = [registry.get("reports"), registry.get("phone")]
    if broken is None:
        file.path.unlink()
    else:
        file.write(broken)
    for _ in range(3):
        assert [registry.get("reports"), registry.get("phone")] == before
        registry.refresh()
    assert registry.problems
    [record] = caplog.records
    assert (record.name, record.levelname) == ("idp.clients", "ERROR")
    assert record.getMessage().splitlines()[1:] == registry.problems
    file.write(VALID)
    assert [registry.get("reports"), registry.get("phone")] == before
    assert registry.problems == []


def test_a_new_signing_key_puts_the_file_in_force_that_waits_for_it(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time_ns() + 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    algs = {"RS256"}
    registry = file.registry(algs=lambda: algs)
    file.write(with_field("id_token_signed_response_alg: ES256").replace("  phone:", "  tablet:"))
    assert registry.get("tablet") is None
    assert "there is no signing key for ES256, only for RS256" in registry.problems[0]
    algs.add("ES256")
    assert registry.get("tablet") is not None
    assert registry.problems == []


def test_registry_warns_of_expired_clients_once_per_load(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    file.write(VALID.replace("2027-06-30", "2026-05-31"))
    registry = file.registry()
    assert registry.get("reports") is not None
    assert registry.problems == []
    file.write(VALID.replace("2027-06-30", "2026-05-30"))
    assert registry.get("reports") is not None
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert (
        warnings
        == [f'{file.path}: every secret of "reports" has expired; make one with: idp clients secret'] * 2
    )
    file.write(VALID)
    assert registry.get("reports") is not None
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 2


def test_registry_looks_at_most_once_per_interval(file: File) -> None:
    registry = file.registry(interval=3600)
    file.write(VALID.replace("  phone:", "  tablet:"))
    assert registry.get("tablet") is None
    registry.refresh()
    assert registry.get("tablet") is not None


def test_refresh_reads_a_file_that_looks_the_same(file: File) -> None:
    registry = file.registry()
    times = file.path.stat()
    file.path.write_text(VALID.replace("Rapporter", "Reporting"))
    os.utime(file.path, ns=(times.st_atime_ns, times.st_mtime_ns))
    registry.refresh()
    reports = registry.get("reports")
    assert reports is not None
    assert reports.client_name == "Reporting"


def test_an_unchanged_file_is_not_read_again(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time_ns() + 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    registry = file.registry()
    read: list[Path] = []

    def counted(path: Path) -> bytes:
        read.append(path)
        return path.read_bytes()

    monkeypatch.setattr(client_registry, "read_file", counted)
    assert registry.get("reports") is not None
    assert read == []
    registry.refresh()
    assert read == [file.path]


def test_a_second_write_within_the_file_systems_tick_is_seen(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    # every stat answers the same: two writes of one size that the times cannot tell apart
    stamp = file.path.stat()
    monkeypatch.setattr(time, "time_ns", lambda: stamp.st_ctime_ns + 1)
    registry = file.registry()
    monkeypatch.setattr(Path, "stat", lambda self, **_: stamp)
    file.path.write_text(VALID.replace("Rapporter", "Reporting"))
    found = registry.get("reports")
    assert found is not None
    assert found.client_name == "Reporting"


def test_readers_go_on_while_the_file_is_read(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = file.registry()
    file.write(VALID.replace("  phone:", "  tablet:"))
    reading, go_on = threading.Event(), threading.Event()

    def slow(path: Path) -> bytes:
        reading.set()
        assert go_on.wait(5)
        return path.read_bytes()

    monkeypatch.setattr(client_registry, "read_file", slow)
    monkeypatch.setattr(client_registry, "PATIENCE_SECONDS", 0.01)
    for _ in range(2):  # whoever finds the change waits a moment at most, the others not at all
        assert registry.get("phone") is not None
    assert reading.wait(5)
    go_on.set()
    registry.refresh()  # waits for the reader
    assert registry.get("phone") is None
    assert registry.get("tablet") is not None
