"""Every endpoint answers any input with one of its own pages or errors, never a 5xx."""

from base64 import b64encode
from itertools import product
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idp.oidc.authorization.parameters import MAX_PARAMETER, MAX_REQUEST_OBJECT
from tests.factories import SECRET
from tests.fakes import assertions
from tests.servers.provider import UNLIMITED

EXAMPLES = 1000
MAX_LENGTH = 300
ASKED = (
    *(
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "prompt",
        "max_age",
        "display",
    ),
    *("acr_values", "claims", "login_hint", "id_token_hint", "ui_locales", "claims_locales", "response_mode"),
    *("code_challenge", "code_challenge_method", "request", "request_uri", "registration", "dpop_jkt"),
    *("https://id.oidc.se/param/authnProvider", "https://id.oidc.se/param/userMessage"),
)
PROOF = ("client_id", "client_secret", "client_assertion", "client_assertion_type")
PARAMETERS = {
    "/authorize": ASKED,
    "/par": ASKED + PROOF[1:],
    "/token": (*PROOF, "grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope"),
    "/userinfo": ("access_token",),
    "/introspect": (*PROOF, "token", "token_type_hint"),
    "/revoke": (*PROOF, "token", "token_type_hint"),
    "/end_session": (
        "id_token_hint",
        "client_id",
        "post_logout_redirect_uri",
        "state",
        "ui_locales",
        "logout_hint",
    ),
}
LENGTHS = (MAX_PARAMETER, MAX_PARAMETER + 1, MAX_REQUEST_OBJECT, MAX_REQUEST_OBJECT + 1, 30_000)
PIECES = ("x", "å", "1", "[", "eyJhbGciOiJFUzI1NiJ9.")
BY_BROWSER = ("/authorize", "/end_session")
NAMES = (
    *dict.fromkeys(name for names in PARAMETERS.values() for name in names),
    *("email", "password", "csrf_token", "next", "answer", "cancel", "q", "page"),
)
VALID = {
    "response_type": "code",
    "client_id": "portal",
    "redirect_uri": "https://portal.example.se/cb",
    "scope": "openid",
    "code_challenge": "v" * 43,
    "code_challenge_method": "S256",
    "grant_type": "authorization_code",
}
ODD = (
    *(
        "x",
        "",
        " ",
        "0",
        "-1",
        "1e400",
        "9" * 40,
        "null",
        "true",
        "[]",
        "{}",
        '{"id_token":[]}',
        "{" * 200,
        "[" * 3000,
    ),
    *('{"userinfo":{"sub":{"value":{}}}}', "\x00", "\ud7ff", "\U0010ffff", "%", "%00", "%zz", "å" * 100),
    *(
        "none login",
        "openid openid",
        "a.b.c",
        "....",
        "e30.e30.",
        "eyJhbGciOiJub25lIn0.e30.",
        "http://[",
        "//",
    ),
    *(
        "urn:ietf:params:oauth:request_uri:x",
        assertions.TYPE,
        "refresh_token",
        "client_credentials",
        "\r\nX: y",
    ),
)
TEXT = st.one_of(st.sampled_from(ODD), st.text(max_size=MAX_LENGTH))
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), TEXT), max_size=6)
BYTES = st.one_of(st.just(b""), st.binary(max_size=MAX_LENGTH))
TYPES = (
    *("application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=x", "text/xml"),
    *("application/x-www-form-urlencoded; charset=utf-16", "multipart/form-data", ""),
)
BASIC = b64encode(f"portal:{SECRET}".encode()).decode()
AUTHORIZATION = st.one_of(
    st.just(f"Basic {BASIC}"),
    st.sampled_from(
        ("Basic", "Basic !", "Basic w6U=", "Bearer", "Bearer x", "DPoP x", "Bearer a b", "å", "Basic Og==")
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Authorization": AUTHORIZATION,
        "DPoP": st.sampled_from(("", "x", "a.b.c", "e30.e30.", "eyJhbGciOiJFUzI1NiJ9.e30.AA")),
        "Accept-Language": st.sampled_from(("", "en", "*", "sv;q=x", "å", "en" * 200)),
        "Cookie": st.sampled_from(("session=x", "a=b; a=c", "=", "idp=å", "__Host-idp=" + "x" * 300)),
        "Origin": st.sampled_from(("null", "https://evil.example", "http://[", "")),
        "Forwarded": st.sampled_from(("for=", 'for="[', "for=_x;host=evil")),
        "X-Forwarded-For": st.sampled_from(("", "x", "1.2.3.4, ", "::1")),
    },
)


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    """No limit hides what comes after it."""
    return environ | {f"IDP_LIMIT_{limit}": "100000/second" for limit in UNLIMITED}


