"""Each field of a client takes its values and refuses others at their place."""

from pathlib import Path

import pytest
import yaml

from idp.oidc.clients import problems as client_problems
from tests.unit.oidc.clients.clients_yaml import changed, load, problems, with_field


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
