"""Answers for load balancers and monitors: does the process answer, and can it serve?"""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, jsonify, make_response

NO_STORE = {"Cache-Control": "no-store"}


def register(app: Flask, readiness: Callable[[], Mapping[str, Any]]) -> None:
    """Serve `/healthz` and `/readyz`; `readiness` returns each part's state (`ok` or a word)."""

    @app.get("/healthz", endpoint="web.healthz")
    def show_health() -> Response:
        return Response("ok\n", mimetype="text/plain", headers=NO_STORE)

    @app.get("/readyz", endpoint="web.readyz")
    def show_readiness() -> Response:
        parts = readiness()
        response = make_response(jsonify(parts), 200 if parts["ready"] else 503)
        response.headers.update(NO_STORE)
        return response
