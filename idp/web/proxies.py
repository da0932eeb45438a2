"""The address that a request comes from, when proxies stand between."""

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from idp.addresses import read_address
from idp.config import IPNetwork

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class TrustedProxies:
    """Take the client's address from X-Forwarded-For, but only as far as trusted proxies wrote it."""

    def __init__(self, app: Any, networks: tuple[IPNetwork, ...]) -> None:
        self._app = app
        self._networks = networks

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        # The peer of a Unix socket has no address: it is on this machine.
        address = environ.get("REMOTE_ADDR") or "127.0.0.1"
        hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
        while hops and self._trusts(address):
            hop = _address(hops.pop())
            if hop is None:
                break
            address = hop
        environ["REMOTE_ADDR"] = address
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer

    def _trusts(self, address: str) -> bool:
        ip = read_address(address)
        return ip is not None and any(
            ip.version == network.version and ip in network for network in self._networks
        )


def _address(hop: str) -> str | None:
    try:
        return str(ipaddress.ip_address(hop))
    except ValueError:
        return None
