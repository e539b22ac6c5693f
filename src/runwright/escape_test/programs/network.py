"""Networks and sockets: the host's services, the cloud's, the wire itself."""

import ctypes
import os
import socket
import struct
from typing import Any

from escape_kit import Bait, StoppedError, attempt, call, each, find_mark

SECONDS = 2.0


def _ask(family: int, address: Any, kind: int = socket.SOCK_STREAM) -> str:
    """Connect, say something as HTTP does, and look for the bait's secret in the answer."""
    with socket.socket(family, kind) as sock:
        sock.settimeout(SECONDS)
        sock.connect(address)
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        try:
            said = sock.recv(4096)
        except TimeoutError:
            raise StoppedError(f"nobody answers at {address!r}") from None
        return find_mark(said, f"the answer of {address!r}")


def _ask_name(host: str, port: int) -> str:
    """The same, by whatever the system makes of a name or a spelling."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise StoppedError(f"{host} is no address ({error.strerror})") from None
    return each(found, lambda one: _ask(one[0], one[4]))


@attempt()
def port_of_the_server(bait: Bait) -> str:
    """Connect to the server's own port on loopback."""
    return _ask(socket.AF_INET, ("127.0.0.1", bait["port"]))


@attempt()
def port_of_the_server_spelled_otherwise(bait: Bait) -> str:
    """The same by 0.0.0.0, 127.1, 2130706433, 0x7f000001, localhost and ::ffff:127.0.0.1."""
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
    return each(names, lambda name: _ask_name(name, bait["port"]))


@attempt()
def port_of_the_server_by_ipv6(bait: Bait) -> str:
    """The same by ::1."""
    return _ask(socket.AF_INET6, ("::1", bait["port6"], 0, 0))


@attempt()
def addresses_of_the_host(bait: Bait) -> str:
    """The same by every address of the host's own interfaces."""
    return each(bait["addresses"], lambda one: _ask_name(one, bait["port"]))


@attempt()
def socket_of_the_database(bait: Bait) -> str:
    """Connect to the embedded database's socket in the data folder."""
    paths = [f"{folder}/pg/.s.PGSQL.5432" for folder in bait["data_dirs"]]
    return each(paths, lambda path: _ask(socket.AF_UNIX, path))


@attempt()
def port_of_the_database(bait: Bait) -> str:
    """Connect to the embedded database's port on loopback."""
    return _ask(socket.AF_INET, ("127.0.0.1", bait["database_port"]))


@attempt()
def abstract_socket(bait: Bait) -> str:
    """Connect to an abstract Unix socket of the host, as desktops and D-Bus have them."""
    return _ask(socket.AF_UNIX, "\0" + bait["abstract"])


@attempt()
def datagram_socket(bait: Bait) -> str:
    """Send to a UDP port of the host and hear its answer."""
    return _ask(socket.AF_INET, ("127.0.0.1", bait["udp_port"]), socket.SOCK_DGRAM)


@attempt(bare="metadata")
def metadata_service(_bait: Bait) -> str:
    """Ask the cloud's metadata service at 169.254.169.254 for credentials."""
    return _answers("169.254.169.254")


@attempt(bare="metadata")
def metadata_service_as_a_number(_bait: Bait) -> str:
    """The same, spelled 2852039166, 0xA9FEA9FE and 0251.0376.0251.0376."""
    return each(("2852039166", "0xA9FEA9FE", "0251.0376.0251.0376"), _answers)


@attempt(bare="metadata")
def metadata_service_mapped(_bait: Bait) -> str:
    """The same, as an IPv4 address inside an IPv6 one."""
    return each(("::ffff:169.254.169.254", "::ffff:a9fe:a9fe"), _answers)


@attempt(bare="metadata")
def metadata_service_by_ipv6(_bait: Bait) -> str:
    """Ask the metadata service at fd00:ec2::254."""
    return _answers("fd00:ec2::254")


@attempt(bare="metadata")
def metadata_service_of_others(_bait: Bait) -> str:
    """Ask other clouds' metadata services, at 100.100.100.200 and 192.0.0.192."""
    return each(("100.100.100.200", "192.0.0.192"), _answers)


def _answers(host: str) -> str:
    """Any answer at all counts: on this address nothing speaks but a metadata service."""

    def ask(family: int, address: Any) -> str:
        with socket.socket(family) as sock:
            sock.settimeout(SECONDS)
            sock.connect(address)
            sock.sendall(b"GET /latest/meta-data/ HTTP/1.0\r\nMetadata-Flavor: Google\r\n\r\n")
            try:
                said = sock.recv(4096)
            except TimeoutError:
                raise StoppedError(f"nobody answers at {host}") from None
            if not said:
                raise StoppedError(f"{host} hangs up without a word")
            return f"{host} answered {said[:60]!r}"

    try:
        found = socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise StoppedError(f"{host} is no address ({error.strerror})") from None
    return each(found, lambda one: ask(one[0], one[4]))


