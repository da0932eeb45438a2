"""A mailed reset link may be looked at and is used up by one form."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from time_machine import Traveller

from idp import audit, outbox
from idp.clock import utcnow
from idp.db import db
from idp.errors import Busy
from idp.extensions import SETTINGS
from idp.password.hashing import HASHER
from idp.password.models import ResetLink
from idp.password.reset import LINK_KIND
from idp.tokens import sha256_hex
from idp.users import accounts
from idp.users.models import User
from tests.factories import make_user
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import ANNA, NEW, choose, csrf, events, link, logs_in, text_of

MINUTE = 60


@pytest.mark.usefixtures("anna")
def test_looking_at_a_link_does_not_use_it_up(app: Flask, browser: FlaskClient) -> None:
    path = link(app, browser)
    scanner = app.test_client()
    for method in ("GET", "HEAD", "GET", "HEAD", "OPTIONS"):
        assert scanner.open(path, method=method, **HTTPS).status_code == 200
    assert choose(browser, path).status_code == 303


@pytest.mark.usefixtures("anna")
def test_the_address_of_the_page_goes_nowhere(app: Flask, browser: FlaskClient) -> None:
    path = link(app, browser)
    page = browser.get(path, **HTTPS)
    unknown = browser.get("/password/reset/" + "0" * 64, **HTTPS)
    without_token = browser.post(path, **HTTPS)
    assert without_token.status_code == 400
    for response in (page, choose(browser, path, "kort"), choose(browser, path), unknown, without_token):
        assert response.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.usefixtures("anna")
def test_a_reset_mail_overtakes_others_and_ends_with_its_link(
    app: Flask, browser: FlaskClient, clock: Traveller
) -> None:
    with app.app_context():
        for number in range(3):
            user = make_user(email=f"{number}@example.se")
            accounts.send_welcome(user, settings=SETTINGS.of(app), now=utcnow())
    clock.shift(1)
    link(app, browser)
    with app.app_context():
        claimed = outbox.lease_next(now=utcnow())
    assert claimed is not None
    assert (claimed.kind, claimed.useful_until) == (LINK_KIND, utcnow() + timedelta(minutes=60))


@pytest.mark.usefixtures("anna")
def test_a_link_works_once(app: Flask, browser: FlaskClient) -> None:
    path = link(app, browser)
    page = browser.get(path, **HTTPS)
    assert choose(browser, path).status_code == 303
    again = browser.get(path, **HTTPS)
    assert again.status_code == 410
    assert "Länken är redan använd" in again.text
    assert 'href="/password/reset"' in again.text
    data = {"csrf_token": csrf(page), "password": "annan mening utan samband", "confirm": ""}
    data["confirm"] = data["password"]
    assert browser.post(path, data=data, **HTTPS).status_code == 410
    assert logs_in(app, NEW)
    assert len(queued(app)) == 2


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(("minutes", "status"), [(59, 303), (60, 410), (10_000, 410)])
def test_a_link_lives_an_hour(
    app: Flask, browser: FlaskClient, clock: Traveller, minutes: int, status: int
) -> None:
    path = link(app, browser)
    page = browser.get(path, **HTTPS)
    clock.shift(minutes * MINUTE)
    data = {"csrf_token": csrf(page), "password": NEW, "confirm": NEW}
    if minutes == 10_000:  # the form is too old as well
        data["csrf_token"] = csrf(browser.get("/password/reset", **HTTPS))
    answer = browser.post(path, data=data, **HTTPS)
    assert answer.status_code == status
    assert ("Länken har gått ut" in answer.text) is (status == 410)
    assert logs_in(app, NEW) is (status == 303)


class TestLifetime:
    """How long a link lives is a setting."""

    @pytest.fixture
    def environ(self, environ: dict[str, str]) -> dict[str, str]:
        return {**environ, "IDP_RESET_LINK_MINUTES": "10"}

    @pytest.mark.usefixtures("anna")
    def test_the_setting_rules_link_page_and_mail(
        self, app: Flask, browser: FlaskClient, clock: Traveller
    ) -> None:
        path = link(app, browser)
        assert "10 minuter" in text_of(queued(app)[-1])
        assert "10 minuter" in browser.get("/password/reset/sent", **HTTPS).text
        clock.shift(10 * MINUTE - 1)
        assert browser.get(path, **HTTPS).status_code == 200
        clock.shift(1)
        assert browser.get(path, **HTTPS).status_code == 410


@pytest.mark.usefixtures("anna")
def test_the_newest_link_voids_the_older(app: Flask, browser: FlaskClient) -> None:
    older, newer = link(app, browser), link(app, browser)
    assert older != newer
    page = browser.get(older, **HTTPS)
    assert page.status_code == 404
    assert "Länken gäller inte" in page.text
    assert choose(browser, newer).status_code == 303


@pytest.mark.usefixtures("anna")
def test_another_persons_link_stays(app: Flask, browser: FlaskClient) -> None:
    with app.app_context():
        make_user(email="berit@example.se")
    hers = link(app, browser, "berit@example.se")
    mine = link(app, browser)
    assert choose(browser, mine).status_code == 303
    assert choose(browser, hers).status_code == 303


def test_only_a_links_hash_is_stored(app: Flask, browser: FlaskClient, anna: str) -> None:
    token = link(app, browser).split("/")[3].split("?")[0]
    with app.app_context():
        (stored,) = db.session.scalars(sa.select(ResetLink))
        assert stored.token_hash == sha256_hex(token)
        assert stored.user_id == UUID(anna)
        assert token not in repr([row.__dict__ for row in audit.newest(100)])


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:63],
        lambda token: token + "0",
        lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"),
        lambda token: "",
        lambda token: token[:-1] + "g",
        lambda token: "x" * 5000,
        lambda token: token[:-1] + "%00",
        lambda token: token[:-1] + "%FF",
        lambda token: token + "/",
        lambda token: "%3Cscript%3Ealert(1)%3C/script%3E",
    ],
)
def test_an_unknown_link_opens_nothing(
    app: Flask, browser: FlaskClient, change: Callable[[str], str]
) -> None:
    path = link(app, browser)
    token = path.split("/")[3].split("?")[0]
    assert browser.get(f"/password/reset/{token}", **HTTPS).status_code == 200, "without ?email= too"
    page = browser.get(f"/password/reset/{change(token)}", **HTTPS)
    assert page.status_code == 404
    assert "<script>alert" not in page.text
    assert 'id="reset-form"' not in page.text


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    "query",
    ["", "?email=", "?email=mallory%40evil.se", "?email=%FF%00", "?email=a&email=b", "?email=" + "x" * 9000],
)
def test_the_email_in_the_address_decides_nothing(app: Flask, browser: FlaskClient, query: str) -> None:
    path = urlsplit(link(app, browser)).path + query
    page = browser.get(path, **HTTPS)
    assert f'id="reset-email">{ANNA}<' in page.text
    assert "mallory@evil.se" not in page.text
    assert choose(browser, path).status_code == 303
    assert logs_in(app, NEW)


def test_a_link_of_a_user_disabled_meanwhile(app: Flask, browser: FlaskClient, anna: str) -> None:
    path = link(app, browser)
    page = browser.get(path, **HTTPS)
    with app.app_context():
        accounts.disable(UUID(anna), now=utcnow())
    data = {"csrf_token": csrf(page), "password": NEW, "confirm": NEW}
    assert browser.post(path, data=data, **HTTPS).status_code == 404
    assert browser.get(path, **HTTPS).status_code == 404
    with app.app_context():
        accounts.enable(UUID(anna), now=utcnow())
    assert not logs_in(app, NEW)


def test_a_link_to_an_address_changed_meanwhile(app: Flask, browser: FlaskClient, anna: str) -> None:
    path = link(app, browser)
    assert browser.get(path, **HTTPS).status_code == 200
    with app.app_context():
        new = {"email": "ny@example.se", "email_key": "ny@example.se"}
        db.session.execute(sa.update(User).where(User.id == UUID(anna)).values(**new))
        db.session.commit()
    assert browser.get(path, **HTTPS).status_code == 404


def test_a_link_used_by_another_request_meanwhile(
    app: Flask, browser: FlaskClient, anna: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = link(app, browser)
    hasher = HASHER.of(app)
    hash_slowly = hasher.hash

    def overtaken(password: str) -> str:
        monkeypatch.setattr(hasher, "hash", hash_slowly)
        with ThreadPoolExecutor(1) as elsewhere:
            other = elsewhere.submit(choose, app.test_client(), path, "den andra begäran hann före")
            assert other.result().status_code == 303
        return str(hash_slowly(password))

    monkeypatch.setattr(hasher, "hash", overtaken)
    assert choose(browser, path).status_code == 410
    assert logs_in(app, "den andra begäran hann före")
    assert events(app) == ["password.reset_asked", "password.changed"]


@pytest.mark.usefixtures("anna")
def test_a_server_too_busy_uses_no_link_up(
    app: Flask, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = link(app, browser)
    hasher = HASHER.of(app)

    def busy(_password: str) -> str:
        raise Busy("no place")

    with monkeypatch.context() as patch:
        patch.setattr(hasher, "hash", busy)
        assert choose(browser, path).status_code == 503
    assert choose(browser, path).status_code == 303
