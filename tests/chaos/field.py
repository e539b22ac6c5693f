"""Runwright on seven hosts: two databases, two APIs, three executors; and the load that they are under."""

import asyncio
import base64
import contextlib
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
from tests.chaos.cluster import HEADERS, Member
from tests.chaos.hosts import Hosts
from tests.chaos.postgres_host import PostgresHost, programs

from runwright.db.migrator import prepare_schema
from runwright.db.pool import connect

API_HOSTS: Final = ("api1", "api2")
EXECUTOR_HOSTS: Final = ("exe1", "exe2", "exe3")
LEASE_SECONDS: Final = 6.0
DRAIN_SECONDS: Final = 10.0
PORT: Final = 8080
_DISK_MB: Final = 256
_SETTINGS: Final = {
    "RUNWRIGHT_HOST": "0.0.0.0",
    "RUNWRIGHT_VAULT_KEY": base64.b64encode(bytes(32)).decode(),
    "RUNWRIGHT_LEASE_SECONDS": str(LEASE_SECONDS),
    "RUNWRIGHT_HEARTBEAT_SECONDS": "1",
    "RUNWRIGHT_DRAIN_SECONDS": str(DRAIN_SECONDS),
    "RUNWRIGHT_POOL_PREBOOTED_PYTHON": "1",
}
_REQUEST_SECONDS: Final = 20.0

SOURCE: Final = """
import time, uuid

def handler(input, env):
    attempt = uuid.uuid4()
    print("began", attempt, time.time())
    time.sleep(input["seconds"])
    print("ended", attempt, time.time())
    return {"n": input["n"]}
"""


class Field:
    """All of it; `open` builds it and removes everything at the end, also after a failure."""

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        self.hosts = hosts
        self._folder = folder
        binaries = programs(folder)
        self.disk = folder / "disk"
        self.databases = [
            PostgresHost(hosts, name, folder / place, binaries)
            for name, place in (("db1", "disk"), ("db2", "second"))
        ]
        addresses = ",".join(f"{one.address}:5432" for one in self.databases)
        self._dsn = f"postgresql://runwright@{addresses}/postgres"
        self.members = {name: self._member(name) for name in (*API_HOSTS, *EXECUTOR_HOSTS)}
        self.clients = [
            httpx.AsyncClient(
                base_url=f"http://{hosts.address(name)}:{PORT}",
                headers=HEADERS,
                timeout=httpx.Timeout(_REQUEST_SECONDS, connect=2.0),
            )
            for name in API_HOSTS
        ]

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator["Field"]:
        async with AsyncExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="runwright-chaos-", dir="/tmp"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            folder.chmod(0o711)
            hosts = Hosts(["db1", "db2", *API_HOSTS, *EXECUTOR_HOSTS])
            stack.callback(hosts.close)
            hosts.enter()
            disk = folder / "disk"
            disk.mkdir()
            _mount(disk)
            stack.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=False)
            field = cls(hosts, folder)
            stack.push_async_callback(field._clean_up)
            await field._start()
            yield field

    @property
    def primary(self) -> PostgresHost:
        return self.databases[0]

    @property
    def standby(self) -> PostgresHost:
        return self.databases[1]

    async def stop(self) -> dict[str, int]:
        """Stop every member in order; return their exit statuses."""
        members = self.members.items()
        statuses = await asyncio.gather(*(member.stop() for _, member in members))
        return {name: status for (name, _), status in zip(members, statuses, strict=True)}

    def logs(self) -> str:
        """The end of what everybody wrote, for a failing test."""
        paths = [*self._folder.glob("*/*.log"), *self._folder.glob("*.log")]
        return "\n".join(f"--- {path}\n{path.read_text(errors='replace')[-2500:]}" for path in paths)

    def _member(self, name: str) -> Member:
        own = self._folder / name
        own.mkdir()
        return Member(
            "api,scheduler" if name in API_HOSTS else "executor",
            data_dir=own / "data",
            port=PORT,
            database_url=self._dsn,
            environment=_SETTINGS,
            command=self.hosts.command(name, sys.executable),
        )

    async def _start(self) -> None:
        await asyncio.to_thread(self.primary.initialize)
        await self.primary.start()
        connection = await connect(self._dsn)
        await prepare_schema(connection, may_migrate=True)
        await connection.close()
        await self.primary.stop()
        await asyncio.to_thread(self.standby.become_standby_of, self.primary)
        self.primary.settings["synchronous_standby_names"] = "db2"  # so that a promotion loses nothing
        await self.primary.start()
        await self.standby.start()
        await asyncio.gather(*(member.start() for member in self.members.values()))

    async def _clean_up(self) -> None:
        for client in self.clients:
            await client.aclose()
        for member in self.members.values():
            if member.process is not None and member.process.returncode is None:
                await member.kill()
        for database in self.databases:
            await database.clean_up()


