"""An executor that is stopped loses its jobs: they end inside it before they begin elsewhere."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Final

import asyncpg
import httpx
import psutil
import pytest
from tests.chaos.cluster import HEADERS, Member, adopt_orphans, bury_orphans, descendants, free_port

PATIENCE_SECONDS: Final = 120.0
SOURCE: Final = """
import ctypes, itertools, os, signal, socket, time

MARK = os.urandom(4).hex()
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass

def connect():
    return socket.create_connection(("localhost.", %(port)d), 1)

def daemon():
    if os.fork() == 0:
        os.setsid()
        os.closerange(3, 64)
        while True:
            time.sleep(0.01)

def handler(input, env):
    ctypes.CDLL(None).prctl(15, MARK.encode())  # PR_SET_NAME
    daemon()
    kept = connect()
    kept.sendall(f"{MARK} began 0\\n".encode())
    kept.setblocking(False)
    while True:
        try:
            if kept.recv(100):
                return "done"
        except BlockingIOError:
            pass
        kept.sendall(f"{MARK} kept {time.monotonic()}\\n".encode())
        try:
            with connect() as fresh:
                fresh.sendall(f"{MARK} new {time.monotonic()}\\n".encode())
        except OSError:
            pass
        time.sleep(0.02)
"""


class Outside:
    """What attempts talk to: it knows when each of them sent what has arrived."""

    def __init__(self) -> None:
        self.sent: dict[str, list[tuple[str, float]]] = {}
        self.port = 0
        self._changed = asyncio.Condition()
        self._kept: dict[str, asyncio.StreamWriter] = {}

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        yield
        server.close()

    async def attempts(self, count: int) -> list[str]:
        """Wait until so many attempts have begun; return their marks in order."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: len(self._kept) >= count)
            return list(self._kept)

    async def has_both_kinds(self, mark: str) -> None:
        """Wait until an attempt has sent something on its first connection, and on another."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: {"kept", "new"} <= {kind for kind, _ in self.sent[mark]})

    def release(self, mark: str) -> None:
        """Let an attempt return."""
        self._kept[mark].write(b"go")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            async for line in reader:
                mark, kind, at = line.decode().split()
                async with self._changed:
                    self.sent.setdefault(mark, []).append((kind, float(at)))
                    if kind == "began":
                        self._kept[mark] = writer
                    self._changed.notify_all()
        writer.close()


class World:
    """An API and two executors, in processes of their own."""

    def __init__(self, folder: Path, outside: Outside) -> None:
        self.outside = outside
        self.data_dir = folder / "data"
        port = free_port()
        environment = {
            "RUNWRIGHT_LEASE_SECONDS": "4",
            "RUNWRIGHT_HEARTBEAT_SECONDS": "0.5",
            "RUNWRIGHT_EGRESS_TRUSTED": f"localhost:{outside.port}",
        }
        self.api, *self.executors = (
            Member(roles, data_dir=self.data_dir, port=port, environment=environment)
            for roles in ("api", "executor", "executor")
        )
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=HEADERS, timeout=PATIENCE_SECONDS
        )

    async def start(self) -> None:
        for member in (self.api, *self.executors):
            await member.start()

    async def stop(self) -> list[int]:
        await self.client.aclose()
        return [await one.stop() for one in (*self.executors, self.api) if one.process is not None]

    async def submit(self) -> str:
        source = SOURCE % {"port": self.outside.port}
        worker = {"name": "w", "runtime": "python", "source_code": source, "max_retries": 5}
        made = await self.client.post("/v1/ava/workers", json=worker | {"network": {"allow": ["localhost"]}})
        assert made.is_success, made.text
        job = await self.client.post(
            "/v1/ava/jobs", json={"worker_id": made.json()["data"]["id"], "input": {}}
        )
        assert job.is_success, job.text
        return str(job.json()["data"]["id"])

    def holder(self, mark: str) -> Member:
        """The executor in which that attempt runs."""
        [pid] = sandboxed(mark)[:1]
        parents = {parent.pid for parent in psutil.Process(pid).parents()}
        [member] = [one for one in self.executors if one.pid in parents]
        return member

    async def executor_ids(self) -> set[str]:
        db = await asyncpg.connect(
            host=str(self.data_dir / "pg.socket"), user="runwright", database="runwright"
        )
        try:
            return {
                row["id"] for row in await db.fetch("SELECT id FROM executors WHERE lease_expires_at > now()")
            }
        finally:
            await db.close()

    async def result(self, job_id: str) -> dict[str, object]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                job: dict[str, object] = (await self.client.get(f"/v1/ava/jobs/{job_id}")).json()["data"]
                if job["status"] not in {"queued", "running"}:
                    return job
                await asyncio.sleep(0.02)


def sandboxed(mark: str) -> list[int]:
    """The processes of an attempt, and those that it has left in its sandbox."""
    found = []
    for process in descendants():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() == mark:
                found.append(process.pid)
    return found


@pytest.fixture
async def world(folder: Path) -> AsyncIterator[World]:
    adopt_orphans()
    before = {process.pid for process in descendants()}
    outside = Outside()
    async with outside.open():
        made = World(folder, outside)
        try:
            await made.start()
            yield made
        finally:
            for member in made.executors:
                if member.process is not None and member.process.returncode is None:
                    member.process.send_signal(SIGCONT)
            statuses = await made.stop()
            left = [process for process in descendants() if process.pid not in before]
            adopt_orphans(adopt=False)
            bury_orphans()
    assert left == []
    assert statuses == [0, 0, 0]


@pytest.mark.timeout(300)
async def test_attempts_of_a_stopped_executor_end_before_the_next_begins_and_send_nothing_later(
    world: World,
) -> None:
    job_id = await world.submit()
    [first] = await world.outside.attempts(1)
    await world.outside.has_both_kinds(first)
    stopped = world.holder(first)
    assert stopped.process is not None
    assert len(sandboxed(first)) >= 2, "the handler and its daemon"
    known = await world.executor_ids()
    stopped.process.send_signal(SIGSTOP)
    await _until_stopped(stopped)
    stopped_at = time.monotonic()

    _, second = (await world.outside.attempts(2))[:2]
    assert sandboxed(first) == [], "the first attempt runs beside the second"

    stopped.process.send_signal(SIGCONT)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(await world.executor_ids() - known) != 1:  # noqa: ASYNC110  only the database could tell
            await asyncio.sleep(0.02)
    later = [(kind, at - stopped_at) for kind, at in world.outside.sent[first] if at > stopped_at]
    assert later == [], "what waited while the executor was stopped was sent"

    world.outside.release(second)
    job = await world.result(job_id)
    assert (job["status"], job["output"]) == ("completed", "done")


async def _until_stopped(member: Member) -> None:
    process = psutil.Process(member.pid)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while process.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110  only the kernel could tell
            await asyncio.sleep(0.01)