def paths(app: Flask) -> list[tuple[str, str]]:
    """Every method and path of the provider; a part that varies stands as a field."""
    found = set()
    for rule in app.url_map.iter_rules():
        for method in rule.methods or ():
            found.add((method, str(rule)))
    return sorted(found)


def path_of(rule: str, part: str) -> str:
    """The rule with something where it varies."""
    pieces = rule.split("<")
    return pieces[0] + "".join(quote(part, safe="") + piece.partition(">")[2] for piece in pieces[1:])


def test_no_request_makes_an_error_of_ours(app: Flask, browser: FlaskClient) -> None:
    rules = paths(app)
    assert len(rules) > 50

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        rule=st.sampled_from(rules),
        part=st.sampled_from(
            ("x", "å", "00000000-0000-4000-8000-000000000000", "a" * 300, "..", "\x00", "sv")
        ),
        based_on_valid=st.booleans(),
        fields=FIELDS,
        body=st.one_of(st.none(), BYTES),
        content_type=st.sampled_from(TYPES),
        headers=HEADERS,
    )
    def fuzz(  # noqa: PLR0917 - hypothesis hands them over by name
        rule: tuple[str, str],
        part: str,
        based_on_valid: bool,
        fields: list[tuple[str, str]],
        body: bytes | None,
        content_type: str,
        headers: dict[str, str],
    ) -> None:
        method, path = rule[0], path_of(rule[1], part)
        # A changed field replaces the valid one; one that comes twice stays twice.
        sent = [(k, v) for k, v in VALID.items() if k not in dict(fields)] if based_on_valid else []
        encoded = urlencode(sent + fields).encode("utf-8", "surrogatepass")
        ours: dict[str, Any] = {"headers": headers}
        if method == "POST":
            ours |= {"data": encoded if body is None else body}
            ours |= {"content_type": TYPES[0] if body is None else content_type}
        else:
            ours |= {"query_string": encoded.decode()}
        answer = browser.open(path, method=method, **ours)
        assert answer.status_code < 500, (method, path, ours)
        assert b"Traceback" not in answer.data
        answer.close()

    fuzz()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("path", "names"), PARAMETERS.items(), ids=PARAMETERS)
def test_each_odd_parameter_in_a_valid_request_is_answered(
    browser: FlaskClient, path: str, names: tuple[str, ...]
) -> None:
    for name, odd in product(names, ODD):
        sent = [(key, value) for key, value in VALID.items() if key != name] + [(name, odd)]
        for fields in (sent, [*sent, (name, odd)]) if odd == "x" else (sent,):
            answer = browser.post(
                path,
                data=urlencode(fields).encode(),
                content_type=TYPES[0],
                headers={} if path in BY_BROWSER else {"Authorization": f"Basic {BASIC}"},
            )
            assert answer.status_code < 500, (path, name, odd)


@pytest.mark.parametrize(("path", "names"), PARAMETERS.items(), ids=PARAMETERS)
def test_each_parameter_at_and_beyond_its_limit_is_answered(
    browser: FlaskClient, path: str, names: tuple[str, ...]
) -> None:
    for name, length, piece in product(names, LENGTHS, PIECES):
        value = (piece * length)[:length]
        answer = browser.post(
            path,
            data=urlencode({**VALID, name: value}).encode(),
            content_type=TYPES[0],
            headers={} if path in BY_BROWSER else {"Authorization": f"Basic {BASIC}"},
        )
        assert answer.status_code < 500, (path, name, length, piece)
        if path == "/par" and name not in ("request", "state") and length > MAX_PARAMETER:
            assert answer.status_code in (400, 401, 413), (name, length, piece)
