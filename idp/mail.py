"""Mails: one Jinja template becomes a text part and an HTML part, in the recipient's language."""

import re
import unicodedata
from binascii import b2a_qp
from dataclasses import dataclass
from datetime import datetime
from email.utils import formataddr, formatdate, parseaddr
from functools import lru_cache
from textwrap import TextWrapper
from typing import Any
from urllib.parse import urlsplit

import idna
from babel.dates import format_datetime
from flask import Flask
from flask_mail import Mail, Message, sanitize_address, sanitize_subject
from jinja2 import StrictUndefined

from idp import i18n
from idp.config import Settings
from idp.extensions import Slot
from idp.templating import LanguageEnvironment
from idp.tokens import new_token

QUOTED = "Content-Transfer-Encoding: quoted-printable"
IN_LINES = TextWrapper(
    72, expand_tabs=False, replace_whitespace=False, break_long_words=False, break_on_hyphens=False
)
MANY_EMPTY_LINES = re.compile(r"\n\s*\n\n")


@dataclass(frozen=True)
class OutgoingMail:
    """A mail ready to leave. `to` is the envelope's address, `content` the message (RFC 5322, CRLF).

    The content is ASCII, except for an address that is not (RFC 6531).
    """

    to: str
    content: str


class _Message(Message):
    """Flask-Mail's message, in a form that any mail server accepts: ASCII in short lines."""

    def written(self, address: str) -> str:
        """The whole message, to an address of any letters, which Flask-Mail's own cannot have.

        Put together here: Python's generator costs more than all the rest of making a mail.
        """
        # A boundary that begins with =_ cannot occur in quoted-printable (RFC 2045 §6.7).
        boundary = f"=_{new_token()}"
        headers = {
            "MIME-Version": "1.0",
            "Content-Type": f'multipart/alternative; boundary="{boundary}"',
            "Subject": _subject(self.subject),
            "From": _address(self.sender),
            "To": _recipient(*self.recipients[0]) if address.isascii() else address,
            "Date": formatdate(self.date, localtime=True),
            "Message-ID": self.msgId,
            **({"Reply-To": _address(self.reply_to)} if self.reply_to else {}),
            **(self.extra_headers or {}),
        }
        lines = [*(f"{name}: {value}" for name, value in headers.items()), ""]
        for kind, text in (("plain", self.body or ""), ("html", self.html or "")):
            quoted = b2a_qp(text.encode(), istext=True).decode()
            lines += [f"--{boundary}", f'Content-Type: text/{kind}; charset="utf-8"', QUOTED, "", quoted]
        lines += [f"--{boundary}--", ""]
        return "\n".join(lines).replace("\r\n", "\n").replace("\n", "\r\n")


def _recipient(name: str, address: str) -> str:
    """The address with a name, quoted or in encoded words where it has to be."""
    if name.isascii() and name.isprintable():
        return formataddr((name, address))
    return sanitize_address((name, address))


# Those of many mails are the same.
_subject = lru_cache(maxsize=100)(sanitize_subject)
_address = lru_cache(maxsize=100)(sanitize_address)
_name_and_address = lru_cache(maxsize=100)(parseaddr)


@dataclass(frozen=True)
class Recipient:
    """A mail's recipient: the address, the name, and the language (`sv`, `en`) that it is written in."""

    email: str
    name: str
    locale: str


@dataclass(frozen=True)
class Forms:
    """The environments that make a template's two forms; they keep their compiled templates."""

    html: LanguageEnvironment
    text: LanguageEnvironment


def compose(
    template: str, to: Recipient, *, settings: Settings, at: datetime | None = None, **facts: Any
) -> OutgoingMail:
    """The mail that `templates/mail/<template>.html` makes of the facts, with the brand's footer.

    `at` is the time of the event: the template has it as `when`, in words and on Swedish clocks.
    Needs an application, but no request. The template has a block `subject` and a block `body`, which it
    writes with the macros of `m` (paragraph, fact, link): they are there for text and for HTML. Raises
    `ValueError` for an address that is not valid.
    """
    local, _, domain = to.email.rpartition("@")
    if not local or not domain or _one_line(to.email) != to.email or " " in to.email:
        raise ValueError("a mail needs an address")
    brand = settings.brand
    with i18n.written_in(to.locale):
        subject, text, html = _render(
            template,
            {
                **facts,
                **({"when": _in_words(at, to.locale)} if at else {}),
                "to": to.email,
                "to_name": to.name,
                "locale": to.locale,
                "issuer": settings.issuer,
                "brand": brand,
                "slogan": brand.in_language("slogan", to.locale),
            },
        )
    address = f"{local}@{domain if domain.isascii() else idna.encode(domain).decode()}"
    message = _Message(
        subject=subject,
        recipients=[(_one_line(to.name), address if local.isascii() else "")],
        body=text,
        html=html,
        sender=formataddr(sender(settings)),
        reply_to=brand.support_email or None,
        extra_headers={"Auto-Submitted": "auto-generated", "Content-Language": to.locale},  # RFC 3834 §5
    )
    message.msgId = f"<{new_token()}@{urlsplit(settings.issuer).hostname}>"
    return OutgoingMail(address, message.written(address))


def _in_words(at: datetime, locale: str) -> str:
    return format_datetime(at, "long", tzinfo=i18n.SWEDISH_TIME, locale=locale)


FORMS: Slot[Forms] = Slot("mail")


def register(app: Flask) -> None:
    """Prepare an application, which has its texts by now, to compose mails."""
    Mail(app)
    pages: Any = app.jinja_env
    html = pages.overlay(undefined=StrictUndefined, trim_blocks=True)
    html.filters["wrapped"] = _wrapped
    FORMS.put(app, Forms(html=html, text=html.overlay(autoescape=False)))


def sender(settings: Settings) -> tuple[str, str]:
    """Name and address that mails come from: IDP_MAIL_FROM, else no-reply at the issuer's host."""
    host = urlsplit(settings.issuer).hostname
    name, address = _name_and_address(settings.mail_from or f"no-reply@{host}")
    return name or _one_line(settings.brand.name), address


def _render(template: str, context: dict[str, Any]) -> tuple[str, str, str]:
    """Subject, text and HTML, in the language that is in force now."""
    forms = FORMS.current()
    name = f"mail/{template}.html"
    for_text, for_html = forms.text.in_language(), forms.html.in_language()
    in_text = {**context, "m": _macros(for_text, "text"), "layout": "mail/_text.html"}
    source = for_text.get_template(name)
    subject = _one_line("".join(source.blocks["subject"](source.new_context(in_text))))
    text = MANY_EMPTY_LINES.sub("\n\n", source.render(in_text)).strip() + "\n"
    in_html = {**context, "m": _macros(for_html, "html"), "layout": "mail/_html.html"}
    return subject, text, for_html.get_template(name).render(in_html)


def _macros(environment: LanguageEnvironment, form: str) -> Any:
    return environment.get_template(f"mail/_{form}_parts.html").module


@lru_cache(maxsize=200)  # most paragraphs are the same in many mails
def _wrapped(text: str) -> str:
    """The text in lines that every mail program shows whole."""
    lines = (IN_LINES.wrap(line) for line in text.splitlines())
    return "\n".join("\n".join(some) for some in lines)


def _one_line(value: str) -> str:
    """The value without line breaks and other control characters, which would begin new headers."""
    if value.isprintable():
        return " ".join(value.split())
    cleaned = "".join(" " if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one for one in value)
    return " ".join(cleaned.split())
