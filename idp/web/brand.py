"""The operator's brand: its colours as a style sheet and its logo."""

import mimetypes

from flask import Flask, Response

from idp.config import BrandSettings

CACHE_SECONDS = 3600
LOGO_PATH = "/brand/logo"


def register(app: Flask, brand: BrandSettings) -> None:
    """Serve `/brand.css`, and `/brand/logo` where there is one. The logo's file is read once, here."""
    css = f":root{{--brand:{brand.colour};--brand-dark:{brand.colour_dark}}}\n".encode()
    kept = {"Cache-Control": f"max-age={CACHE_SECONDS}"}

    @app.get("/brand.css", endpoint="web.brand_css")
    def show_brand_css() -> Response:
        return Response(css, mimetype="text/css", headers=kept)

    if brand.logo:
        logo = brand.logo.read_bytes()
        kind = mimetypes.guess_type(brand.logo.name)[0] or "application/octet-stream"

        @app.get(LOGO_PATH, endpoint="web.brand_logo")
        def show_brand_logo() -> Response:
            return Response(logo, mimetype=kind, headers=kept)
