"""What programs in a sandbox network can reach, and how they learn what they cannot."""

import asyncio
import contextlib
import json
import math
import os
import subprocess
from pathlib import Path

import pytest

from runwright.core.hostnames import parse_trusted
from runwright.core.lease_term import LeaseTerm
from runwright.egress import Egress, EgressLimits, EgressPolicy, allow_only
from tests.integration.egress.conftest import PUBLIC, Inside, Outside, descriptors

TALK = """
import errno, socket, sys, json
def talk(host, port, text=b"hello", family=None):
    try:
        with socket.create_connection((host, port), 10) as s:
            s.sendall(text); s.shutdown(1); got = b""
            while data := s.recv(65536): got += data
            return got.decode()
    except OSError as error:
        broken = error.errno in (errno.EPIPE, errno.ENOTCONN)  # what a reset is to the next call
        return "ConnectionResetError" if broken else type(error).__name__
"""


async def talks(inside: Inside, policy: EgressPolicy, *targets: tuple[str, int]) -> list[str]:
    """Return the result of a short exchange with each target."""
    code = f"{TALK}\nprint(json.dumps([talk(h, p) for h, p in {targets!r}]))"
    results: list[str] = json.loads(await inside.run(code, policy))
    return results


async def test_a_public_name_is_reached_at_its_address_and_on_its_port(
    inside: Inside, outside: Outside
) -> None:
    outside.names["api.example"] = ["93.184.216.34"]
    assert await talks(inside, PUBLIC, ("api.example", 443), ("API.Example", 80)) == ["hello", "hello"]
    assert outside.dialed == [("93.184.216.34", 443), ("93.184.216.34", 80)]
    assert inside.lines == []


async def test_public_literals_of_both_families_are_reached(inside: Inside, outside: Outside) -> None:
    assert await talks(inside, PUBLIC, ("93.184.216.34", 443)) == ["hello"]
    assert outside.dialed == [("93.184.216.34", 443)]
    assert await talks(inside, PUBLIC, ("2606:4700:4700::1111", 443)) == ["hello"]
    assert outside.dialed[-1] == ("2606:4700:4700::1111", 443)


