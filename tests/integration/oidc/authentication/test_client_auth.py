"""Clients authenticate at the token endpoint by their registered method (RFC 6749 §2.3)."""

import hashlib
from base64 import b64encode
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.audit import Event, newest
from tests.factories import SECRET, make_client, make_public_client
from tests.fakes.relying_party import HTTPS, RelyingParty

ODD_SECRET = "a-secret: with%2B+ &=åäö ''and \"quotes\""
NEW_SECRET = "the-next-secret-made-by-a-machine-9876543210"


def kept(secret: str, **more: str) -> dict[str, str]:
    return {"sha256": hashlib.sha256(secret.encode()).hexdigest(), **more}


# Nothing here depends on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    def at(host: str) -> dict[str, Any]:
        return {"redirect_uris": [f"https://{host}.example.se/cb"]}

    return {
        "portal": make_client(),
        "post": make_client(**at("post"), token_endpoint_auth_method="client_secret_post"),
        "spa": make_public_client(**at("spa")),
        "odd+id%20/": make_client(**at("odd"), client_secrets=[kept(ODD_SECRET)]),
        "rotating": make_client(
            **at("rotating"), client_secrets=[kept(SECRET, not_after="2026-11-22"), kept(NEW_SECRET)]
        ),
    }


def basic(value: str | bytes) -> dict[str, str]:
    raw = value.encode() if isinstance(value, str) else value
    return {"Authorization": "Basic " + b64encode(raw).decode()}


def relying_party(app: Flask, client_id: str, host: str, secret: str | None = SECRET) -> RelyingParty:
    return RelyingParty(app, app.test_client(), client_id, f"https://{host}.example.se/cb", secret)


def test_basic_is_refused_when_one_thing_is_wrong(
    rp: RelyingParty, anna: str, subtests: pytest.Subtests
) -> None:
    code = rp.code()
    cases: dict[str, dict[str, Any]] = {
        "wrong secret": {"basic": ("portal", SECRET + "x")},
        "secret in another case": {"basic": ("portal", SECRET.upper())},
        "empty secret": {"basic": None, "headers": basic("portal:")},
        "no colon": {"basic": None, "headers": basic("portal")},
        "nothing": {"basic": None, "headers": basic("")},
        "unknown client": {"basic": ("nobody", SECRET)},
        "another client": {"basic": ("rotating", NEW_SECRET + "x")},
        "not base64": {"basic": None, "headers": {"Authorization": "Basic ***"}},
        "not UTF-8": {"basic": None, "headers": basic(b"portal:\xff\xfe")},
        "NUL in the secret": {"basic": None, "headers": basic(f"portal:{SECRET}\x00")},
        "half a surrogate": {"basic": None, "headers": basic("portal:%ED%A0%80")},
        "the hash as the secret": {"basic": ("portal", kept(SECRET)["sha256"])},
        "Bearer": {"basic": None, "headers": {"Authorization": f"Bearer {SECRET}"}},
        "very long": {"basic": ("portal", SECRET * 100)},
        "in the form instead": {"basic": None, "client_id": "portal", "client_secret": SECRET},
        "no secret at all": {"basic": None, "client_id": "portal"},
        "no client at all": {"basic": None},
    }
    for name, changes in cases.items():
        with subtests.test(name):
            answer = rp.exchange(code, **changes)
            assert (answer.status, answer.error) == (401, "invalid_client")
            assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
            assert answer.headers["Cache-Control"] == "no-store"
    assert rp.exchange(code).status == 200  # none of them spent the code


def test_a_client_authenticates_in_exactly_one_way(rp: RelyingParty, anna: str) -> None:
    code = rp.code()
    both = rp.exchange(code, client_id="portal", client_secret=SECRET)
    assert (both.status, both.error) == (400, "invalid_request")
    differing = rp.exchange(code, client_id="spa")
    assert (differing.status, differing.error) == (400, "invalid_request")
    assert rp.exchange(code, client_id="portal").status == 200  # its id beside Basic is no second way


def test_a_client_authenticates_by_its_registered_method_only(app: Flask, anna: str) -> None:
    post = relying_party(app, "post", "post")
    code = post.code()
    assert post.exchange(code).error == "invalid_client"  # by Basic, with the right secret
    in_form = {"basic": None, "client_id": "post"}
    assert post.exchange(code, **in_form).error == "invalid_client"
    assert post.exchange(code, **in_form, client_secret=SECRET + "x").error == "invalid_client"
    assert post.exchange(code, **in_form, client_secret=SECRET).status == 200


def test_a_public_client_sends_no_secret(app: Flask, anna: str) -> None:
    spa = relying_party(app, "spa", "spa", None)
    code = spa.code()
    assert spa.exchange(code, client_secret="anything").error == "invalid_client"
    assert spa.exchange(code, basic=("spa", "anything")).error == "invalid_client"
    assert spa.exchange(code, client_secret="").status == 200  # empty counts as left out (§3.1)


def test_secrets_and_ids_with_special_characters_are_form_urlencoded(app: Flask, anna: str) -> None:
    odd = relying_party(app, "odd+id%20/", "odd", ODD_SECRET)
    code = odd.code()
    unencoded = odd.exchange(code, basic=None, headers=basic(f"odd+id%20/:{ODD_SECRET}"))
    assert unencoded.error == "invalid_client"
    assert odd.exchange(code).status == 200


def test_both_secrets_work_while_one_replaces_the_other(
    clock: time_machine.Traveller, app: Flask, anna: str
) -> None:
    old = relying_party(app, "rotating", "rotating")
    new = relying_party(app, "rotating", "rotating", NEW_SECRET)
    assert old.tokens().status == new.tokens().status == 200
    clock.shift(12 * 3600)  # midnight: the old secret's last day is over
    assert old.exchange(old.code()).error == "invalid_client"
    assert new.tokens().status == 200


def test_failures_are_audited_under_the_known_client_only(rp: RelyingParty, app: Flask, anna: str) -> None:
    code = rp.code()
    rp.exchange(code, basic=("portal", "wrong-secret-wrong-secret"))
    rp.exchange(code, basic=("nobody", "wrong-secret-wrong-secret"))
    with app.app_context():
        rows = newest(2, event=Event.CLIENT_AUTHENTICATION_FAILED)
        assert [row.client_id for row in rows] == [None, "portal"]
        assert all("wrong-secret" not in str(row.detail) for row in rows)


def test_failures_are_throttled_and_successes_are_not(
    clock: time_machine.Traveller, rp: RelyingParty, anna: str
) -> None:
    code = rp.code()
    for _ in range(20):
        assert rp.exchange(code, basic=("portal", "wrong")).error == "invalid_client"
    limited = rp.exchange(code, basic=("portal", "wrong"))
    assert limited.status == 429
    assert int(limited.headers["Retry-After"]) > 0
    assert limited.headers["Cache-Control"] == "no-store"
    assert rp.exchange(code).status == 200
    clock.shift(61)
    assert rp.exchange(code, basic=("portal", "wrong")).error == "invalid_client"


def test_a_wrong_client_learns_nothing_about_the_code(app: Flask, browser: FlaskClient) -> None:
    form = {"grant_type": "authorization_code", "code": "unknown", "redirect_uri": "https://x.example/"}
    answer = browser.post("/token", data=form, headers=basic("portal:wrong"), **HTTPS)
    assert answer.get_json()["error"] == "invalid_client"
