"""A mail has two parts with the same words and headers that nobody can add to."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Any

import pytest
from flask import Flask

from idp import mail
from idp.app import create_tool_app
from idp.config import ConfigError, Settings
from idp.mail import OutgoingMail, Recipient

ENVIRON = {
    "IDP_ISSUER": "https://login.example.se",
    "IDP_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "IDP_DATABASE_URL": "sqlite://",
}
FOOTER = {
    "IDP_BRAND_COMPANY": "Leasify Sverige AB",
    "IDP_BRAND_SUPPORT_PHONE": "08-123 45 67",
    "IDP_BRAND_SUPPORT_EMAIL": "hej@example.se",
    "IDP_BRAND_WEB": "https://www.example.se",
}
LONGEST_LINE = 998  # RFC 5322 §2.1.1
WELCOME = """\
Hej och varmt välkommen som kund hos Leasify!

Här kommer dina inloggningsuppgifter:

Användarnamn: anna@example.se

Lösenord begär du via påminnelsefunktionen här
<https://login.example.se/password/reset>. Använd e-postadressen
anna@example.se

Vi hörs på måndag.

Kontakta gärna oss med frågor eller om du vill ha hjälp att komma igång.

Med vänlig hälsning, Leasify

--\x20
Leasify Sverige AB
08-123 45 67
hej@example.se
https://www.example.se
Vi sänker era leasingkostnader
"""


def settings(**changes: str) -> Settings:
    return Settings.from_environ({**ENVIRON, **changes})


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    tools = create_tool_app(settings())
    with tools.app_context():
        yield tools


def welcome(app: Flask, *, given: Settings | None = None, **changes: Any) -> OutgoingMail:
    """The welcome mail; every fact can be changed."""
    facts: dict[str, Any] = {"to": "anna@example.se", "to_name": "Anna Åsén", "locale": "sv"}
    facts |= {"paragraphs": ["Vi hörs på måndag."]} | changes
    assert app
    to = Recipient(facts.pop("to"), facts.pop("to_name"), facts.pop("locale"))
    return mail.compose("welcome", to, settings=given or settings(), **facts)


def parsed(composed: OutgoingMail) -> EmailMessage:
    message = message_from_bytes(composed.content.encode(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def part(composed: OutgoingMail, kind: str) -> str:
    body = parsed(composed).get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def words(html: str) -> str:
    """What a reader sees of HTML, without white space."""
    shown = re.sub(r"<head>.*</head>|<[^>]+>", "", html, flags=re.DOTALL)
    return "".join(shown.split())


# The two parts


def test_the_welcome_mail_in_text(app: Flask) -> None:
    composed = welcome(app, given=settings(**FOOTER))
    assert part(composed, "plain") == WELCOME
    assert parsed(composed)["Subject"] == "Välkommen till Leasify"


def test_the_html_part_says_the_same(app: Flask) -> None:
    composed = welcome(app, given=settings(**FOOTER))
    html = part(composed, "html")
    in_text = WELCOME.replace("<https://login.example.se/password/reset>", "").replace("-- \n", "")
    shown = words(html)
    assert shown.removeprefix("Leasify") == "".join(in_text.split())
    assert '<a href="https://login.example.se/password/reset"' in html
    assert '<html lang="sv">' in html
    assert "<title>Välkommen till Leasify</title>" in html


def test_no_line_of_a_text_is_changed_on_the_way(app: Flask) -> None:
    lines = ["From here on", "--", ".", "=_", "--=_boundary--", "Content-Type: text/html"]
    shown = part(welcome(app, paragraphs=lines), "plain").split("\n")
    assert [line for line in shown if line in lines] == lines


def test_a_mail_in_english(app: Flask) -> None:
    composed = welcome(app, locale="en", paragraphs=[])
    assert parsed(composed)["Subject"] == "Welcome to Leasify"
    text = part(composed, "plain")
    assert "Username: anna@example.se" in text
    assert "Kind regards, Leasify" in text
    assert '<html lang="en">' in part(composed, "html")
    assert parsed(composed)["Content-Language"] == "en"


def test_each_mail_has_its_own_language(app: Flask) -> None:
    subjects = [parsed(welcome(app, locale=locale))["Subject"] for locale in ("en", "sv", "en")]
    assert subjects == ["Welcome to Leasify", "Välkommen till Leasify", "Welcome to Leasify"]


def test_the_operators_words_in_both_languages() -> None:
    swedish = settings(IDP_BRAND_SLOGAN="Svenska", IDP_BRAND_WELCOME="Ett").brand
    both = settings(IDP_BRAND_SLOGAN="Svenska", IDP_BRAND_SLOGAN_EN="English").brand
    assert swedish.in_language("slogan", "en") == "Svenska", "better than nothing"
    assert swedish.in_language("welcome", "sv") == "Ett"
    assert both.in_language("slogan", "en") == "English"
    assert both.in_language("slogan", "sv") == "Svenska"


def test_html_is_written_out_and_text_is_left_alone(app: Flask) -> None:
    composed = welcome(app, paragraphs=["<script>alert('å & ö')</script>"])
    assert "<script>alert('å & ö')</script>" in part(composed, "plain")
    html = part(composed, "html")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_footer_holds_what_is_set(app: Flask) -> None:
    bare = part(welcome(app, given=settings(IDP_BRAND_NAME="Bolaget")), "plain")
    assert bare.endswith("-- \nBolaget\nVi sänker era leasingkostnader\n")


def test_a_forgotten_fact_is_an_error(app: Flask) -> None:
    with app.app_context(), pytest.raises(Exception, match="'paragraphs' is undefined"):
        mail.compose("welcome", Recipient("anna@example.se", "Anna", "sv"), settings=settings())


# Headers


def test_the_headers_of_a_mail(app: Flask) -> None:
    given = settings(IDP_MAIL_FROM='"Leasify, inloggning" <no-reply@example.se>', **FOOTER)
    message = parsed(welcome(app, given=given))
    assert message["From"].addresses[0].addr_spec == "no-reply@example.se"
    assert message["From"].addresses[0].display_name == "Leasify, inloggning"
    assert message["To"].addresses[0].addr_spec == "anna@example.se"
    assert message["To"].addresses[0].display_name == "Anna Åsén"
    assert message["Reply-To"] == "hej@example.se"
    assert message["Auto-Submitted"] == "auto-generated"
    assert re.fullmatch(r"<[\w-]{43}@login\.example\.se>", message["Message-ID"])
    assert abs((message["Date"].datetime - datetime.now(UTC)).total_seconds()) < 600
    assert "List-Unsubscribe" not in message
    assert message.get_content_type() == "multipart/alternative"
    assert [each.get_content_type() for each in message.iter_parts()] == ["text/plain", "text/html"]


def test_the_headers_of_a_mail_with_few_settings(app: Flask) -> None:
    message = parsed(welcome(app))
    assert str(message["From"]) == "Leasify <no-reply@login.example.se>"
    assert "Reply-To" not in message


def test_no_two_mails_have_the_same_id(app: Flask) -> None:
    assert parsed(welcome(app))["Message-ID"] != parsed(welcome(app))["Message-ID"]


@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\x0b", "\x85", "\u2028", "\x00"])
def test_no_name_begins_a_header(app: Flask, line_break: str) -> None:
    evil = f"Anna{line_break}Bcc: eve@example.com"
    brand = settings(IDP_BRAND_NAME=evil.replace("\x00", ""))
    composed = welcome(app, to_name=evil, given=brand)
    message = parsed(composed)
    assert set(message.keys()) == set(parsed(welcome(app)).keys())
    assert [address.addr_spec for address in message["To"].addresses] == ["anna@example.se"]
    assert [address.addr_spec for address in message["From"].addresses] == ["no-reply@login.example.se"]
    assert composed.to == "anna@example.se"


@pytest.mark.parametrize(
    "name", ["Anna, <eve@example.com>", 'Anna" <eve@example.com>, "', "(Anna", "A" * 300]
)
def test_no_name_adds_a_recipient(app: Flask, name: str) -> None:
    message = parsed(welcome(app, to_name=name))
    assert [address.addr_spec for address in message["To"].addresses] == ["anna@example.se"]


@pytest.mark.parametrize(
    "to",
    [
        "",
        "anna",
        "@example.se",
        "anna@",
        "anna@example.se\r\nBcc: eve@example.com",
        "anna@example.se\n",
        "anna@example.se, eve@example.com",
    ],
)
def test_an_impossible_address_gets_no_mail(app: Flask, to: str) -> None:
    with pytest.raises(ValueError, match="address"):
        welcome(app, to=to)


def test_long_names_and_subjects_keep_their_letters(app: Flask) -> None:
    name = " ".join(["Åsa-Märta Örnsköld"] * 8)
    composed = welcome(app, to_name=name, given=settings(IDP_BRAND_NAME=name))
    headers = message_from_bytes(composed.content.encode(), policy=policy.compat32)
    to, _, address = str(make_header(decode_header(headers["To"]))).rpartition(" ")
    assert to == name
    assert address == "<anna@example.se>"
    assert str(make_header(decode_header(headers["Subject"]))) == f"Välkommen till {name}"


def test_no_line_is_too_long_for_mail_servers(app: Flask) -> None:
    long = "å" * 3000 + " " + "x" * 3000
    composed = welcome(app, paragraphs=[long], to_name="Åsa " * 50)
    assert composed.content.isascii()
    lines = composed.content.split("\r\n")
    assert max(map(len, lines)) <= LONGEST_LINE
    assert "\n" not in "".join(lines), "every line ends in CRLF"
    assert "".join(long.split()) in "".join(part(composed, "plain").split())


@pytest.mark.parametrize(
    ("to", "envelope"),
    [
        ("anna+test@example.se", "anna+test@example.se"),
        ("anna@exempelå.se", "anna@xn--exempel-kxa.se"),
        ("anna@faß.de", "anna@xn--fa-hia.de"),
        ("åsa@exempelå.se", "åsa@xn--exempel-kxa.se"),
    ],
)
def test_addresses_with_other_letters(app: Flask, to: str, envelope: str) -> None:
    composed = welcome(app, to=to)
    assert composed.to == envelope
    assert re.search(rf"^To: .*{re.escape(envelope)}>?\r$", composed.content, re.MULTILINE)
    assert composed.content.isascii() == envelope.isascii()
    assert f"Användarnamn: {to}" in part(composed, "plain")


# Settings


@pytest.mark.parametrize(
    "url",
    [
        "smtp://mail.example.se",
        "smtp://mail.example.se:25/",
        "smtp://user:p%40ss@mail.example.se:587",
        "smtp://user:pass@localhost?starttls=off",
        "smtp://mail.example.se?starttls=required",
        "smtps://user:pass@mail.example.se",
        "smtp://[::1]:25",
        "file:var/outbox",
    ],
)
def test_mail_urls(url: str) -> None:
    assert settings(IDP_MAIL_URL=url).mail_url == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://mail.example.se", "must begin with smtp"),
        ("mail.example.se", "must begin with smtp"),
        ("smtp://", "must look like"),
        ("smtp://mail.example.se/path", "must look like"),
        ("smtp://mail.example.se:port", "not a URL"),
        ("smtp://mail.example.se:99999", "not a URL"),
        ("smtp://user@mail.example.se", "both a user name and a password"),
        ("smtp://user:@mail.example.se", "both a user name and a password"),
        ("smtp://:pass@mail.example.se", "both a user name and a password"),
        ("smtp://user:l%C3%B6sen@mail.example.se", "ASCII"),
        ("smtp://mail.example.se?starttls=maybe", "starttls"),
        ("smtp://mail.example.se?tls=off", "starttls"),
        ("smtps://mail.example.se?starttls=off", "starttls"),
        ("smtp://user:pass@mail.example.se?starttls=off", "in clear"),
        ("file:", "folder"),
    ],
)
def test_bad_mail_urls(url: str, problem: str) -> None:
    assert settings(IDP_MAIL_URL="smtp://user:pass@mail.example.se").mail_url
    with pytest.raises(ConfigError, match=rf"\AIDP_MAIL_URL: .*{problem}[^\n]*\Z") as raised:
        settings(IDP_MAIL_URL=url)
    assert "pass@" not in str(raised.value), "a password is no part of the message"


@pytest.mark.parametrize("sender", ["no-reply@example.se", "Leasify <no-reply@example.se>"])
def test_senders(sender: str) -> None:
    assert settings(IDP_MAIL_FROM=sender).mail_from == sender
    assert mail.sender(settings(IDP_MAIL_FROM=sender)) == ("Leasify", "no-reply@example.se")


@pytest.mark.parametrize(
    "sender",
    [
        "example.se",
        "Leasify",
        "a@example.se, b@example.se",
        "a@example.se\nBcc: b@example.se",
        "å@example.se",
    ],
)
def test_bad_senders(sender: str) -> None:
    with pytest.raises(ConfigError, match=r"\AIDP_MAIL_FROM: must be"):
        settings(IDP_MAIL_FROM=sender)


def test_a_web_address_is_a_link_that_may_be_followed() -> None:
    assert settings(IDP_BRAND_WEB="https://example.se").brand.web == "https://example.se"
    with pytest.raises(ConfigError, match="IDP_BRAND_WEB: must begin with https"):
        settings(IDP_BRAND_WEB="javascript:alert(1)")
