"""A person logs in by e-mail and password, and refusals give nothing away."""

import re

import pytest
from flask import Flask
from time_machine import Traveller
from werkzeug.test import TestResponse

from idp import audit
from idp.clock import utcnow
from idp.users import accounts
from tests.factories import PASSWORD, make_user
from tests.fakes.hash_work import count_hashes
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.password.attempts import attempt, bcrypt_2y, stored_hash

HOUR = 3600
FORM = "application/x-www-form-urlencoded"


def neutral(page: TestResponse) -> list[str]:
    """A page's lines without what differs in any two: tokens, ids, the address as typed."""
    text = re.sub(r'name="csrf_token" value="[^"]+"', "", page.text)
    text = re.sub(r"([/=])[\w-]{43}(?![\w-])", r"\1UID", text)
    return re.sub(r'value="[^"]*@[^"]*"', 'value="EMAIL"', text).splitlines()


# Refusals


def make_the_refused(app: Flask) -> dict[str, tuple[str, str]]:
    """What is typed by those who are to be told nothing."""
    with app.app_context():
        make_user()
        make_user(email="utan@example.se", password=None)
        blocked = make_user(email="spärrad@example.se")
        accounts.disable(blocked.id, now=utcnow())
        make_user(email="bcrypt@example.se", password_hash=bcrypt_2y(PASSWORD))
        gone = make_user(email="bcrypt-av@example.se", password_hash=bcrypt_2y(PASSWORD))
        accounts.disable(gone.id, now=utcnow())
    return {
        "unknown address": ("okänd@example.se", PASSWORD),
        "wrong password": ("anna@example.se", "fel lösenord här"),
        "wrong password, older hash": ("bcrypt@example.se", "fel lösenord här"),
        "no password set": ("utan@example.se", PASSWORD),
        "no password set, none typed": ("utan@example.se", ""),
        "disabled account": ("spärrad@example.se", PASSWORD),
        "disabled account, wrong password": ("spärrad@example.se", "fel lösenord här"),
        "no password typed": ("anna@example.se", ""),
        "no address": ("@", PASSWORD),
    }


def test_every_refusal_says_and_costs_the_same(
    app: Flask, rp: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = make_the_refused(app)
    attempt(rp, "nobody@example.se", "x")  # looks for older hashes, once a minute
    computed = count_hashes(monkeypatch)
    pages, costs = {}, {}
    for why, (email, password) in refused.items():
        computed.clear()
        page = attempt(rp, email, password)
        pages[why] = (page.status_code, neutral(page), sorted(set(page.headers.keys())))
        costs[why] = sorted(computed)
    assert any('id="login-error"' in line and "Fel e-post" in line for line in pages["wrong password"][1])
    for why, (status, lines, headers) in pages.items():
        assert lines == pages["wrong password"][1], why
        assert (status, headers) == (401, pages["wrong password"][2])
    assert costs == {why: ["argon2", "bcrypt"] for why in refused}


def test_a_disabled_account_with_an_older_hash_tells_nothing(app: Flask, rp: RelyingParty) -> None:
    refused = make_the_refused(app)
    wrong = attempt(rp, *refused["wrong password"])
    disabled = attempt(rp, "bcrypt-av@example.se", PASSWORD)
    assert neutral(disabled) == neutral(wrong)
    assert disabled.status_code == 401
    assert stored_hash(app, "bcrypt-av@example.se") is not None
    assert str(stored_hash(app, "bcrypt-av@example.se")).startswith("$2y$"), "nothing happened to it"


def test_a_stored_text_that_is_no_hash_opens_nothing(app: Flask, rp: RelyingParty, anna: str) -> None:
    with app.app_context():
        make_user(email="trasig@example.se", password_hash="!")
    assert attempt(rp, "trasig@example.se", "!").status_code == 401
    assert "code" in rp.answer(rp.log_in()), "and shuts nobody else out"


def test_a_refusal_is_audited_without_what_was_typed(app: Flask, rp: RelyingParty, anna: str) -> None:
    attempt(rp, "anna@example.se", "hemligt-0815")
    attempt(rp, "okand-0815@example.se", "hemligt-0815")
    with app.app_context():
        known, unknown = reversed(audit.newest(2))
        assert (known.event, str(known.user_id)) == ("login.failed", anna)
        assert (unknown.event, unknown.user_id) == ("login.failed", None)
        for row in (known, unknown):
            assert row.address == "127.0.0.1"
            assert row.request_id
            assert "0815" not in str(row.__dict__)


def test_the_typed_address_comes_back_escaped_and_the_password_never(rp: RelyingParty, anna: str) -> None:
    page = attempt(rp, "\"><script>alert('1')</script>&amp;@x.se", "hemligt-0815")
    assert page.status_code == 401
    assert "<script>alert" not in page.text
    shown = 'value="&#34;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;@x.se"'
    assert shown in page.text
    assert "hemligt-0815" not in page.text


def test_a_refusal_logs_nobody_in_and_keeps_the_request(rp: RelyingParty, anna: str) -> None:
    page = attempt(rp, "anna@example.se", "fel")
    assert "__Host-idp_session" not in page.headers.get("Set-Cookie", "")
    assert "code" in rp.answer(rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD)))


