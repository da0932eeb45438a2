"""The parts common to every request and response, wired into an application."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, request

from idp.config import Settings
from idp.errors import NotFound
from idp.web import brand, cookies, forms, headers, health, page_globals
from idp.web.proxies import TrustedProxies

STATIC_SECONDS = 3600


def register(app: Flask, settings: Settings, *, readiness: Callable[[], Mapping[str, Any]]) -> None:
    """Wire the whole package into `app`; `readiness` returns each part's state (`ok` or a word)."""
    if settings.trusted_proxies:
        app.wsgi_app = TrustedProxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = STATIC_SECONDS
    # A doubled slash is not found. Werkzeug would redirect to the host that the Host header names.
    app.url_map.merge_slashes = False
    app.before_request(_refuse_nul)
    cookies.register(app, settings)
    forms.register(app)
    headers.register(app, https=settings.is_https)
    page_globals.register(app, settings.brand)
    brand.register(app, settings.brand)
    health.register(app, readiness)


def _refuse_nul() -> None:
    if "\0" in request.path:
        raise NotFound("the path contains a NUL, which PostgreSQL refuses")
