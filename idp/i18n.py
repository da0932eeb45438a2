"""The page's language: the person's own choice first, then what the relying app, account and browser say."""

from typing import Any
from urllib.parse import urlencode

from babel import Locale
from babel.support import Translations
from flask import Flask, Response, g, request
from flask_babel import Babel, get_locale, get_translations
from werkzeug.wrappers import Response as BaseResponse

LANGUAGES = {"sv": "Svenska", "en": "English"}
DEFAULT_LANGUAGE = "sv"
TIME_ZONE = "Europe/Stockholm"  # of the times on pages
COOKIE = "idp_language"
COOKIE_SECONDS = 365 * 24 * 3600


def prefer(locales: str | None) -> None:
    """Let a relying app's `ui_locales` (OIDC Core §3.1.2.1) decide where the person has not chosen."""
    for tag in (locales or "").split():
        language = tag.lower().split("-")[0]
        if language in LANGUAGES:
            g.preferred_language = language
            return


def current_language() -> str:
    """`sv` or `en` for this request."""
    chosen = request.args.get("lang") or request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return chosen
    preferred = g.get("preferred_language")
    if preferred:
        return str(preferred)
    return request.accept_languages.best_match(list(LANGUAGES)) or DEFAULT_LANGUAGE


def _catalogue() -> Translations:
    """The texts of the language that pages are written in now; mails have their own within a request."""
    locale = get_locale()
    kept: tuple[Locale | None, Translations] | None = g.get("catalogue")
    if kept is None or kept[0] is not locale:
        kept = g.catalogue = (locale, get_translations())
    return kept[1]


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
    Babel(app, locale_selector=current_language)
    # Flask-Babel looks for the catalogue at every text anew, which is a tenth of what a page costs.
    environment: Any = app.jinja_env  # its i18n extension has added the method
    environment.install_gettext_callables(
        gettext=lambda text: _catalogue().ugettext(text),
        ngettext=lambda one, several, number: _catalogue().ungettext(one, several, number),
        newstyle=True,
    )

    @app.after_request
    def remember_choice(response: Response) -> Response:
        chosen = request.args.get("lang")
        if chosen in LANGUAGES and response.mimetype == "text/html":
            choose(response, chosen, secure=secure)
        return response
