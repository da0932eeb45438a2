"""Tests reach no machine but this one."""

import socket

import pytest

from tests.fakes.loopback import NetworkUsed

OUTSIDE = ["192.0.2.1", "10.0.0.1", "::ffff:192.0.2.1", "2001:db8::1", "example.com"]


@pytest.mark.parametrize("host", OUTSIDE)
def test_a_connection_to_another_machine_is_refused(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as opened:
        opened.settimeout(0.2)
        with pytest.raises(NetworkUsed, match=host):
            opened.connect((host, 9))
        with pytest.raises(NetworkUsed, match=host):
            opened.connect_ex((host, 9))


@pytest.mark.parametrize("host", [*OUTSIDE[-1:], "login.example.se", b"login.example.se"])
def test_the_name_of_another_machine_is_not_looked_up(host: str | bytes) -> None:
    with pytest.raises(NetworkUsed):
        socket.getaddrinfo(host, 443)


def test_a_name_under_invalid_is_not_found() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("login.invalid", 443)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_reached(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        socket.create_connection((host, listening.getsockname()[1]), timeout=2).close()


def test_a_socket_in_a_folder_is_reached(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = str(tmp_path_factory.mktemp("s") / "s")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as opened:
        listening.bind(path)
        listening.listen()
        opened.connect(path)
