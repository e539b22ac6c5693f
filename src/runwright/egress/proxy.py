"""The way out of one sandbox, in the egress loop: its listeners and its connections.

```
  WAITING ──sockets──▶ STOCKED ──policy──▶ OPEN ──▶ CLOSED        (sockets and policy in either order)
     └────────────────────┴──────────────────────────▲            (policy `none` closes at once)
```

Invariants
- Nothing is accepted or answered before there is a policy.
- A connection is made only to an address that the policy has passed for it, after the last look-up.
- A refusal is said before the connection is reset, so that it stands in the log of the job that met it.
- CLOSED holds no socket and no task.

Failure handling: an accept that fails for want of descriptors is tried again later; the end of one
connection never touches another.
"""

import asyncio
import select
import socket
from collections.abc import Coroutine
from enum import IntEnum
from typing import Final

from runwright.egress.dns_server import DnsServer
from runwright.egress.log_limiter import LogLimiter, Say
from runwright.egress.policy import EgressPolicy
from runwright.egress.policy_dialer import PolicyDialer, RefusedError, Shared
from runwright.egress.relay import Relay, reset

_ACCEPTS_PER_TURN: Final = 32
_AGAIN_SECONDS: Final = 0.1


class State(IntEnum):
    """Where the way out is in its life."""

    WAITING = 1
    STOCKED = 2
    OPEN = 3
    CLOSED = 4


class EgressProxy:
    """Serves one sandbox."""

    def __init__(self, shared: Shared, loop: asyncio.AbstractEventLoop, say: Say) -> None:
        self._shared = shared
        self._loop = loop
        self._sayings = LogLimiter(say, self._loop.time)
        self._policy: EgressPolicy | None = None
        self._sockets: list[socket.socket] = []
        self._listeners: dict[int, socket.socket] = {}
        self._ready: select.epoll | None = None
        """All listeners in one, made at leisure: opening must not take long, for a job may wait for it."""
        self._reach: PolicyDialer | None = None
        self._answerer: DnsServer | None = None
        self._connections: dict[asyncio.Task[None], socket.socket] = {}
        self._again: asyncio.TimerHandle | None = None
        self._listening = False
        self.state = State.WAITING

    def stock(self, sockets: list[socket.socket]) -> None:
        """Take the sockets of the sandbox's namespace: DNS by UDP, DNS by TCP, one per port."""
        if self.state is not State.WAITING:
            for sock in sockets:
                sock.close()
            return
        self.state = State.STOCKED
        self._sockets = sockets
        self._listeners = {listener.fileno(): listener for listener in sockets[1:]}
        self._ready = select.epoll()
        for number in self._listeners:
            self._ready.register(number, select.EPOLLIN)
        self._open()

    def obey(self, policy: EgressPolicy) -> None:
        """Serve under that policy from now on."""
        self._policy = policy
        if policy.mode == "none":
            self.close()
        else:
            self._open()

    def close(self) -> None:
        """Close everything at once."""
        self._deafen()
        if self._again is not None:
            self._again.cancel()
        self.state = State.CLOSED
        if self._answerer is not None:
            self._answerer.close()
        for task in self._connections:
            task.cancel()
        for sock in self._sockets:
            sock.close()
        self._sockets = []
        self._listeners = {}
        if self._ready is not None:
            self._ready.close()

    def _open(self) -> None:
        if self.state is not State.STOCKED or self._policy is None:
            return
        self.state = State.OPEN
        self._reach = PolicyDialer(self._shared, self._policy)
        self._answerer = DnsServer(self._sockets[0], self._reach, self._sayings)
        self._listen()

    def _listen(self) -> None:
        self._again = None
        if self._ready is not None:
            self._listening = True
            self._loop.add_reader(self._ready, self._look, self._ready)

    def _deafen(self) -> None:
        if self._listening and self._ready is not None:
            self._listening = False
            self._loop.remove_reader(self._ready)

    def _look(self, ready: select.epoll) -> None:
        for number, _ in ready.poll(0):
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
            except OSError:  # no descriptors left: others will give some back
                self._pause()
                return
            inside.setblocking(False)  # noqa: FBT003
            self._begin(inside, self._serve(inside, is_question=listener is self._sockets[1]))

    def _full(self) -> bool:
        limits, traffic = self._shared.limits, self._shared.traffic
        if len(self._connections) >= limits.connections:
            self._sayings.say(f"{limits.connections} connections are open at once; further ones wait")
        elif traffic.open < limits.all_connections:
            return False
        self._pause()
        return True

    def _pause(self) -> None:
        self._deafen()
        self._again = self._loop.call_later(_AGAIN_SECONDS, self._listen)

    def _begin(self, inside: socket.socket, work: Coroutine[None, None, None]) -> None:
        self._shared.traffic.open += 1
        self._shared.traffic.connections += 1
        task = self._loop.create_task(work)
        self._connections[task] = inside
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task).close()  # a task that is cancelled before it begins closes nothing
        self._shared.traffic.open -= 1
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, OSError):
            self._loop.call_exception_handler(
                {"message": "a connection's end was not expected", "exception": error}
            )

    async def _serve(self, inside: socket.socket, *, is_question: bool) -> None:
        if self._reach is None or self._answerer is None:
            inside.close()
        elif is_question:
            await self._answerer.answer_stream(inside)
        else:
            await self._relay(inside, self._reach)

    async def _relay(self, inside: socket.socket, reach: PolicyDialer) -> None:
        try:
            host, port, *_ = inside.getsockname()
            outside = await reach.connect(host, port)
        except RefusedError as error:
            self._shared.traffic.refused += 1
            await self._sayings.tell(str(error))
            reset(inside)
        except BaseException:
            reset(inside)
            raise
        else:
            relay = Relay(inside, outside, limits=self._shared.limits, traffic=self._shared.traffic)
            await relay.run()
