"""Figures for monitoring at `/metrics`, read from the database: every machine reports the same."""

import hmac
from collections.abc import Iterator
from datetime import timedelta

import sqlalchemy as sa
from flask import Blueprint, Flask, Response, abort, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from idp import outbox
from idp.audit import AuditRow, Event
from idp.clock import utcnow
from idp.config import Settings
from idp.db import db

EVENTS_WINDOW = timedelta(minutes=5)
GIVEN_UP_WINDOW = timedelta(days=1)


def register(app: Flask, settings: Settings) -> None:
    """Serve the figures to clients that send IDP_METRICS_TOKEN as a bearer token; without one to nobody."""
    if settings.metrics_token is None:
        return
    expected = f"Bearer {settings.metrics_token.get_secret_value()}".encode()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DatabaseFigures())
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    def show_metrics() -> Response:
        given = request.headers.get("Authorization", "").encode(errors="replace")
        if not hmac.compare_digest(given, expected):
            abort(401)
        headers = {"Cache-Control": "no-store"}
        return Response(generate_latest(registry), 200, headers, content_type=CONTENT_TYPE_LATEST)

    app.register_blueprint(blueprint)


class DatabaseFigures(Collector):
    """The present figures of the outbox and the audit trail."""

    def collect(self) -> Iterator[Metric]:
        now = utcnow()
        yield GaugeMetricFamily("idp_mails_waiting", "Mails that have yet to leave", outbox.waiting())
        oldest = outbox.oldest_waiting()
        yield GaugeMetricFamily(
            "idp_mails_oldest_waiting_seconds",
            "How long the mail that has waited longest has waited",
            max(0.0, (now - oldest).total_seconds()) if oldest else 0.0,
        )
        yield GaugeMetricFamily(
            "idp_mails_given_up_last_day",
            "Mails that could not be delivered, in the last 24 hours",
            outbox.given_up_since(now - GIVEN_UP_WINDOW),
        )
        events = GaugeMetricFamily(
            "idp_events_last_5_minutes", "Audit events in the last 5 minutes, by kind", labels=["event"]
        )
        counted = {event.value: 0 for event in Event}
        query = (
            sa.select(AuditRow.event, sa.func.count())
            .where(AuditRow.at > now - EVENTS_WINDOW)
            .group_by(AuditRow.event)
        )
        for event, number in db.session.execute(query):
            counted[event] = number
        for event, number in sorted(counted.items()):
            events.add_metric([event], number)
        yield events
