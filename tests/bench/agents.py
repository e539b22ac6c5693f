"""Events to agents: one event to ten thousand of them, and a thousand events a second to ten.

Late is how long after its event an execution can be seen as pending: from the event's time to the
commit after which a poller finds it, on one clock. The limit that is named beside the first figure is
PostgreSQL's own: the same number of like rows copied into a like table of the same server.
"""

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from tests.bench.connection import Connection
from tests.bench.process import ChildError
from tests.bench.result import Agents, Latency
from tests.bench.server import Server, serving

PER_SECOND: Final = 1_000
CONNECTIONS: Final = 4
READERS: Final = 10
SETTLE_SECONDS: Final = 60.0
EVENT: Final = {"event": "result.submitted", "payload": {"result_uid": "r", "task_type": "box"}}
WIDE: Final = {"event": "task.completed", "payload": {"task_uid": "t"}}


async def measure_agents(folder: Path, agents: int, seconds: int) -> Agents:
    """Register many and publish one event; then publish many to a few."""
    async with serving(folder, "--roles", "api,router") as server:
        db = await asyncpg.connect(
            host=str(server.data_dir / "pg.socket"), user="runwright", database="runwright"
        )
        try:
            await asyncio.to_thread(_register, server, "wide", WIDE["event"], agents)
            await asyncio.to_thread(_register, server, "busy", EVENT["event"], READERS)
            wide = [await _one_to_all(server, db, agents) for _ in range(3)]
            copying = await _copied(db, agents)
            late, rate = await _many_to_few(server, db, seconds * PER_SECOND)
            return Agents(
                agents=agents,
                one_to_all_seconds=sorted(wide)[1],
                copy_seconds=copying,
                events=seconds * PER_SECOND,
                per_second=rate,
                lateness=Latency.of(late),
            )
        finally:
            await db.close()


def _register(server: Server, name: str, event: object, count: int) -> None:
    with _connected(server) as connection:
        for number in range(count):
            connection.call("POST", "/api/v1/agents/", {"name": f"{name} {number}", "events": [event]})


def _connected(server: Server) -> Connection:
    """Connect as the Avala API wants it: its own header, with the key that AVA's callers bear."""
    address = server.address
    key = {"x-avala-api-key": address.headers["authorization"].removeprefix("Bearer ")}
    return Connection(msgspec.structs.replace(address, headers=address.headers | key))


async def _one_to_all(server: Server, db: "asyncpg.Connection[asyncpg.Record]", agents: int) -> float:
    """Publish one event; return how long after the request every agent has it pending (all at once)."""
    last = await db.fetchval("SELECT coalesce(max(position), 0) FROM executions")
    began = time.monotonic()
    await asyncio.to_thread(_publish_one, server, WIDE)
    while not await db.fetchval("SELECT EXISTS (SELECT FROM executions WHERE position > $1)", last):
        if time.monotonic() - began > SETTLE_SECONDS:
            raise ChildError("nobody was handed the event")
        await asyncio.sleep(0.002)
    seconds = time.monotonic() - began
    count = await db.fetchval("SELECT count(*) FROM executions WHERE position > $1", last)
    if count != agents:
        raise ChildError(f"{count} of {agents} agents have the event")
    return seconds


def _publish_one(server: Server, event: dict[str, Any]) -> None:
    with _connected(server) as connection:
        connection.call("POST", "/api/v1/events/", event)


async def _copied(db: "asyncpg.Connection[asyncpg.Record]", rows: int) -> float:
    await db.execute("CREATE TABLE bench_like (LIKE executions INCLUDING ALL)")
    newest = "SELECT * FROM executions ORDER BY id DESC LIMIT $1"
    began = time.monotonic()
    await db.execute(f"INSERT INTO bench_like {newest}", rows)
    return time.monotonic() - began


async def _many_to_few(
    server: Server, db: "asyncpg.Connection[asyncpg.Record]", events: int
) -> tuple[list[float], float]:
    """Publish at an even pace; return how late executions were, and how many events a second were handed out."""
    await db.execute("DELETE FROM executions")
    await db.execute("VACUUM ANALYZE executions")
    watching = asyncio.create_task(_watch(server, events * READERS))
    began = time.monotonic()
    await asyncio.gather(
        *(asyncio.to_thread(_publish, server, lane, events, began) for lane in range(CONNECTIONS))
    )
    seen, ended = await watching
    rows = await db.fetch(
        "SELECT x.id, extract(epoch FROM e.created_at)::float8 AS at"
        " FROM executions x JOIN events e USING (position)"
    )
    return [seen[row["id"]] - row["at"] for row in rows], events / (ended - began)


def _publish(server: Server, lane: int, events: int, began: float) -> None:
    """Publish every so-manyth event of an even pace."""
    with _connected(server) as connection:
        for number in range(lane, events, CONNECTIONS):
            time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
            connection.call("POST", "/api/v1/events/", EVENT)


async def _watch(server: Server, expected: int) -> tuple[dict[str, float], float]:
    """Note when each execution can first be seen, by looking again and again at those that are new."""
    db = await asyncpg.connect(
        host=str(server.data_dir / "pg.socket"), user="runwright", database="runwright"
    )
    # Its plan is made while the table is empty, and must serve when it is not.
    await db.execute("SET enable_seqscan = off")
    seen: dict[str, float] = {}
    newest, deadline = "", time.monotonic() + SETTLE_SECONDS
    try:
        while len(seen) < expected:
            rows = await db.fetch("SELECT id FROM executions WHERE id > $1", newest)
            now = time.time()
            for row in rows:
                seen.setdefault(row["id"], now)
            ids = sorted(row["id"] for row in rows)
            newest = ids[-1] if ids else newest
            if rows:
                deadline = time.monotonic() + SETTLE_SECONDS
            if time.monotonic() > deadline:
                raise ChildError(f"{len(seen)} of {expected} executions are there")
            await asyncio.sleep(0.01)
    finally:
        await db.close()
    return seen, time.monotonic()
