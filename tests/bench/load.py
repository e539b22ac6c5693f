"""The load generator: one process, N keep-alive connections, one ready-made request each at a time.

It shares the machine with what it measures, so it does as little as it can: the request is
rendered once, an answer is read for its status and its length only.

Run as a module it takes an `Order` on stdin and prints a `Load` on stdout.
"""

import asyncio
import sys
import time
from typing import Final, cast

import msgspec
import uvloop

from tests.bench.connection import response_size

STALL_SECONDS: Final = 60.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, how often and over how many connections."""

    host: str
    port: int
    request: bytes
    requests: int
    connections: int
    expected_status: int


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it; times are of the machine's monotonic clock."""

    began: float
    ended: float
    answered: int
    unexpected: dict[str, int]
    p50_ms: float
    p99_ms: float


class _Run:
    """What the connections share: requests left to send, and what was measured."""

    def __init__(self, order: Order, done: asyncio.Future[None]) -> None:
        self.order = order
        self.left = order.requests
        self.open = 0
        self.latencies: list[float] = []
        self.unexpected: dict[str, int] = {}
        self.done = done
        self.expected = str(order.expected_status).encode()

    def finish(self, error: Exception | None = None) -> None:
        """Tell that all answers are in, or that the run failed."""
        if self.done.done():
            return
        if error is not None:
            self.done.set_exception(error)
        elif len(self.latencies) == self.order.requests:
            self.done.set_result(None)


class _Client(asyncio.Protocol):
    """One connection, with at most one request on its way."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._sent_at = 0.0
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is one without saying so

    def send(self) -> None:
        """Send the next request, if there is one left."""
        if self._run.left:
            self._run.left -= 1
            self._sent_at = time.perf_counter()
            self._transport.write(self._run.order.request)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        size = response_size(received)
        if size is None or len(received) < size:
            self._received = received
            return
        self._received = b""
        run = self._run
        run.latencies.append(time.perf_counter() - self._sent_at)
        status = received[9:12]
        if status != run.expected:
            run.unexpected[status.decode()] = run.unexpected.get(status.decode(), 0) + 1
        self.send()
        if len(run.latencies) == run.order.requests:
            run.finish()

    def connection_lost(self, error: Exception | None) -> None:
        self._run.finish(error or ConnectionError("the server closed a connection"))


async def generate(order: Order) -> Load:
    """Send everything and wait for every answer."""
    loop = asyncio.get_running_loop()
    run = _Run(order, loop.create_future())
    clients: list[_Client] = []
    for _ in range(order.connections):
        _, client = await loop.create_connection(lambda: _Client(run), order.host, order.port)
        clients.append(client)
    began = time.monotonic()
    for client in clients:
        client.send()
    await asyncio.wait_for(run.done, max(STALL_SECONDS, order.requests / 50))
    ended = time.monotonic()
    ordered = sorted(run.latencies)
    return Load(
        began=began,
        ended=ended,
        answered=len(ordered),
        unexpected=run.unexpected,
        p50_ms=1000 * ordered[len(ordered) // 2],
        p99_ms=1000 * ordered[len(ordered) * 99 // 100],
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(
        msgspec.json.encode(uvloop.run(generate(msgspec.json.decode(sys.stdin.buffer.read(), type=Order))))
    )
