"""The page of a front-channel logout loads the apps' pages and leads back (Front-Channel Logout 1.0)."""

import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import KeySet
from time_machine import Traveller
from werkzeug.test import TestResponse

from idp.oidc.provider import PROVIDER
from tests.factories import PASSWORD, make_client, make_user
from tests.fakes.relying_party import HTTPS, RelyingParty

ISSUER = "https://login.example.se"
RETURN = "https://portal.example.se/"
FRAMED = "https://framed.example.se/logout?from=idp"
TOLD = "https://told.example.se:8443/logout?from=idp"


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(),
        "framed": make_client(redirect_uris=["https://framed.example.se/cb"], frontchannel_logout_uri=FRAMED),
        "told": make_client(
            redirect_uris=["https://told.example.se:8443/cb"],
            frontchannel_logout_uri=TOLD,
            frontchannel_logout_session_required=True,
        ),
    }


@pytest.fixture
def rp(app: Flask, browser: FlaskClient, anna: str) -> RelyingParty:
    """The portal, with anna at her browser."""
    return RelyingParty(app, browser)


@pytest.fixture
def framed(rp: RelyingParty) -> RelyingParty:
    return RelyingParty(rp.app, rp.browser, "framed", "https://framed.example.se/cb")


@pytest.fixture
def told(rp: RelyingParty) -> RelyingParty:
    return RelyingParty(rp.app, rp.browser, "told", "https://told.example.se:8443/cb")


def end_session(rp: RelyingParty, **changes: str | None) -> TestResponse:
    """The answer to a logout of the portal's that leads back to it."""
    valid = {"id_token_hint": rp.tokens().id_token, "post_logout_redirect_uri": RETURN, "state": "s"}
    sent = {name: value for name, value in (valid | changes).items() if value is not None}
    return rp.browser.get(f"/end_session?{urlencode(sent)}", **HTTPS)


def frames(page: TestResponse) -> list[str]:
    """What the page's frames load, every one of them hidden and sandboxed."""
    found = re.findall(r"<iframe ([^>]*)></iframe>", page.text)
    assert page.text.count("<iframe") == len(found)
    for attributes in found:
        assert attributes.endswith('sandbox="allow-scripts allow-same-origin" hidden')
    return [unescape(re.findall(r'src="([^"]+)"', attributes)[0]) for attributes in found]


def frame_src(response: TestResponse) -> list[str]:
    """The sources of frames that the page allows."""
    policy = dict(
        part.strip().partition(" ")[::2] for part in response.headers["Content-Security-Policy"].split(";")
    )
    return policy["frame-src"].split() if "frame-src" in policy else []


def way_on(page: TestResponse) -> str | None:
    found = re.search(r'<a class="button primary" href="([^"]+)" id="logout-continue">', page.text)
    return unescape(found[1]) if found else None


def test_the_page_loads_the_apps_that_were_used_and_then_leads_back(
    rp: RelyingParty, framed: RelyingParty, told: RelyingParty
) -> None:
    framed.code()
    id_token = told.tokens().id_token
    page = end_session(rp)
    assert page.status_code == 200
    assert 'id="logged-out"' in page.text
    jwks = rp.browser.get("/jwks", **HTTPS).get_json()
    sid = jwt.decode(id_token, KeySet.import_key_set(jwks)).claims["sid"]
    assert frames(page) == [FRAMED, f"{TOLD}&{urlencode({'iss': ISSUER, 'sid': sid})}"]
    assert frame_src(page) == ["https://framed.example.se", "https://told.example.se:8443"]
    assert way_on(page) == RETURN + "?state=s"
    assert 'logged_out.js" defer></script>' in page.text
    assert "__Host-idp_session=;" in page.headers["Set-Cookie"]
    assert page.headers["Cache-Control"] == "no-store"
    assert "error" in rp.answer(rp.authorize(prompt="none"))


