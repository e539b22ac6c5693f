"""Our own server, as anybody starts it: `runwright serve`, spoken to over HTTP only."""

import asyncio
import contextlib
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.bench.connection import Address, Connection
from tests.bench.pace import Pace
from tests.bench.process import ChildError, running, tail

READY_SECONDS: Final = 60.0
TENANT: Final = "ten_bench"
RATE: Final = "1000000"
"""A limit that counts and that nobody meets."""

NOOP: Final = {
    "python": "def handler(input, env):\n    return 1\n",
    "nodejs": "module.exports = async () => 1\n",
}


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A running server."""

    address: Address
    pid: int
    data_dir: Path
    log: Path

    def connect(self) -> Connection:
        """Open a connection to it."""
        return Connection(self.address)


def command_path() -> Path:
    """Return where the `runwright` command is."""
    return Path(sys.executable).parent / "runwright"


def server_missing() -> str | None:
    """Say why our own server cannot run here, if so."""
    return None if command_path().exists() else "the command runwright is not installed"


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    *options: str,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    program: Sequence[str] | None = None,
) -> AsyncIterator[Server]:
    """Serve on a free port with the data directory `folder`/data until the block ends.

    `prefix` is a command that runs the server, `program` another one than the installed command.
    """
    key, port, log = secrets.token_urlsafe(24), free_port(), folder / "runwright.log"
    command = [
        *prefix,
        *(program or [str(command_path())]),
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    command += ["--data-dir", str(folder / "data"), *options]
    settings = {
        "RUNWRIGHT_PLATFORM_KEY": key,
        "RUNWRIGHT_RATE_LIMIT_PER_SECOND": RATE,
        "RUNWRIGHT_PROCESSES": "1",
    }
    settings |= env or {}
    async with running(command, log=log, env=settings, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), READY_SECONDS)
        except TimeoutError:
            line = b""
        if not line.startswith(b"runwright ready"):
            raise ChildError(f"runwright did not get ready:\n{tail(log)}")
        yield Server(
            address=Address("127.0.0.1", port, _headers(key)),
            pid=process.pid,
            data_dir=folder / "data",
            log=log,
        )


def _headers(key: str) -> dict[str, str]:
    return {
        "authorization": f"Bearer {key}",
        "x-tenant-id": TENANT,
        "x-user-id": "usr_bench",
        "x-platform-role": "tenant-system-admin",
    }


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_worker(connection: Connection, runtime: str = "python", *, source: str | None = None) -> str:
    """Create a worker whose handler does nothing and return its id."""
    body = {"name": f"no-op in {runtime}", "runtime": runtime, "source_code": source or NOOP[runtime]}
    worker: dict[str, Any] = connection.call("POST", "/v1/ava/workers", body)["data"]
    return str(worker["id"])


def run_jobs(connection: Connection, worker: str, jobs: int) -> None:
    """Run some jobs to their end, one after the other, so that everything is warm."""
    for _ in range(jobs):
        body = {"worker_id": worker, "input": {}}
        job = connection.call("POST", "/v1/ava/jobs?wait=20", body)["data"]
        if job["status"] != "completed":
            raise ChildError(f"a no-op job ended as {job['status']}: {job['error']}")


def count_jobs(connection: Connection, worker: str, status: str) -> int:
    """Ask for the number of a worker's jobs in a status (exact up to 10,000)."""
    target = f"/v1/ava/jobs?per_page=1&filter[status]={status}&filter[worker_id]={worker}"
    return int(connection.call("GET", target)["pagination"]["total"])


async def all_ended(connection: Connection, worker: str) -> float:
    """Return the time at which a look first saw no job of this worker queued or running.

    A job goes from queued to running, so seeing none queued and then none running is enough
    (none of these jobs is retried).
    """
    pace = Pace()
    while left := count_jobs(connection, worker, "queued") or count_jobs(connection, worker, "running"):
        pause = pace.pause_after(left)
        if pace.stalled:
            raise ChildError(f"stalled with {left} jobs left")
        await asyncio.sleep(pause)
    return time.monotonic()


def check_all_completed(connection: Connection, worker: str, jobs: int) -> None:
    """Read back every job of a worker and see that each one is completed; off the clock."""
    cursor, completed = "", 0
    while True:
        target = f"/v1/ava/jobs?per_page=100&filter[worker_id]={worker}{cursor}"
        page = connection.call("GET", target)
        completed += sum(job["status"] == "completed" for job in page["data"])
        if not page["pagination"]["has_more"]:
            break
        cursor = f"&cursor={page['pagination']['next_cursor']}"
    if completed != jobs:
        raise ChildError(f"{completed} of {jobs} jobs are completed")
