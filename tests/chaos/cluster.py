"""A cluster to break: processes of `runwright serve` on one data directory, and ways to kill them.

The test process makes itself the reaper of its orphans, so that whatever outlives its parent
(a sandbox, a PostgreSQL) is still found among its descendants and cannot hide.
"""

import asyncio
import contextlib
import ctypes
import os
import random
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import asyncpg
import httpx
import psutil
from tests.clusters import copy_cluster

KEY: Final = "chaos-platform-key"
HEADERS: Final = {
    "x-internal-secret": KEY,
    "x-tenant-id": "ten_chaos",
    "x-user-id": "usr_chaos",
    "x-platform-role": "tenant-system-admin",
}
_PR_SET_CHILD_SUBREAPER: Final = 36
_READY_SECONDS: Final = 100.0
_PORTS: Final = range(16_000, 32_000)


def adopt_orphans(*, adopt: bool = True) -> None:
    """Make this process the parent of descendants whose own parent died, or stop being it."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot adopt orphans")


def bury_orphans() -> None:
    """Take note of the end of every adopted process, so that none stays a zombie."""
    for child in psutil.Process().children():
        if child.status() == psutil.STATUS_ZOMBIE:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, os.WNOHANG)


def free_port() -> int:
    """A port that nobody listens on, below those that the kernel hands out.

    So no connection of another test gets it while a server that was killed is away.
    """
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


class Member:
    """One process of the cluster; started again with the same arguments after a kill."""

    def __init__(
        self,
        roles: str,
        *,
        data_dir: Path,
        port: int,
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable,),
    ) -> None:
        self.roles = roles
        self._command = command
        self.environment = dict(environment or {})
        self.data_dir = data_dir
        self._port = port
        self._database = {} if database_url is None else {"RUNWRIGHT_DATABASE_URL": database_url}
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        if not self._database and not self.data_dir.exists():
            await asyncio.to_thread(copy_cluster, self.data_dir)
        log = self.data_dir.parent / f"{self.roles}.log"
        with log.open("ab") as stderr:
            self.process = await asyncio.create_subprocess_exec(
                *self._command,
                "-m",
                "runwright",
                "serve",
                *("--roles", self.roles, "--port", str(self._port), "--data-dir", str(self.data_dir)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                env=os.environ
                | self._database
                | {
                    "RUNWRIGHT_PLATFORM_KEY": KEY,
                    "RUNWRIGHT_LEASE_SECONDS": "2",
                    "RUNWRIGHT_HEARTBEAT_SECONDS": "0.4",
                    "RUNWRIGHT_REAPER_INTERVAL_SECONDS": "0.3",
                    "RUNWRIGHT_CANCEL_GRACE_SECONDS": "0.5",
                    "RUNWRIGHT_DRAIN_SECONDS": "5",
                    "RUNWRIGHT_EXECUTOR_SLOTS": "4",
                    "RUNWRIGHT_POOL_PREBOOTED_NODEJS": "0",
                    "RUNWRIGHT_POOL_PREBOOTED_SHELL": "0",
                }
                | self.environment,
            )
        assert self.process.stdout is not None
        async with asyncio.timeout(_READY_SECONDS):
            line = await self.process.stdout.readline()
        assert line.startswith(b"runwright ready"), (
            f"{self.roles} did not start: {line!r}\n{log.read_text()[-2000:]}"
        )

    async def kill(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(90):
            return await self.process.wait()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


class Cluster:
    """One API and two executors on an embedded PostgreSQL, all in processes of their own."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._before = {process.pid for process in descendants()}
        self._folder = Path(tempfile.mkdtemp(prefix="runwright-chaos-", dir="/tmp"))
        self._folder.chmod(0o711)
        self.data_dir = self._folder / "data"
        self.port = free_port()
        self.members = [
            Member(roles, data_dir=self.data_dir, port=self.port) for roles in ("api", "executor", "executor")
        ]
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", headers=HEADERS, timeout=httpx.Timeout(30)
        )
        self.kills: list[str] = []

    async def start(self) -> None:
        for member in self.members:
            await member.start()

    async def stop(self) -> list[int]:
        """Stop every process in order, the database last; returns their exit statuses."""
        await self.client.aclose()
        return [await member.stop() for member in reversed(self.members) if member.process is not None]

    def clean_up(self) -> None:
        """Kill what a failed test left, and remove the folder.

        What was there before stays: this test process has a PostgreSQL of its own.
        """
        for child in descendants():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.pid in self._before:
                    continue
                child.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def logs(self) -> str:
        """The end of what the members said, for a failing test."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in self._folder.glob("*.log")
        )

    async def database(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection of our own to look at the tables."""
        return await asyncpg.connect(
            host=str(self.data_dir / "pg.socket"), user="runwright", database="runwright"
        )

    # --- killing -----------------------------------------------------------------------

    async def kill_something(self) -> None:
        """`kill -9` of one thing, chosen by chance; members are started again."""
        victim = self.chance.choice(("executor", "executor", "api", "sandbox", "sandbox", "postgres"))
        self.kills.append(victim)
        if victim == "sandbox":
            self._kill_sandbox()
        elif victim == "postgres":
            self._kill_postgres()
        else:
            member = self.chance.choice([one for one in self.members if one.roles == victim])
            await member.kill()
            await member.start()

    def _kill_sandbox(self) -> None:
        executor = self.chance.choice([one for one in self.members if one.roles == "executor"])
        inside = [child for child in _children(executor.pid) if "postgres" not in name_of(child)]
        if inside:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.chance.choice(inside).kill()

    def _kill_postgres(self) -> None:
        pid_file = self.data_dir / "pg" / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
            os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)


def descendants() -> list[psutil.Process]:
    """Every living process below this one."""
    return [child for child in _children(os.getpid()) if _lives(child)]


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def name_of(process: psutil.Process) -> str:
    """Return the name of a process; of one that has just ended `postgres`, which `_kill_sandbox` leaves alone."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return "postgres"
