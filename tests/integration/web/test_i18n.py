"""Pages are in Swedish and English, in the language chosen, without a missing text."""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from babel.dates import format_datetime
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po
from flask import Flask, render_template, render_template_string
from jinja2 import DictLoader

import idp
from idp import i18n
from idp.app import create_tool_app
from idp.config import Settings
from idp.errors import TEXTS, IdpError
from tests.factories import make_user
from tests.fakes.relying_party import HTTPS, RelyingParty

PACKAGE = Path(idp.__file__).parent
TRANSLATIONS = PACKAGE / "translations"
CATALOGUE = TRANSLATIONS / "en" / "LC_MESSAGES"
KEYWORDS = {
    "_": None,
    "gettext": None,
    "lazy_gettext": None,
    "ngettext": (1, 2),
    "lazy_ngettext": (1, 2),
}


@pytest.fixture
def database_url() -> str:
    return "sqlite://"


def language(app: Flask, path: str = "/login/password", **options: str) -> str:
    """The language of a page for a browser with these Accept-Language and Cookie headers."""
    headers = {name.replace("_", "-"): value for name, value in options.items()}
    page = app.test_client().get(path, headers=headers, **HTTPS)
    return page.text.split('<html lang="')[1][:2]


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", "sv"),
        ("en", "en"),
        ("en-GB,en;q=0.9", "en"),
        ("sv-SE,sv;q=0.9,en;q=0.8", "sv"),
        ("de,en;q=0.5", "en"),
        ("de", "sv"),
        ("sv;q=0.1,en;q=0.9", "en"),
        ("*", "sv"),
        ("rubbish;q=x,,,", "sv"),
    ],
)
def test_the_browsers_language(app: Flask, accepted: str, expected: str) -> None:
    assert language(app, Accept_Language=accepted) == expected


def test_swedish_is_the_default_language(app: Flask) -> None:
    page = app.test_client().get("/login/password", **HTTPS)
    assert '<html lang="sv">' in page.text
    assert "Lösenord" in page.text


def test_the_menus_language_is_remembered(app: Flask) -> None:
    browser = app.test_client()
    page = browser.get("/login/password?lang=en", **HTTPS)
    assert '<html lang="en">' in page.text
    assert "Password" in page.text
    cookie = page.headers["Set-Cookie"]
    assert any(
        line.startswith("idp_language=en;") and "Secure" in line and "HttpOnly" in line
        for line in page.headers.getlist("Set-Cookie")
    ), cookie
    again = browser.get("/login/password", headers={"Accept-Language": "sv"}, **HTTPS)
    assert '<html lang="en">' in again.text
    back = browser.get("/login/password?lang=sv", **HTTPS)
    assert '<html lang="sv">' in back.text


@pytest.mark.parametrize("value", ["de", "", "EN", "en-GB", "../../etc", "x\x00"])
def test_an_unknown_language_changes_nothing(app: Flask, value: str) -> None:
    page = app.test_client().get("/login/password", query_string={"lang": value}, **HTTPS)
    assert page.status_code == 200
    assert '<html lang="sv">' in page.text
    assert "idp_language" not in str(page.headers.getlist("Set-Cookie"))
    assert language(app, Cookie=f"idp_language={value}") == "sv"


def test_the_menu_keeps_the_rest_of_the_address(app: Flask) -> None:
    page = app.test_client().get("/login/password?x=1&lang=sv&x=%26", **HTTPS)
    assert 'href="?x=1&amp;x=%26&amp;lang=en"' in page.text
    assert 'aria-current="true">Svenska' in page.text
    assert "Switch language ▾" in page.text


@pytest.mark.parametrize(
    ("asked", "accepted", "expected"),
    [
        ("en", "sv", "en"),
        ("sv", "en", "sv"),
        ("de en", "sv", "en"),
        ("en-GB", "sv", "en"),
        ("de", "en", "en"),
        ("", "en", "en"),
    ],
)
def test_the_relying_apps_language_wins_over_the_browsers(
    app: Flask, rp: RelyingParty, asked: str, accepted: str, expected: str
) -> None:
    started = rp.authorize(ui_locales=asked)
    page = rp.browser.get(started.location, headers={"Accept-Language": accepted}, **HTTPS)
    page = rp.browser.get(page.location, headers={"Accept-Language": accepted}, **HTTPS)
    assert 'id="login-form"' in page.text
    assert f'<html lang="{expected}">' in page.text


def test_the_persons_language_wins_over_the_relying_apps(rp: RelyingParty) -> None:
    page = rp.follow(rp.authorize(ui_locales="sv"))
    assert '<html lang="sv">' in page.text
    chosen = rp.browser.get(page.request.path + "?lang=en", **HTTPS)
    assert '<html lang="en">' in chosen.text
    later = rp.follow(rp.authorize(ui_locales="sv"))
    assert '<html lang="en">' in later.text


def test_the_accounts_language_on_its_own_pages(app: Flask, rp: RelyingParty) -> None:
    with app.app_context():
        make_user(locale="en")
    rp.log_in()
    account = rp.browser.get("/account", headers={"Accept-Language": "sv"}, **HTTPS)
    assert '<html lang="en">' in account.text
    assert "My details" in account.text or "Mina uppgifter" not in account.text


