"""`kill -9` of routers and deliverers at random moments: one delivery per event and endpoint, none lost.

An attempt whose outcome was not written when its process died is made again, so a receiver may
see an event twice, under the same id, and never not at all. `CHAOS=long` kills for longer.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from tests.integration.outbox.world import World

from runwright.core.clock import system_clock
from runwright.db.pool import Pool, open_pool
from runwright.events.store import append_event

LONG: Final = os.environ.get("CHAOS") == "long"
SECONDS: Final = 90.0 if LONG else 7.0
COURIERS: Final = 3
ENDPOINTS: Final = 3
ROLLED_BACK: Final = "wh_never"


class Receiver:
    """Counts what arrives by endpoint and event; answers a little late, and not always well."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.accepted: Counter[tuple[str, str]] = Counter()
        self.failed: Counter[tuple[str, str]] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0.01)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                key = (head.split(b" ")[1].decode(), body["id"])
                await asyncio.sleep(self._chance.uniform(0, 0.05))
                fine = self.failed[key] > 0 or self._chance.random() > 0.05
                (self.accepted if fine else self.failed)[key] += 1
                status = b"204 No Content" if fine else b"500 Internal Server Error"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()


async def _live_and_die(
    dsn: str, log: Path, chance: random.Random, over: asyncio.Event, killed: asyncio.Semaphore
) -> None:
    while not over.is_set():
        with log.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.courier", dsn),
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
            )
        try:
            assert process.stdout is not None
            assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n", log.read_text()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), chance.uniform(0.05, 1.5))
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
            killed.release()


async def _append(db: Pool, chance: random.Random, over: asyncio.Event) -> int:
    """Append events, out of order of commit and now and then not at all; returns how many are there."""
    appended = 0

    async def one_batch() -> int:
        count = chance.randint(1, 8)
        async with db.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            rolled_back = chance.random() < 0.1
            for _ in range(count):
                await append_event(
                    connection,
                    tenant_id="ten_a",
                    type="webhook.test",
                    subject_id=ROLLED_BACK if rolled_back else "wh_told",
                    now=system_clock(),
                )
            await asyncio.sleep(chance.uniform(0, 0.1))
            if rolled_back:
                await transaction.rollback()
                return 0
            await transaction.commit()
            return count

    while not over.is_set():
        appended += sum(await asyncio.gather(*(one_batch() for _ in range(4))))
    return appended


async def _settle(db: Pool) -> None:
    async with asyncio.timeout(60):
        while await db.fetchval(  # noqa: ASYNC110
            "SELECT (SELECT count(*) FROM event_queue) + (SELECT count(*) FROM delivery_queue)"
        ):
            await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
async def test_every_event_reaches_every_endpoint_whichever_courier_is_killed(
    database_url: str, tmp_path: Path
) -> None:
    chance = random.Random(int(os.environ.get("CHAOS_SEED", "20261122")))
    receiver, log = Receiver(chance), tmp_path / "couriers.log"
    db = await open_pool(database_url)
    over, killed = asyncio.Event(), asyncio.Semaphore(0)
    async with receiver.listening() as url:
        world = World(db)
        world.clock = system_clock  # type: ignore[method-assign]
        for number in range(ENDPOINTS):
            await world.endpoint(url=f"{url}/{number}", patterns=["webhook.*"])
        couriers = [
            asyncio.create_task(_live_and_die(database_url, log, chance, over, killed))
            for _ in range(COURIERS)
        ]
        appending = asyncio.create_task(_append(db, chance, over))
        await asyncio.sleep(SECONDS)
        for _ in range(COURIERS + 1):  # at least one was killed twice, however slow the machine is
            await killed.acquire()
        over.set()
        appended = await appending
        await asyncio.gather(*couriers)
        calm = asyncio.Event()
        last = asyncio.create_task(_live_until(database_url, log, calm))
        try:
            await _settle(db)
        finally:
            calm.set()
            await last
        await _assert_once(db, receiver, appended)
    await db.close()
    assert appended > 100


async def _live_until(dsn: str, log: Path, calm: asyncio.Event) -> None:
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.courier", dsn),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        await calm.wait()
    finally:
        process.kill()
        await process.wait()


async def _assert_once(db: Pool, receiver: Receiver, appended: int) -> None:
    by_status = Counter(
        {row[0]: row[1] for row in await db.fetch("SELECT status, count(*) FROM deliveries GROUP BY 1")}
    )
    assert by_status == {"delivered": appended * ENDPOINTS}
    pairs = await db.fetchval("SELECT count(DISTINCT (position, endpoint_id)) FROM deliveries")
    assert pairs == appended * ENDPOINTS
    assert len(receiver.accepted) == appended * ENDPOINTS, "a delivery that nobody received"
    short = await db.fetchval(
        "SELECT count(*) FROM deliveries d WHERE attempts <> (SELECT count(*) FROM delivery_attempts a"
        " WHERE a.delivery_id = d.id)"
    )
    assert short == 0
