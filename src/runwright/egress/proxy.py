"""The proxy of one sandbox, in the egress loop: its listeners and its connections.

```
  WAITING ──listeners──▶ LISTENERS_READY ──policy──▶ OPEN ──▶ CLOSED  (listeners and policy in any order)
     └──────────────────────────┴──────────────────────────────▲      (policy `none` closes at once)
```

Invariants
- Nothing is accepted or answered before there is a policy.
- No name is looked up, no connection made and no byte sent once the lease of the executor is over.
- A connection is made only to an address that the policy has allowed for it, after the last lookup.
- A refusal is logged before the connection is reset, so that it is in the log of the job that caused it.
- CLOSED holds no socket and no task.

Failures: an accept that fails for lack of descriptors is retried later; the end of one connection never
affects another.
"""

import asyncio
import select
import socket
from collections.abc import Coroutine
from enum import IntEnum
from typing import Final

from runwright.egress.dns_server import DnsServer
from runwright.egress.log_limiter import LogLimiter, LogLine
from runwright.egress.policy import EgressPolicy, EgressRefusedError, EgressResources, PolicyDialer
from runwright.egress.relay import Relay, reset

_ACCEPTS_PER_TURN: Final = 32
_RETRY_SECONDS: Final = 0.1


class ProxyState(IntEnum):
    """The states of a proxy."""

    WAITING = 1
    LISTENERS_READY = 2
    OPEN = 3
    CLOSED = 4


class EgressProxy:
    """Accepts the connections of one sandbox and relays them to where its policy allows."""

    def __init__(
        self, resources: EgressResources, loop: asyncio.AbstractEventLoop, log_line: LogLine
    ) -> None:
        self._resources = resources
        self._loop = loop
        self._log = LogLimiter(log_line, self._loop.time)
        self._policy: EgressPolicy | None = None
        self._sockets: list[socket.socket] = []
        self._listeners: dict[int, socket.socket] = {}
        self._poll: select.epoll | None = None
        """All listeners in one, made ahead: opening must be fast, because a job may wait for it."""
        self._dialer: PolicyDialer | None = None
        self._dns: DnsServer | None = None
        self._connections: dict[asyncio.Task[None], socket.socket] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._listening = False
        self.state = ProxyState.WAITING

    def add_listeners(self, sockets: list[socket.socket]) -> None:
        """Take the sockets of the sandbox's namespace: DNS over UDP, DNS over TCP, one per port."""
        if self.state is not ProxyState.WAITING:
            for sock in sockets:
                sock.close()
            return
        self.state = ProxyState.LISTENERS_READY
        self._sockets = sockets
        self._listeners = {listener.fileno(): listener for listener in sockets[1:]}
        self._poll = select.epoll()
        for number in self._listeners:
            self._poll.register(number, select.EPOLLIN)
        self._open()

    def set_policy(self, policy: EgressPolicy) -> None:
        """Start serving under a policy."""
        self._policy = policy
        if policy.mode == "none":
            self.close()
        else:
            self._open()

    def close(self) -> None:
        """Close every socket and cancel every connection at once."""
        self._stop_listening()
        if self._retry is not None:
            self._retry.cancel()
        self.state = ProxyState.CLOSED
        if self._dns is not None:
            self._dns.close()
        for task in self._connections:
            task.cancel()
        for sock in self._sockets:
            sock.close()
        self._sockets = []
        self._listeners = {}
        if self._poll is not None:
            self._poll.close()

    def _open(self) -> None:
        if self.state is not ProxyState.LISTENERS_READY or self._policy is None:
            return
        self.state = ProxyState.OPEN
        self._dialer = PolicyDialer(self._resources, self._policy)
        self._dns = DnsServer(self._sockets[0], self._dialer, self._log)
        self._listen()

    def _listen(self) -> None:
        self._retry = None
        if self._poll is not None:
            self._listening = True
            self._loop.add_reader(self._poll, self._accept_ready, self._poll)

    def _stop_listening(self) -> None:
        if self._listening and self._poll is not None:
            self._listening = False
            self._loop.remove_reader(self._poll)

    def _accept_ready(self, poll: select.epoll) -> None:
        for number, _ in poll.poll(0):
            if self._listening:
                self._accept(self._listeners[number])

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            if not self._listening or self._full():
                return
            try:
                inside, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # out of descriptors: other connections will free some
                self._pause()
                return
            inside.setblocking(False)  # noqa: FBT003
            self._begin(inside, self._serve(inside, is_dns=listener is self._sockets[1]))

    def _full(self) -> bool:
        limits, traffic = self._resources.limits, self._resources.traffic
        if len(self._connections) >= limits.connections:
            self._log.write(f"{limits.connections} connections are open at once; further ones wait")
        elif traffic.open < limits.all_connections:
            return False
        self._pause()
        return True

    def _pause(self) -> None:
        self._stop_listening()
        self._retry = self._loop.call_later(_RETRY_SECONDS, self._listen)

    def _begin(self, inside: socket.socket, work: Coroutine[None, None, None]) -> None:
        self._resources.traffic.open += 1
        self._resources.traffic.connections += 1
        task = self._loop.create_task(work)
        self._connections[task] = inside
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task).close()  # a task that is cancelled before it begins closes nothing
        self._resources.traffic.open -= 1
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, OSError):
            self._loop.call_exception_handler(
                {"message": "a connection of a sandbox failed unexpectedly", "exception": error}
            )

    async def _serve(self, inside: socket.socket, *, is_dns: bool) -> None:
        if self._dialer is None or self._dns is None:
            inside.close()
        elif is_dns:
            await self._dns.answer_stream(inside)
        else:
            await self._relay(inside, self._dialer)

    async def _relay(self, inside: socket.socket, dialer: PolicyDialer) -> None:
        try:
            host, port, *_ = inside.getsockname()
            outside = await dialer.connect(host, port)
        except EgressRefusedError as error:
            self._resources.traffic.refused += 1
            await self._log.write_and_wait(str(error))
            reset(inside)
        except BaseException:
            reset(inside)
            raise
        else:
            res = self._resources
            relay = Relay(inside, outside, limits=res.limits, traffic=res.traffic, held=res.held)
            await relay.run()
