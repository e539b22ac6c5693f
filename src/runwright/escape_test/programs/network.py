"""Networks and sockets: services of the host and the cloud, raw access, name resolution."""

import ctypes
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from escape_kit import StoppedError, Targets, any_of, attached, attempt, call, check, find_canary

SECONDS = 2.0
REQUEST = b"GET / HTTP/1.0\r\n\r\n"
METADATA_REQUEST = b"GET /latest/meta-data/ HTTP/1.0\r\nMetadata-Flavor: Google\r\n\r\n"


def _respond(family: int, address: Any, kind: int = socket.SOCK_STREAM, request: bytes = REQUEST) -> bytes:
    """Connect, send an HTTP request, and return the response."""
    with socket.socket(family, kind) as sock:
        sock.settimeout(SECONDS)
        sock.connect(address)
        sock.sendall(request)
        try:
            return sock.recv(4096)
        except TimeoutError:
            raise StoppedError(f"no response from {address!r}") from None


def _request(family: int, address: Any, kind: int = socket.SOCK_STREAM) -> str:
    """Return the canary in the response to an HTTP request."""
    return find_canary(_respond(family, address, kind), f"the response of {address!r}")


def _any_address(host: str, port: int, request: Callable[[int, Any], str]) -> str:
    """Make a request to every address that the system resolves a name or spelling to."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise StoppedError(f"{host} does not resolve ({error.strerror})") from None
    return any_of(found, lambda one: request(one[0], one[4]))


def _request_by_name(host: str, port: int) -> str:
    return _any_address(host, port, _request)


@attempt()
def port_of_the_server(targets: Targets) -> str:
    """Connect to the server's own port on loopback."""
    return _request(socket.AF_INET, ("127.0.0.1", targets["port"]))


@attempt()
def port_of_the_server_by_other_spellings(targets: Targets) -> str:
    """Connect to that port by 0.0.0.0, 127.1, 2130706433, 0x7f000001, localhost and ::ffff:127.0.0.1."""
    names = (
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost",
        "::ffff:127.0.0.1",
        "::",
    )
    return any_of(names, lambda name: _request_by_name(name, targets["port"]))


@attempt()
def port_of_the_server_by_ipv6(targets: Targets) -> str:
    """Connect to the server's own port by ::1."""
    return _request(socket.AF_INET6, ("::1", targets["port6"], 0, 0))


@attempt()
def addresses_of_the_host(targets: Targets) -> str:
    """Connect to the server's own port by every address of the host's interfaces."""
    return any_of(targets["addresses"], lambda one: _request_by_name(one, targets["port"]))


@attempt()
def socket_of_the_database(targets: Targets) -> str:
    """Connect to the embedded database's socket in the data folder."""
    paths = [f"{folder}/pg/.s.PGSQL.5432" for folder in targets["data_dirs"]]
    return any_of(paths, lambda path: _request(socket.AF_UNIX, path))


@attempt()
def port_of_the_database(targets: Targets) -> str:
    """Connect to the embedded database's port on loopback."""
    return _request(socket.AF_INET, ("127.0.0.1", targets["database_port"]))


@attempt()
def abstract_socket(targets: Targets) -> str:
    """Connect to an abstract Unix socket of the host, as used by desktops and D-Bus."""
    return _request(socket.AF_UNIX, "\0" + targets["abstract"])


@attempt()
def datagram_socket(targets: Targets) -> str:
    """Send to a UDP port of the host and receive its response."""
    return _request(socket.AF_INET, ("127.0.0.1", targets["udp_port"]), socket.SOCK_DGRAM)


@attempt(bare="metadata")
def metadata_service(_targets: Targets) -> str:
    """Request credentials from the cloud's metadata service at 169.254.169.254."""
    return _responds("169.254.169.254")


@attempt(bare="metadata")
def metadata_service_as_a_number(_targets: Targets) -> str:
    """Connect to the metadata service as 2852039166, 0xA9FEA9FE and 0251.0376.0251.0376."""
    return any_of(("2852039166", "0xA9FEA9FE", "0251.0376.0251.0376"), _responds)


@attempt(bare="metadata")
def metadata_service_mapped(_targets: Targets) -> str:
    """Connect to the metadata service by an IPv4-mapped IPv6 address."""
    return any_of(("::ffff:169.254.169.254", "::ffff:a9fe:a9fe"), _responds)


@attempt(bare="metadata")
def metadata_service_by_ipv6(_targets: Targets) -> str:
    """Connect to the metadata service at fd00:ec2::254."""
    return _responds("fd00:ec2::254")


