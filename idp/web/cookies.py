"""Cookies: their names, and the signed one that holds what a browser is to remember."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, cast

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin

from idp.config import Settings

BROWSER_COOKIE_SECONDS = 400 * 24 * 3600


def cookie_name(name: str, settings: Settings) -> str:
    """`__Host-NAME` on https, which no other host or path can set (RFC 6265bis §4.1.3.2)."""
    return f"__Host-{name}" if settings.is_https else name


class LazyCookieSession(SecureCookieSession):
    """What a browser's cookie holds, read from it when first asked for: most requests never ask."""

    def __init__(self, read: Callable[[], Mapping[str, Any] | None]) -> None:
        super().__init__()
        self._read: Callable[[], Mapping[str, Any] | None] | None = read

    @property
    def is_read(self) -> bool:
        return self._read is None

    def read(self) -> None:
        """Fill this with what the cookie holds, unless it has been filled."""
        read, self._read = self._read, None
        if read is not None:
            dict.update(self, read() or {})


def _once_read(name: str) -> Callable[..., Any]:
    plain = getattr(SecureCookieSession, name)

    @wraps(plain)
    def method(self: LazyCookieSession, *args: Any, **values: Any) -> Any:
        self.read()
        return plain(self, *args, **values)

    return method


for _name in (
    *("__contains__", "__getitem__", "__iter__", "__reversed__", "__len__", "__eq__", "__or__", "__repr__"),
    *("get", "keys", "values", "items", "copy"),
    *("__setitem__", "__delitem__", "__ior__", "setdefault", "pop", "popitem", "update", "clear"),
):
    setattr(LazyCookieSession, _name, _once_read(_name))


class LazyCookieSessions(SecureCookieSessionInterface):
    """Flask's sessions, whose cookies are read when they are needed."""

    def open_session(self, app: Flask, request: Request) -> LazyCookieSession:
        """The session of the browser that sends the request."""
        return LazyCookieSession(lambda: super(LazyCookieSessions, self).open_session(app, request))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set the cookie again if what it holds has changed."""
        if cast(LazyCookieSession, session).is_read:
            super().save_session(app, session, response)


def register(app: Flask, settings: Settings) -> None:
    """Let `app` keep what a browser is to remember in a cookie of its own."""
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
