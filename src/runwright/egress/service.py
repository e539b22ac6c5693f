"""The egress loop of an executor: a thread that relays the connections of all its sandboxes.

It has a thread and an event loop of its own, so that no amount of traffic delays a heartbeat. Other
threads use `Egress.open` and the `SandboxNetwork` that it returns; nothing else is shared.
"""

import asyncio
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import msgspec

from runwright.core.hostnames import DEFAULT_PORTS, Trusted, trusted_ports
from runwright.dns.host_resolver import HostResolver
from runwright.egress.log_limiter import LogLine
from runwright.egress.namespace_pool import MAX_PORTS, NamespacePool, namespace_command, receive_listeners
from runwright.egress.policy import EgressPolicy, EgressResources, policy_of
from runwright.egress.proxy import EgressProxy
from runwright.egress.relay import Dial, EgressLimits, Traffic, dial
from runwright.egress.resolver import Lookups, Resolve

_START_SECONDS: Final = 10.0
_MAX_OPEN_FILES: Final = 65_536
_MIN_CONNECTIONS: Final = 16
_FILES_PER_CONNECTION: Final = 4
"""A connection needs two descriptors, and all of them together at most half of the process's."""


class SandboxNetwork:
    """One sandbox's network, for the thread that starts the sandbox.

    `start` starts the sandbox; or start `command(argv)` with the descriptor `control_fd` inherited under
    its number, then call `release_control`. Connections wait until there is a policy. `close` ends them.
    """

    def __init__(self, egress: "Egress", proxy: EgressProxy, near: socket.socket, far: socket.socket) -> None:
        self._egress = egress
        self._proxy = proxy
        self._near = near
        self._far = far

    @property
    def control_fd(self) -> int:
        """The descriptor over which the command sends its listeners."""
        return self._far.fileno()

    def start(self, argv: list[str], fd: int, spawn: Callable[[list[str], dict[int, int]], int]) -> int:
        """Start a process in the sandbox's namespace; return its pid, which is that of `argv`.

        `spawn(argv, descriptors)` starts a process with additional descriptors; `fd` is a free number.
        """
        pool = self._egress.namespace_pool
        try:
            if pool is None:
                return spawn(self.command(argv, control_fd=fd), {fd: self.control_fd})
            pid, listeners = pool.spawn(lambda: spawn(argv, {}))
        finally:
            self.release_control()
        self._egress.call(self._proxy.add_listeners, listeners)
        return pid

    def command(self, argv: list[str], *, control_fd: int | None = None) -> list[str]:
        """Return the command line that becomes `argv` in the sandbox's namespace."""
        number = self.control_fd if control_fd is None else control_fd
        return namespace_command(number, self._egress.ports, argv)

    def release_control(self) -> None:
        """Close our copy of the command's descriptor, once the command has been started."""
        self._far.close()

    def serve(self, network: object) -> None:
        """Start serving under the policy for a worker's field `network`."""
        self.set_policy(self._egress.policy(network))

    def set_policy(self, policy: EgressPolicy) -> None:
        """Start serving under a policy."""
        self._egress.call(self._proxy.set_policy, policy)

    def close(self) -> None:
        """Close every connection and listener; safe to call twice."""
        self._far.close()
        self._egress.call(self._egress.close_proxy, self._proxy, self._near)


def _always() -> bool:
    return True


