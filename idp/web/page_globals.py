"""The globals of every template: the brand, the languages, and the addresses of pages."""

from collections.abc import Callable
from typing import Any

from flask import Flask, request, url_for

from idp import i18n
from idp.config import BrandSettings
from idp.web.brand import LOGO_PATH


def register(app: Flask, brand: BrandSettings) -> None:
    """Give every template of `app` the values that its layout shows."""
    app.jinja_env.globals["url_for"] = _urls_of_pages()

    @app.context_processor
    def page_globals() -> dict[str, Any]:
        return {
            "brand": brand,
            "brand_logo_url": LOGO_PATH if brand.logo else None,
            "locale": i18n.current_language(),
            "languages": i18n.language_links(),
        }


def _urls_of_pages() -> Callable[..., str]:
    """`url_for` as templates use it: the address of a page that is always the same is built once."""
    known: dict[tuple[str, str, str | None], str] = {}

    def url(endpoint: str, **values: Any) -> str:
        filename = values.get("filename") if endpoint == "static" else None
        if values and filename is None:
            return url_for(endpoint, **values)
        key = request.script_root, endpoint, filename
        if key not in known:
            known[key] = url_for(endpoint, **values)
        return known[key]

    return url
