"""An error gives a clear page or JSON, and a reference that finds the log line, never a trace."""

import logging
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.db import db
from idp.oidc.models import Grant
from idp.oidc.provider import PROVIDER
from idp.prepared import AloneEngine
from tests.factories import PASSWORD, make_user
from tests.fakes.relying_party import HTTPS, RelyingParty

on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def reference(page: TestResponse) -> str:
    assert 'id="error-page"' in page.text
    found = re.search(r'<code id="error-reference">([A-Z0-9]{10})</code>', page.text)
    assert found
    return found[1]


def logged(caplog: pytest.LogCaptureFixture, request_id: str) -> list[dict[str, Any]]:
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return [line for line in lines if line.get("request_id") == request_id]


def without_trace(answer: TestResponse) -> bool:
    words = (
        "Traceback",
        "sqlalchemy",
        "OperationalError",
        "psycopg",
        "sqlite",
        'File "',
        "SELECT",
        "browser_sess",
    )
    return not any(word in answer.text for word in words)


@on_sqlite_only
def test_the_reference_finds_the_log_line(
    rp: RelyingParty, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    for what, page, fact in (
        ("unknown client", rp.authorize(client_id="nobody"), "nobody"),
        ("redirect_uri", rp.authorize(redirect_uri="https://evil.example/"), "clients.portal.redirect_uris"),
        ("not found", rp.browser.get("/nowhere", **HTTPS), "/nowhere"),
        ("no CSRF token", rp.browser.post("/login/password", **HTTPS), "csrf_failed"),
    ):
        with subtests.test(what):
            lines = logged(caplog, reference(page))
            assert any(fact in str(line) for line in lines)
            assert page.headers["X-Request-ID"] == reference(page)


@on_sqlite_only
def test_production_pages_keep_the_details_to_the_log(rp: RelyingParty) -> None:
    page = rp.authorize(redirect_uri="https://evil.example/")
    assert "https://evil.example" not in page.text
    assert "https://portal.example.se/cb" not in page.text
    assert 'class="developer"' not in page.text


@pytest.fixture
def loopback(environ: dict[str, str], request: pytest.FixtureRequest) -> Flask:
    """The provider as somebody tries it out: on http://127.0.0.1."""
    environ["IDP_ISSUER"] = "http://127.0.0.1:8000"
    app: Flask = request.getfixturevalue("app")
    return app


@on_sqlite_only
def test_a_try_out_shows_the_developer_what_to_change(loopback: Flask) -> None:
    rp = RelyingParty(loopback, loopback.test_client())
    query = rp.parameters(redirect_uri="https://<b>.example/")
    page = loopback.test_client().get("/authorize", query_string=query, base_url="http://127.0.0.1:8000")
    assert page.status_code == 400
    assert "clients.portal.redirect_uris" in page.text
    assert "https://portal.example.se/cb" in page.text
    assert "https://&lt;b&gt;.example/" in page.text
    assert "<b>.example" not in page.text


@on_sqlite_only
def test_every_page_has_its_protections(rp: RelyingParty, browser: FlaskClient) -> None:
    for page in (
        rp.follow(rp.authorize()),
        rp.authorize(client_id="nobody"),
        rp.authorize(prompt="none"),
        browser.get("/login", **HTTPS),
        browser.get("/logout", **HTTPS),
        browser.get("/account", **HTTPS),
        browser.get("/nowhere", **HTTPS),
        browser.put("/authorize", **HTTPS),
        browser.get("/end_session", **HTTPS),
    ):
        assert page.mimetype == "text/html"
        policy = dict(
            part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["form-action"].startswith("'self'")
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Strict-Transport-Security"].startswith("max-age=")
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|javascript:|style=", page.text)


@on_sqlite_only
def test_machine_answers_have_their_protections(browser: FlaskClient) -> None:
    for path in ("/token", "/userinfo", "/jwks", "/.well-known/openid-configuration"):
        answer = browser.open(path, method="POST" if path == "/token" else "GET", **HTTPS)
        assert answer.mimetype == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


@on_sqlite_only
def test_wrong_methods_are_405_and_name_the_right_ones(browser: FlaskClient) -> None:
    for path, allowed in (
        ("/authorize", {"GET", "POST"}),
        ("/authorize/x", {"GET"}),
        ("/login", {"GET"}),
        ("/login/x", {"GET"}),
        ("/login/password", {"GET", "POST"}),
        ("/consent/x", {"GET", "POST"}),
        ("/logout", {"GET", "POST"}),
    ):
        answer = browser.delete(path, **HTTPS)
        assert (answer.status_code, bool(reference(answer))) == (405, True)
        assert set(answer.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == allowed


@on_sqlite_only
def test_unknown_paths_get_the_page_and_no_links_elsewhere(browser: FlaskClient) -> None:
    for path in (
        "/nowhere",
        "/authorize/",
        "/.well-known/x",
        "/%FF",
        "/%00",
        "/\\evil.example/",
        "/..%2f..%2fetc",
    ):
        page = browser.get(path, **HTTPS)
        assert (page.status_code, bool(reference(page))) == (404, True)
        assert "evil.example" not in page.text


TROUBLES = [
    sa.exc.OperationalError("SELECT secret", {}, sqlite3.OperationalError("could not connect")),
    sa.exc.InterfaceError("SELECT secret", {}, sqlite3.InterfaceError("connection already closed")),
    sa.exc.TimeoutError("QueuePool limit of size 8 overflow 8 reached"),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: type(trouble).__name__)
def test_the_database_going_away_is_a_503(
    rp: RelyingParty,
    app: Flask,
    anna: str,
    *,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Exception,
) -> None:
    tokens, code = rp.tokens(), rp.code()
    page = rp.follow(rp.authorize(prompt="login"))

    tries = []

    def away(*_args: object) -> None:
        tries.append(1)
        raise trouble

    with app.app_context():
        engine = db.engine
    sa.event.listen(engine, "before_cursor_execute", away)
    monkeypatch.setattr(AloneEngine, "execute", away)
    try:
        for answer in (
            rp.authorize(),
            rp.authorize("POST"),
            rp.submit(page, email="anna@example.se", password=PASSWORD),
            rp.browser.get(page.request.path, **HTTPS),
            rp.browser.get("/account", **HTTPS),
            rp.browser.get(f"/end_session?id_token_hint={tokens.id_token}", **HTTPS),
        ):
            assert answer.status_code == 503
            assert any(line["event"] == "database_unavailable" for line in logged(caplog, reference(answer)))
            assert without_trace(answer)
            assert int(answer.headers["Retry-After"]) > 0
        assert len(tries) == 6  # the error page did not try once more
        exchanged = rp.exchange(code)
        assert (exchanged.status, exchanged.error) == (503, "temporarily_unavailable")
        read = rp.userinfo(tokens.access_token)
        assert (read.status_code, read.get_json()["error"]) == (503, "temporarily_unavailable")
        assert without_trace(read)
        assert rp.browser.get("/readyz", **HTTPS).status_code == 503
        for path in ("/healthz", "/jwks", "/.well-known/openid-configuration"):
            assert rp.browser.get(path, **HTTPS).status_code == 200
    finally:
        sa.event.remove(engine, "before_cursor_execute", away)
        monkeypatch.undo()
    assert rp.exchange(code).status == 200  # nothing was half done
    assert rp.userinfo(tokens.access_token).status_code == 200
    assert "code" in rp.answer(rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD)))


@on_sqlite_only
@pytest.mark.parametrize("moment", ["statement", "commit"])
def test_a_database_lost_while_a_code_is_exchanged_leaves_nothing_half_written(
    rp: RelyingParty, app: Flask, anna: str, moment: str
) -> None:
    code = rp.code()

    def away(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "access_tokens" in statement:
            raise sa.exc.OperationalError(statement, {}, sqlite3.OperationalError("gone"))

    def no_commit(_connection: object) -> None:
        raise sa.exc.OperationalError("COMMIT", {}, sqlite3.OperationalError("gone"))

    with app.app_context():
        engine = db.engine
    name, listener = ("before_cursor_execute", away) if moment == "statement" else ("commit", no_commit)
    sa.event.listen(engine, name, listener)
    assert rp.exchange(code).status == 503
    sa.event.remove(engine, name, listener)
    assert rp.exchange(code).status == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_connection_lost_in_the_statement_that_exchanges_a_code_leaves_nothing_half_written(
    rp: RelyingParty, anna: str, database_url: str
) -> None:
    code = rp.code()
    with psycopg.connect(database_url, autocommit=True) as administrator:
        administrator.execute("""
            CREATE FUNCTION hang_up() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); RETURN NEW; END';
            CREATE TRIGGER hang_up BEFORE INSERT ON access_tokens FOR EACH ROW EXECUTE FUNCTION hang_up();
        """)
        try:
            assert rp.exchange(code).status == 503
        finally:
            administrator.execute("DROP TRIGGER hang_up ON access_tokens; DROP FUNCTION hang_up")
    assert rp.exchange(code).status == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_connections_that_the_database_has_closed_are_replaced_unseen(
    rp: RelyingParty, anna: str, database_url: str
) -> None:
    code = rp.code()
    with psycopg.connect(database_url) as administrator:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        ended = administrator.execute(
            f"SELECT bool_and(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE {others}"
        )
        assert ended.fetchone() == (True,)
    answered = rp.exchange(code)
    assert answered.status == 200
    assert rp.userinfo(answered.access_token).status_code == 200
    assert rp.browser.get("/account", **HTTPS).status_code == 200


@pytest.fixture
def file_database(environ: dict[str, str], tmp_path: Path) -> Path:
    path = tmp_path / "idp.sqlite3"
    environ["IDP_DATABASE_URL"] = f"sqlite:///{path}"
    return path


@pytest.fixture
def locked_app(file_database: Path, app: Flask) -> Iterator[Flask]:
    """A provider on an SQLite file that waits 20 ms for a lock, not ten seconds."""

    def impatient(connection: sqlite3.Connection, *_rest: object) -> None:
        connection.execute("PRAGMA busy_timeout=20")

    with app.app_context():
        engine = db.engine
        sa.event.listen(engine, "checkout", impatient)
    yield app
    sa.event.remove(engine, "checkout", impatient)


@on_sqlite_only
def test_a_locked_database_is_a_503_and_then_goes_on(locked_app: Flask, file_database: Path) -> None:
    with locked_app.app_context():
        make_user()
    rp = RelyingParty(locked_app, locked_app.test_client())
    page = rp.follow(rp.authorize())
    code = rp.code()
    holder = sqlite3.connect(file_database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        for answer in (rp.authorize(), rp.submit(page, email="anna@example.se", password=PASSWORD)):
            assert (answer.status_code, bool(reference(answer))) == (503, True)
            assert without_trace(answer)
        assert rp.exchange(code).status == 503
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert rp.exchange(code).status == 200
    assert "code" in rp.answer(rp.authorize())
    with locked_app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(Grant)) == 2


@on_sqlite_only
def test_a_missing_table_is_no_trace(rp: RelyingParty, app: Flask, anna: str) -> None:
    with app.app_context():
        Grant.__table__.drop(db.engine)  # type: ignore[attr-defined]
    response = rp.log_in()
    assert (response.status_code, bool(reference(response))) == (503, True)
    assert without_trace(response)


@on_sqlite_only
def test_an_unexpected_error_is_a_page_and_its_trace_is_in_the_log(
    rp: RelyingParty, app: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_client_id: str) -> None:
        raise RuntimeError("a secret inside")

    monkeypatch.setattr(PROVIDER.of(app).clients, "get", broken)
    with caplog.at_level(logging.ERROR):
        page = rp.authorize()
        assert page.status_code == 500
        assert "a secret inside" not in page.text
        assert without_trace(page)
        assert any(line["event"] == "unexpected_error" for line in logged(caplog, reference(page)))
        answer = rp.exchange("x" * 43)
    assert (answer.status, answer.error) == (500, "server_error")
    assert "a secret inside" not in str(answer.body)