SPELLINGS = [
    *("127.0.0.1", "127.1", "0x7f.1", "017700000001", "2130706433", "0", "0.0.0.0", "localhost"),
    *("10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "0xa9fea9fe", "2852039166"),
    *(
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "240.0.0.1",
    ),
    *("::1", "::", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1"),
    *("2002:7f00:1::", "2001:0:a00:1::", "fd00:ec2::254", "fc00::1", "fec0::1", "::10.0.0.1", "2001:db8::1"),
]


async def test_no_spelling_of_an_address_that_is_not_public_gets_out(
    inside: Inside, outside: Outside
) -> None:
    outside.names |= {"localhost": ["127.0.0.1"]}
    answers = await talks(inside, PUBLIC, *((host, 80) for host in SPELLINGS))
    assert set(answers) == {"ConnectionResetError"}, dict(zip(SPELLINGS, answers, strict=True))
    assert outside.dialed == []
    assert "network: connection to 169.254.169.254:80 refused (cloud metadata address)" in inside.lines
    assert "network: connection to 127.0.0.1:80 refused (loopback address)" in inside.lines


async def test_a_refusal_is_a_line_for_the_log_but_not_too_many(inside: Inside) -> None:
    await talks(inside, PUBLIC, *[("10.0.0.1", 80)] * 60)
    assert len(inside.lines) == 21
    assert inside.lines[0] == "network: connection to 10.0.0.1:80 refused (private address)"
    assert "left out" in inside.lines[-1]


async def test_names_that_resolve_to_private_addresses_are_refused_after_the_lookup(
    inside: Inside, outside: Outside
) -> None:
    outside.names = {
        "inner.example": ["10.0.0.1"],
        "meta.example": ["169.254.169.254"],
        "six.example": ["::ffff:127.0.0.1", "fe80::1%eth0"],
        "mixed.example": ["192.168.1.1", "93.184.216.34"],
    }
    targets = [(name, 80) for name in outside.names]
    assert await talks(inside, PUBLIC, *targets) == [*["ConnectionResetError"] * 3, "hello"]
    assert outside.dialed == [("93.184.216.34", 80)]
    assert "network: connection to meta.example:80 refused (cloud metadata address)" in inside.lines


async def test_rebinding_gains_nothing(
    inside: Inside, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name server answers a public address first and the metadata service's ever after."""
    monkeypatch.setattr("runwright.egress.resolver.CACHE_SECONDS", 0.0)
    answers = iter([["93.184.216.34"]])

    async def rebind(name: str) -> list[str]:
        outside.asked.append(name)
        return next(answers, ["169.254.169.254"])

    monkeypatch.setattr(outside, "resolve", rebind)
    egress = Egress(resolve=rebind, dial=outside.dial)
    egress.start()
    inside.egress, before = egress, inside.egress
    try:
        assert await talks(inside, PUBLIC, ("evil.example", 80)) == ["ConnectionResetError"]
    finally:
        inside.egress = before
        egress.stop()
    assert len(outside.asked) >= 2
    assert outside.dialed == []


async def test_unknown_and_private_names_do_not_exist(inside: Inside, outside: Outside) -> None:
    targets = [
        (h, 80) for h in ("nowhere.example", "metadata.google.internal", "printer.local", "a.localhost")
    ]
    assert await talks(inside, PUBLIC, *targets) == ["gaierror"] * 4
    assert outside.asked == ["nowhere.example"]
    assert "network: name metadata.google.internal refused (private name)" in inside.lines


async def test_only_listed_hosts_are_reached_and_others_are_not_even_looked_up(
    inside: Inside, outside: Outside
) -> None:
    outside.names = {key: ["93.184.216.34"] for key in ("api.example", "b.api.example", "other.example")}
    policy = allow_only(["API.example", "1.1.1.1", "10.0.0.1"])
    targets = [
        ("api.example", 443),
        ("1.1.1.1", 443),
        ("b.api.example", 443),
        ("other.example", 443),
        ("93.184.216.34", 443),
        ("10.0.0.1", 443),
    ]
    answers = await talks(inside, policy, *targets)
    reset = "ConnectionResetError"
    assert answers == ["hello", "hello", "gaierror", "gaierror", reset, reset]
    assert set(outside.asked) == {"api.example"}
    assert outside.dialed == [("93.184.216.34", 443), ("1.1.1.1", 443)]
    assert "network: name other.example refused (not in the worker's list of allowed hosts)" in inside.lines


async def test_what_the_operator_trusts_may_be_private_but_a_loopback_literal_never_means_the_host(
    inside: Inside, outside: Outside, echo: int, egress: Egress
) -> None:
    outside.names = {"trusted.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    trusted = (*egress.trusted, parse_trusted("127.0.0.0/8"), parse_trusted("10.1.0.0/16"))
    policy = EgressPolicy(mode="public", trusted=egress.trusted)
    targets = [("trusted.example", echo), ("trusted.example", 80), ("other.example", echo)]
    reset = "ConnectionResetError"
    assert await talks(inside, policy, *targets) == ["hello", reset, reset]
    policy = EgressPolicy(mode="public", trusted=trusted)
    assert await talks(inside, policy, ("127.0.0.1", echo), ("::1", echo), ("10.1.2.3", 80)) == [
        reset,
        reset,
        "hello",
    ]


async def test_private_names_are_looked_up_where_the_operator_trusts_networks(
    inside: Inside, outside: Outside
) -> None:
    outside.names = {"db.internal": ["10.1.2.3"], "metadata.google.internal": ["169.254.169.254"]}
    policy = EgressPolicy(mode="public", trusted=(parse_trusted("10.1.0.0/16:5432"),))
    targets = [("db.internal", 5432), ("db.internal", 80), ("metadata.google.internal", 80)]
    assert await talks(inside, policy, *targets) == ["hello", *["ConnectionResetError"] * 2]


async def test_data_in_the_first_packet_changes_nothing(inside: Inside, outside: Outside) -> None:
    code = """
import socket
for host in ("169.254.169.254", "93.184.216.34"):
    s = socket.socket()
    try:
        s.sendto(b"fast", socket.MSG_FASTOPEN, (host, 80)); print(s.recv(4))
    except OSError as error: print(type(error).__name__)
"""
    assert (await inside.run(code)).split() == ["ConnectionResetError", "b'fast'"]
    assert outside.dialed == [("93.184.216.34", 80)]


async def test_without_a_network_nothing_can_be_reached(inside: Inside, outside: Outside) -> None:
    outside.names["api.example"] = ["93.184.216.34"]
    code = f"""{TALK}
import time
deadline = time.monotonic() + 20
while time.monotonic() < deadline and talk("93.184.216.34", 443) == "ConnectionResetError": pass
print(talk("93.184.216.34", 443), talk("api.example", 443))
"""
    assert await inside.run(code, EgressPolicy(mode="none")) == "ConnectionRefusedError gaierror"
    assert not outside.asked
    assert not outside.dialed


async def test_ports_without_a_listener_and_other_protocols_lead_nowhere(inside: Inside) -> None:
    code = f"""{TALK}
def attempt(what):
    try: return str(what())
    except OSError as error: return type(error).__name__
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(15)
    s.connect(("93.184.216.34", 443)); s.send(b"x"); return s.recv(10)
print(talk("93.184.216.34", 25), attempt(udp), attempt(lambda: socket.socket(2, 3, 1)),
      attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1)),
      attempt(lambda: socket.socket(17, 3)),
      attempt(lambda: socket.socket().bind(("0.0.0.0", 80))))
"""
    assert (await inside.run(code)).split() == [
        "ConnectionRefusedError",
        "ConnectionRefusedError",
        "PermissionError",
        "PermissionError",
        "PermissionError",
        "PermissionError",
    ]


async def test_every_name_server_is_ours_and_its_response_comes_from_the_address_that_was_queried(
    inside: Inside, outside: Outside
) -> None:
    outside.names["api.example"] = ["93.184.216.34"]
    code = """
import socket, struct
q = struct.pack("!6H", 9, 0x100, 1, 0, 0, 0) + b"\\x03api\\x07example\\0" + struct.pack("!HH", 1, 1)
for family, server in ((2, "127.0.0.1"), (2, "8.8.8.8"), (10, "2001:4860:4860::8888"), (10, "::1")):
    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(15)
    s.sendto(q, (server, 53)); data, sender = s.recvfrom(512)
    print(sender[0] == server, socket.inet_ntoa(data[-4:]))
s = socket.create_connection(("9.9.9.9", 53), 5)
s.sendall(len(q).to_bytes(2, "big") + q); s.sendall(len(q).to_bytes(2, "big") + q)
print(s.recv(2)[1] == len(q) + 16, socket.inet_ntoa(s.recv(len(q) + 16)[-4:]))
"""
    lines = (await inside.run(code)).splitlines()
    assert lines == ["True 198.18.0.1"] * 5
    assert outside.asked == ["api.example"]


async def test_each_direction_ends_separately_and_large_transfers_arrive_whole(
    inside: Inside, egress: Egress
) -> None:
    code = """
import hashlib, os, socket, threading
data = os.urandom(10 * 1024 * 1024)
s = socket.create_connection(("93.184.216.34", 443), 20)
def send():
    s.sendall(data); s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
digest, size = hashlib.sha256(), 0
while got := s.recv(1 << 16): digest.update(got); size += len(got)
print(size, digest.digest() == hashlib.sha256(data).digest())
"""
    assert await inside.run(code) == f"{10 * 1024 * 1024} True"
    assert egress.traffic.sent == egress.traffic.received == 10 * 1024 * 1024


OUTLIVES_ITS_LEASE = (
    TALK
    + """
held = socket.create_connection(("api.example", 80), 10)
held.sendall(b"before")
assert held.recv(100) == b"before"
print("on", flush=True)
sys.stdin.readline()
try:
    held.sendall(b"after")
    print("held", held.recv(100))
except OSError as error:
    print("held", type(error).__name__)
print("new", talk("93.184.216.34", 80, b"after"))
print("name", talk("other.example", 80, b"after"))
"""
)


async def test_nothing_is_looked_up_connected_or_sent_once_the_lease_is_over(
    inside: Inside, outside: Outside, term: LeaseTerm
) -> None:
    outside.names["api.example"] = outside.names["other.example"] = ["93.184.216.34"]
    network, process = await inside.start(OUTLIVES_ITS_LEASE, PUBLIC)
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"on\n"
        term.set_end(-math.inf)
        out, _ = await process.communicate(b"\n")
    network.close()
    assert out.decode().splitlines() == [
        "held ConnectionResetError",
        "new ConnectionResetError",
        "name gaierror",
    ]
    assert outside.received == b"before"
    assert outside.dialed == [("93.184.216.34", 80)]
    assert outside.asked == ["api.example"]


async def test_two_hundred_connections_are_open_at_once(inside: Inside, egress: Egress) -> None:
    code = """
import socket
many = [socket.create_connection(("93.184.216.34", 443), 20) for _ in range(200)]
for n, s in enumerate(many): s.sendall(b"%d" % n)
print(all(s.recv(10) == b"%d" % n for n, s in enumerate(many)))
"""
    assert await inside.run(code) == "True"
    assert egress.traffic.connections == 200


@pytest.mark.parametrize("limits", [EgressLimits(connections=10)])
async def test_connections_beyond_the_limit_wait_for_their_turn(inside: Inside, egress: Egress) -> None:
    code = """
import socket, threading
done = []
def one():
    with socket.create_connection(("93.184.216.34", 443), 20) as s:
        s.sendall(b"x"); done.append(s.recv(1))
threads = [threading.Thread(target=one) for _ in range(40)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(done))
"""
    assert await inside.run(code) == "40"
    assert egress.traffic.connections == 40


@pytest.mark.parametrize("limits", [EgressLimits(idle_seconds=0.1)])
async def test_an_idle_connection_is_reset(inside: Inside) -> None:
    code = """
import socket
s = socket.create_connection(("93.184.216.34", 443), 20)
try: print(s.recv(1))
except OSError as error: print(type(error).__name__)
"""
    assert await inside.run(code) == "ConnectionResetError"


@pytest.mark.parametrize("limits", [EgressLimits(total_seconds=0.3)])
async def test_a_connection_that_lasts_too_long_is_reset(inside: Inside) -> None:
    code = """
import socket
s = socket.create_connection(("93.184.216.34", 443), 20)
try:
    while True: s.sendall(b"x"); s.recv(1)
except OSError as error: print(type(error).__name__)
"""
    assert await inside.run(code) in {"ConnectionResetError", "BrokenPipeError"}


async def test_a_program_that_is_killed_in_the_middle_of_a_transfer_leaves_nothing(
    inside: Inside, egress: Egress
) -> None:
    before = descriptors()
    code = """
import socket, threading
s = socket.create_connection(("93.184.216.34", 443), 20)
def read():
    while s.recv(65536): pass
threading.Thread(target=read, daemon=True).start()
s.sendall(b"x" * 1000000); print("under way", flush=True)
while True: s.sendall(b"x" * 65536)
"""
    network, process = await inside.start(code, PUBLIC)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"under way\n"
    namespace = Path(f"/proc/{process.pid}/ns/net").readlink()
    process.kill()
    await process.wait()
    network.close()
    async with asyncio.timeout(60):
        while descriptors() > before or egress.traffic.open or namespace in _namespaces():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _namespaces() -> set[Path]:
    """The network namespaces that a process or an open descriptor of this one belongs to."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                found.add((folder / "ns" / "net").readlink())
    return found


async def test_abstract_sockets_of_the_host_are_out_of_reach(inside: Inside) -> None:
    async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    name = f"\0runwright-test-{os.getpid()}"
    server = await asyncio.start_unix_server(hello, name)
    try:
        code = f"import socket\ntry: print(socket.socket(1).connect({name!r}))\nexcept OSError as e: print(type(e).__name__)"
        assert await inside.run(code) == "ConnectionRefusedError"
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("through_program", [False, True])
async def test_a_command_that_cannot_be_started_leaves_nothing(
    inside: Inside, egress: Egress, through_program: bool
) -> None:
    if through_program and egress.namespace_pool is not None:
        egress.namespace_pool.stop()
        egress.namespace_pool = None
    direct = egress.namespace_pool is not None
    started: list[subprocess.Popen[bytes]] = []
    before = descriptors()

    def start(argv: list[str], fds: dict[int, int]) -> int:
        places = {str(place): str(fd) for place, fd in fds.items()}
        argv = [places.get(argument, argument) for argument in argv]
        started.append(subprocess.Popen(argv, pass_fds=list(fds.values()), stderr=subprocess.PIPE))
        return started[-1].pid

    network = egress.open(inside.lines.append)
    network.set_policy(PUBLIC)
    try:
        with pytest.raises(FileNotFoundError) if direct else contextlib.nullcontext():
            network.start(["/no/such/program"], 900, start)
        assert len(started) == (0 if direct else 1), "each way was tried"
        for process in started:
            _, words = await asyncio.to_thread(process.communicate)
            assert (process.returncode, words) == (1, b"No such file or directory\n")
    finally:
        network.close()
        network.close()
    async with asyncio.timeout(60):
        while descriptors() > before or egress.traffic.open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await inside.run("print('the next one works')") == "the next one works"


async def test_what_connections_take_before_they_are_charged_is_bounded(inside: Inside) -> None:
    """The kernel charges a connection to a sandbox when it is accepted; until then only this bounds it."""
    names = ["core/somaxconn", *(f"ipv4/tcp_{name}" for name in ("rmem", "wmem", "max_tw_buckets"))]
    code = f"import json; print(json.dumps([open('/proc/sys/net/' + one).read().split() for one in {names}]))"
    [queue], received, sent, [ended] = json.loads(await inside.run(code, PUBLIC))
    assert int(queue) <= 256
    assert int(received[1]) <= 16 * 1024
    assert int(sent[2]) <= 64 * 1024
    assert int(ended) <= 2048
