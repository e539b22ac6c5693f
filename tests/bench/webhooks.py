"""A thousand events a second to a receiver that is well, while one that is dead and one that is slow get them too.

Events are `ava.job.queued` of jobs that nobody runs, submitted at an even pace. Lateness is from the
event's time to the arrival of its delivery at the receiver that is well, on one clock.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from tests.bench.process import ChildError
from tests.bench.result import Latency, Webhooks
from tests.bench.server import Server, free_port, make_worker, serving

PER_SECOND: Final = 1_000
BATCH: Final = 100
SLOW_SECONDS: Final = 5.0
SETTLE_SECONDS: Final = 60.0
_OK: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


class _Event(msgspec.Struct):
    created_at: datetime


class _Receiver(asyncio.Protocol):
    """Reads requests whose head and body come with a Content-Length, and answers after `pause` seconds."""

    def __init__(self, arrived: list[tuple[float, bytes]], pause: float) -> None:
        self._arrived = arrived
        self._pause = pause
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self._received = b""
        self._arrived.append((time.time(), rest))
        asyncio.get_running_loop().call_later(self._pause, self._answer)

    def _answer(self) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(_OK)


@contextlib.asynccontextmanager
async def _receiving(pause: float) -> AsyncIterator[tuple[str, list[tuple[float, bytes]]]]:
    arrived: list[tuple[float, bytes]] = []
    server = await asyncio.get_running_loop().create_server(lambda: _Receiver(arrived, pause), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", arrived
    finally:
        server.close()


async def measure_webhooks(folder: Path, seconds: int) -> Webhooks:
    """Subscribe three receivers, submit for some seconds, and wait until the well one has everything."""
    async with (
        _receiving(0) as (url, arrived),
        _receiving(SLOW_SECONDS) as (slow_url, slow),
        serving(folder, "--roles", "api,router,deliverer", env={"RUNWRIGHT_DEV": "1"}) as server,
    ):
        worker = await asyncio.to_thread(
            _prepare, server, [url, slow_url, f"http://127.0.0.1:{free_port()}/"]
        )
        events = seconds * PER_SECOND
        await asyncio.to_thread(_submit, server, worker, events)
        async with asyncio.timeout(SETTLE_SECONDS):
            while len(arrived) < events:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return _result(arrived, events, slow=len(slow))


def _prepare(server: Server, urls: list[str]) -> str:
    with server.connect() as connection:
        for url in urls:
            connection.call("POST", "/v1/webhooks", {"url": url, "events": ["ava.job.queued"]})
        return make_worker(connection)


def _submit(server: Server, worker: str, events: int) -> None:
    """Submit in batches, each at its time."""
    body: dict[str, Any] = {"jobs": [{"worker_id": worker}] * BATCH}
    with server.connect() as connection:
        began = time.monotonic()
        for number in range(events // BATCH):
            time.sleep(max(0.0, began + number * BATCH / PER_SECOND - time.monotonic()))
            connection.call("POST", "/v1/ava/jobs/batch", body)


def _result(arrived: list[tuple[float, bytes]], events: int, *, slow: int) -> Webhooks:
    if len({body for _, body in arrived}) != events:
        raise ChildError(f"{len(arrived)} deliveries of {events} events arrived")
    late = [at - msgspec.json.decode(body, type=_Event).created_at.timestamp() for at, body in arrived]
    first, last = min(at for at, _ in arrived), max(at for at, _ in arrived)
    return Webhooks(
        events=events,
        per_second=events / (last - first),
        to_slow=slow,
        lateness=Latency.of(late),
    )
