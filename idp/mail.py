"""Mails: one Jinja template becomes a text part and an HTML part, in the language of who gets it."""

import re
import unicodedata
from binascii import b2a_qp
from dataclasses import dataclass
from email import policy
from email.mime.nonmultipart import MIMENonMultipart
from email.utils import formataddr, parseaddr
from typing import Any
from urllib.parse import urlsplit

import idna
from flask import Flask, current_app
from flask_mail import Mail, Message
from jinja2 import Environment, StrictUndefined

from idp import i18n
from idp.config import Settings
from idp.tokens import new_token

# Headers stay as they are written: Python's own folding loses quotes and adds spaces.
UNFOLDED_UTF8 = policy.SMTPUTF8.clone(refold_source="none")
UNFOLDED_ASCII = policy.compat32.clone(linesep="\r\n", max_line_length=None)  # reads no header to write it
MANY_EMPTY_LINES = re.compile(r"\n\s*\n\n")


@dataclass(frozen=True)
class OutgoingMail:
    """A mail ready to leave. `to` is the envelope's address, `content` the message (RFC 5322, CRLF).

    The content is ASCII, except for an address that is not (RFC 6531).
    """

    to: str
    content: str


class _Message(Message):
    """Flask-Mail's message, which any mail server takes as it is: ASCII in short lines."""

    def written(self, address: str) -> str:
        """The whole message, to an address of any letters, which Flask-Mail's own cannot have."""
        built = self._message()
        built.policy = policy.compat32  # costs a third of what the others do
        if address.isascii():
            return built.as_bytes(policy=UNFOLDED_ASCII).decode()
        built.replace_header("To", address)
        return built.as_bytes(policy=UNFOLDED_UTF8).decode()

    def _mimetext(self, text: str | None, subtype: str = "plain") -> Any:
        part = MIMENonMultipart("text", subtype, charset="utf-8")
        part["Content-Transfer-Encoding"] = "quoted-printable"
        part.set_payload(b2a_qp((text or "").encode(), istext=True).decode())
        return part


@dataclass(frozen=True)
class Forms:
    """The environments that make a template's two forms; they keep what they have compiled."""

    html: Environment
    text: Environment


def compose(
    template: str, *, to: str, to_name: str, locale: str, settings: Settings, **facts: Any
) -> OutgoingMail:
    """The mail that `templates/mail/<template>.html` makes of the facts, with the brand's footer.

    Needs an application, but no request. The template has a block `subject` and a block `body`, which it
    writes with the macros of `m` (paragraph, fact, link): they are there for text and for HTML. Raises
    `ValueError` for an address that is none.
    """
    local, _, domain = to.rpartition("@")
    if not local or not domain or _one_line(to) != to or " " in to:
        raise ValueError("a mail needs an address")
    brand = settings.brand
    with i18n.written_in(locale):
        subject, text, html = _render(
            template,
            {
                **facts,
                "to": to,
                "to_name": to_name,
                "locale": locale,
                "issuer": settings.issuer,
                "brand": brand,
                "slogan": brand.in_language("slogan", locale),
            },
        )
    address = f"{local}@{domain if domain.isascii() else idna.encode(domain).decode()}"
    message = _Message(
        subject=subject,
        recipients=[(_one_line(to_name), address if local.isascii() else "")],
        body=text,
        html=html,
        sender=formataddr(sender(settings)),
        reply_to=brand.support_email or None,
        extra_headers={"Auto-Submitted": "auto-generated", "Content-Language": locale},  # RFC 3834 §5
    )
    message.msgId = f"<{new_token()}@{urlsplit(settings.issuer).hostname}>"
    return OutgoingMail(address, message.written(address))


def register(app: Flask) -> None:
    """Prepare an application, which has its texts by now, to compose mails."""
    Mail(app)
    html = app.jinja_env.overlay(undefined=StrictUndefined, trim_blocks=True)
    app.extensions["idp.mail"] = Forms(html=html, text=html.overlay(autoescape=False))


def sender(settings: Settings) -> tuple[str, str]:
    """Name and address that mails come from: IDP_MAIL_FROM, else no-reply at the issuer's host."""
    host = urlsplit(settings.issuer).hostname
    name, address = parseaddr(settings.mail_from or f"no-reply@{host}")
    return name or _one_line(settings.brand.name), address


def _render(template: str, context: dict[str, Any]) -> tuple[str, str, str]:
    """Subject, text and HTML."""
    forms: Forms = current_app.extensions["idp.mail"]
    name = f"mail/{template}.html"
    in_text = {**context, "m": _macros(forms.text, "text"), "layout": "mail/_text.html"}
    source = forms.text.get_template(name)
    subject = _one_line("".join(source.blocks["subject"](source.new_context(in_text))))
    text = MANY_EMPTY_LINES.sub("\n\n", source.render(in_text)).strip() + "\n"
    in_html = {**context, "m": _macros(forms.html, "html"), "layout": "mail/_html.html"}
    return subject, text, forms.html.get_template(name).render(in_html)


def _macros(environment: Environment, form: str) -> Any:
    # Made for each mail: a module kept by Jinja would hold on to the first mail's language.
    return environment.get_template(f"mail/_{form}_parts.html").make_module()


def _one_line(value: str) -> str:
    """The value without line breaks and other control characters, which would begin new headers."""
    cleaned = "".join(" " if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one for one in value)
    return " ".join(cleaned.split())
