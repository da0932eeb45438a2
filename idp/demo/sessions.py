"""The portal's sessions: kept in its memory, since an ID token alone would fill a cookie."""

import threading
from collections import OrderedDict
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin

from idp.tokens import new_token

MAX_SESSIONS = 1000


class MemorySession(dict[str, Any], SessionMixin):
    """One browser's data. Call `renew()` at login, so that a handle from before it is worth nothing."""

    handle: str | None = None

    def renew(self) -> None:
        self.handle = None


class MemorySessions(SessionInterface):
    """The newest `MAX_SESSIONS` sessions of one process; the cookie holds a random handle."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, MemorySession] = OrderedDict()
        self._lock = threading.Lock()

    def open_session(self, app: Flask, request: Request) -> MemorySession:
        with self._lock:
            found = self._kept.get(request.cookies.get(self.get_cookie_name(app), ""))
        return MemorySession() if found is None else found

    def end_login(self, name: str, *, sid: str) -> None:
        """Forget, in every browser, the login under `name` that came of the provider's session `sid`."""
        with self._lock:
            for kept in self._kept.values():
                if kept.get(name, {}).get("claims", {}).get("sid") == sid:
                    kept.pop(name, None)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        assert isinstance(session, MemorySession)
        if session.handle is not None or not session:
            return
        session.handle = new_token()
        with self._lock:
            for handle in [handle for handle, kept in self._kept.items() if kept is session]:
                del self._kept[handle]
            self._kept[session.handle] = session
            while len(self._kept) > MAX_SESSIONS:
                self._kept.popitem(last=False)
        response.set_cookie(
            self.get_cookie_name(app), session.handle, httponly=True, samesite="Lax", path="/"
        )
