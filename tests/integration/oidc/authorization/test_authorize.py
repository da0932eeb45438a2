"""The authorization endpoint answers only where a client is registered (OIDC Core §3.1.2)."""

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from tests.factories import PASSWORD, make_client, make_public_client
from tests.fakes.relying_party import HTTPS, RelyingParty, query_of

ISSUER = "https://login.example.se"
on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For refusals that are made before the database is asked."""


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(),
        "query": make_client(redirect_uris=["https://query.example.se/cb?tenant=7&x=%20"]),
        "native": make_public_client(
            application_type="native", redirect_uris=["http://127.0.0.1/cb", "com.example.app:/cb"]
        ),
        "bankid-only": make_client(login_methods=["bankid"]),
    }


def posted_fields(page: TestResponse) -> dict[str, str]:
    """The hidden fields of the form that posts itself to the client."""
    form = page.text.split('id="form-post"')[1].split("</form>")[0]
    pairs = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form)
    return {html.unescape(name): html.unescape(value) for name, value in pairs}


def is_error_page(response: TestResponse, status: int = 400) -> bool:
    return (
        response.status_code == status
        and 'id="error-page"' in response.text
        and 'id="error-reference"' in response.text
        and "Location" not in response.headers
        and "Traceback" not in response.text
    )


def test_the_answer_goes_to_the_client_with_code_state_and_issuer(rp: RelyingParty, anna: str) -> None:
    response = rp.log_in()
    assert response.status_code == 303
    assert response.headers["Location"].startswith("https://portal.example.se/cb?")
    assert response.headers["Cache-Control"] == "no-store"
    answer = rp.answer(response)
    assert set(answer) == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == ("the-state", ISSUER)
    assert len(answer["code"]) >= 22  # 128 bits in base64url


def test_a_session_answers_at_once_and_each_time_anew(rp: RelyingParty, anna: str) -> None:
    first = rp.code()
    again = rp.authorize()
    assert rp.answer(again)["code"] != first


@on_sqlite_only
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_errors_go_back_to_the_client_once_it_is_known(
    rp: RelyingParty, method: str, subtests: pytest.Subtests
) -> None:
    for changes, error in (
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "email"}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"id_token_hint": "eyJhbGciOiJub25lIn0.e30."}, "invalid_request"),
        ({"request": "eyJhbGciOiJub25lIn0.e30."}, "invalid_request_object"),
        ({"request_uri": "urn:example:1"}, "request_uri_not_supported"),
    ):
        with subtests.test(str(changes)):
            response = rp.authorize(method, **changes)
            answer = rp.answer(response)
            assert response.headers["Location"].startswith("https://portal.example.se/cb?")
            assert set(answer) == {"error", "error_description", "state", "iss"}
            assert (answer["error"], answer["state"], answer["iss"]) == (error, "the-state", ISSUER)


@on_sqlite_only
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_errors_before_client_and_redirect_uri_hold_are_not_redirected(
    rp: RelyingParty, method: str, subtests: pytest.Subtests
) -> None:
    for changes in (
        {"client_id": None},
        {"client_id": "nobody"},
        {"client_id": "PORTAL"},
        {"client_id": "portal\x00"},
        {"redirect_uri": None},
        {"redirect_uri": "https://portal.example.se/cb/"},
        {"redirect_uri": "https://portal.example.se/CB"},
        {"redirect_uri": "https://portal.example.se:8443/cb"},
        {"redirect_uri": "https://portal.example.se/cb?x=1"},
        {"redirect_uri": "https://portal.example.se/cb#f"},
        {"redirect_uri": "https://portal.example.se@evil.example/cb"},
        {"redirect_uri": "https://portal.example.se%2eevil.example/cb"},
        {"redirect_uri": "https://query.example.se/cb?tenant=7&x=%20"},  # another client's
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "https://evil.example/\r\nSet-Cookie: a=b"},
        {"response_mode": "form_post", "redirect_uri": "https://evil.example/"},
    ):
        with subtests.test(str(changes)):
            response = rp.authorize(method, **changes)
            assert is_error_page(response)
            assert "evil.example" not in response.headers["Content-Security-Policy"]
            assert 'action="https://' not in response.text
            assert "details" not in re.findall(r"<(\w+) class=\"developer\"", response.text)


@on_sqlite_only
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_duplicate_parameters_are_refused(rp: RelyingParty, browser: FlaskClient, method: str) -> None:
    def send(name: str, value: str) -> TestResponse:
        body = urlencode([*rp.parameters().items(), (name, value)])
        if method == "GET":
            return browser.get(f"/authorize?{body}", **HTTPS)
        form = "application/x-www-form-urlencoded"
        return browser.post("/authorize", data=body, content_type=form, **HTTPS)

    assert is_error_page(send("client_id", "portal"))
    assert is_error_page(send("redirect_uri", "https://evil.example/"))
    assert rp.answer(send("scope", "openid"))["error"] == "invalid_request"
    answer = rp.answer(send("state", "another"))
    assert (answer["error"], "state" in answer) == ("invalid_request", False)
    assert send("unheard_of", "1").headers["Location"].startswith("/")


@on_sqlite_only
def test_state_comes_back_as_it_was(rp: RelyingParty, subtests: pytest.Subtests) -> None:
    for state in (
        "plain",
        "åäö 漢字 🙂",
        "\"'<script>alert(1)</script>&amp;%00",
        "s" * 2000,
        "a=b&c=d&iss=https://evil.example#x?y",
        "  outer space  ",
        "+%2B%20",
    ):
        for response_mode in ("query", "form_post"):
            with subtests.test(f"{state[:40]} by {response_mode}"):
                response = rp.authorize(prompt="none", state=state, response_mode=response_mode)
                answer = rp.answer(response) if response_mode == "query" else posted_fields(response)
                assert (answer["error"], answer["state"], answer["iss"]) == ("login_required", state, ISSUER)


@on_sqlite_only
def test_an_empty_or_missing_state_is_not_sent_back(rp: RelyingParty) -> None:
    assert "state" not in rp.answer(rp.authorize(prompt="none", state=None))
    assert "state" not in rp.answer(rp.authorize(prompt="none", state=""))


@on_sqlite_only
def test_control_characters_in_state_or_nonce_are_refused(rp: RelyingParty) -> None:
    for name in ("state", "nonce"):
        for value in ("a\x00b", "a\r\nSet-Cookie: x=y"):
            answer = rp.answer(rp.authorize(**{name: value}))
            assert answer["error"] == "invalid_request"
            assert answer["iss"] == ISSUER


def test_a_redirect_uri_keeps_its_own_query(app: Flask, browser: FlaskClient, anna: str) -> None:
    rp = RelyingParty(app, browser, "query", "https://query.example.se/cb?tenant=7&x=%20")
    location = rp.log_in().headers["Location"]
    assert location.startswith("https://query.example.se/cb?tenant=7&x=%20&code=")
    assert set(parse_qs(urlsplit(location).query)) == {"tenant", "x", "code", "state", "iss"}
    code = parse_qs(urlsplit(location).query)["code"][0]
    assert rp.exchange(code).status == 200


def test_a_native_client_is_answered_on_the_port_it_chose(
    app: Flask, browser: FlaskClient, anna: str
) -> None:
    rp = RelyingParty(app, browser, "native", "http://127.0.0.1:49152/cb", None)
    response = rp.log_in()
    assert response.headers["Location"].startswith("http://127.0.0.1:49152/cb?code=")
    code = query_of(response)["code"][0]
    assert rp.exchange(code, redirect_uri="http://127.0.0.1:49153/cb").error == "invalid_grant"
    assert rp.exchange(code).status == 200


def test_form_post_sends_the_answer_in_a_form(rp: RelyingParty, anna: str) -> None:
    page = rp.log_in(response_mode="form_post", state='"><script>å')
    assert page.status_code == 200
    assert 'method="post" action="https://portal.example.se/cb"' in page.text
    fields = posted_fields(page)
    assert set(fields) == {"code", "state", "iss"}
    assert (fields["state"], fields["iss"]) == ('"><script>å', ISSUER)
    assert "<script>" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "form-action 'self' https://portal.example.se" in policy
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert rp.exchange(fields["code"]).status == 200


def test_form_post_sends_errors_too(rp: RelyingParty) -> None:
    fields = posted_fields(rp.authorize(response_mode="form_post", prompt="none"))
    assert set(fields) == {"error", "error_description", "state", "iss"}
    assert fields["error"] == "login_required"


def test_a_posted_request_works_with_and_without_the_browsers_cookies(
    app: Flask, rp: RelyingParty, anna: str
) -> None:
    rp.code()
    own = rp.follow(rp.authorize("POST", prompt="none"))
    assert set(rp.answer(own)) == {"code", "state", "iss"}
    # From another site the POST comes without SameSite cookies; the GET it is sent on to has them.
    stripped = app.test_client().post("/authorize", data=rp.parameters(prompt="none"), **HTTPS)
    assert stripped.status_code == 303
    assert set(rp.answer(rp.follow(stripped))) == {"code", "state", "iss"}


def test_a_posted_request_leads_to_the_login(rp: RelyingParty, anna: str) -> None:
    page = rp.follow(rp.authorize("POST", login_hint="anna@example.se"))
    assert 'id="login-form"' in page.text
    answer = rp.answer(rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD)))
    assert rp.exchange(answer["code"]).status == 200


@on_sqlite_only
def test_a_posted_request_is_read_from_the_body_alone(rp: RelyingParty, browser: FlaskClient) -> None:
    assert is_error_page(browser.post(f"/authorize?{urlencode(rp.parameters())}", **HTTPS))
    assert is_error_page(browser.post("/authorize", json=rp.parameters(), **HTTPS))


@on_sqlite_only
def test_bytes_that_are_not_utf8_are_answered_not_tripped_over(app: Flask, rp: RelyingParty) -> None:
    def raw(query: bytes = b"", body: bytes = b"", path: str = "/authorize") -> tuple[int, str]:
        builder = EnvironBuilder(path, method="POST" if body else "GET", data=body or None, **HTTPS)
        environ = builder.get_environ()
        environ["QUERY_STRING"] = query.decode("latin-1")
        if body:
            environ["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
        chunks, status, headers = run_wsgi_app(app, environ)
        return int(status[:3]), headers.get("Location", "") or b"".join(chunks).decode()

    valid = urlencode(rp.parameters(state=None)).encode()
    for query in (b"client_id=\xff\xfe", b"client_id=%FF%FE", b"\xff"):
        status, text = raw(query)
        assert (status, 'id="error-page"' in text) == (400, True)
    for state in (b"&state=\xff", b"&state=%ff"):
        status, location = raw(valid + state + b"&prompt=none")
        assert (status, location.startswith("https://portal.example.se/cb?error=")) == (303, True)
    for state in (b"&state=\xff", b"&state=%ff"):
        status, location = raw(body=valid + state)
        assert (status, "error=invalid_request" in location, "state=" in location) == (303, True, False)
    assert raw(b"\xc3\xa5=1", path="/nowhere")[0] == 404
    assert raw(b"\xff", path="/healthz")[0] == 200


@on_sqlite_only
def test_an_oversized_body_gets_a_page(rp: RelyingParty) -> None:
    assert is_error_page(rp.authorize("POST", login_hint="x" * 100_000), 413)


@on_sqlite_only
def test_a_login_hint_is_filled_in_and_escaped(rp: RelyingParty) -> None:
    hint = 'anna"><script>alert(1)</script>@example.se'
    page = rp.follow(rp.authorize(login_hint=hint))
    assert f'value="{html.escape(hint)}"'.replace("&quot;", "&#34;") in page.text
    assert "<script>alert" not in page.text


@on_sqlite_only
def test_ui_locales_choose_the_language(rp: RelyingParty, subtests: pytest.Subtests) -> None:
    for ui_locales, language in (
        ("en", "en"),
        ("fr en-GB sv", "en"),
        ("sv en", "sv"),
        ("xx", "sv"),
        ("../../etc <b>", "sv"),
    ):
        with subtests.test(ui_locales):
            page = rp.follow(rp.authorize(ui_locales=ui_locales))
            assert f'<html lang="{language}">' in page.text


@on_sqlite_only
def test_the_login_page_names_the_client_in_its_language(rp: RelyingParty) -> None:
    assert "<strong>Portalen</strong>" in rp.follow(rp.authorize()).text
    assert "<strong>The portal</strong>" in rp.follow(rp.authorize(ui_locales="en")).text


@on_sqlite_only
def test_the_login_page_may_post_on_to_the_client_and_nowhere_else(rp: RelyingParty) -> None:
    policy = rp.follow(rp.authorize()).headers["Content-Security-Policy"]
    form_action = policy.split("form-action ")[1].split(";")[0]
    assert form_action == "'self' https://portal.example.se"


@on_sqlite_only
def test_a_client_whose_methods_are_not_there_gets_a_clear_page(app: Flask, browser: FlaskClient) -> None:
    rp = RelyingParty(app, browser, "bankid-only")
    assert is_error_page(rp.follow(rp.authorize()))
    assert rp.answer(rp.authorize(prompt="none"))["error"] == "login_required"


def test_a_login_by_a_method_the_client_does_not_take_does_not_count(rp: RelyingParty, anna: str) -> None:
    rp.code()
    other = RelyingParty(rp.app, rp.browser, "bankid-only")
    assert other.answer(other.authorize(prompt="none"))["error"] == "login_required"
    assert is_error_page(other.follow(other.authorize()))
