"""Programs in a sandbox network; the outside is a table of names and a server on loopback."""

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from runwright.core.addresses import Address
from runwright.core.hostnames import parse_trusted
from runwright.core.lease_term import LeaseTerm
from runwright.egress import Egress, EgressLimits, EgressPolicy, SandboxNetwork, dial
from runwright.sandbox.bubblewrap import ETC_FOLDER, find_bwrap

PATIENCE_SECONDS = 90.0
PUBLIC = EgressPolicy(mode="public")


class Outside:
    """The network beyond the host: names with addresses, and one server behind all of them."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.dialed: list[tuple[str, int]] = []
        self.port = 0
        self.received = b""

    async def resolve(self, name: str) -> list[str]:
        self.asked.append(name)
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return self.names[name]

    async def dial(self, address: Address, port: int) -> socket.socket:
        """Connect to the test's server in place of a public address: none is ever contacted."""
        self.dialed.append((str(address), port))
        if address.is_loopback:
            return await dial(address, port)
        return await dial(IPv4Address("127.0.0.1"), self.port)


class Inside:
    """Runs programs in namespaces of their own and collects the lines about their network."""

    def __init__(self, egress: Egress, bwrap: str) -> None:
        self.egress = egress
        self.lines: list[str] = []
        self._bwrap = bwrap

    def command(self, code: str) -> list[str]:
        options = [
            "--die-with-parent",
            "--unshare-pid",
            "--unshare-user",
            "--uid",
            "65534",
            "--gid",
            "65534",
            "--cap-drop",
            "ALL",
        ]
        for mount in ("/usr", sys.base_prefix, sys.prefix):
            options += ["--ro-bind", mount, mount]
        for name in ("bin", "lib", "lib64"):
            options += ["--symlink", f"usr/{name}", f"/{name}"]
        options += ["--ro-bind", str(ETC_FOLDER), "/etc", "--proc", "/proc", "--dev", "/dev"]
        return [self._bwrap, *options, "--", sys.executable, "-I", "-c", code]

    async def start(
        self, code: str, policy: EgressPolicy | None
    ) -> tuple[SandboxNetwork, asyncio.subprocess.Process]:
        network = self.egress.open(self.lines.append)
        process = await asyncio.create_subprocess_exec(
            *network.command(self.command(code)),
            pass_fds=[network.control_fd],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        network.release_control()
        if policy is not None:
            network.set_policy(policy)
        return network, process

    async def run(self, code: str, policy: EgressPolicy | None = PUBLIC) -> str:
        """Run python code to its end; return what it printed."""
        network, process = await self.start(code, policy)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            network.close()
        assert process.returncode == 0
        return out.decode().strip()


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
async def echo(outside: Outside) -> AsyncIterator[int]:
    """A server that echoes what it receives until the other side ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                outside.received += data[:100]
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=512)
    outside.port = server.sockets[0].getsockname()[1]
    yield outside.port
    server.close()
    await server.wait_closed()


@pytest.fixture
def limits() -> EgressLimits:
    return EgressLimits()


@pytest.fixture
def term() -> LeaseTerm:
    return LeaseTerm()


@pytest.fixture
def egress(outside: Outside, limits: EgressLimits, term: LeaseTerm, echo: int) -> Iterator[Egress]:
    """A running egress loop; afterwards none of its threads and connections may be left."""
    trusted = [parse_trusted(f"trusted.example:{echo}")]
    one = Egress(trusted=trusted, resolve=outside.resolve, dial=outside.dial, limits=limits, held=term.held)
    one.start()
    yield one
    one.stop()
    assert one.traffic.open == 0
    assert not [t for t in threading.enumerate() if t.name.startswith("runwright-")]


@pytest.fixture
def inside(egress: Egress) -> Inside:
    bwrap = find_bwrap()
    assert bwrap is not None
    return Inside(egress, bwrap)


def descriptors() -> int:
    """Return how many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))
