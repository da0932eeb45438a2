"""A network that ends at this machine, so that no test depends on what is outside."""

import ipaddress
import socket
from typing import Any

import pytest

_getaddrinfo = socket.getaddrinfo


class NetworkUsed(AssertionError):
    """A test opened a connection to another machine or asked DNS for one.

    Not an `OSError`: code that takes a failed connection in its stride would hide it.
    """


def only_loopback(patch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other machines and look-ups of their names until `patch` is undone."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def checked_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            _check(address[0])
        connect(self, address)

    def checked_connect_ex(self: socket.socket, address: Any) -> int:
        if self.family != socket.AF_UNIX:
            _check(address[0])
        return connect_ex(self, address)

    def checked_getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and name != "localhost" and not _is_number(name):
            if name.endswith(".invalid"):  # there is none (RFC 6761 §6.4), which needs no look-up
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            raise NetworkUsed(f"DNS is asked for {name}")
        return _getaddrinfo(host, *arguments, **named)

    patch.setattr(socket.socket, "connect", checked_connect)
    patch.setattr(socket.socket, "connect_ex", checked_connect_ex)
    patch.setattr(socket, "getaddrinfo", checked_getaddrinfo)


def _check(host: str) -> None:
    """Pass for a loopback address or the name of this machine."""
    try:
        inside = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise NetworkUsed(f"{host} is not on this machine")


def _is_number(host: str) -> bool:
    """Whether `host` is an address in one of its spellings, 127.0.0.1 or 0x7f000001.

    Raises `UnicodeError` for what cannot be a name at all, as a look-up does.
    """
    try:
        return bool(_getaddrinfo(host, None, flags=socket.AI_NUMERICHOST))
    except OSError:
        return False