def _mount(folder: Path) -> None:
    options = f"size={_DISK_MB}m,mode=0711"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)


class Load:
    """Clients that submit jobs until each is accepted, at one API or the other, and remember which were."""

    def __init__(self, field: Field, *, feeders: int) -> None:
        self._field = field
        self._feeders = feeders
        self._numbers = itertools.count()
        self.workers: list[str] = []
        self.accepted: set[str] = set()
        self.refusals: list[float] = []
        """Seconds until each answer 503."""
        self.faults: list[str] = []
        """Answers that are neither an acceptance nor a 503 with Retry-After."""

    async def make_workers(self) -> None:
        """Define two workers: one without retries, and one with five."""
        for retries in (0, 5):
            body = {"name": f"w{retries}", "runtime": "python", "source_code": SOURCE, "max_retries": retries}
            answer = await self._field.clients[0].post("/v1/ava/workers", json=body)
            assert answer.status_code == 201, answer.text
            self.workers.append(answer.json()["data"]["id"])

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Submit jobs while the block lasts; at its end all that were begun have been accepted."""
        over = asyncio.Event()
        feeding = [asyncio.create_task(self._feed(over)) for _ in range(self._feeders)]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*feeding)

    async def burst(self, jobs: int, seconds: float) -> None:
        """Submit jobs as fast as they are accepted."""
        numbers = iter(range(jobs))

        async def submit() -> None:
            for _ in numbers:
                await self._insist(next(self._numbers), seconds)

        await asyncio.gather(*(submit() for _ in range(16)))

    async def completes(self, client: httpx.AsyncClient, since: float) -> float:
        """Submit through one API until a job completes; return when it had, in seconds since `since`."""
        while True:
            answer = await self._post(client, next(self._numbers), 0.0, path="/v1/ava/jobs?wait=5")
            if answer is not None and answer["status"] == "completed":
                return time.monotonic() - since
            await asyncio.sleep(0.02)

    async def _feed(self, over: asyncio.Event) -> None:
        while not over.is_set():
            n = next(self._numbers)
            await self._insist(n, n % 5 * 0.1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 0.15)

    async def _insist(self, n: int, seconds: float) -> None:
        for client in itertools.islice(itertools.cycle(self._field.clients), n % 2, None):
            if await self._post(client, n, seconds) is not None:
                return
            await asyncio.sleep(0.1)

    async def _post(
        self, client: httpx.AsyncClient, n: int, seconds: float, path: str = "/v1/ava/jobs"
    ) -> dict[str, Any] | None:
        """Submit the job once; the key makes it one job, however often this is repeated."""
        body = {"worker_id": self.workers[n % 2], "input": {"n": n, "seconds": seconds}}
        began = time.monotonic()
        try:
            answer = await client.post(path, json=body, headers={"Idempotency-Key": f"job-{n}"})
        except httpx.TransportError as error:
            self.faults.append(repr(error))
            return None
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and "retry-after" in answer.headers:
            self.refusals.append(time.monotonic() - began)
            return None
        if answer.status_code not in {200, 201}:
            self.faults.append(f"{answer.status_code} {answer.text[:200]}")
            return None
        data: dict[str, Any] = answer.json()["data"]
        self.accepted.add(data["id"])
        return data


async def settled(database: PostgresHost, seconds: float) -> "asyncpg.Connection[asyncpg.Record]":
    """Return a connection to the database once no job is queued or running."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await database.connect()
                if not await connection.fetchval("SELECT count(*) FROM job_queue"):
                    return connection
                await connection.close()
            await asyncio.sleep(0.2)
