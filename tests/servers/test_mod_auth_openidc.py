"""Apache's mod_auth_openidc works as the relying app of an application without OpenID."""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import pytest

from bench.ports import free_port
from tests.factories import make_client
from tests.servers import apache as web_server
from tests.servers.apache import Apache
from tests.servers.person import Person
from tests.servers.provider import EMAIL, PATIENCE_SECONDS, Server, running, worker

pytestmark = pytest.mark.servers

CLIENT_ID = "apache"


@pytest.fixture(scope="module")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Apache:
    return Apache(free_port(), tmp_path_factory.mktemp("apache"))


@pytest.fixture(scope="module")
def server(apache: Apache, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The provider with Apache as one of its relying apps, and Apache."""
    folder: Path = tmp_path_factory.mktemp("server")
    entry = make_client(
        redirect_uris=[apache.callback],
        post_logout_redirect_uris=[f"{apache.base}/"],
        backchannel_logout_uri=f"{apache.callback}?logout=backchannel",
        initiate_login_uri=None,
        scope="openid profile email offline_access",
        grant_types=["authorization_code", "refresh_token"],
    )
    with (
        running(folder, f"sqlite:///{folder}/idp.sqlite3", {CLIENT_ID: entry}) as provider,
        web_server.running(apache, issuer=provider.issuer, client_id=CLIENT_ID),
    ):
        yield provider


def log_in(anna: Person, apache: Apache) -> dict[str, str]:
    """What the application behind Apache is told about Anna, who logs in on the way to it."""
    asked = anna.http.get(apache.page)
    assert asked.status_code == 302
    request = parse_qs(urlsplit(asked.headers["Location"]).query)
    assert (request["client_id"], request["code_challenge_method"]) == ([CLIENT_ID], ["S256"])
    returned = anna.http.get(anna.log_in(asked.headers["Location"]).headers["Location"])
    assert (returned.status_code, returned.headers["Location"]) == (302, apache.page), apache.log()
    return told(anna, apache)


def told(anna: Person, apache: Apache, page: str | None = None) -> dict[str, str]:
    answer = anna.http.get(page or apache.page)
    assert answer.status_code == 200, apache.log()
    headers: dict[str, str] = answer.json()
    return headers


def test_the_application_is_told_who_logged_in(server: Server, apache: Apache) -> None:
    with Person(server.issuer) as anna:
        headers = log_in(anna, apache)
        assert headers["OIDC_CLAIM_iss"] == server.issuer
        assert headers["OIDC_CLAIM_aud"] == CLIENT_ID
        assert headers["OIDC_CLAIM_acr"] == f"{server.issuer}/acr/password"
        assert (headers["OIDC_CLAIM_email"], headers["OIDC_CLAIM_email_verified"]) == (EMAIL, "0")
        assert headers["OIDC_CLAIM_name"] == "Anna Åsén"
        assert subject(server, headers["OIDC_access_token"]) == headers["OIDC_CLAIM_sub"]


def subject(server: Server, access_token: str) -> str:
    """Whose userinfo the token gives."""
    bearer = {"Authorization": f"Bearer {access_token}"}
    sub: str = httpx2.get(f"{server.issuer}/userinfo", headers=bearer, trust_env=False).json()["sub"]
    return sub


def test_apache_refreshes_the_access_token_before_it_expires(server: Server, apache: Apache) -> None:
    """The application has a token in force at every request, and the person notices nothing."""
    with Person(server.issuer) as anna:
        headers = log_in(anna, apache)
        assert told(anna, apache)["OIDC_access_token"] == headers["OIDC_access_token"]
        given = [headers["OIDC_access_token"]]
        for _ in range(2):
            later = told(anna, apache, apache.fresh_page)
            assert later["OIDC_CLAIM_sub"] == headers["OIDC_CLAIM_sub"]
            given.append(later["OIDC_access_token"])
        assert len(set(given)) == 3
        assert {subject(server, token) for token in given} == {headers["OIDC_CLAIM_sub"]}


def test_the_application_asks_apache_to_refresh(server: Server, apache: Apache) -> None:
    """By the module's refresh hook; once the grant is revoked it says so instead."""
    with Person(server.issuer) as anna:
        first = log_in(anna, apache)["OIDC_access_token"]
        hook = f"{apache.callback}?refresh={quote(apache.page, safe='')}&access_token="
        back = anna.http.get(hook + first)
        assert (back.status_code, back.headers["Location"]) == (302, apache.page), apache.log()
        second = told(anna, apache)["OIDC_access_token"]
        assert second != first
        assert subject(server, second) == subject(server, first)
        server.idp("sessions", "end", "--user", EMAIL)
        back = anna.http.get(hook + second)
        assert parse_qs(urlsplit(back.headers["Location"]).query) == {"error_code": ["refresh_failed"]}


def test_logout_at_apache_ends_the_session_here(server: Server, apache: Apache) -> None:
    with Person(server.issuer) as anna:
        log_in(anna, apache)
        leaving = anna.http.get(f"{apache.callback}?logout={apache.base}/").headers["Location"]
        assert leaving.startswith(f"{server.issuer}/end_session?")
        assert anna.visit(leaving).headers["Location"] == f"{apache.base}/"
        again = anna.http.get(apache.page)
        assert again.status_code == 302
        assert 'id="login-form"' in anna.visit(again.headers["Location"]).text


def test_logout_here_ends_the_session_at_apache(server: Server, apache: Apache) -> None:
    """Apache takes our logout token (Back-Channel Logout 1.0 §2.6), which the worker brings."""
    with Person(server.issuer) as anna, Person(server.issuer) as same:
        log_in(anna, apache)
        log_in(same, apache)
        anna.log_out()
        with worker(server):
            deadline = time.monotonic() + PATIENCE_SECONDS
            while anna.http.get(apache.page).status_code == 200:
                assert time.monotonic() < deadline, apache.log()
                time.sleep(0.05)
        assert told(same, apache)["OIDC_CLAIM_email"] == EMAIL