ODD_BODIES = {
    "a NUL in the address": b"email=anna%00%40example.se&password=x",
    "a NUL in the password": b"email=anna%40example.se&password=%00",
    "lone surrogates": b"email=%ED%A0%80%40x.se&password=%ED%A0%80",
    "not UTF-8": b"email=%FF%FE&password=%FF",
    "not UTF-8, and not escaped": b"email=\xff\xfe&password=\xff",
    "no fields": b"x=1",
    "only an address": b"email=anna%40example.se",
    "a password of 60 kB": b"email=anna%40example.se&password=" + b"x" * 60_000,
    "an address of 60 kB": b"password=x&email=" + b"x" * 60_000,
    "fields twice, the wrong first": b"email=a%40x.se&email=anna%40example.se&password=x&password=y",
    "line breaks": b"email=anna%40example.se%0d%0aX-Evil:1&password=%0d%0a",
}


@pytest.mark.parametrize("kind", ODD_BODIES)
def test_odd_input_is_a_wrong_password(rp: RelyingParty, anna: str, kind: str) -> None:
    page = rp.follow(rp.authorize())
    token = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)[0]
    body = ODD_BODIES[kind] + b"&csrf_token=" + token.encode()
    answer = rp.browser.post(page.request.path, data=body, content_type=FORM, **HTTPS)
    assert answer.status_code == 401
    assert "Fel e-postadress eller lösenord." in answer.text


def test_a_body_too_large_gets_a_page(rp: RelyingParty, anna: str) -> None:
    page = rp.follow(rp.authorize())
    answer = rp.submit(page, email="anna@example.se", password="x" * 100_000)
    assert answer.status_code == 413
    assert "Begäran är för stor" in answer.text
    assert 'id="error-reference"' in answer.text


# Addresses


@pytest.mark.parametrize(
    ("registered", "typed"),
    [
        ("anna@example.se", "Anna@Example.SE"),
        ("Anna.Asen@Example.se", "anna.asen@example.se"),
        ("anna@example.se", "  anna@example.se\t"),
        ("anna+portal@example.se", "anna+portal@example.se"),
        ("o'connor@example.se", "O'Connor@example.se"),
        ("anna.åsén@example.se", "ANNA.ÅSÉN@example.se"),
        ("anna.åsén@example.se", "anna.a\u030ase\u0301n@example.se"),
        ("anna@återförsäljare.se", "anna@återförsäljare.se"),
        ("anna@återförsäljare.se", "anna@xn--terfrsljare-q8ag6v.se"),
        ("anna@xn--terfrsljare-q8ag6v.se", "anna@Återförsäljare.se"),
    ],
)
def test_an_address_is_known_however_it_is_written(
    app: Flask, rp: RelyingParty, registered: str, typed: str
) -> None:
    with app.app_context():
        make_user(email=registered)
    assert "code" in rp.answer(rp.log_in(email=typed))


@pytest.mark.parametrize("typed", ["anna@example.se.", "anna@example.s", "annna@example.se", "anna", "%"])
def test_another_address_is_another(rp: RelyingParty, anna: str, typed: str) -> None:
    assert attempt(rp, typed, PASSWORD).status_code == 401


# CSRF


def csrf_page(rp: RelyingParty) -> tuple[str, dict[str, str]]:
    """The login form's address and its valid fields."""
    page = rp.follow(rp.authorize())
    token = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)[0]
    return page.request.path, {"email": "anna@example.se", "password": PASSWORD, "csrf_token": token}


def test_the_form_needs_its_token(rp: RelyingParty, anna: str) -> None:
    path, fields = csrf_page(rp)
    # Not the last character: some of its bits belong to nothing.
    tampered = fields["csrf_token"][:-9].swapcase() + fields["csrf_token"][-9:]
    for token in (None, "", "x", tampered):
        sent = {**fields, "csrf_token": token} if token is not None else {"email": fields["email"]}
        answer = rp.browser.post(path, data=sent, **HTTPS)
        assert answer.status_code == 400
        assert "Formuläret har blivit för gammalt" in answer.text
        assert re.search(r'id="error-reference">[2-9A-Z]{10}<', answer.text)
        assert "__Host-idp_session" not in answer.headers.get("Set-Cookie", "")
    assert rp.browser.post(path, data=fields, **HTTPS).status_code == 303


def test_a_token_of_another_browser_does_not_count(app: Flask, rp: RelyingParty, anna: str) -> None:
    path, _ = csrf_page(rp)
    _, foreign = csrf_page(RelyingParty(app, app.test_client()))
    answer = rp.browser.post(path, data=foreign, **HTTPS)
    assert answer.status_code == 400
    assert "Formuläret har blivit för gammalt" in answer.text


def test_a_form_lives_twelve_hours(rp: RelyingParty, anna: str, clock: Traveller) -> None:
    page = rp.browser.get("/login/password", **HTTPS)
    clock.shift(12 * HOUR)
    assert rp.submit(page, email="anna@example.se", password=PASSWORD).status_code == 303
    clock.shift(1)
    assert rp.submit(page, email="anna@example.se", password=PASSWORD).status_code == 400


def test_a_direct_login_leads_to_the_account_page(rp: RelyingParty, anna: str) -> None:
    page = rp.follow(rp.browser.get("/login", **HTTPS))
    assert 'id="login-form"' in page.text
    account = rp.follow(rp.submit(page, email="anna@example.se", password=PASSWORD))
    assert account.request.path == "/account"
    assert "Anna Åsén" in account.text
    assert 'id="account-icon"' in account.text
