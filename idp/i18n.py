"""The page's language: the person's own choice first, then those of the relying app, account and browser."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import get_month_names
from babel.support import Translations
from flask import Flask, Response, g, request
from flask_babel import Babel, LazyString, force_locale, get_locale, get_translations
from markupsafe import Markup, escape
from werkzeug.wrappers import Response as BaseResponse

from idp.extensions import Slot

LANGUAGES = {"sv": "Svenska", "en": "English"}
DEFAULT_LANGUAGE = "sv"
TIME_ZONE = "Europe/Stockholm"  # of the times on pages
SWEDISH_TIME = ZoneInfo(TIME_ZONE)
COOKIE = "idp_language"
COOKIE_SECONDS = 365 * 24 * 3600


def prefer(locales: str | None) -> None:
    """Let a relying app's `ui_locales` (OIDC Core §3.1.2.1) decide where the person has not chosen."""
    for tag in (locales or "").split():
        language = tag.lower().split("-")[0]
        if language in LANGUAGES:
            g.preferred_language = language
            g.pop("language", None)
            return


def current_language() -> str:
    """`sv` or `en` for this request."""
    if "language" not in g:
        g.language = _wanted_language()
    language: str = g.language
    return language


def _wanted_language() -> str:
    chosen = request.args.get("lang") or request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return chosen
    preferred = g.get("preferred_language")
    if preferred:
        return str(preferred)
    return request.accept_languages.best_match(list(LANGUAGES)) or DEFAULT_LANGUAGE


@dataclass(frozen=True, eq=False)
class Texts:
    """The texts and formats of pages and mails in one language."""

    catalogue: Translations
    months: Mapping[int, str]
    # Other things made in this language, to be used again: forms and pages.
    shown_forms: dict[Any, Any] = field(default_factory=dict)
    prewritten: dict[Any, list[str]] = field(default_factory=dict)


def texts() -> Texts:
    """The texts of the language that is in force now; found once in a request."""
    found: Texts | None = g.get("texts")
    if found is None:
        found = g.texts = _texts()
    return found


def _texts() -> Texts:
    known = TEXTS.current()
    locale = get_locale()
    found = known.get(locale)
    if found is None:
        found = known[locale] = Texts(get_translations(), get_month_names("wide", locale=locale))
    return found


TEXTS: Slot[dict[Locale | None, Texts]] = Slot("texts")


@contextmanager
def written_in(language: str) -> Iterator[None]:
    """Let this language be in force instead of the request's."""
    before = g.pop("texts", None)
    try:
        with force_locale(language):
            yield
    finally:
        g.texts = before


def gettext(text: str, **values: object) -> str:
    """The text in the language that is in force now, with the values filled in."""
    found: str = texts().catalogue.ugettext(text)
    return found % values if values else found


def _ngettext(one: str, several: str, number: int) -> str:
    found: str = texts().catalogue.ungettext(one, several, number)
    return found


class LazyText(LazyString):  # type: ignore[misc]
    """A text in its reader's language. A page asks for it once, Flask-Babel's own twice."""

    def __html__(self) -> Markup:
        return escape(str(self))


def lazy_gettext(text: str, **values: object) -> LazyText:
    """The text in the language that will be in force when it is read."""
    return LazyText(gettext, text, **values)


def moment(at: datetime) -> str:
    """A time in the language that is in force now, on Swedish clocks: 3 maj 2026 14:05."""
    local = at.astimezone(SWEDISH_TIME)
    return f"{local.day} {texts().months[local.month]} {local.year} {local.hour:02}:{local.minute:02}"


def choose(response: BaseResponse, language: str, *, secure: bool) -> None:
    """Let this browser have its pages in the language from now on."""
    response.set_cookie(
        COOKIE, language, max_age=COOKIE_SECONDS, secure=secure, httponly=True, samesite="Lax"
    )


def language_links() -> list[dict[str, str | bool]]:
    """The language menu's entries: this page in each language."""
    current = current_language()
    links: list[dict[str, str | bool]] = []
    for code, name in LANGUAGES.items():
        arguments = [(key, value) for key, value in request.args.items(multi=True) if key != "lang"]
        query = urlencode([*arguments, ("lang", code)])
        # Relative: a path like /\host that led to our 404 page must not become a link to that host.
        links.append({"code": code, "name": name, "url": f"?{query}", "current": code == current})
    return links


def register(app: Flask, *, secure: bool) -> None:
    """Set Flask-Babel up and remember a choice made in the language menu (`?lang=en`)."""
    app.config["BABEL_DEFAULT_LOCALE"] = DEFAULT_LANGUAGE
    app.config["BABEL_DEFAULT_TIMEZONE"] = TIME_ZONE
    TEXTS.put(app, {})
    Babel(app, locale_selector=current_language)
    # Flask-Babel searches for the catalogue anew at every text, which is a tenth of a page's cost.
    environment: Any = app.jinja_env  # its i18n extension has added the method
    environment.install_gettext_callables(gettext=gettext, ngettext=_ngettext, newstyle=True)

    @app.after_request
    def remember_choice(response: Response) -> Response:
        if response.mimetype == "text/html" and request.args.get("lang") in LANGUAGES:
            choose(response, request.args["lang"], secure=secure)
        return response
