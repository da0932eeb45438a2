"""Ports for servers that are told where to listen before they start."""

import os
import random
import re
import socket

# Below where operating systems take the ports that nobody chose (RFC 6335 §6; Linux: 32768 and up): between
# the moment a port is found free and the moment its server listens, no client and no other server gets it.
_FIRST, _END = 12000, 32768
_SHARES = 32  # of test processes side by side, each of which takes from its own
_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on and that this function has not given before."""
    digits = re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", ""))
    ports = range(_FIRST + int(digits or 0) % _SHARES, _END, _SHARES)
    for port in random.sample(ports, len(ports)):
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise OSError("no port is free")


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
