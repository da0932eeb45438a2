"""Forged and malformed requests change nothing and are no errors of ours."""

import re
from urllib.parse import urlencode

import pytest
from flask import Flask
from time_machine import Traveller

from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import FORM, csrf
from tests.integration.account.attacks.forms import NEW, details, path_of, rules, stored
from tests.integration.admin.conftest import Person

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@on_sqlite
def test_no_form_is_taken_from_another_site_or_browser(app: Flask, admin: Person, colleague: str) -> None:
    foreign = csrf(app.test_client().get("/login/password", **HTTPS))
    paths = [path_of(app, rule, colleague) for rule in rules(app, "POST")]
    assert len(paths) >= 18
    for path in paths:
        for token in (None, "", "x", foreign):
            fields = {} if token is None else {"csrf_token": token}
            answer = admin.browser.post(path, data=fields, **HTTPS)
            assert answer.status_code == 400, (path, token)
    assert stored(app, colleague).is_active


@on_sqlite
def test_malformed_bodies_are_no_errors_of_ours(app: Flask, admin: Person, colleague: str) -> None:
    token = csrf(admin.get("/login/password"))
    bodies = [
        (b"csrf_token=" + token.encode() + b"&name=" + b"x" * 70_000, FORM, 413),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400),
        (b"\xff\x00%zz&=&&==", FORM, 400),
        (b'{"name": "x"}', "application/json", 400),
    ]
    for rule in rules(app, "POST"):
        for body, kind, status in bodies:
            path = path_of(app, rule, colleague)
            answer = admin.browser.post(path, data=body, content_type=kind, **HTTPS)
            assert answer.status_code in (status, 400), (path, kind)


def test_a_nul_in_a_hidden_field_is_no_error_of_ours(app: Flask, anna: Person, clock: Traveller) -> None:
    assert anna.post("/account", **details(title="Chef", resume="\0")).status_code == 303
    answer = anna.post("/account", **details(version="\0", name="Anna B"))
    assert answer.status_code == 409
    clock.shift(901)
    asked = anna.post("/account", **details(version="1", email=NEW, resume="\0"))
    assert anna.follow(asked).status_code == 200


def test_a_nul_in_an_administrators_hidden_field_is_no_error_of_ours(
    admin: Person, colleague: str, clock: Traveller
) -> None:
    clock.shift(901)
    asked = admin.save(colleague, version="\0", email=NEW)
    assert admin.follow(asked).status_code == 200


@on_sqlite
def test_every_page_about_people_stays_out_of_caches_and_frames(
    app: Flask, admin: Person, colleague: str
) -> None:
    for rule in rules(app, "GET"):
        path = path_of(app, rule, colleague)
        answer = admin.get(path)
        assert answer.status_code < 500, path
        assert answer.headers["Cache-Control"] == "no-store", path
        if answer.mimetype == "text/html":
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
            assert answer.headers["X-Frame-Options"] == "DENY", path
            assert "unsafe" not in answer.headers["Content-Security-Policy"], path


@on_sqlite
@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_no_parameter_leads_away(app: Flask, anna: Person, target: str) -> None:
    query = urlencode(dict.fromkeys(("next", "return_to", "start_page", "resume", "url", "path"), target))
    for path in ("/login", "/account", "/account/start", "/account/resume/x", "/admin/resume/x", "/logout"):
        location = anna.get(f"{path}?{query}").headers.get("Location", "/")
        assert re.fullmatch(r"/[^/\\].*|/", location), (path, location)
    assert anna.post("/account", **details(start_page=target)).status_code == 400
