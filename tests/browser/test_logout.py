"""Logging out of one app logs out of the others, by the provider and by the browser."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.running_demo import RunningDemo
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser
WITHIN_SECONDS = 20
CHALLENGE = "x" * 43


def wait_for(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not happens():
        assert time.monotonic() < deadline, "has not happened"
        time.sleep(0.1)


def test_the_other_app_is_logged_out_by_the_provider(visitor: Visitor) -> None:
    page = visitor.page()
    visitor.log_in_to(page)
    page.goto(visitor.demo.portal + "/login/spa")
    page.locator("#logout").wait_for()
    page.goto(visitor.demo.portal)
    page.locator("#logout").click()
    expect(page.get_by_role("status")).to_have_text("Du är utloggad.")

    def is_logged_out() -> bool:
        page.goto(visitor.demo.portal + "/spa")
        return not page.locator("#logout").is_visible()

    wait_for(is_logged_out)


class FramedApp:
    """A relying app whose logout page is loaded in a frame; keeps the addresses that were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                body = b"<!doctype html><title>app</title>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Tests are quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.netloc = f"127.0.0.1:{self.server.server_port}"


@pytest.fixture
def framed(demo: RunningDemo, visitor: Visitor) -> Iterator[FramedApp]:
    """The client `framed` of the demo."""
    app = FramedApp()
    visitor.expect_host(app.netloc)
    thread = threading.Thread(target=app.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    path = demo.directory / "clients.yaml"
    before = path.read_text()
    path.write_text(
        before
        + f"  framed:\n    redirect_uris: [http://{app.netloc}/cb]\n    token_endpoint_auth_method: none\n"
        f"    frontchannel_logout_uri: http://{app.netloc}/logout\n"
        "    frontchannel_logout_session_required: true\n"
    )
    yield app
    path.write_text(before)
    app.server.shutdown()
    app.server.server_close()
    thread.join()


@pytest.mark.parametrize("scripts", [True, False])
def test_the_browser_loads_the_others_pages_and_goes_back(
    visitor: Visitor, framed: FramedApp, scripts: bool
) -> None:
    page = visitor.page(java_script_enabled=scripts)
    visitor.log_in_to(page)
    asked = {
        "response_type": "code",
        "client_id": "framed",
        "redirect_uri": f"http://{framed.netloc}/cb",
        "scope": "openid",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    visitor.expect_status(400)  # until the file has been read again

    def has_logged_in() -> bool:
        page.goto(f"{visitor.demo.issuer}/authorize?{urlencode(asked)}")
        return page.url.startswith(f"http://{framed.netloc}/cb?code=")

    wait_for(has_logged_in)
    page.goto(visitor.demo.portal)
    page.locator("#logout").click()
    if not scripts:
        page.locator("#logout-continue").click()
    expect(page.get_by_role("status")).to_have_text("Du är utloggad.")
    assert page.url == f"{visitor.demo.portal}/"
    (frame,) = [path for path in framed.asked if path.startswith("/logout")]
    told = parse_qs(urlsplit(frame).query)
    assert told.keys() == {"iss", "sid"}
    assert told["iss"] == [visitor.demo.issuer]
