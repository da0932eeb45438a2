"""The security headers of every response, and a page's own additions to its Content-Security-Policy."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from idp.errors import MAILED_TOKEN
from idp.reference import reference

MACHINE_CSP = "default-src 'none'; frame-ancestors 'none'"
PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)


def allow_form_to(uri: str) -> None:
    """Let this page's forms end at `uri`'s origin.

    Chrome and Safari apply form-action to the redirect after a POST too, so a page whose form leads
    back to a relying app has to name it.
    """
    g.form_action = _origin(uri)


def allow_frames(uris: Iterable[str]) -> None:
    """Let this page have frames of these URIs' origins, and of no others."""
    g.frame_src = " ".join(sorted({_origin(uri) for uri in uris}))


def _origin(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def register(app: Flask, *, https: bool) -> None:
    """Add the headers to every response of `app`."""

    @app.after_request
    def add_headers(response: Response) -> Response:
        headers = response.headers
        headers["X-Content-Type-Options"] = "nosniff"
        if https:
            headers["Strict-Transport-Security"] = "max-age=63072000"
        if response.mimetype != "text/html":
            headers.setdefault("Content-Security-Policy", MACHINE_CSP)
            return response
        extra = g.get("form_action")
        policy = f"{PAGE_CSP} {extra}" if extra else PAGE_CSP
        frames = g.get("frame_src")
        headers["Content-Security-Policy"] = f"{policy}; frame-src {frames}" if frames else policy
        # The address of a mailed link is a secret, also on the page that it leads to.
        headers["Referrer-Policy"] = "no-referrer" if MAILED_TOKEN.search(request.path) else "same-origin"
        headers["X-Frame-Options"] = "DENY"
        headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=(), payment=()"
        headers.setdefault("Cache-Control", "no-store")
        headers["X-Request-ID"] = reference()
        headers["Vary"] = "Cookie, Accept-Language"
        return response