def test_a_logout_without_frontchannel_apps_leads_back_at_once(
    rp: RelyingParty, framed: RelyingParty
) -> None:
    answer = end_session(rp)
    assert (answer.status_code, answer.headers["Location"]) == (303, RETURN + "?state=s")
    assert "code" in framed.answer(framed.log_in()), "a login of its own, after that logout"
    page = end_session(rp)
    assert frames(page) == [FRAMED]
    again = rp.browser.get(f"/end_session?{urlencode({'client_id': 'portal'})}", **HTTPS)
    assert (frames(again), frame_src(again)) == ([], []), "it has been told"


def test_a_page_with_nowhere_to_go_stays(framed: RelyingParty, rp: RelyingParty) -> None:
    framed.code()
    page = end_session(rp, post_logout_redirect_uri=None)
    assert (frames(page), way_on(page)) == ([FRAMED], None)
    assert "logged_out.js" not in page.text


def test_the_logout_pages_form_leads_to_the_frames_too(framed: RelyingParty, rp: RelyingParty) -> None:
    framed.code()
    asked = rp.follow(end_session(rp, id_token_hint=None, client_id="portal"))
    assert (frames(asked), frame_src(asked)) == ([], []), "nothing is told before the answer"
    page = rp.submit(asked)
    assert (frames(page), way_on(page)) == ([FRAMED], RETURN + "?state=s")
    framed.code()
    by_oneself = rp.submit(rp.browser.get("/logout", **HTTPS))
    assert (frames(by_oneself), way_on(by_oneself)) == ([FRAMED], None)


def test_a_session_that_ran_out_is_notified_at_its_logout(
    clock: Traveller, framed: RelyingParty, rp: RelyingParty
) -> None:
    framed.code()
    hint = rp.tokens().id_token
    clock.shift(3601)
    stranger = RelyingParty(rp.app, rp.app.test_client())
    sent = urlencode({"id_token_hint": hint})
    assert frames(stranger.browser.get(f"/end_session?{sent}", **HTTPS)) == []
    assert frames(rp.browser.get(f"/end_session?{sent}", **HTTPS)) == [FRAMED]
    assert frames(rp.browser.get(f"/end_session?{sent}", **HTTPS)) == []


def test_a_removed_clients_page_is_not_loaded(
    framed: RelyingParty, told: RelyingParty, rp: RelyingParty, clients_file: Path
) -> None:
    framed.code()
    told.code()
    left = yaml.safe_load(clients_file.read_text())
    del left["clients"]["framed"]
    del left["clients"]["told"]["frontchannel_logout_uri"]
    clients_file.write_text(yaml.safe_dump(left))
    PROVIDER.of(rp.app).clients.refresh()
    assert end_session(rp).headers["Location"] == RETURN + "?state=s"


def test_a_login_by_another_person_notifies_the_former_persons_apps(
    rp: RelyingParty, framed: RelyingParty
) -> None:
    framed.code()
    with rp.app.app_context():
        make_user(email="bertil@example.se", name="Bertil Ek")
    login_page = rp.follow(rp.authorize(prompt="login"))
    page = rp.follow(rp.submit(login_page, email="bertil@example.se", password=PASSWORD))
    assert (frames(page), frame_src(page)) == ([FRAMED], ["https://framed.example.se"])
    assert 'logged_out.js" defer></script>' in page.text
    url = way_on(page)
    assert url is not None
    assert "code" in rp.answer(rp.follow(rp.browser.get(url, **HTTPS)))
    again = rp.browser.get("/login/taken-over", **HTTPS)
    assert again.headers["Location"] == "/login", "it has been told"


def test_a_login_by_the_same_person_or_without_apps_goes_on_at_once(
    rp: RelyingParty, framed: RelyingParty
) -> None:
    rp.code()
    with rp.app.app_context():
        make_user(email="bertil@example.se", name="Bertil Ek")
    assert "code" in rp.answer(rp.log_in(prompt="login", email="bertil@example.se"))
    framed.code()
    assert "code" in rp.answer(rp.log_in(prompt="login", email="bertil@example.se"))


def test_pages_other_than_the_logouts_hold_no_frames(rp: RelyingParty, framed: RelyingParty) -> None:
    framed.code()
    for path in ("/account", "/logout", "/login"):
        page = rp.browser.get(path, **HTTPS)
        assert "frame-src" not in page.headers["Content-Security-Policy"]