def test_errors_are_shown_in_the_pages_language(app: Flask) -> None:
    page = app.test_client().get("/nowhere", headers={"Accept-Language": "en"}, **HTTPS)
    assert '<html lang="en">' in page.text
    assert "Sidan finns inte" not in page.text


# The catalogue


def extracted() -> set[str]:
    """Every text in code and templates."""
    with (TRANSLATIONS / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    found = extract_from_dir(PACKAGE, methods, options, keywords=KEYWORDS)
    return {
        message if isinstance(message, str) else message[0]
        for _path, _line, message, _comments, _context in found
    }


def english() -> Catalog:
    with (CATALOGUE / "messages.po").open("rb") as file:
        return read_po(file, locale="en", abort_invalid=True)


def test_every_text_is_in_the_catalogue_and_nothing_else() -> None:
    known = set(texts(english()))
    used = extracted()
    assert len(used) > 50
    assert used - known == set(), "run `make texts` and translate"
    assert known - used == set(), "run `make texts`"


def test_every_text_is_translated() -> None:
    catalogue = english()
    assert not catalogue.fuzzy
    for message in catalogue:
        if not message.id:
            continue
        strings = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
        assert all(strings), message.id
        assert not message.fuzzy, message.id
        assert list(message.check(catalogue)) == [], message.id


def test_the_compiled_catalogue_is_fresh() -> None:
    compiled = BytesIO()
    write_mo(compiled, english())
    compiled.seek(0)
    with (CATALOGUE / "messages.mo").open("rb") as file:
        assert texts(read_mo(file)) == texts(read_mo(compiled)), "run `make texts`"


def texts(catalogue: Catalog) -> dict[str, object]:
    """Translations by their original; a plural's by its singular."""
    return {
        message.id if isinstance(message.id, str) else message.id[0]: message.string
        for message in catalogue
        if message.id
    }


def subclasses(kind: type[IdpError]) -> set[type[IdpError]]:
    return {kind, *(found for sub in kind.__subclasses__() for found in subclasses(sub))}


def test_every_error_has_a_text(app: Flask) -> None:
    codes = {kind.code for kind in subclasses(IdpError)}
    assert len(codes) > 5
    assert codes <= set(TEXTS)


@pytest.mark.parametrize(
    "source",
    [
        '{{ _("Namn") }}',
        '{{ gettext("Namn") }} {{ _("no such text") }}',
        '{{ _("Vi har skickat en länk till %(email)s.", email="<b>" ~ name) }}',
        '{{ _("100%% <b>, %(one)s", one=name) }} {{ _("50%%") }}',
        "{% trans place=name %}IP-adress {{ place }}{% endtrans %} {% trans %}Namn{% endtrans %}",
        '{{ ngettext("%(num)s träff", "%(num)s träffar", 2) }} {{ _(name) }}',
        '{% set text = _("Namn") %}{{ text | upper }} {{ [_("Namn"), name] | join("<") }}',
        '{% macro m(text=_("Namn")) %}<p>{{ text }}</p>{% endmacro %}{{ m() }}{{ m(_("Titel")) }}',
    ],
)
@pytest.mark.parametrize("lang", ["sv", "en"])
def test_a_text_translated_beforehand_is_the_text_translated_now(app: Flask, lang: str, source: str) -> None:
    app.jinja_env.loader = DictLoader({"page.html": source})
    with app.test_request_context(f"/?lang={lang}"):
        assert render_template("page.html", name="A & B") == render_template_string(source, name="A & B")


def test_each_language_has_templates_of_its_own(app: Flask) -> None:
    page = '{% from "parts.html" import title %}{% include "name.html" %} {{ title() }}'
    parts = '{% macro title() %}{{ _("Titel") }}{% endmacro %}'
    app.jinja_env.loader = DictLoader(
        {"page.html": page, "parts.html": parts, "name.html": '{{ _("Namn") }}'}
    )
    for lang, expected in [("sv", "Namn Titel"), ("en", "Name Title"), ("sv", "Namn Titel")]:
        with app.test_request_context(f"/?lang={lang}"):
            assert render_template("page.html") == expected


def test_a_mail_in_another_language_leaves_the_pages_as_it_is(app: Flask) -> None:
    with app.test_request_context("/?lang=sv"):
        before = i18n.gettext("Namn"), str(i18n.lazy_gettext("Namn"))
        with i18n.written_in("en"):
            assert i18n.gettext("Namn") == "Name"
        assert before == (i18n.gettext("Namn"), render_template_string('{{ _("Namn") }}')) == ("Namn", "Namn")


@pytest.mark.parametrize("lang", ["sv", "en"])
def test_times_are_written_as_babel_writes_them(environ: dict[str, str], lang: str) -> None:
    app = create_tool_app(Settings.from_environ(environ))
    with app.app_context(), i18n.written_in(lang):
        for month in range(1, 13):
            at = datetime(2026, month, 3, 22, 5, tzinfo=UTC)
            expected = format_datetime(at, "d MMMM y HH:mm", tzinfo=i18n.SWEDISH_TIME, locale=lang)
            assert i18n.moment(at) == expected
