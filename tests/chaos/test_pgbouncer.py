"""A server whose database is behind Debian's PgBouncer in transaction mode: no session lasts there.

With and without an address for LISTEN, jobs run, also while the pooler is killed and started again.
"""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg
import httpx
import pytest
from tests.chaos.cluster import HEADERS, Member, free_port

from runwright.db.embedded import EmbeddedPostgres
from runwright.db.embedded.account import postgres_account

_PROGRAM: Final = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
JOBS: Final = 60
PATIENCE_SECONDS: Final = 120.0
_LISTENERS: Final = "SELECT pid FROM pg_stat_activity WHERE application_name = 'runwright-listen'"
SOURCE: Final = "import time\ndef handler(input, env):\n    time.sleep(0.02)\n    return input['n']\n"

pytestmark = [
    pytest.mark.skipif(_PROGRAM is None, reason="pgbouncer is not installed"),
    pytest.mark.timeout(300),
]


class PgBouncer:
    """A pooler in transaction mode before a PostgreSQL on a Unix socket."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.port = free_port()
        self._account = postgres_account()
        self._file = folder / "pgbouncer.ini"
        self._file.write_text(
            f"""[databases]
runwright = host={socket} port=5432 dbname=runwright user=runwright
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 12
max_client_conn = 200
ignore_startup_parameters =
"""
        )
        self._file.chmod(0o644)
        self._log = folder / "pgbouncer.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"postgresql://runwright@127.0.0.1:{self.port}/runwright"

    async def start(self) -> None:
        assert _PROGRAM is not None
        account = self._account
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                _PROGRAM,
                str(self._file),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                user=account.uid if account.switch else None,
                group=account.gid if account.switch else None,
            )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                assert self._process.returncode is None, self._log.read_text()
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()


@pytest.fixture
async def postgres(folder: Path) -> AsyncIterator[str]:
    """The address of a PostgreSQL without a pooler."""
    server = EmbeddedPostgres(folder / "theirs")
    yield await server.start()
    await server.stop()


@pytest.fixture
async def pooler(folder: Path, postgres: str) -> AsyncIterator[PgBouncer]:
    assert "pg.socket" in postgres
    bouncer = PgBouncer(folder, folder / "theirs" / "pg.socket")
    await bouncer.start()
    yield bouncer
    await bouncer.kill()


async def _submit(client: httpx.AsyncClient, worker: str, n: int) -> str:
    """Ask until the job is accepted; the key makes it one job."""
    body = {"worker_id": worker, "input": {"n": n}}
    while True:
        with contextlib.suppress(httpx.TransportError):
            answer = await client.post("/v1/ava/jobs", json=body, headers={"Idempotency-Key": f"job-{n}"})
            if answer.status_code in {200, 201}:
                return str(answer.json()["data"]["id"])
            assert answer.status_code == 503, answer.text
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("listens", [False, True], ids=["polling", "listen_database_url"])
async def test_jobs_end_once_behind_a_pooler_that_is_killed(
    folder: Path, postgres: str, pooler: PgBouncer, listens: bool
) -> None:
    environment = {"RUNWRIGHT_LISTEN_DATABASE_URL": postgres} if listens else {}
    port = free_port()
    member = Member(
        "api,executor,scheduler,router,deliverer",
        data_dir=folder / "ours",
        port=port,
        database_url=pooler.url,
        environment=environment,
    )
    await member.start()
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=HEADERS, timeout=60
        ) as client:
            await _run_jobs(client, pooler, postgres, listens=listens)
    finally:
        assert await member.stop() == 0


async def _run_jobs(client: httpx.AsyncClient, pooler: PgBouncer, direct: str, *, listens: bool) -> None:
    body = {"name": "w", "runtime": "python", "source_code": SOURCE, "max_retries": 5}
    worker = (await client.post("/v1/ava/workers", json=body)).json()["data"]["id"]
    db = await asyncpg.connect(direct)
    try:
        listeners = {row["pid"] for row in await db.fetch(_LISTENERS)}
        submitting = asyncio.gather(*(_submit(client, worker, n) for n in range(JOBS)))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await db.fetchval("SELECT count(*) FROM job_results"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await pooler.kill()
            await pooler.start()
            accepted = await submitting
            while await db.fetchval("SELECT count(*) FROM job_queue"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        ended = [row["job_id"] for row in await db.fetch("SELECT job_id FROM job_results")]
        still = {row["pid"] for row in await db.fetch(_LISTENERS)}
        events = await db.fetchval("SELECT count(*) FROM events WHERE type LIKE 'job.%'")
    finally:
        await db.close()
    assert bool(listeners & still) == listens, "only what does not lead through the pooler survives its kill"
    assert sorted(ended) == sorted(accepted)
    assert len(set(accepted)) == JOBS == events
