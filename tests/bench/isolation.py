"""A quiet tenant alone, and beside others whose receivers are dead, whose names are silent, or whose templates cost.

- `receivers`: 20 tenants with 50 webhook endpoints each that answer once and then never, and 100 events each.
- `names`: the same tenants, with endpoints whose host names have a name server that never answers. The quiet
  tenant's receiver closes its connections, so that every delivery looks its name up.
- `templates`: a tenant with 150 triggers whose prompt uses up its steps; the quiet tenant runs jobs.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from tests.bench.connection import Connection
from tests.bench.latency import WARM_JOBS, latency_of
from tests.bench.neighbours import ALONE
from tests.bench.process import ChildError
from tests.bench.result import Latency
from tests.bench.server import Server, make_worker, run_jobs, serving
from tests.name_server import name_server

BESIDE: Final = "beside"
TENANTS: Final = 20
ENDPOINTS: Final = 50
EVENTS: Final = 100
TRIGGERS: Final = 150
WARM_EVENTS: Final = 10
QUIET_PAUSE_SECONDS: Final = 0.1
SETTLE_SECONDS: Final = 60.0
RESOLVER: Final = "127.0.0.77"
_ROLES: Final = ("--roles", "api,router,deliverer")
_DOUBLING: Final = "".join(
    f'{{{{define "t{n}"}}}}{{{{template "t{n + 1}" .}}}}{{{{template "t{n + 1}" .}}}}{{{{end}}}}'
    for n in range(24)
)
COSTLY: Final = f'{_DOUBLING}{{{{define "t24"}}}}x{{{{end}}}}{{{{template "t0" .}}}}'


class _Event(msgspec.Struct):
    created_at: datetime


class _Receiver(asyncio.Protocol):
    """Answers requests; of those below /once/ the first of each path only."""

    def __init__(self, seen: dict[str, int], arrived: list[tuple[float, bytes]]) -> None:
        self._seen = seen
        self._arrived = arrived
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.partition(b"Content-Length: ")[2].split(b"\r\n", 1)[0]):
            return
        self._received = b""
        path = head.split(b" ", 2)[1].decode()
        self._seen[path] = self._seen.get(path, 0) + 1
        if path == "/quiet":
            self._arrived.append((time.time(), body))
        if path == "/quiet" or self._seen[path] == 1:
            self._transport.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            self._transport.close()


class _Receivers:
    """One listener for all receivers of a measurement."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self.arrived: list[tuple[float, bytes]] = []
        self.port = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["_Receivers"]:
        """Listen until the block ends."""
        server = await asyncio.get_running_loop().create_server(
            lambda: _Receiver(self.seen, self.arrived), "127.0.0.1", 0, backlog=1024
        )
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()


async def measure_receivers(folder: Path, requests: int) -> dict[str, Latency]:
    """Measure deliveries of a quiet tenant alone, and beside tenants whose receivers are dead."""
    async with (
        _Receivers().listening() as receivers,
        serving(folder, *_ROLES, env={"RUNWRIGHT_DEV": "1"}) as server,
    ):
        quiet = f"http://127.0.0.1:{receivers.port}/quiet"
        dead = f"http://127.0.0.1:{receivers.port}/once"
        return await _deliveries(server, receivers, quiet, lambda tenant, n: f"{dead}/{tenant}/{n}", requests)


async def measure_names(folder: Path, requests: int) -> dict[str, Latency]:
    """Measure the same, with host names; those of the other tenants are never answered for."""
    if os.geteuid():
        raise ChildError("only root can give the server a name server of its own")
    (folder / "resolv.conf").write_text(f"nameserver {RESOLVER}\n")
    mount = f"mount --bind {folder}/resolv.conf /etc/resolv.conf"
    zone = {"quiet.example.test": ["127.0.0.1"]}
    async with (
        name_server(zone, host=RESOLVER, port=53),
        _Receivers().listening() as receivers,
        serving(
            folder,
            *_ROLES,
            env={"RUNWRIGHT_DEV": "1"},
            prefix=("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"),
        ) as server,
    ):
        port = receivers.port
        return await _deliveries(
            server,
            receivers,
            f"http://quiet.example.test:{port}/quiet",
            lambda tenant, n: f"http://t{tenant}-{n}.silent:{port}/once",
            requests,
        )