@attempt()
def raw_socket(_bait: Bait) -> str:
    """Open a raw socket, for packets with a forged sender."""
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "opened one"


@attempt()
def packet_socket(_bait: Bait) -> str:
    """Open a packet socket, to hear what others send."""
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300).close()
    return "opened one"


@attempt()
def kernel_events(_bait: Bait) -> str:
    """Write to the kernel's audit log by netlink."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as sock:
        sock.bind((0, 0))
        sock.settimeout(SECONDS)
        sock.sendto(struct.pack("=IHHII", 20, 1005, 5, 1, 0) + b"bait", (0, 0))
        answer = sock.recv(4096)
    result = struct.unpack_from("=i", answer, 16)[0]
    if result:
        raise OSError(-result, os.strerror(-result))
    return "the audit log took the line"


@attempt(bare="network")
def changing_the_network(_bait: Bait) -> str:
    """Give the network another address by netlink."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        address = socket.inet_aton("192.0.2.77")
        body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 254, socket.if_nametoindex("lo"))
        body += struct.pack("=HH", 8, 2) + address
        sock.send(struct.pack("=IHHII", 16 + len(body), 20, 0x605, 1, 0) + body)
        result = struct.unpack_from("=i", sock.recv(4096), 16)[0]
    if result:
        raise OSError(-result, os.strerror(-result))
    return "lo has the address 192.0.2.77"


@attempt()
def shared_memory(bait: Bait) -> str:
    """Read another process's shared memory (System V)."""
    segment = call("shmget", bait["shm_key"], 0, 0)
    library = ctypes.CDLL(None, use_errno=True)
    library.shmat.restype = ctypes.c_void_p
    address = library.shmat(segment, None, 0o10000)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "shmat")
    try:
        return find_mark(ctypes.string_at(address, 64), "its shared memory")
    finally:
        library.shmdt(ctypes.c_void_p(address))


@attempt()
def message_queue(bait: Bait) -> str:
    """Take another process's message from its POSIX queue."""
    queue = call("mq_open", bait["queue"].lstrip("/").encode(), os.O_RDWR | os.O_NONBLOCK, 0, 0)
    buffer = ctypes.create_string_buffer(8192)
    try:
        size = call("mq_timedreceive", queue, buffer, 8192, 0, 0)
    finally:
        os.close(queue)
    return find_mark(buffer.raw[:size], "its queue")


@attempt()
def shared_memory_by_name(bait: Bait) -> str:
    """Read another process's shared memory in /dev/shm."""
    with open(f"/dev/shm/{bait['shm_name']}", "rb") as file:
        return find_mark(file.read(64), "its shared memory")


@attempt(bare="names")
def name_that_leads_inside(bait: Bait) -> str:
    """Connect to a name whose address is the host's loopback."""
    return _ask_name("inside.test", bait["port"])


@attempt(bare="names")
def name_of_the_metadata_service(bait: Bait) -> str:
    """Connect to a name whose address is 169.254.169.254."""
    return _ask_name("metadata.test", bait["port"])


@attempt(bare="names", seconds=10)
def name_that_changes(bait: Bait) -> str:
    """Connect to a name that was public when it was checked and is loopback afterwards (DNS rebinding)."""
    socket.getaddrinfo("changing.test", bait["port"])
    return each(range(5), lambda _: _ask_name("changing.test", bait["port"]))


@attempt(bare="names", network={"allow": ["inside.test"]})
def allowed_name_that_leads_inside(bait: Bait) -> str:
    """Connect to a name that the worker may reach, but whose address is the host's loopback."""
    return _ask_name("inside.test", bait["port"])


@attempt(bare="names", network={"allow": ["friend.test"]})
def name_that_is_not_allowed(bait: Bait) -> str:
    """Connect to a public name that is not on the worker's list."""
    return _ask_name("public.test", bait["port"])


@attempt(bare="metadata", network={"allow": ["friend.test"]})
def address_that_is_not_allowed(_bait: Bait) -> str:
    """Connect to a public address, past the worker's list of names."""
    return _answers("93.184.216.34")


@attempt(bare="names", network="none")
def name_without_a_network(bait: Bait) -> str:
    """Connect to a public name from a worker that is to have no network."""
    return _ask_name("public.test", bait["port"])


@attempt(bare="metadata", network="none")
def address_without_a_network(_bait: Bait) -> str:
    """Connect to a public address from a worker that is to have no network."""
    return _answers("93.184.216.34")
