"""Redirect URIs are checked, compared, and demanded of the clients that need some."""

from pathlib import Path

import pytest

from tests.unit.oidc.clients.clients_yaml import changed, load, problems, with_field, with_redirect


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