async def _deliveries(
    server: Server, receivers: _Receivers, quiet: str, dead: Callable[[int, int], str], events: int
) -> dict[str, Latency]:
    worker = await asyncio.to_thread(_subscribe, server, "ten_quiet", [quiet])
    alone = await _quiet_deliveries(server, worker, receivers, events)
    for tenant in range(TENANTS):
        urls = [dead(tenant, number) for number in range(ENDPOINTS)]
        other = await asyncio.to_thread(_subscribe, server, f"ten_{tenant}", urls)
        await asyncio.to_thread(_submit, server, f"ten_{tenant}", other, 1)
        await asyncio.to_thread(_submit, server, f"ten_{tenant}", other, EVENTS)
    return {ALONE: alone, BESIDE: await _quiet_deliveries(server, worker, receivers, events)}


def _of(server: Server, tenant: str) -> Connection:
    headers = {**server.address.headers, "x-tenant-id": tenant}
    return Connection(msgspec.structs.replace(server.address, headers=headers))


def _subscribe(server: Server, tenant: str, urls: list[str]) -> str:
    with _of(server, tenant) as connection:
        for url in urls:
            connection.call("POST", "/v1/webhooks", {"url": url, "events": ["ava.job.queued"]})
        return make_worker(connection)


def _submit(server: Server, tenant: str, worker: str, jobs: int) -> None:
    with _of(server, tenant) as connection:
        connection.call("POST", "/v1/ava/jobs/batch", {"jobs": [{"worker_id": worker}] * jobs})


async def _quiet_deliveries(server: Server, worker: str, receivers: _Receivers, events: int) -> Latency:
    """Return how late the deliveries of some events are, which happen at an even pace, after a few others."""
    for count in (WARM_EVENTS, events):
        receivers.arrived.clear()
        for _ in range(count):
            await asyncio.to_thread(_submit, server, "ten_quiet", worker, 1)
            await asyncio.sleep(QUIET_PAUSE_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                while len(receivers.arrived) < count:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        if len(receivers.arrived) < count:
            raise ChildError(f"{len(receivers.arrived)} of {count} deliveries arrived")
    return Latency.of(
        [at - msgspec.json.decode(body, type=_Event).created_at.timestamp() for at, body in receivers.arrived]
    )


async def measure_templates(folder: Path, requests: int) -> dict[str, Latency]:
    """Measure jobs of a quiet tenant alone, and while another tenant's prompts are rendered."""
    async with serving(folder) as server:
        return await asyncio.to_thread(_beside_templates, server, requests)


def _beside_templates(server: Server, requests: int) -> dict[str, Latency]:
    with _of(server, "ten_quiet") as quiet, _of(server, "ten_other") as other:
        worker = make_worker(quiet)
        run_jobs(quiet, worker, WARM_JOBS)
        make_worker(other)
        for number in range(TRIGGERS):
            other.call("POST", "/api/automation/triggers", _trigger(number))
        alone = latency_of(quiet, worker, requests)
        key = {"x-avala-api-key": server.address.headers["authorization"].removeprefix("Bearer ")}
        headers = {**other.address.headers, **key}
        with Connection(msgspec.structs.replace(other.address, headers=headers)) as publisher:
            publisher.call("POST", "/api/v1/events/", {"event": "result.submitted", "payload": {"a": 1}})
        return {ALONE: alone, BESIDE: latency_of(quiet, worker, requests)}


def _trigger(number: int) -> dict[str, Any]:
    return {
        "scope": "global",
        "name": f"costly {number}",
        "event": "result.submitted",
        "agent_name": "no-op in python",
        "prompt": COSTLY,
    }
