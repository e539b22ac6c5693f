"""Connections for tenants can be recognized on the machine that they start from, by their source alone."""

import contextlib
import socket
from ipaddress import ip_address

import pytest

from runwright.core.own_connections import is_own_source, open_outgoing_socket


def accepted_source(listening: str, connecting: socket.socket, destination: str) -> tuple[str, int]:
    family = socket.AF_INET6 if ":" in listening else socket.AF_INET
    with socket.create_server((listening, 0), family=family) as server, connecting:
        connecting.setblocking(True)
        connecting.connect((destination, server.getsockname()[1]))
        with server.accept()[0] as accepted:
            host, port = accepted.getpeername()[:2]
            return str(host), int(port)


@pytest.mark.parametrize(
    ("listening", "destination"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.5", "127.0.0.5"),
        ("0.0.0.0", "0.0.0.0"),
        ("::1", "::1"),
        ("::", "::"),
    ],
)
def test_a_connection_to_this_machine_has_an_own_source(listening: str, destination: str) -> None:
    host, port = accepted_source(listening, open_outgoing_socket(ip_address(destination)), destination)
    assert is_own_source(ip_address(host), port)


def test_one_that_arrives_at_a_socket_for_both_families_has_it_too() -> None:
    sock = open_outgoing_socket(ip_address("127.0.0.1"))
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server, sock:
        sock.setblocking(True)
        sock.connect(("127.0.0.1", server.getsockname()[1]))
        with server.accept()[0] as accepted:
            host, port = accepted.getpeername()[:2]
    assert is_own_source(ip_address(host), port)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_ordinary_connection_has_not(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    host, port = accepted_source(address, socket.socket(family), address)
    assert not is_own_source(ip_address(host), port)


def test_many_connections_to_one_ipv6_server_find_a_source() -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=300))
        ports = set()
        for _ in range(200):
            sock = stack.enter_context(open_outgoing_socket(ip_address("::1")))
            sock.setblocking(True)
            sock.connect(server.getsockname())
            ports.add(sock.getsockname()[1])
        assert len(ports) == 200


def test_a_connection_elsewhere_has_the_source_that_the_system_chooses() -> None:
    with (
        open_outgoing_socket(ip_address("192.0.2.1")) as four,
        open_outgoing_socket(ip_address("2001:db8::1")) as six,
    ):
        assert four.getsockname() == ("0.0.0.0", 0)
        assert six.getsockname()[:2] == ("::", 0)
