"""A lean HTTP/1.1 client: one keep-alive connection, a cookie jar, loopback only (RFC 9112, RFC 6265).

A client library would cost several times the CPU time of what it measures; this one knows only what the
provider sends: Content-Length and chunked bodies, cookies with a path.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
FORM = "application/x-www-form-urlencoded"


class WireError(Exception):
    """The server's answer is none that HTTP/1.1 knows, or it hung up."""


@dataclass(frozen=True)
class Answer:
    """A response; header names are in lower case, Set-Cookie is in the jar instead."""

    path: str  # of the request
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class CookieJar:
    """Cookies by name and path. Domain and age do not matter to one host and a run of minutes."""

    cookies: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, line: str, path: str) -> None:
        """Keep, replace or delete what a Set-Cookie line says; `path` is that of the request."""
        pair, *rest = (part.strip() for part in line.split(";"))
        name, _, value = pair.partition("=")
        attributes = {key.lower(): text for key, _, text in (part.partition("=") for part in rest)}
        where = attributes.get("path") or path.rpartition("/")[0] or "/"
        if attributes.get("max-age", "1").startswith(("0", "-")) or not value:
            self.cookies.pop((name, where), None)
        else:
            self.cookies[name, where] = value

    def header(self, path: str) -> str:
        """The Cookie line for a path, with its line end; empty when no cookie belongs there."""
        pairs = [f"{name}={value}" for (name, where), value in self.cookies.items() if _within(path, where)]
        return f"Cookie: {'; '.join(pairs)}\r\n" if pairs else ""


def _within(path: str, where: str) -> bool:
    return path == where or path.startswith(where if where.endswith("/") else f"{where}/")


class Browser:
    """One visitor's connection to `origin` (http, loopback) and its cookies; counts its requests."""

    def __init__(self, origin: str) -> None:
        parts = urlsplit(origin)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK:
            raise ValueError(f"{origin}: the benchmark speaks plain HTTP to this machine only")
        self.origin = origin
        self.host, self.port = parts.hostname, parts.port or 80
        self.jar = CookieJar()
        self.requests = 0
        self._fixed_lines = f"Host: {parts.netloc}\r\nUser-Agent: bench\r\nAccept: */*\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def own_port(self) -> int | None:
        """The port at this end of the connection; None: there is none."""
        if self._streams is None:
            return None
        port: int = self._streams[1].get_extra_info("sockname")[1]
        return port

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a GET; redirects are not followed. Raises `WireError`."""
        return await self._request("GET", url, headers or {}, b"")

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer to a form sent by POST; redirects are not followed. Raises `WireError`."""
        body = urlencode(form).encode()
        sent = {**(headers or {}), "Content-Type": FORM, "Content-Length": str(len(body))}
        return await self._request("POST", url, sent, body)

    async def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if not url.startswith(f"{self.origin}/"):
            raise WireError(f"leads out of the provider: {url}")
        target = url[len(self.origin) :].partition("#")[0]
        path = target.partition("?")[0]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {target} HTTP/1.1\r\n{self._fixed_lines}{self.jar.header(path)}{lines}\r\n"
        self.requests += 1
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self.host, self.port)
            reader, writer = self._streams
            writer.write(head.encode("latin-1") + body)
            return await self._read(reader, path)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise WireError(f"{method} {path}: {type(error).__name__}: {error}") from error

    async def _read(self, reader: asyncio.StreamReader, path: str) -> Answer:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            if name.lower() == "set-cookie":
                self.jar.take(value.strip(), path)
            else:
                headers[name.lower()] = value.strip()
        status = int(first.split(" ", 2)[1])
        body = await _read_body(reader, status, headers)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(path, status, headers, body)


async def _read_body(reader: asyncio.StreamReader, status: int, headers: Mapping[str, str]) -> bytes:
    if status in (204, 304):
        return b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        chunks = []
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            chunks.append((await reader.readexactly(size + 2))[:-2])
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
        return b"".join(chunks)
    if "content-length" not in headers:
        raise WireError("a body that neither has a length nor is chunked")
    return await reader.readexactly(int(headers["content-length"]))
