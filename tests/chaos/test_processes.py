"""`serve --processes 2`: one server of five processes, of which each is killed under load.

No accepted job is lost or doubled, counters do not go back, and one signal ends all of it.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.chaos.cluster import HEADERS, Member, adopt_orphans, bury_orphans, descendants, free_port

ROLES: Final = "api,executor,scheduler,router,deliverer"
CHILDREN: Final = ("api-1", "api-2", "executor-1", "executor-2", "background")
PATIENCE_SECONDS: Final = 120.0
JOBS_BETWEEN_KILLS: Final = 12
FOLLOWERS: Final = 4
KILLED: Final = CHILDREN if os.environ.get("CHAOS") == "long" else ("api-1", "executor-1", "background")
SOURCE: Final = """
import time

def handler(input, env):
    print("began", input["n"])
    time.sleep(input["seconds"])
    return {"n": input["n"]}
"""

pytestmark = pytest.mark.timeout(900)


class Server(Member):
    """The server, and what a test sees of its children."""

    def __init__(self, folder: Path, roles: str = ROLES) -> None:
        self.port = free_port()
        environment = {"RUNWRIGHT_PROCESSES": "2", "RUNWRIGHT_LOG_FORMAT": "json"}
        super().__init__(roles, data_dir=folder / "data", port=self.port, environment=environment)
        self.log = folder / f"{roles}.log"

    def child(self, name: str) -> psutil.Process | None:
        """The process of a child at this moment."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if name in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                        return process
        return None

    def starts(self, name: str) -> int:
        """How often a child has begun to serve."""
        return self._count("server_process_started", name)

    def ends(self, name: str) -> int:
        return self._count("server_process_ended", name)

    def _count(self, event: str, name: str) -> int:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return sum(line["event"] == event and line.get("process") == name for line in lines)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client with connections of its own, which the kernel gives to any of the API processes."""
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", headers=HEADERS, timeout=60
        ) as client:
            yield client

    async def database(self) -> "asyncpg.Connection[asyncpg.Record]":
        socket = str(self.data_dir / "pg.socket")
        return await asyncpg.connect(host=socket, user="runwright", database="runwright")


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[Server]:
    adopt_orphans()
    before = {process.pid for process in descendants()}
    one = Server(folder)
    try:
        await one.start()
        yield one
        status = await one.stop()
        left = [" ".join(p.cmdline())[:100] for p in descendants() if p.pid not in before]
        assert (status, left) == (0, []), one.log.read_text()[-5000:]
    finally:
        for process in descendants():
            if process.pid not in before:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        adopt_orphans(adopt=False)
        bury_orphans()


async def _until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not done():  # noqa: ASYNC110  only other processes could tell
            await asyncio.sleep(0.03)


async def _insist(server: Server, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    """Ask over a new connection until there is an answer; the key makes it one job."""
    while True:
        with contextlib.suppress(httpx.TransportError):
            async with server.client() as client:
                answer = await client.post(path, json=body, headers={"Idempotency-Key": key})
            if answer.status_code < 500:
                assert answer.status_code in {200, 201}, answer.text
                data: dict[str, Any] = answer.json()["data"]
                return data
        await asyncio.sleep(0.05)


async def _make_worker(server: Server, retries: int) -> str:
    body = {"name": f"w{retries}", "runtime": "python", "source_code": SOURCE, "max_retries": retries}
    async with server.client() as client:
        answer = await client.post("/v1/ava/workers", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["id"])


async def _counters(server: Server) -> Counter[str]:
    """What `/metrics` has counted, whichever process answers."""
    while True:
        with contextlib.suppress(httpx.TransportError):
            async with server.client() as client:
                text = (await client.get("/metrics")).text
            found: Counter[str] = Counter()
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if family.type in {"counter", "histogram"} and not sample.name.endswith("_sum"):
                        found[f"{sample.name}{sorted(sample.labels.items())}"] = int(sample.value)
            return found
        await asyncio.sleep(0.05)


class Load:
    """Feeders that submit jobs until they are stopped."""

    def __init__(self, server: Server, workers: list[str]) -> None:
        self.accepted: list[str] = []
        self._server, self._workers = server, workers
        self._stopping = asyncio.Event()
        self._numbers = iter(range(100_000))
        self._feeders = [asyncio.create_task(self._feed()) for _ in range(3)]

    async def more(self) -> None:
        """Wait until some more jobs have been accepted."""
        enough = len(self.accepted) + JOBS_BETWEEN_KILLS
        await _until(lambda: len(self.accepted) >= enough or any(task.done() for task in self._feeders))

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._feeders)

    async def _feed(self) -> None:
        while not self._stopping.is_set():
            n = next(self._numbers)
            body = {
                "worker_id": self._workers[n % len(self._workers)],
                "input": {"n": n, "seconds": n % 5 * 0.02},
            }
            self.accepted.append((await _insist(self._server, "/v1/ava/jobs", body, f"job-{n}"))["id"])


async def test_each_process_is_killed_under_load_and_nothing_is_lost_or_doubled(server: Server) -> None:
    ports = {name: _listens(server, name) for name in CHILDREN}
    assert [name for name, listens in ports.items() if listens] == ["api-1", "api-2"]
    await _stops_and_streams_work_whichever_process_is_asked(server)

    workers = [await _make_worker(server, retries) for retries in (0, 5)]
    load = Load(server, workers)
    seen = await _counters(server)
    for name in KILLED:
        await load.more()
        before = await _counters(server)
        assert not seen - before, "a counter went back"
        victim = server.child(name)
        assert victim is not None
        victim.kill()
        await _until(lambda name=name: server.starts(name) == 2)  # type: ignore[misc]
        seen = await _counters(server)
        assert not before - seen, f"a counter went back after the kill of {name}"
    await load.more()
    await load.stop()
    await _assert_each_job_ended_once(server, load.accepted, workers[0])

    async with server.client() as client:
        text = (await client.get("/metrics")).text
    found = re.search(r"^runwright_executors ([0-9.]+)$", text, re.MULTILINE)
    assert found is not None
    assert float(found[1]) >= 2, "gauges of the installation are not added up, but there"
    await _processes_that_keep_ending_are_reported(server)


def _listens(server: Server, name: str) -> bool:
    process = server.child(name)
    assert process is not None, f"{name} is not there"
    return any(
        one.status == psutil.CONN_LISTEN and one.laddr.port == server.port
        for one in process.net_connections("tcp")
    )


async def _stops_and_streams_work_whichever_process_is_asked(server: Server) -> None:
    """Every step has a connection of its own, and so any process."""
    worker = await _make_worker(server, 1)
    job = await _insist(
        server, "/v1/ava/jobs", {"worker_id": worker, "input": {"n": 0, "seconds": 600}}, "long"
    )
    path = f"/v1/ava/jobs/{job['id']}"

    async def status() -> str:
        async with server.client() as client:
            return str((await client.get(path)).json()["data"]["status"])

    async with asyncio.timeout(PATIENCE_SECONDS):
        while await status() != "running":  # noqa: ASYNC110  it asks a process after the other
            await asyncio.sleep(0.05)

    began = asyncio.Semaphore(0)

    async def follow() -> str:
        """Follow the log of the job, from its first line to the event `end`."""
        text = ""
        async with server.client() as client, client.stream("GET", f"{path}/logs/stream") as stream:
            async for part in stream.aiter_text():
                text += part
                if "began 0" in part:
                    began.release()
        return text.rpartition("event: ")[2].split()[0]

    following = [asyncio.create_task(follow()) for _ in range(FOLLOWERS)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in following:
            await began.acquire()
    async with server.client() as client:
        answer = await client.post(f"{path}/cancel")
    assert answer.status_code == 200, answer.text
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await asyncio.gather(*following) == ["end"] * FOLLOWERS
    assert await status() == "cancelled"


async def _assert_each_job_ended_once(server: Server, accepted: list[str], without_retries: str) -> None:
    db = await server.database()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await db.fetchval("SELECT count(*) FROM job_queue"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        results = await db.fetch("SELECT job_id FROM job_results JOIN jobs ON id = job_id WHERE attempt > 0")
        ended = Counter(row["job_id"] for row in results)
        events = await db.fetch("SELECT subject_id FROM events WHERE type LIKE 'job.%'")
        told = Counter(row["subject_id"] for row in events)
        twice = await db.fetch(
            """
            SELECT j.id FROM jobs j JOIN job_log_chunks c ON c.job_id = j.id
            CROSS JOIN LATERAL json_array_elements(c.lines) AS line
            WHERE j.worker_id = $1 AND line->>2 LIKE 'began %'
            GROUP BY j.id HAVING count(*) > 1
            """,
            without_retries,
        )
    finally:
        await db.close()
    assert len(set(accepted)) == len(accepted), "an id was given twice"
    assert set(accepted) <= set(ended), "an accepted job has no end"
    assert {told[job] for job in accepted} == {1}, "a job with more or less than one terminal event"
    assert twice == [], "an attempt without retries was run again"


async def _processes_that_keep_ending_are_reported(server: Server) -> None:
    async def ready() -> tuple[int, list[str]]:
        async with server.client() as client:
            answer = await client.get("/readyz")
        return answer.status_code, answer.json().get("problems", [])

    assert await ready() == (200, [])
    for name, status in (("executor-1", 200), ("executor-2", 503)):
        while server.ends(name) < 3:
            await _kill_next(server, name)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                code, problems = await ready()
                if any(problem.startswith(f"{name} ended ") for problem in problems):
                    break
        assert code == status, problems


async def _kill_next(server: Server, name: str) -> None:
    ends = server.ends(name)
    await _until(lambda: server.child(name))
    process = server.child(name)
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
        await _until(lambda: server.ends(name) > ends)


async def test_children_end_with_their_supervisor_and_a_port_in_use_is_one_line(folder: Path) -> None:
    adopt_orphans()
    server = Server(folder, "api")
    try:
        await server.start()
        second = await asyncio.to_thread(
            subprocess.run,
            [
                *(sys.executable, "-m", "runwright", "serve", "--processes", "2"),
                *("--port", str(server.port), "--data-dir", str(folder / "other")),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (second.returncode, second.stdout) == (1, "")
        (line,) = second.stderr.splitlines()
        assert f"Port {server.port} of 127.0.0.1 is in use." in line
        assert not (folder / "other").exists(), "no database was started for it"
        children = [server.child("api-1"), server.child("api-2")]
        await server.kill()
        await asyncio.to_thread(psutil.wait_procs, [one for one in children if one is not None])
        assert all(one is not None and not one.is_running() for one in children)
        await server.start()  # the port is free, and the database in order
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)
        assert await server.process.wait() == 0
    finally:
        if server.process is not None and server.process.returncode is None:
            await server.kill()
        adopt_orphans(adopt=False)
        bury_orphans()
