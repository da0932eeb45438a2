"""The portal's sessions, in its memory: an ID token alone would fill a cookie."""

import threading
from collections import OrderedDict
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin

from idp.tokens import new_token

MAX_SESSIONS = 1000


class MemorySession(dict[str, Any], SessionMixin):
    """One browser's data. `renew()` at a login makes the handle from before it worthless."""

    handle: str | None = None

    def renew(self) -> None:
        self.handle = None


class MemorySessions(SessionInterface):
    """The newest `MAX_SESSIONS` sessions of one process; the cookie holds a random handle."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, MemorySession] = OrderedDict()
        self._lock = threading.Lock()

    def open_session(self, app: Flask, request: Request) -> MemorySession:
        with self._lock:
            found = self._sessions.get(request.cookies.get(self.get_cookie_name(app), ""))
        return MemorySession() if found is None else found

    def end_login(self, name: str, *, sid: str) -> None:
        """Remove from every browser the login under `name` that belongs to the provider's session `sid`."""
        with self._lock:
            for stored in self._sessions.values():
                if stored.get(name, {}).get("claims", {}).get("sid") == sid:
                    stored.pop(name, None)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        assert isinstance(session, MemorySession)
        if session.handle is not None or not session:
            return
        session.handle = new_token()
        with self._lock:
            for handle in [handle for handle, stored in self._sessions.items() if stored is session]:
                del self._sessions[handle]
            self._sessions[session.handle] = session
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        response.set_cookie(
            self.get_cookie_name(app), session.handle, httponly=True, samesite="Lax", path="/"
        )
