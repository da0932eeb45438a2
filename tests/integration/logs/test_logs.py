"""Logs are one JSON object a line, found by the reference on the page, without secrets."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from flask import Flask

from tests.factories import PASSWORD, SECRET, make_user
from tests.fakes.relying_party import HTTPS, VERIFIER, RelyingParty, basic_value

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def database_url() -> str:
    return "sqlite://"


@pytest.fixture
def written(app: Flask) -> Iterator[StringIO]:
    """What the provider writes to standard error from now on."""
    handler = next(found for found in logging.getLogger().handlers if type(found) is logging.StreamHandler)
    with StringIO() as stream:
        before = handler.setStream(stream)
        yield stream
        handler.setStream(before)


@pytest.fixture
def lines(written: StringIO) -> Lines:
    """The same as objects; a line that is not a JSON object fails."""
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.fixture(params=["info", "debug"])
def level(environ: dict[str, str], request: pytest.FixtureRequest) -> str:
    environ["IDP_LOG_LEVEL"] = request.param
    return str(request.param)


def test_a_whole_run_logs_no_secret(level: str, app: Flask, written: StringIO) -> None:
    secrets = a_whole_run(app)
    assert logging.getLogger().level == getattr(logging, level.upper())
    found = [json.loads(line) for line in written.getvalue().splitlines()]
    assert len(found) >= 8
    for line in found:
        assert {"event", "level", "timestamp", "logger"} <= set(line)
        assert re.fullmatch(r"[2-9A-HJ-NP-Z]{10}", line["request_id"]), line
    for what, secret in secrets.items():
        assert secret not in written.getvalue(), what


def test_the_proxys_log_holds_no_mailed_link(app: Flask) -> None:
    """nginx is not here to ask: its patterns are read, which Python understands but for a letter."""
    site = (Path(__file__).parents[3] / "deploy" / "nginx.conf").read_text()
    pattern = re.findall(r'^ +"~(\S+)" "\$kept\.\.\.";$', site, re.MULTILINE)[0].replace("?<", "?P<")
    quiet = re.findall(r"location ~ (\S+) \{\n +error_log \S+ crit;", site)[0]
    assert "$request_uri " not in site.split("log_format idp")[1].split(";")[0]
    links = [rule for rule in app.url_map.iter_rules() if "token" in rule.arguments]
    assert len(links) == 2
    for rule in links:
        path = rule.rule.replace("<token>", "0123abcd" * 8) + "?email=anna@example.se"
        masked = re.match(pattern, path)
        assert masked
        assert masked["kept"] == rule.rule.removesuffix("<token>")
        assert re.match(quiet, path)
    assert not re.match(pattern, "/password/reset/sent?uid=" + "x" * 43)


def a_whole_run(app: Flask) -> dict[str, str]:
    """Logins, exchanges and all sorts of failures; gives what must not be logged."""
    with app.app_context():
        make_user()
    rp = RelyingParty(app, app.test_client())
    rp.log_in(email="feltypad@example.se", password="gissat-lösenord-1")
    rp.log_in(password="gissat-lösenord-2")
    rp.browser.post("/login/password", data={"password": "gissat-lösenord-3"}, **HTTPS)
    answer = rp.answer(rp.log_in())
    rp.exchange(answer["code"], code_verifier="x" * 43)
    rp.exchange(answer["code"], basic=("portal", "gissad-hemlighet"))
    rp.exchange(answer["code"], basic=None, client_id="portal", client_secret="gissad-hemlighet")
    tokens = rp.exchange(answer["code"])
    assert tokens.status == 200
    assert rp.userinfo(tokens.access_token).status_code == 200
    rp.userinfo(tokens.access_token + "x")
    rp.exchange(answer["code"])
    rp.userinfo(tokens.access_token)
    rp.authorize(redirect_uri="https://evil.example.se/cb")
    rp.authorize(client_id="unknown")
    rp.authorize(response_type="token")
    rp.authorize(prompt="none", id_token_hint=tokens.id_token + "x")
    rp.browser.get("/nowhere", **HTTPS)
    rp.browser.get(f"/end_session?id_token_hint={tokens.id_token}x&post_logout_redirect_uri=x", **HTTPS)
    cookies = {
        name: found.value
        for name in ("__Host-idp_session", "__Host-idp_browser")
        if (found := rp.browser.get_cookie(name, "login.example.se"))
    }
    assert len(cookies) == 2
    with rp.browser.session_transaction(**HTTPS) as session:
        browser = session["browser"]
    return {
        "password": PASSWORD,
        "guessed passwords": "gissat-l",
        "password, escaped": json.dumps(PASSWORD).strip('"'),
        "address of a failed login": "feltypad",
        "client secret": SECRET,
        "client secret in Basic": basic_value("portal", SECRET),
        "guessed client secret": "gissad-hemlighet",
        "code": answer["code"],
        "code verifier": VERIFIER,
        "access token": tokens.access_token,
        "ID token": tokens.id_token,
        "signature of the ID token": tokens.id_token.rpartition(".")[2],
        "browser's own value": browser,
        "our own key": "0123456789abcdef0123456789abcdef",
        **cookies,
    }


def test_the_reference_on_the_page_finds_the_line(app: Flask, lines: Lines) -> None:
    page = app.test_client().get("/nowhere", **HTTPS)
    (line,) = lines()
    reference = re.findall(r'id="error-reference">([^<]+)<', page.text)[0]
    assert line["request_id"] == reference == page.headers["X-Request-ID"]
    assert (line["code"], line["status"], line["path"]) == ("not_found", 404, "/nowhere")
    assert line["level"] == "warning"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/login/nowhere/password", "unknown"),
        ("/authorize?client_id=portal&request_uri=urn:ietf:params:oauth:request_uri:x", "expired"),
    ],
)
def test_a_login_that_is_over_has_a_reference_too(app: Flask, lines: Lines, path: str, reason: str) -> None:
    page = app.test_client().get(path, **HTTPS)
    (line,) = lines()
    assert 'id="error-page"' in page.text
    assert re.findall(r'id="error-reference">([^<]+)<', page.text) == [line["request_id"]]
    assert (line["event"], line["reason"]) == ("login_over", reason)


def test_every_request_has_an_id_of_its_own(app: Flask, lines: Lines) -> None:
    for _ in range(3):
        app.test_client().get("/nowhere", **HTTPS)
    assert len({line["request_id"] for line in lines()}) == 3


def test_an_unexpected_error_is_logged_with_where_and_shown_without(
    app: Flask, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> str:
        raise RuntimeError("detail for operators")

    monkeypatch.setitem(app.view_functions, "login.direct", broken)
    page = app.test_client().get("/login", **HTTPS)
    assert page.status_code == 500
    assert "Något gick fel" in page.text
    assert "detail for operators" not in page.text
    assert "Traceback" not in page.text
    (line,) = lines()
    assert (line["event"], line["kind"], line["level"]) == ("unexpected_error", "RuntimeError", "error")
    assert "in broken" in line["exception"]


def test_typed_text_cannot_forge_a_line(app: Flask, written: StringIO) -> None:
    app.test_client().get("/x%0a%7b%22event%22%3a%22forged%22%7d", **HTTPS)
    assert len(written.getvalue().splitlines()) == 1
    assert json.loads(written.getvalue())["event"] == "refused"


@pytest.fixture
def text_logs(environ: dict[str, str]) -> None:
    environ["IDP_LOG_FORMAT"] = "text"


def test_a_terminal_gets_text_for_people(text_logs: None, app: Flask, written: StringIO) -> None:
    app.test_client().get("/nowhere", **HTTPS)
    (line,) = written.getvalue().splitlines()
    assert "event='refused'" in line
    assert "code='not_found'" in line


def test_lines_outside_a_request_have_no_id(app: Flask, lines: Lines) -> None:
    structlog.get_logger("idp.test").warning("hello", number=1)
    (line,) = lines()
    assert (line["event"], line["number"], line["logger"]) == ("hello", 1, "idp.test")
    assert "request_id" not in line
