"""Requests to addresses that somebody else chose: https, checked addresses, little time, little data."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpcore2

from idp.addresses import IPAddress, without_mapping

STEP_SECONDS = 3.0  # to connect, and for each read and write
TOTAL_SECONDS = 5.0  # from the connection to the last byte; a DNS query has the system's own limit
MAX_BYTES = 64 * 1024

Resolver = Callable[[str, int], Iterable[str]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class OutboundError(Exception):
    """The request was not made or not answered; the message gives the reason, for the log."""


@dataclass(frozen=True)
class Answer:
    """An HTTP response. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Outbound:
    """Makes requests to https URLs that relying apps registered, without being led inside.

    Every address that the host name has must be a public one, and the connection goes to an address that
    was checked, so a name that changes meanwhile (DNS rebinding) gains nothing. Redirects are not followed;
    proxies of the environment are not used. With `allow_loopback` this machine may be reached too, and by
    http. `tls` replaces the system's trusted roots, `resolve` the DNS query.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        tls: ssl.SSLContext | None = None,
        resolve: Resolver | None = None,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._tls = tls
        self._resolve = resolve or _look_up

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """The answer, of any status. Raises `OutboundError`."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and self._allow_loopback):
            raise OutboundError("the URL is not https")
        backend = _CheckedBackend(self._checked_addresses, only_loopback=parts.scheme == "http")
        limits = dict.fromkeys(("connect", "read", "write", "pool"), STEP_SECONDS)
        try:
            with (
                httpcore2.ConnectionPool(
                    ssl_context=self._tls or _system_roots(), network_backend=backend
                ) as pool,
                pool.stream(
                    method,
                    url,
                    headers=list({"Accept-Encoding": "identity", **(headers or {})}.items()),
                    content=body,
                    extensions={"timeout": limits},
                ) as response,
            ):
                received = bytearray()
                for chunk in response.iter_stream():
                    received += chunk
                    if len(received) > MAX_BYTES:
                        raise OutboundError(f"the answer is larger than {MAX_BYTES} bytes")
                found = {name.decode("latin-1").lower(): v.decode("latin-1") for name, v in response.headers}
                return Answer(response.status, found, bytes(received))
        except (
            httpcore2.NetworkError,
            httpcore2.ProtocolError,
            httpcore2.TimeoutException,
            httpcore2.UnsupportedProtocol,
        ) as error:
            late = " (too slow)" if backend.too_late else ""
            raise OutboundError(f"{type(error).__name__}{late}: {error}") from None
        finally:
            backend.close()

    def _checked_addresses(self, host: str, port: int, only_loopback: bool) -> list[str]:
        """The host's addresses. Raises `OutboundError` if a single one of them is not allowed."""
        try:
            found = list(self._resolve(host, port))
        except (OSError, UnicodeError) as error:
            raise OutboundError(f"the host name has no address: {error}") from None
        if not found:
            raise OutboundError("the host name has no address")
        for address in found:
            ip = ipaddress.ip_address(address.partition("%")[0])
            allowed = self._allow_loopback and ip.is_loopback
            if not allowed and (only_loopback or not is_public(ip)):
                raise OutboundError(f"the host has the address {ip}, which is not allowed")
        return found


def is_public(ip: IPAddress) -> bool:
    """Whether an address is one on the Internet: not private, loopback, link-local, multicast or reserved.

    An IPv6 address that stands for an IPv4 one (mapped, NAT64, 6to4) is judged by that.
    """
    ip = without_mapping(ip)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return is_public(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if ip.is_site_local or (ip.sixtofour and not is_public(ip.sixtofour)):
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


@cache
def _system_roots() -> ssl.SSLContext:
    """The roots that this system trusts: read when first needed, once in a process."""
    return ssl.create_default_context()


def _look_up(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class _CheckedBackend(httpcore2.SyncBackend):
    """Connects to checked addresses only, and cuts the connection when the total time is up.

    TLS and the Host header keep the host's name: only the address to connect to is replaced.
    """

    def __init__(self, addresses: Callable[[str, int, bool], list[str]], *, only_loopback: bool) -> None:
        self._addresses = addresses
        self._only_loopback = only_loopback
        self._timer: threading.Timer | None = None
        self._socket: socket.socket | None = None
        self.too_late = False

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
    ) -> httpcore2.NetworkStream:
        addresses = self._addresses(host, port, self._only_loopback)
        for address in addresses[:-1][:1]:
            try:
                return self._watched(super().connect_tcp(address, port, timeout, *args, **kwargs))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue  # one more, such as IPv4 after IPv6
        return self._watched(super().connect_tcp(addresses[-1], port, timeout, *args, **kwargs))

    def _watched(self, stream: httpcore2.NetworkStream) -> httpcore2.NetworkStream:
        # A socket of our own for the same connection: TLS takes the first one over.
        self._socket = stream.get_extra_info("socket").dup()
        self._timer = threading.Timer(TOTAL_SECONDS, self._cut)
        self._timer.daemon = True
        self._timer.start()
        return stream

    def _cut(self) -> None:
        self.too_late = True
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        if self._socket is not None:
            self._socket.close()
