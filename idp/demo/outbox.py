"""The demo's mail outbox page: the mails that the provider has sent, as a mail program shows them.

Mails are the provider's .eml files. Their HTML is isolated from this site: it has no scripts, no cookies,
and leads nowhere but by links that open a new window.
"""

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from flask import Blueprint, Response, current_app, make_response, render_template
from werkzeug.exceptions import NotFound

NAME = re.compile(r"[0-9A-Za-z-]{1,60}\.eml")
NEWEST = 200
HEAD = re.compile(r"<head>", re.IGNORECASE)
HTML_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; form-action 'none'; frame-ancestors 'self'"
)

blueprint = Blueprint("outbox", __name__, url_prefix="/outbox")


@dataclass(frozen=True)
class Mail:
    """A mail as the page shows it; `sent_at` in seconds since 1970."""

    name: str
    subject: str
    to: str
    sent_at: float
    text: str
    html: str


@blueprint.get("/")
def index() -> Response:
    """The newest mails, newest first."""
    names = sorted((path.name for path in _directory().glob("[!.]*.eml")), reverse=True)
    mails = [_read(name) for name in names[:NEWEST] if NAME.fullmatch(name)]
    return make_response(render_template("outbox.html", mails=mails))


@blueprint.get("/<name>")
def show(name: str) -> Response:
    """One mail, in both of its forms."""
    return make_response(render_template("mail.html", mail=_read(name)))


@blueprint.get("/<name>/html")
def html_part(name: str) -> Response:
    """The mail's HTML, for the frame in its page."""
    # The frame itself may not navigate: its links open a new window.
    response = make_response(HEAD.sub('<head><base target="_blank">', _read(name).html, count=1))
    response.headers["Content-Security-Policy"] = HTML_POLICY
    return response


def _directory() -> Path:
    directory: Path = current_app.extensions["outbox"]
    return directory


def _read(name: str) -> Mail:
    if not NAME.fullmatch(name):
        raise NotFound
    try:
        content = (_directory() / name).read_bytes()
    except FileNotFoundError:
        raise NotFound from None
    message = message_from_bytes(content, policy=policy.default)
    return Mail(
        name=name,
        subject=message["Subject"] or "",
        to=message["To"] or "",
        sent_at=message["Date"].datetime.timestamp(),
        text=_part(message, "plain"),
        html=_part(message, "html"),
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if part is not None else ""
