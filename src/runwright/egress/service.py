"""The egress loop of an executor: a thread that carries what sandboxes and the outside say to each other.

It has a thread and a loop of its own, so that no amount of traffic delays a heartbeat. Other threads
talk to it through `Egress.open` and the `SandboxNetwork` that this returns; nothing else is shared.
"""

import asyncio
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from runwright.core.hostnames import DEFAULT_PORTS, Trusted, trusted_ports
from runwright.egress.log_limiter import Say
from runwright.egress.namespace_launch import MOST_PORTS, namespace_command, receive_listeners
from runwright.egress.namespace_pool import NamespacePool
from runwright.egress.policy import EgressPolicy, policy_of
from runwright.egress.policy_dialer import Shared
from runwright.egress.proxy import EgressProxy
from runwright.egress.relay import Dial, Limits, Traffic, dial
from runwright.egress.resolver import Lookups, Resolve

_RESOLVER_THREADS: Final = 64
_START_SECONDS: Final = 10.0
_MOST_FILES: Final = 65_536
_SHARE_OF_FILES: Final = 4
"""A connection takes two descriptors; so all of them together take no more than half of the process's."""


class SandboxNetwork:
    """One sandbox's way out, for the thread that starts the sandbox.

    `start` starts it; or start `command(argv)` with the descriptor `number` inherited under that
    number, then call `started`. `obey` says what may be reached; until then connections wait. `close`
    ends it all.
    """

    def __init__(
        self, egress: "Egress", keeper: EgressProxy, near: socket.socket, far: socket.socket
    ) -> None:
        self._egress = egress
        self._keeper = keeper
        self._near = near
        self._far = far

    @property
    def number(self) -> int:
        """The descriptor that the command is given."""
        return self._far.fileno()

    def start(self, argv: list[str], fd: int, spawn: Callable[[list[str], dict[int, int]], int]) -> int:
        """Start a process in a namespace that leads here; return its pid, which is that of `argv`.

        `spawn(argv, descriptors)` starts a process with additional descriptors; `fd` is a free number.
        """
        maker = self._egress.maker
        try:
            if maker is None:
                return spawn(self.command(argv, number=fd), {fd: self.number})
            pid, listeners = maker.spawn(lambda: spawn(argv, {}))
        finally:
            self.started()
        self._egress.call(self._keeper.stock, listeners)
        return pid

    def command(self, argv: list[str], *, number: int | None = None) -> list[str]:
        """Return the command line that becomes `argv` in a namespace that leads here."""
        return namespace_command(self.number if number is None else number, self._egress.ports, argv)

    def started(self) -> None:
        """Give up our copy of the command's descriptor."""
        self._far.close()

    def serve(self, network: object) -> None:
        """Serve as a worker's field `network` asks for, from now on."""
        self.obey(self._egress.policy(network))

    def obey(self, policy: EgressPolicy) -> None:
        """Serve under that policy from now on."""
        self._egress.call(self._keeper.obey, policy)

    def close(self) -> None:
        """Close everything; safe twice."""
        self._far.close()
        self._egress.call(self._egress.shut, self._keeper, self._near)


class Egress:
    """The loop, its thread, and the doors that are open."""

    def __init__(
        self,
        *,
        ports: Iterable[int] = DEFAULT_PORTS,
        trusted: Iterable[Trusted] = (),
        resolve: Resolve | None = None,
        dial: Dial = dial,
        limits: Limits | None = None,
    ) -> None:
        self.trusted = tuple(trusted)
        self.ports = sorted({*ports, *trusted_ports(self.trusted)})[:MOST_PORTS]
        self.traffic = Traffic()
        self._resolve = resolve
        self._dial = dial
        self._limits = limits or Limits()
        self._shared: Shared | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.maker: NamespacePool | None = None
        """Starts processes in namespaces where this server may do so by itself."""

        self._keepers: dict[EgressProxy, socket.socket] = {}

    def start(self) -> None:
        """Start the thread."""
        if self._thread is not None:
            return
        files = _raise_file_limit()
        share = max(files // _SHARE_OF_FILES, 16)
        all_connections = min(self._limits.all_connections, share)
        self._limits = msgspec.structs.replace(self._limits, all_connections=all_connections)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="runwright-egress", daemon=True)
        self._thread.start()
        if not ready.wait(_START_SECONDS):
            raise TimeoutError("the egress loop did not start")
        self.maker = _make_maker(self.ports)

    def stop(self) -> None:
        """Close all doors and end the threads, and with them what still runs; safe unstarted, safe twice."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
        if self.maker is not None:
            self.maker.stop()
            self.maker = None

    def policy(self, network: object) -> EgressPolicy:
        """Return the policy that a worker's field `network` asks for on this host."""
        return policy_of(network, self.trusted)

    def open(self, say: Say) -> SandboxNetwork:
        """Return the door of a sandbox that is about to start.

        `say` is called in the egress thread with lines for the log of what runs in the sandbox.
        """
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setblocking(False)  # noqa: FBT003
        if self._shared is None or self._loop is None:
            near.close()
            far.close()
            raise RuntimeError("the egress loop does not run")
        keeper = EgressProxy(self._shared, self._loop, say)
        self.call(self._expect, keeper, near)
        return SandboxNetwork(self, keeper, near, far)

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Call a function in the egress loop; nothing happens where that has ended."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(function, *arguments)

    def shut(self, keeper: EgressProxy, near: socket.socket) -> None:
        """Close one door; in the egress loop."""
        if self._keepers.pop(keeper, None) is not None:
            self._forget(near)
            keeper.close()

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            loop = self._loop = runner.get_loop()
            resolvers = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="runwright-resolver")
            lookups = Lookups(self._resolve or _host_resolver(resolvers))
            self._shared = Shared(lookups, self._dial, self._limits, self.traffic)
            loop.call_soon(ready.set)
            loop.run_forever()
            for keeper, near in list(self._keepers.items()):
                self.shut(keeper, near)
            lookups.close()
            resolvers.shutdown(wait=False, cancel_futures=True)
        self._shared = self._loop = None

    def _expect(self, keeper: EgressProxy, near: socket.socket) -> None:
        self._keepers[keeper] = near
        if self._loop is not None:
            self._loop.add_reader(near, self._receive, keeper, near)

    def _receive(self, keeper: EgressProxy, near: socket.socket) -> None:
        listeners = receive_listeners(near)
        self._forget(near)
        if listeners:
            keeper.stock(listeners)

    def _forget(self, near: socket.socket) -> None:
        if self._loop is not None and near.fileno() >= 0:
            self._loop.remove_reader(near)
            near.close()


def _make_maker(ports: list[int]) -> NamespacePool | None:
    if os.geteuid():
        return None
    maker = NamespacePool(ports)
    try:
        maker.start()
    except OSError:  # root without the capability: the program in between makes a user namespace too
        return None
    return maker


def _raise_file_limit() -> int:
    """Let this process have as many descriptors as it may; return how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return most if soft == resource.RLIM_INFINITY else soft


def _host_resolver(threads: ThreadPoolExecutor) -> Resolve:
    """Return what asks the host's own resolver, whatever that is set to."""

    def look_up(name: str) -> list[str]:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    async def resolve(name: str) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(threads, look_up, name)

    return resolve
