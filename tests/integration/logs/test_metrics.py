"""Metrics count recent events and waiting mails for those who hold the token."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from idp import audit, outbox
from idp.app import create_app
from idp.clock import utcnow
from idp.config import Settings
from idp.db import db
from idp.mail import OutgoingMail
from tests.fakes.relying_party import HTTPS, RelyingParty

TOKEN = "the-token-of-the-monitoring-0123456789"


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ | {"IDP_METRICS_TOKEN": TOKEN}


def figures(browser: FlaskClient) -> dict[str, float]:
    response = browser.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, **HTTPS)
    assert response.status_code == 200
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_metrics_count_recent_events(app: Flask, browser: FlaskClient, rp: RelyingParty, anna: str) -> None:
    before = figures(browser)
    assert before["idp_events_last_5_minutes login.succeeded"] == 0
    rp.log_in()
    rp.log_in(prompt="login", password="wrong")
    after = figures(browser)
    assert after["idp_events_last_5_minutes login.succeeded"] == 1
    assert after["idp_events_last_5_minutes login.failed"] == 1


def test_metrics_count_mails_that_wait_or_were_given_up(app: Flask, browser: FlaskClient) -> None:
    assert figures(browser)["idp_mails_waiting"] == 0
    with app.app_context():
        now = utcnow()
        outbox.queue(OutgoingMail("anna@example.se", "Subject: x\n\nx"), now=now, kind="welcome")
        audit.record(audit.Event.MAIL_GIVEN_UP, now=now, actor="worker", kind="welcome")
        db.session.commit()
    told = figures(browser)
    assert told["idp_mails_waiting"] == 1
    assert told["idp_mails_oldest_waiting_seconds"] >= 0
    assert told["idp_mails_given_up_last_day"] == 1


@pytest.mark.parametrize(
    "sent", [None, "", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer å"]
)
def test_metrics_need_their_token(browser: FlaskClient, sent: str | None) -> None:
    headers = {} if sent is None else {"Authorization": sent}
    response = browser.get("/metrics", headers=headers, **HTTPS)
    assert response.status_code == 401
    assert "idp_mails" not in response.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_metrics_need_a_setting(environ: dict[str, str]) -> None:
    browser = create_app(Settings.from_environ(environ | {"IDP_METRICS_TOKEN": ""})).test_client()
    response = browser.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, **HTTPS)
    assert response.status_code == 404