class Egress:
    """The egress loop, its thread, and the proxies of running sandboxes."""

    def __init__(
        self,
        *,
        ports: Iterable[int] = DEFAULT_PORTS,
        trusted: Iterable[Trusted] = (),
        resolve: Resolve | None = None,
        dial: Dial = dial,
        limits: EgressLimits | None = None,
        held: Callable[[], bool] = _always,
    ) -> None:
        """`held`: whether the lease of the jobs in the sandboxes is held; called in the egress thread."""
        self.trusted = tuple(trusted)
        self.ports = sorted({*ports, *trusted_ports(self.trusted)})[:MAX_PORTS]
        self.traffic = Traffic()
        self._resolve = resolve
        self._dial = dial
        self._limits = limits or EgressLimits()
        self._held = held
        self._resources: EgressResources | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.namespace_pool: NamespacePool | None = None
        """Starts processes in namespaces, where this process has the capability to make them."""

        self._proxies: dict[EgressProxy, socket.socket] = {}

    def start(self) -> None:
        """Start the thread; does nothing where it runs."""
        if self._thread is not None:
            return
        affordable = max(raise_file_limit() // _FILES_PER_CONNECTION, _MIN_CONNECTIONS)
        all_connections = min(self._limits.all_connections, affordable)
        self._limits = msgspec.structs.replace(self._limits, all_connections=all_connections)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="runwright-egress", daemon=True)
        self._thread.start()
        if not ready.wait(_START_SECONDS):
            raise TimeoutError("the egress loop did not start")
        self.namespace_pool = _start_namespace_pool(self.ports)

    def stop(self) -> None:
        """Close all proxies and end the threads; safe before `start` and safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
        if self.namespace_pool is not None:
            self.namespace_pool.stop()
            self.namespace_pool = None

    def policy(self, network: object) -> EgressPolicy:
        """Return the policy for a worker's field `network` on this host."""
        return policy_of(network, self.trusted)

    def open(self, log_line: LogLine) -> SandboxNetwork:
        """Return the network of a sandbox that is about to start.

        `log_line` is called in the egress thread with lines for the log of the running job.
        """
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setblocking(False)  # noqa: FBT003
        if self._resources is None or self._loop is None:
            near.close()
            far.close()
            raise RuntimeError("the egress loop is not running")
        proxy = EgressProxy(self._resources, self._loop, log_line)
        self.call(self._await_listeners, proxy, near)
        return SandboxNetwork(self, proxy, near, far)

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Call a function in the egress loop; does nothing where the loop has ended."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(function, *arguments)

    def close_proxy(self, proxy: EgressProxy, near: socket.socket) -> None:
        """Close one proxy; must be called in the egress loop."""
        if self._proxies.pop(proxy, None) is not None:
            self._close_control(near)
            proxy.close()

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            loop = self._loop = runner.get_loop()
            resolver = HostResolver()
            lookups = Lookups(self._resolve or partial(_as_text, resolver))
            self._resources = EgressResources(lookups, self._dial, self._limits, self.traffic, self._held)
            loop.call_soon(ready.set)
            loop.run_forever()
            for proxy, near in list(self._proxies.items()):
                self.close_proxy(proxy, near)
            lookups.close()
            loop.run_until_complete(resolver.close())
        self._resources = self._loop = None

    def _await_listeners(self, proxy: EgressProxy, near: socket.socket) -> None:
        self._proxies[proxy] = near
        if self._loop is not None:
            self._loop.add_reader(near, self._receive_listeners, proxy, near)

    def _receive_listeners(self, proxy: EgressProxy, near: socket.socket) -> None:
        listeners = receive_listeners(near)
        self._close_control(near)
        if listeners:
            proxy.add_listeners(listeners)

    def _close_control(self, near: socket.socket) -> None:
        if self._loop is not None and near.fileno() >= 0:
            self._loop.remove_reader(near)
            near.close()


def _start_namespace_pool(ports: list[int]) -> NamespacePool | None:
    if os.geteuid():
        return None
    pool = NamespacePool(ports)
    try:
        pool.start()
    except OSError:  # root without the capability: the program in between makes a user namespace too
        return None
    return pool


def raise_file_limit() -> int:
    """Raise this process's limit of open files as far as allowed; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        return target
    return target if soft == resource.RLIM_INFINITY else soft


async def _as_text(resolver: HostResolver, name: str) -> list[str]:
    return [str(address) for address in await resolver(name)]
