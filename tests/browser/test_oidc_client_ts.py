"""oidc-client-ts in Chromium works as a single-page app and public client of another origin."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.visitor import REPORT_VIOLATIONS, WAIT_MS
from tests.factories import PASSWORD, make_public_client
from tests.servers.node import installed
from tests.servers.provider import EMAIL, Server, running

pytestmark = pytest.mark.browser

SOURCE = Path(__file__).parent / "oidc_client_ts"
LIBRARY = "node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js"


class _Files(SimpleHTTPRequestHandler):
    """Serves the folder; the app's one page stands for every address that is no file."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if not path.endswith(".js"):
            self.path = "/index.html"
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the app is served: the library as it comes from its makers, one page and its script."""
    folder = installed(SOURCE, tmp_path_factory.mktemp("oidc_client_ts"))
    (folder / LIBRARY).rename(folder / "oidc-client-ts.min.js")
    handler = functools.partial(_Files, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(app_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The provider, which knows the app twice: the second time with tokens that are bound to a key."""
    entry: dict[str, Any] = {
        "redirect_uris": [f"{app_url}/cb"],
        "post_logout_redirect_uris": [f"{app_url}/"],
        "initiate_login_uri": None,
        "scope": "openid profile email offline_access",
        "grant_types": ["authorization_code", "refresh_token"],
    }
    apps = {
        "app": make_public_client(**entry),
        "bound": make_public_client(**entry, dpop_bound_access_tokens=True),
    }
    folder: Path = tmp_path_factory.mktemp("server")
    with running(folder, f"sqlite:///{folder}/idp.sqlite3", apps) as provider:
        yield provider


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def page(chromium: Browser, complaints: list[str]) -> Iterator[Page]:
    """A page in a fresh browser. The test fails if any page there logged an error."""
    context = chromium.new_context(locale="sv-SE")
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(REPORT_VIOLATIONS)
    context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield context.new_page()
    context.close()
    assert complaints == []


def log_in(page: Page, app_url: str, server: Server, client_id: str, **more: str) -> dict[str, Any]:
    """What the library knows of Anna, who comes to the app and logs in."""
    told = {"issuer": server.issuer, "client_id": client_id, **more}
    page.goto(f"{app_url}/#" + "&".join(f"{name}={value}" for name, value in told.items()))
    page.evaluate("() => { manager.signinRedirect({ state: 'where I was' }) }")
    page.locator("#login-username").fill(EMAIL)
    page.locator("#login-password").fill(PASSWORD)
    page.locator("#login-submit").click()
    page.wait_for_url(f"{app_url}/cb?*")
    user: dict[str, Any] = page.evaluate("manager.signinCallback()")
    assert user["state"] == "where I was"
    return user


def log_out(page: Page, app_url: str, server: Server) -> None:
    """Log out at the app, which makes the provider forget Anna too."""
    page.evaluate("() => { manager.signoutRedirect({ state: 'bye' }) }")
    page.wait_for_url(lambda url: url.startswith(f"{app_url}/?state="))
    page.evaluate("manager.signoutCallback()")
    assert page.evaluate("manager.getUser()") is None
    page.evaluate("() => { manager.signinRedirect() }")
    page.locator("#login-username").wait_for()


def test_login_userinfo_renewal_and_logout(page: Page, app_url: str, server: Server) -> None:
    user = log_in(page, app_url, server, "app")
    assert (user["token_type"], user["profile"]["iss"]) == ("Bearer", server.issuer)
    assert user["profile"]["email"] == EMAIL  # by CORS from userinfo: ID tokens do not hold it
    renewed = page.evaluate("manager.signinSilent()")
    assert renewed["profile"]["sub"] == user["profile"]["sub"]
    assert renewed["refresh_token"] != user["refresh_token"]
    assert renewed["access_token"] != user["access_token"]
    assert page.evaluate("userinfo('Bearer')")["body"]["name"] == "Anna Åsén"
    log_out(page, app_url, server)


def test_tokens_bound_to_a_key_of_the_browser(
    page: Page, app_url: str, server: Server, complaints: list[str]
) -> None:
    """DPoP (RFC 9449): the library keeps a key that no script can read, and proves that it has it."""
    user = log_in(page, app_url, server, "bound", dpop="1")
    assert user["token_type"] == "DPoP"
    assert page.evaluate("userinfo('DPoP')")["body"]["email"] == EMAIL
    renewed = page.evaluate("manager.signinSilent()")
    assert renewed["token_type"] == "DPoP"
    assert page.evaluate("userinfo('DPoP')")["status"] == 200
    assert complaints == []
    assert page.evaluate("userinfo('Bearer')")["status"] == 401
    assert "status of 401" in complaints.pop()
    log_out(page, app_url, server)


def test_revocation(page: Page, app_url: str, server: Server, complaints: list[str]) -> None:
    """The app gives its tokens back and stays logged in nowhere but here (RFC 7009)."""
    user = log_in(page, app_url, server, "app")
    page.evaluate("manager.revokeTokens(['refresh_token'])")
    kept = page.evaluate("manager.getUser()")
    assert (kept["refresh_token"], kept["access_token"]) == (None, user["access_token"])
    assert complaints == []
    assert page.evaluate("userinfo('Bearer')")["status"] == 401
    assert "status of 401" in complaints.pop()
