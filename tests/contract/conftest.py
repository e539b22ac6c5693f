"""One real server for the tests of a folder; every test has a tenant of its own."""

import asyncio
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

import asyncpg
import psutil
import pytest
from tests.clusters import copy_cluster
from tests.contract.client import Api, RawClient
from tests.contract.proofs import rows_are_proved
from tests.preloaded import preloaded
from tests.scheduling import folder_of

__all__ = ["rows_are_proved"]

PLATFORM_KEY = "platform-key-of-the-contract-tests"
READY = "runwright ready "
BOOTED_WHEN_NEEDED: Final = {"RUNWRIGHT_POOL_PREBOOTED_NODEJS": "0", "RUNWRIGHT_POOL_PREBOOTED_SHELL": "0"}
"""Most servers of tests run python only."""

START_SECONDS = 100
STOP_SECONDS = 90


class Server:
    """A running `runwright serve`."""

    def __init__(self, url: str, data_dir: Path, pid: int) -> None:
        self.url = url
        self.data_dir = data_dir
        self.pid = pid
        self.log = _log_of(data_dir)

    def run(self, *arguments: str) -> str:
        """Run a `runwright` command on the same data and return what it prints."""
        done = preloaded.run(*arguments, "--data-dir", str(self.data_dir), env=_environment())
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def make_due(self, schedule_id: str) -> None:
        """Let a schedule's next firing be now, whatever its expression says; the tables are the truth."""
        moved = self.write(
            "UPDATE schedules SET next_run_at = at, due_at = at"
            " FROM date_trunc('milliseconds', now()) AS at WHERE id = $1",
            schedule_id,
        )
        assert moved == "UPDATE 1"

    def write(self, statement: str, *values: object) -> str:
        """Change the tables, where the API would take long, and return what PostgreSQL says of it."""
        return asyncio.run(self._write(statement, *values))

    async def _write(self, statement: str, *values: object) -> str:
        db = await asyncpg.connect(
            host=str(self.data_dir / "pg.socket"), user="runwright", database="runwright"
        )
        try:
            return await db.execute(statement, *values)
        finally:
            await db.close()


def _log_of(data_dir: Path) -> Path:
    return data_dir / "server.log"


def _program() -> str:
    return str(Path(sys.executable).with_name("runwright"))


def _environment(program: Path | None = None) -> dict[str, str]:
    """Return the variables of a server; another release may not know every setting of this one."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNWRIGHT_")}
    own = {} if program else {"RUNWRIGHT_PROCESSES": "1"}
    return clean | own | {"RUNWRIGHT_PLATFORM_KEY": PLATFORM_KEY}


class SharedServers:
    """The servers that the tests of a folder share. They end with its last test: one that idles takes its share too."""

    def __init__(self) -> None:
        self._running: dict[tuple[tuple[str, str], ...], Server] = {}
        self._stack = ExitStack()

    def get(self, **settings: str) -> Server:
        """Return a server with these variables, a new one where there is none or a test has ended it."""
        key = tuple(sorted(settings.items()))
        running = self._running.get(key)
        if running is None or psutil.Process(running.pid).status() == psutil.STATUS_ZOMBIE:
            self._running[key] = self._stack.enter_context(running_server(**settings))
        return self._running[key]

    def close(self) -> None:
        """Stop them."""
        self._running.clear()
        self._stack.close()


shared_servers: Final = SharedServers()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Stop the servers of a folder after its last test, also if that fails to end."""
    try:
        return (yield)
    finally:
        if nextitem is None or folder_of(nextitem.nodeid) != folder_of(item.nodeid):
            shared_servers.close()


@pytest.fixture(scope="module")
def server() -> Server:
    return shared_servers.get()


def running_server(**settings: str) -> AbstractContextManager[Server]:
    """Run a server with these variables in its environment, on data of its own."""
    return serving(settings)


@contextmanager
def serving(
    settings: Mapping[str, str],
    *,
    program: Path | None = None,
    prepared: Path | None = None,
    open_files: int | None = None,
    migrated: bool | None = None,
) -> Iterator[Server]:
    """Run a server, by default this version's on a data directory of its own.

    It finds a migrated database there if that is this version's; another program makes its database itself.
    """
    data_dir = prepared or Path(tempfile.mkdtemp(prefix="runwright-contract-", dir="/tmp"))
    data_dir.chmod(0o711)
    embedded = prepared is None and "RUNWRIGHT_DATABASE_URL" not in settings
    if embedded and (program is None if migrated is None else migrated):
        copy_cluster(data_dir)
    log = _log_of(data_dir)
    try:
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [
                    *(("prlimit", f"--nofile={open_files}") if open_files is not None else ()),
                    program or _program(),
                    "serve",
                    "--host",
                    settings.get("RUNWRIGHT_HOST", "127.0.0.1"),
                    "--port",
                    settings.get("RUNWRIGHT_PORT", "0"),
                    "--data-dir",
                    str(data_dir),
                ],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=_environment(program) | BOOTED_WHEN_NEEDED | dict(settings),
            )
        try:
            assert process.stdout is not None
            yield Server(_await_ready(process.stdout, log), data_dir, process.pid)
        finally:
            _stop(process)
    finally:
        if prepared is None:
            shutil.rmtree(data_dir)


def _await_ready(stdout: IO[str], log: Path) -> str:
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in stdout:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    try:
        while line := lines.get(timeout=START_SECONDS):
            if line.startswith(READY):
                return line.removeprefix(READY).strip()
    except queue.Empty:
        pytest.fail(f"the server was not ready within {START_SECONDS} s:\n{log.read_text()}")
    pytest.fail(f"the server ended before it was ready:\n{log.read_text()}")


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    finally:
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[RawClient]:
    with RawClient(server.url) as client:
        yield client


@pytest.fixture
def api(http: RawClient) -> Api:
    """A tenant-system-admin of a fresh tenant, by way of the platform key."""
    return Api(http, key=PLATFORM_KEY, tenant=f"ten_{uuid4().hex}")


MakeKey = Callable[[str, str], str]


@pytest.fixture(scope="module")
def make_key(server: Server) -> MakeKey:
    """Make a tenant key with the command line, while the server runs."""

    def make(tenant: str, role: str) -> str:
        return server.run("keys", "create", "--tenant", tenant, "--role", role)

    return make
