"""One PostgreSQL for one data directory, shared by every process that uses that directory.

States, as one process sees them:

    idle ──start──▶ serving ──stop──▶ idle
                    │     ▲
              postmaster  │ restarted here, or by another process and attached to
                 died ────┘

Invariants
- At most one postmaster per data directory: launching and stopping happen under `pg.start.lock`.
- It runs while a process uses it: each holds `pg.users.lock` shared; the process that can lock it
  exclusively is the last, and stops the server. Locks end with their process, so none goes stale.
- `pg.server.lock` is inherited by every process of the server: while it is held, children of a dead
  postmaster still run; when it is free, no process of the server is left.
- The cluster folder appears complete or not at all: `initdb` writes another folder, which is renamed.

Failure handling
- This process is killed: the server keeps running, and the next start attaches to it.
- The postmaster is killed: every process that uses it notices at once (pidfd); the first one
  launches it again, the others attach; PostgreSQL recovers from its log. The address stays the same.
- It does not start: retried with growing pauses; each failure is logged with the end of its log.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import asyncpg

from runwright.db.embedded import postmaster as process
from runwright.db.embedded.account import EmbeddedError, postgres_account
from runwright.db.embedded.binaries import MAJOR_VERSION, find_programs
from runwright.db.embedded.layout import DATABASE, USER, Layout
from runwright.db.embedded.locks import FileLock, exclusive
from runwright.db.embedded.postmaster import Postmaster
from runwright.db.embedded.tuning import MAX_CONNECTIONS, command_line
from runwright.db.embedded.wal_archive import archive_of
from runwright.db.errors import transient
from runwright.telemetry.emit import Emit, error_text, ignore_event
from runwright.telemetry.events.database import (
    PostgresLeftoversKilled,
    PostgresLost,
    PostgresRestartFailed,
    PostgresRestored,
)

SHARED_SHELTER: Final = Path("/var/lib/runwright")
READY_PAUSE_SECONDS: Final = 0.02
LEFTOVER_SECONDS: Final = 3.0
STOP_SECONDS: Final = {signal.SIGINT: 20.0, signal.SIGQUIT: 8.0}
"""PostgreSQL kills what is left 5 s after SIGQUIT."""
LOG_CHECK_SECONDS: Final = 600.0
REVIVE_PAUSES_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

T = TypeVar("T")
Args = ParamSpec("Args")


class EmbeddedPostgres:
    """The server of one data directory. `stop` may be called before `start`, and twice."""

    def __init__(
        self,
        data_dir: Path,
        *,
        start_seconds: float = 120.0,
        emit: Emit = ignore_event,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self._data_dir = data_dir
        self._max_connections = max_connections
        self._start_seconds = start_seconds
        self._layout: Layout | None = None
        self._users: FileLock | None = None
        self._postmaster: Postmaster | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._emit = emit

    @property
    def pid(self) -> int | None:
        """Return the postmaster's process id while it serves."""
        return None if self._postmaster is None else self._postmaster.pid

    async def start(self) -> str:
        """Start the server or attach to the running one; return its address."""
        if self._layout is not None:
            return self._layout.dsn()
        layout = Layout(self._data_dir, await asyncio.to_thread(postgres_account))
        layout.make()
        self._layout = layout
        try:
            await self._bring_up(layout)
        except BaseException:
            await self.stop()
            raise
        self._supervisor = asyncio.create_task(self._supervise(layout), name="embedded-postgres")
        return layout.dsn()

    async def stop(self) -> None:
        """Detach from the server; the last process that uses it stops it."""
        layout, self._layout = self._layout, None
        if layout is None:
            return
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
            self._supervisor = None
        async with exclusive(layout.start_lock, self._start_seconds):
            last = self._users is not None and self._users.try_exclusive()
            if self._users is not None:
                self._users.close()
                self._users = None
            running, self._postmaster = self._postmaster, None
            if last and (running is None or not running.alive):
                # Another process may have launched it again and exited since.
                running = process.find(layout) or running
            if running is not None:
                if last:
                    await _shut_down(running, layout)
                running.release()

    async def _bring_up(self, layout: Layout) -> None:
        async with exclusive(layout.start_lock, self._start_seconds):
            if self._users is None:
                self._users = FileLock(layout.users_lock)
                self._users.try_shared()  # held exclusively only under the start lock, which is ours
            if await self._attach(layout):
                return
            self._hold(await self._launch(layout))
            if not await self._ready(layout):
                raise EmbeddedError(f"The embedded PostgreSQL ended at its start:\n{layout.log_tail()}")

    async def _attach(self, layout: Layout) -> bool:
        """Attach to the running postmaster, if there is one that is not shutting down; return whether."""
        self._hold(process.find(layout))
        return self._postmaster is not None and await self._ready(layout)

    def _hold(self, postmaster: Postmaster | None) -> None:
        if self._postmaster is not None:
            self._postmaster.release()
        self._postmaster = postmaster

    async def _launch(self, layout: Layout) -> Postmaster:
        alive = FileLock(layout.server_lock)
        try:
            await self._await_leftovers(layout, alive)
            programs = await _run_in_thread(find_programs, layout.account, (layout.data_dir, SHARED_SHELTER))
            await _run_in_thread(_make_cluster, layout, programs)
            process.forget(layout)
            layout.make_socket()
            archive = archive_of(layout)
            if archive is not None:
                await _run_in_thread(archive.make, layout.account)
            with _accessible(layout, layout.cluster) as (path, fds):
                further = {"max_connections": str(self._max_connections)}
                options = command_line(further | (archive.settings() if archive else {}))
                command = [str(programs / "postgres"), "-D", path, "-k", str(layout.socket), *options]
                return process.launch(command, layout, (*fds, alive.fd))
        finally:
            alive.close()

    async def _await_leftovers(self, layout: Layout, alive: FileLock) -> None:
        try:
            await alive.exclusive_within(LEFTOVER_SECONDS)
        except TimeoutError:
            self._emit(PostgresLeftoversKilled())
            process.kill_leftovers(layout)
            await alive.exclusive_within(LEFTOVER_SECONDS)

    async def _ready(self, layout: Layout) -> bool:
        """Wait until the server accepts connections; return False when it exits instead."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._start_seconds
        while self._postmaster is not None and not await _accepts_connections(layout):
            if await self._postmaster.exited_within(READY_PAUSE_SECONDS):
                return False
            if loop.time() >= deadline:
                waited = f"{self._start_seconds:.0f} s"
                raise EmbeddedError(
                    f"The embedded PostgreSQL was not ready within {waited}:\n{layout.log_tail()}"
                )
        return True

    async def _supervise(self, layout: Layout) -> None:
        while self._postmaster is not None:
            if not await self._postmaster.exited_within(LOG_CHECK_SECONDS):
                layout.rotate_log()
                continue
            self._emit(PostgresLost(server_pid=self._postmaster.pid))
            await self._revive(layout)
            self._emit(PostgresRestored(server_pid=self._postmaster.pid))

    async def _revive(self, layout: Layout) -> None:
        failures = 0
        while True:
            try:
                return await self._bring_up(layout)
            except (EmbeddedError, OSError) as error:
                self._emit(PostgresRestartFailed(error=error_text(error)))
            await asyncio.sleep(REVIVE_PAUSES_SECONDS[min(failures, len(REVIVE_PAUSES_SECONDS) - 1)])
            failures += 1


async def _run_in_thread(function: Callable[Args, T], *args: Args.args, **kwargs: Args.kwargs) -> T:
    """Run in a thread; when cancelled, still wait for it, because a thread cannot be interrupted."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # is read, so that it is not reported: the caller has left
        raise