@attempt(bare="metadata")
def metadata_services_of_other_clouds(_targets: Targets) -> str:
    """Connect to other clouds' metadata services, at 100.100.100.200 and 192.0.0.192."""
    return any_of(("100.100.100.200", "192.0.0.192"), _responds)


def _responds(host: str) -> str:
    """Return any response: only a metadata service has this address."""

    def request(family: int, address: Any) -> str:
        response = _respond(family, address, request=METADATA_REQUEST)
        if not response:
            raise StoppedError(f"{host} closed the connection without a response")
        return f"{host} responded {response[:60]!r}"

    return _any_address(host, 80, request)


@attempt()
def raw_socket(_targets: Targets) -> str:
    """Open a raw socket, which can send packets with a forged source."""
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "opened one"


@attempt()
def packet_socket(_targets: Targets) -> str:
    """Open a packet socket, which receives the traffic of others."""
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300).close()
    return "opened one"


@attempt()
def audit_log(_targets: Targets) -> str:
    """Write to the kernel's audit log by netlink."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as sock:
        sock.bind((0, 0))
        sock.settimeout(SECONDS)
        sock.sendto(struct.pack("=IHHII", 20, 1005, 5, 1, 0) + b"test", (0, 0))
        check(struct.unpack_from("=i", sock.recv(4096), 16)[0])
    return "the audit log accepted the line"


@attempt(bare="network")
def changing_the_network(_targets: Targets) -> str:
    """Add an address to the network by netlink."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        address = socket.inet_aton("192.0.2.77")
        body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 254, socket.if_nametoindex("lo"))
        body += struct.pack("=HH", 8, 2) + address
        sock.send(struct.pack("=IHHII", 16 + len(body), 20, 0x605, 1, 0) + body)
        check(struct.unpack_from("=i", sock.recv(4096), 16)[0])
    return "lo has the address 192.0.2.77"


@attempt()
def shared_memory(targets: Targets) -> str:
    """Read another process's System V shared memory."""
    segment = call("shmget", targets["shm_key"], 0, 0)
    with attached(segment, 0o10000) as address:
        return find_canary(ctypes.string_at(address, 64), "its shared memory")


@attempt()
def message_queue(targets: Targets) -> str:
    """Receive another process's message from its POSIX queue."""
    queue = call("mq_open", targets["queue"].lstrip("/").encode(), os.O_RDWR | os.O_NONBLOCK, 0, 0)
    buffer = ctypes.create_string_buffer(8192)
    try:
        size = call("mq_timedreceive", queue, buffer, 8192, 0, 0)
    finally:
        os.close(queue)
    return find_canary(buffer.raw[:size], "its queue")


@attempt()
def shared_memory_by_name(targets: Targets) -> str:
    """Read another process's shared memory in /dev/shm."""
    with open(f"/dev/shm/{targets['shm_name']}", "rb") as file:
        return find_canary(file.read(64), "its shared memory")


@attempt(bare="names")
def name_of_a_loopback_address(targets: Targets) -> str:
    """Connect to a name whose address is the host's loopback."""
    return _request_by_name("inside.test", targets["port"])


@attempt(bare="names")
def name_of_the_metadata_service(targets: Targets) -> str:
    """Connect to a name whose address is 169.254.169.254."""
    return _request_by_name("metadata.test", targets["port"])


@attempt(bare="names", seconds=10)
def dns_rebinding(targets: Targets) -> str:
    """Connect to a name with a public address when it is checked and a loopback one afterwards."""
    socket.getaddrinfo("changing.test", targets["port"])
    return any_of(range(5), lambda _: _request_by_name("changing.test", targets["port"]))


@attempt(bare="names", network={"allow": ["inside.test"]})
def allowed_name_of_a_loopback_address(targets: Targets) -> str:
    """Connect to an allowed name whose address is the host's loopback."""
    return _request_by_name("inside.test", targets["port"])


@attempt(bare="names", network={"allow": ["friend.test"]})
def name_that_is_not_allowed(targets: Targets) -> str:
    """Connect to a public name that is not in the worker's list of allowed hosts."""
    return _request_by_name("public.test", targets["port"])


@attempt(bare="metadata", network={"allow": ["friend.test"]})
def address_that_is_not_allowed(_targets: Targets) -> str:
    """Connect to a public address that is not in the worker's list of allowed hosts."""
    return _responds("93.184.216.34")


@attempt(bare="names", network="none")
def name_without_a_network(targets: Targets) -> str:
    """Connect to a public name from a worker without a network."""
    return _request_by_name("public.test", targets["port"])


@attempt(bare="metadata", network="none")
def address_without_a_network(_targets: Targets) -> str:
    """Connect to a public address from a worker without a network."""
    return _responds("93.184.216.34")
