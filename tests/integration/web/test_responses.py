"""Every response carries its protections, and the general pages work."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, request
from flask.testing import FlaskClient

from idp.db import db
from idp.web.cookies import LazyCookieSession
from tests.fakes.relying_party import HTTPS, RelyingParty

PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
STATIC = Path(__file__).parents[3] / "idp" / "static"


@pytest.fixture
def database_url() -> str:
    return "sqlite://"


def page_at(rp: RelyingParty, name: str) -> Any:
    """One of the pages there are, by a name for it."""
    if name == "login":
        return rp.follow(rp.authorize())
    if name == "direct login":
        return rp.browser.get("/login/password", **HTTPS)
    if name == "wrong password":
        return rp.submit(rp.follow(rp.authorize()), email="x@example.se", password="fel")
    if name == "logged out":
        return rp.browser.get("/logout", **HTTPS)
    if name == "over":
        return rp.browser.get("/login/" + "x" * 43, **HTTPS)
    if name == "unknown client":
        return rp.authorize(client_id="unknown")
    if name == "not found":
        return rp.browser.get("/nowhere", **HTTPS)
    if name == "no CSRF token":
        return rp.browser.post("/login/password", **HTTPS)
    rp.log_in()
    return rp.browser.get({"account": "/account", "logout": "/logout"}[name], **HTTPS)


PAGES = {
    "login": 200,
    "direct login": 200,
    "wrong password": 401,
    "logged out": 200,
    "over": 404,
    "unknown client": 400,
    "not found": 404,
    "no CSRF token": 400,
    "account": 200,
    "logout": 200,
}


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_protected_by_its_headers(rp: RelyingParty, anna: str, name: str) -> None:
    page = page_at(rp, name)
    assert page.status_code == PAGES[name]
    assert page.mimetype == "text/html"
    headers = page.headers
    assert headers["Content-Security-Policy"].startswith(PAGE_CSP)
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Strict-Transport-Security"] == "max-age=63072000"
    assert "camera=()" in headers["Permissions-Policy"]
    assert re.fullmatch(r"[2-9A-HJ-NP-Z]{10}", headers["X-Request-ID"])
    assert set(headers["Vary"].split(", ")) == {"Cookie", "Accept-Language"}


@pytest.mark.parametrize("name", PAGES)
def test_no_page_needs_what_its_policy_forbids(rp: RelyingParty, anna: str, name: str) -> None:
    text = page_at(rp, name).text
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:", text)
    for found in re.findall(r'(?:src|href|action)="([^"]*)"', text):
        external = found.startswith(("https://portal.example.se", "https://spa.example.se"))
        assert external or found.startswith(("/", "?", "#", "mailto:", "tel:")) or found == "", found
        assert not found.startswith("//")


def test_forms_may_lead_back_to_the_relying_app_only_while_it_waits(rp: RelyingParty) -> None:
    waiting = page_at(rp, "login").headers["Content-Security-Policy"]
    assert waiting == f"{PAGE_CSP} https://portal.example.se"
    assert page_at(rp, "direct login").headers["Content-Security-Policy"] == PAGE_CSP


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/brand.css", "/jwks", "/.well-known/openid-configuration"]
)
def test_machine_answers_are_protected_too(browser: FlaskClient, path: str) -> None:
    response = browser.get(path, **HTTPS)
    assert response.status_code == 200
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in response.headers


def test_hsts_is_not_sent_without_tls(environ: dict[str, str], request: Any) -> None:
    environ["IDP_ISSUER"] = "http://localhost:8000"
    page = request.getfixturevalue("browser").get("/login/password")
    assert "Strict-Transport-Security" not in page.headers


# Files


def test_the_brand_is_a_style_sheet(environ: dict[str, str], request: Any) -> None:
    environ.update({"IDP_BRAND_COLOUR": "#123456", "IDP_BRAND_COLOUR_DARK": "#abcdef"})
    response = request.getfixturevalue("browser").get("/brand.css", **HTTPS)
    assert response.text == ":root{--brand:#123456;--brand-dark:#abcdef}\n"
    assert response.mimetype == "text/css"
    assert response.headers["Cache-Control"] == "max-age=3600"


def test_the_brand_is_on_every_page(environ: dict[str, str], tmp_path: Path, request: Any) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    environ.update(
        {
            "IDP_BRAND_NAME": "Exempel & <Co>",
            "IDP_BRAND_LOGO": str(logo),
            "IDP_BRAND_SUPPORT_EMAIL": "hjalp@example.se",
            "IDP_BRAND_SUPPORT_PHONE": "08-123 45 67",
        }
    )
    browser = request.getfixturevalue("browser")
    page = browser.get("/login/password", **HTTPS).text
    assert "Exempel &amp; &lt;Co&gt;" in page
    assert 'href="mailto:hjalp@example.se"' in page
    assert 'href="tel:081234567"' in page
    assert 'src="/brand/logo"' in page
    shown = browser.get("/brand/logo", **HTTPS)
    assert (shown.data, shown.mimetype) == (logo.read_bytes(), "image/svg+xml")
    assert shown.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_pages_without_a_configured_logo_show_none(browser: FlaskClient) -> None:
    assert browser.get("/brand/logo", **HTTPS).status_code == 404


@pytest.mark.parametrize("name", sorted(path.name for path in STATIC.iterdir() if path.is_file()))
def test_static_files_may_be_kept_for_an_hour(browser: FlaskClient, name: str) -> None:
    with browser.get(f"/static/{name}", **HTTPS) as response:
        assert response.status_code == 200
        assert "max-age=3600" in response.headers["Cache-Control"]
    known = {"If-None-Match": response.headers["ETag"]}
    with browser.get(f"/static/{name}", headers=known, **HTTPS) as again:
        assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/", "/static//etc/passwd"]
)
def test_other_paths_are_no_static_files(browser: FlaskClient, path: str) -> None:
    assert browser.get(path, **HTTPS).status_code in (308, 404)


# Health


def test_healthz(browser: FlaskClient) -> None:
    response = browser.get("/healthz", **HTTPS)
    assert (response.status_code, response.text) == (200, "ok\n")
    assert response.headers["Cache-Control"] == "no-store"


def test_readyz(browser: FlaskClient) -> None:
    response = browser.get("/readyz", **HTTPS)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.get_json() == {"ready": True, "keys": "ok", "clients": "ok", "database": "ok"}


def test_a_broken_clients_file_is_told_while_the_old_one_serves(
    rp: RelyingParty, anna: str, clients_file: Path
) -> None:
    clients_file.write_text("clients: {portal: {scope: everything}}")
    response = rp.browser.get("/readyz", **HTTPS)
    assert response.status_code == 200
    told = response.get_json()
    assert told["ready"] is True
    assert any("everything" in problem for problem in told["clients"])
    assert "code" in rp.answer(rp.log_in())
    clients_file.unlink()
    assert rp.browser.get("/readyz", **HTTPS).get_json()["ready"] is True
    assert "code" in rp.answer(rp.log_in())


@pytest.fixture
def broken(app: Flask) -> Iterator[Flask]:
    """The provider after its database has gone."""
    with app.app_context():
        engine = db.engine
        db.drop_all()
    sa.event.listen(engine, "before_cursor_execute", refuse)
    yield app
    sa.event.remove(engine, "before_cursor_execute", refuse)


def refuse(*_arguments: Any) -> None:
    raise sa.exc.OperationalError("SELECT", {}, Exception("hemligt-0815"))


def test_readyz_fails_and_healthz_holds_without_the_database(broken: Flask) -> None:
    browser = broken.test_client()
    response = browser.get("/readyz", **HTTPS)
    assert response.status_code == 503
    assert response.get_json()["database"] == "does not answer"
    assert response.get_json()["ready"] is False
    assert browser.get("/healthz", **HTTPS).status_code == 200


def test_people_get_a_page_without_the_database(broken: Flask) -> None:
    browser = broken.test_client()
    browser.set_cookie("__Host-idp_session", "x" * 43, domain="login.example.se", secure=True)
    response = browser.get("/account", **HTTPS)
    assert response.status_code == 503
    assert "Tjänsten är tillfälligt otillgänglig" in response.text
    assert response.headers["Retry-After"] == "5"
    assert "hemligt-0815" not in response.text


def test_relying_apps_get_json_without_the_database(broken: Flask) -> None:
    browser = broken.test_client()
    response = browser.get("/userinfo", headers={"Authorization": "Bearer x"}, **HTTPS)
    assert response.status_code == 503
    assert response.get_json()["error"] == "temporarily_unavailable"


# Errors


def test_an_unknown_page(browser: FlaskClient) -> None:
    page = browser.get("/nowhere", **HTTPS)
    assert page.status_code == 404
    assert "Sidan finns inte" in page.text
    assert 'id="error-page"' in page.text
    reference = re.findall(r'id="error-reference">([^<]+)<', page.text)
    assert reference == [page.headers["X-Request-ID"]]


@pytest.mark.parametrize(
    "path", ["/login/%00", "/login/%00/password", "/authorize/%00", "/consent/%00", "/%00", "/static/%00"]
)
def test_a_path_with_a_nul_is_no_page(browser: FlaskClient, path: str) -> None:
    page = browser.get(path, **HTTPS)
    assert page.status_code == 404
    assert 'id="error-reference"' in page.text


@pytest.mark.parametrize("path", ["/login", "/account", "/healthz"])
def test_an_unknown_http_method_is_refused(browser: FlaskClient, path: str) -> None:
    page = browser.put(path, **HTTPS)
    assert page.status_code == 405
    assert "GET" in page.headers["Allow"]
    assert "Sidan kan inte öppnas på det sättet" in page.text


@pytest.mark.parametrize("path", ["/token", "/login/password"])
def test_a_body_too_large(browser: FlaskClient, path: str) -> None:
    response = browser.post(path, data={"x": "x" * 70_000}, **HTTPS)
    assert response.status_code == 413
    if path == "/token":
        assert response.get_json()["error"] == "invalid_request"
    else:
        assert "Begäran är för stor" in response.text


def test_too_many_fields(browser: FlaskClient) -> None:
    fields = {f"f{number}": "1" for number in range(200)}
    assert browser.post("/login/password", data=fields, **HTTPS).status_code in (400, 413)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("path", ["/token", "/userinfo", "/jwks"])
def test_endpoints_for_machines_answer_in_json(browser: FlaskClient, path: str, method: str) -> None:
    response = getattr(browser, method)(path, **HTTPS)
    assert response.mimetype == "application/json"
    assert response.get_json() is not None


def test_error_details_are_shown_on_a_try_out_only(
    environ: dict[str, str], clients: dict[str, dict[str, Any]], request: Any
) -> None:
    environ["IDP_ISSUER"] = "http://127.0.0.1:8000"
    page = request.getfixturevalue("browser").get("/authorize?client_id=unknown")
    assert page.status_code == 400
    assert "För utvecklare" in page.text


def test_production_pages_send_developers_to_the_log(browser: FlaskClient) -> None:
    page = browser.get("/authorize?client_id=unknown", **HTTPS)
    assert page.status_code == 400
    assert "För utvecklare" not in page.text


@pytest.mark.usefixtures("anna")
def test_a_browsers_cookie_is_read_when_it_is_needed(
    rp: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    rp.log_in()
    before = rp.browser.get_cookie("__Host-idp_browser", "login.example.se")
    assert before is not None
    read = []
    really = LazyCookieSession.read

    def noting(self: LazyCookieSession) -> dict[str, Any]:
        read.append(request.path)
        return really(self)

    monkeypatch.setattr(LazyCookieSession, "read", noting)
    tokens = rp.exchange(rp.code())
    rp.userinfo(tokens.access_token)
    rp.browser.post("/token", data={"grant_type": "refresh_token"}, **HTTPS)
    assert read == []
    assert rp.browser.get_cookie("__Host-idp_browser", "login.example.se") == before
    rp.browser.get("/account", **HTTPS)
    assert "/account" in read


@pytest.mark.parametrize(
    "ask",
    [
        lambda session: session == {"a": 1},
        lambda session: dict(session) == {"a": 1},
        lambda session: {**session} == {"a": 1},
        lambda session: session["a"] == 1,
        lambda session: session.get("a") == 1,
        lambda session: "a" in session,
        lambda session: bool(session) and len(session) == 1,
        lambda session: list(session) == list(session.keys()) == ["a"],
        lambda session: list(session.items()) == [("a", 1)],
        lambda session: list(session.values()) == [1],
        lambda session: session.pop("a") == 1 and not session and session.modified,
        lambda session: session.popitem() == ("a", 1) and session.modified,
        lambda session: session.setdefault("a", 2) == 1 and not session.modified,
        lambda session: session.update(b=2) is None and session == {"a": 1, "b": 2} and session.modified,
        lambda session: session.clear() is None and not session and session.modified,
    ],
)
def test_the_first_question_to_a_session_reads_its_cookie(
    ask: Callable[[LazyCookieSession], bool],
) -> None:
    session = LazyCookieSession(lambda: {"a": 1})
    assert not session.is_read
    assert ask(session)
    assert session.is_read


def test_a_value_set_first_is_added_to_the_cookies() -> None:
    added, removed = (LazyCookieSession(lambda: {"a": 1, "b": 2}) for _ in range(2))
    added["c"] = 3
    del removed["a"]
    assert (added, removed) == ({"a": 1, "b": 2, "c": 3}, {"b": 2})
    assert added.modified
    assert removed.modified