async def _accepts_connections(layout: Layout) -> bool:
    """Return whether the server accepts connections; create the database where it is missing."""
    try:
        connection = await asyncpg.connect(layout.dsn(), timeout=5)
    except asyncpg.InvalidCatalogNameError:
        maintenance = await asyncpg.connect(layout.dsn("postgres"), timeout=5)
        with contextlib.suppress(asyncpg.DuplicateDatabaseError):
            await maintenance.execute(f"CREATE DATABASE {DATABASE}")
        await maintenance.close()
        return True
    except Exception as error:
        if transient(error):
            return False
        raise
    await connection.close()
    return True


async def _shut_down(postmaster: Postmaster, layout: Layout) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT):  # fast, then immediate
        postmaster.send(number)
        process.send_to_all(layout, signal.SIGCONT)  # a stopped process does not receive it
        if await postmaster.exited_within(STOP_SECONDS[number]):
            break
    else:
        process.kill_leftovers(layout)
        if not await postmaster.exited_within(LEFTOVER_SECONDS):
            raise EmbeddedError(f"The embedded PostgreSQL (process {postmaster.pid}) does not stop.")
    if layout.socket.parent != layout.data_dir:
        shutil.rmtree(layout.socket, ignore_errors=True)


def _make_cluster(layout: Layout, programs: Path) -> None:
    version = layout.cluster / "PG_VERSION"
    if version.exists():
        found = version.read_text().strip()
        if found != MAJOR_VERSION:
            raise EmbeddedError(
                f"{layout.cluster} was made by PostgreSQL {found}; this Runwright brings {MAJOR_VERSION}."
            )
        return
    for unfinished in layout.data_dir.glob(".pg-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=".pg-", dir=layout.data_dir))
    layout.account.own(part)
    options = [f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"]
    with _accessible(layout, part) as (path, fds):
        status = process.run([str(programs / "initdb"), "-D", path, *options], layout, fds)
    if status != 0:
        shutil.rmtree(part, ignore_errors=True)
        raise EmbeddedError(f"initdb failed ({status}):\n{layout.log_tail()}")
    part.rename(layout.cluster)


@contextlib.contextmanager
def _accessible(layout: Layout, folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the path by which PostgreSQL's user can open a folder, and the descriptors it must inherit."""
    if layout.reachable:
        yield str(folder), ()
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}", (fd,)
    finally:
        os.close(fd)
