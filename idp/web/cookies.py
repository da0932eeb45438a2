"""Cookies: their names, and the signed one with the browser's own state."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSessionInterface, SessionMixin

from idp.config import Settings

BROWSER_COOKIE_SECONDS = 400 * 24 * 3600


def cookie_name(name: str, settings: Settings) -> str:
    """`__Host-NAME` on https, which no other host or path can set (RFC 6265bis §4.1.3.2)."""
    return f"__Host-{name}" if settings.is_https else name


class LazyCookieSession(SessionMixin):
    """The content of a browser's cookie. Its signature is checked at the first read or write.

    Requests of machines and single sign-on do neither: an authorization request costs a tenth less for it.
    """

    modified = False

    def __init__(self, load: Callable[[], Mapping[str, Any] | None]) -> None:
        self._load = load
        self._held: dict[str, Any] | None = None

    @property
    def is_read(self) -> bool:
        return self._held is not None

    def read(self) -> dict[str, Any]:
        """The cookie's content, with the changes since."""
        if self._held is None:
            self._held = dict(self._load() or {})
        return self._held

    def __getitem__(self, key: str) -> Any:
        return self.read()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.read()[key] = value
        self.modified = True

    def __delitem__(self, key: str) -> None:
        del self.read()[key]
        self.modified = True

    def __iter__(self) -> Iterator[str]:
        return iter(self.read())

    def __len__(self) -> int:
        return len(self.read())


class LazyCookieSessions(SecureCookieSessionInterface):
    """Flask's signed cookies, each read when it is needed and written when it has changed."""

    def open_session(  # type: ignore[override]  # Flask promises a dict, and uses a mapping
        self, app: Flask, request: Request
    ) -> LazyCookieSession:
        """The session of the browser that sends the request."""
        return LazyCookieSession(lambda: super(LazyCookieSessions, self).open_session(app, request))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set the cookie again if its content has changed."""
        if cast(LazyCookieSession, session).is_read:
            super().save_session(app, session, response)


def register(app: Flask, settings: Settings) -> None:
    """Let `app` keep a browser's state in a cookie of its own."""
    app.config.update(
        SECRET_KEY=settings.secret_key.get_secret_value(),
        SESSION_COOKIE_NAME=cookie_name("idp_browser", settings),
        SESSION_COOKIE_SECURE=settings.is_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=BROWSER_COOKIE_SECONDS,
    )
    app.session_interface = LazyCookieSessions()
