"""The page's language: the person's own choice first, then what the relying app, account and browser say."""

from urllib.parse import urlencode

from flask import Flask, Response, g, request
from flask_babel import Babel

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

    @app.after_request
    def remember_choice(response: Response) -> Response:
        chosen = request.args.get("lang")
        if chosen in LANGUAGES and response.mimetype == "text/html":
            response.set_cookie(
                COOKIE, chosen, max_age=COOKIE_SECONDS, secure=secure, httponly=True, samesite="Lax"
            )
        return response
