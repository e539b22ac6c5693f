"""Signed webhooks that come in at an even pace, each answered once it and its run are stored.

Half of them are of one trigger, the others spread over many, as a busy sender has few hooks. Their runs
are dispatched meanwhile to a worker that does nothing. A delivery's time is from when it was due to be
sent to its answer, so a server that falls behind is measured as late.
"""

import asyncio
import contextlib
import hashlib
import hmac
import time
from pathlib import Path
from typing import Any, Final, cast

from tests.bench.connection import Connection, response_size
from tests.bench.process import ChildError
from tests.bench.result import Ingress, Latency
from tests.bench.server import Server, make_worker, run_jobs, serving

PER_SECOND: Final = 500
CONNECTIONS: Final = 32
TRIGGERS: Final = 20
SECRET: Final = "a-secret-of-the-bench"
WARM_DELIVERIES: Final = 200
_ALLOWED_LATE: Final = 30.0


class _Sender(asyncio.Protocol):
    """One connection, with at most one delivery on its way."""

    def __init__(self) -> None:
        self._received = b""
        self._answered: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ChildError("the server closed a connection"))

    async def send(self, request: bytes) -> int:
        """Send a request; returns the status of its answer."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def data_received(self, data: bytes) -> None:
        self._received += data
        size = response_size(self._received)
        if size is not None and len(self._received) >= size and self._answered is not None:
            status, self._received = int(self._received[9:12]), self._received[size:]
            self._answered.set_result(status)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def measure_ingress(folder: Path, seconds: int) -> Ingress:
    """Send for some seconds to a fresh server, then count the runs that it has."""
    async with serving(folder) as server:
        paths = await asyncio.to_thread(_prepare, server)
        await _send_all(server, paths, WARM_DELIVERIES, first=0)
        count = seconds * PER_SECOND
        began = time.monotonic()
        late = await _send_all(server, paths, count, first=WARM_DELIVERIES)
        took = time.monotonic() - began
        stored = await asyncio.to_thread(_count_runs, server)
    if stored != count + WARM_DELIVERIES:
        raise ChildError(f"{stored} runs are there of {count + WARM_DELIVERIES} deliveries")
    return Ingress(deliveries=count, per_second=count / took, answer=Latency.of(late))


def _prepare(server: Server) -> list[str]:
    with server.connect() as connection:
        run_jobs(connection, make_worker(connection), 10)
        return [_make_trigger(connection, number) for number in range(TRIGGERS)]


def _make_trigger(connection: Connection, number: int) -> str:
    body: dict[str, Any] = {
        "scope": "global",
        "name": f"hook {number}",
        "event": "webhook",
        "agent_name": "no-op in python",
        "prompt": "{{.Data.after}} of {{.Data.repository.name}}",
        "endpoint_slug": "bench",
        "webhook_secret_value": SECRET,
        "fire_limit": {"max": 1_000_000_000, "window": "1h"},
    }
    trigger = connection.call("POST", "/api/automation/triggers", body)["trigger"]
    return f"/api/webhooks/global/bench--{trigger['webhook_id']}"


def _render(server: Server, paths: list[str], number: int) -> bytes:
    """Return a delivery of two kilobytes, signed as sent now."""
    body = b'{"ref":"refs/heads/main","after":"%d","repository":{"name":"bench"},"text":"%s"}'
    body %= (number, b"x" * 2_000)
    at = str(int(time.time()))
    digest = hmac.new(SECRET.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
    path = paths[0 if number % 2 else number // 2 % len(paths)]
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {server.address.host}:{server.address.port}",
        f"x-agh-webhook-timestamp: {at}",
        f"x-agh-webhook-signature: sha256={digest}",
        f"x-agh-webhook-delivery-id: d{number}",
        f"content-length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _send_all(server: Server, paths: list[str], count: int, *, first: int) -> list[float]:
    """Send deliveries at an even pace; returns how long after its time each was answered."""
    loop = asyncio.get_running_loop()
    idle: asyncio.Queue[_Sender] = asyncio.Queue()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(CONNECTIONS):
            _, sender = await loop.create_connection(_Sender, server.address.host, server.address.port)
            stack.callback(sender.close)
            idle.put_nowait(sender)
        began = loop.time()

        async def deliver(number: int) -> float:
            due = began + (number - first) / PER_SECOND
            await asyncio.sleep(max(0.0, due - loop.time()))
            request = _render(server, paths, number)
            sender = await idle.get()
            status = await sender.send(request)
            idle.put_nowait(sender)
            if status != 200:
                raise ChildError(f"a delivery was answered {status}")
            return loop.time() - due

        async with asyncio.timeout(count / PER_SECOND + _ALLOWED_LATE):
            return await asyncio.gather(*(deliver(first + number) for number in range(count)))


def _count_runs(server: Server) -> int:
    """Count the runs page by page."""
    count, cursor = 0, ""
    with server.connect() as connection:
        while True:
            page = connection.call("GET", f"/api/automation/runs?limit=1000{cursor}")
            count += len(page["runs"])
            if "next_cursor" not in page:
                return count
            cursor = f"&cursor={page['next_cursor']}"
