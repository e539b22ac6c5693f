"""An executor's lease: until when its jobs are guaranteed to be its own.

States: registered -> held (renewed at every heartbeat) -> lost -> registered under a new id.

Heartbeats are made in a thread with an event loop and a database connection of its own, so that they are
on time however long a step of the main event loop takes. A main loop that has not moved for
`unresponsive_seconds` can neither end its jobs nor stop them: then the lease is left to expire.

The end of the lease is computed by this process's own clock, from before the renewal was sent:
so it is over here before it is over in the database, and running jobs are killed before the reaper
may requeue them. A renewal that fails does not lose the lease, which continues until its end. `LeaseTerm`
has the same end for those that must obey it while this process hangs: the guard of its sandboxes and the
thread of their network. `held` and `id` change in the main loop only.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.ids import new_id
from runwright.core.lease_term import LeaseTerm
from runwright.db.pool import Database
from runwright.leases.store import (
    ExecutorRecord,
    expire_lease,
    register_executor,
    remove_executor,
    renew_lease,
)
from runwright.loops.loop_thread import LoopThread
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.executor import EventLoopUnresponsive, ExecutorNotRemoved, LeaseNotRenewed

OpenDatabase = Callable[[], Awaitable[Database]]
"""Opens a pool of one connection in the event loop that calls it."""

_TRIES_PER_LEASE: Final = 4
"""A renewal without an answer for this part of the lease is given up, with its connection."""

_RETRY_SECONDS: Final = 0.5
_LEAVE_SECONDS: Final = 1.5
"""For the current renewal, and again to give up the lease; else it expires."""


class ExecutorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How an executor registers, the times of its lease, and the limits of its work."""

    host: str
    pid: int
    slots: int
    newcomer_slots: int = 0
    """Beside `slots`, each for a tenant that holds no slot."""
    isolation: str
    runtimes: list[str]
    vault_keys: list[str] | None = None
    lease_seconds: float
    heartbeat_seconds: float
    drain_seconds: float
    """How long a stop waits for running jobs."""
    unresponsive_seconds: float = 120.0
    """For how long the main event loop may be blocked before the lease is no longer renewed."""
    tenant_running: int | None = None
    """How many jobs at once a tenant runs that has no such quota of its own."""


class LeaseResources(msgspec.Struct, frozen=True):
    """What a lease needs beside the executor's settings."""

    open_database: OpenDatabase
    """Opens the connection of the heartbeat, in the heartbeat's own thread."""
    term: LeaseTerm = msgspec.field(default_factory=LeaseTerm)
    """Set to the end of the lease at each renewal."""


class Lease:
    """The lease of one executor; `id` changes when it is lost and a new one is taken."""

    def __init__(
        self,
        resources: LeaseResources,
        *,
        settings: ExecutorSettings,
        clock: Clock,
        emit: Emit,
        draining: Callable[[], bool],
        on_lost: Callable[[], Awaitable[None]],
        on_taken: Callable[[], None],
    ) -> None:
        """`on_lost` is awaited while `held` is false and stops what runs, then `on_taken` is called.

        Both are called in the loop that starts the lease.
        """
        self._open_database = resources.open_database
        self._db: Database | None = None
        self._settings = settings
        self._clock = clock
        self._emit = emit
        self._draining = draining
        self._on_lost = on_lost
        self._on_taken = on_taken
        self._term = resources.term
        self._lost = False
        self._registered = False
        self._home_ran_at = time.monotonic()
        self.id = new_id("exe", clock())
        self.thread = LoopThread("runwright-heartbeat")
        self.heartbeat = PassLoop("heartbeat", self._beat, emit=emit)

    @property
    def held(self) -> bool:
        """Whether the jobs that run here are this executor's own."""
        return self._registered and not self._lost and self._term.held()

    @property
    def ends(self) -> float:
        """When the lease is over unless it is renewed, on the monotonic clock."""
        return self._term.ends

    async def start(self) -> None:
        """Register and start to renew."""
        self.thread.start()
        await self.thread.run(self._register)
        self._registered = True
        self._home_ran_at = time.monotonic()
        await self.thread.run(self._start_heartbeat)

    async def stop(self) -> None:
        """Stop renewing, give up the lease at once and end the thread. Safe unstarted, and twice."""
        registered, self._registered = self._registered, False
        if registered:
            await self.thread.run(self._leave)
        await self.thread.stop()

    async def _start_heartbeat(self) -> None:
        self.heartbeat.start()

    async def _leave(self) -> None:
        await self.heartbeat.stop(within_seconds=_LEAVE_SECONDS)
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                db = await self._database()
                await expire_lease(db, executor_id=self.id)
                await remove_executor(db, executor_id=self.id)
        except Exception as error:  # noqa: BLE001  the lease expires
            self._emit(ExecutorNotRemoved(error=error_text(error)))
        self._drop_database()

    # --- in the thread -----------------------------------------------------------------

    async def _database(self) -> Database:
        if self._db is None:
            self._db = await self._open_database()
        return self._db

    def _drop_database(self) -> None:
        """Close the connection, whatever its state; the next statement opens another."""
        db, self._db = self._db, None
        if db is not None:
            db.terminate()

    async def _register(self) -> None:
        s = self._settings
        values = {name: getattr(s, name) for name in ExecutorRecord.__struct_fields__ if name != "id"}
        record = ExecutorRecord(id=self.id, **values)
        try:
            db = await self._database()
            sent_at = time.monotonic()
            await register_executor(db, record, lease_seconds=s.lease_seconds)
        except BaseException:
            self._drop_database()
            raise
        self._term.set_end(sent_at + s.lease_seconds)

    async def _beat(self) -> float:
        renewed: bool | None = None
        if self._lost:  # and the database was away when it was to be taken again
            await self._take_again()
        elif self._home_runs():
            renewed = await self._renew()
        else:
            self._emit(EventLoopUnresponsive(seconds=self._settings.unresponsive_seconds))
        if renewed is False or time.monotonic() >= self.ends:
            await self._start_over()
        pause = min(self._settings.heartbeat_seconds, max((self.ends - time.monotonic()) / 3, 0.05))
        return pause if renewed else min(pause, _RETRY_SECONDS)

    def _home_runs(self) -> bool:
        """Return whether the main loop has run anything in the last `unresponsive_seconds`."""
        self.thread.call_at_home(self._note_home)
        return time.monotonic() - self._home_ran_at < self._settings.unresponsive_seconds

    async def _renew(self) -> bool | None:
        """Renew the lease; False if it is lost in the database, None if that is not known."""
        sent_at = time.monotonic()
        sending = asyncio.ensure_future(self._send_renewal())
        try:
            _, late = await asyncio.wait([sending], timeout=self._settings.lease_seconds / _TRIES_PER_LEASE)
        except asyncio.CancelledError:
            sending.cancel()
            raise
        if late:  # a connection that is silent would also hold up its own release
            self._drop_database()
            sending.cancel()
        try:
            renewed = await sending
        except (Exception, asyncio.CancelledError) as error:
            if not late and isinstance(error, asyncio.CancelledError):
                raise
            self._drop_database()
            self._emit(LeaseNotRenewed(error=error_text(error)))
            return None
        if renewed:
            self._term.set_end(sent_at + self._settings.lease_seconds)
        return renewed

    async def _send_renewal(self) -> bool:
        return await renew_lease(
            await self._database(),
            executor_id=self.id,
            lease_seconds=self._settings.lease_seconds,
            draining=self._draining(),
        )

    async def _start_over(self) -> None:
        self._term.set_end(-math.inf)  # in this thread, because the main loop may hang
        await self.thread.run_at_home(self._lose)
        await self._take_again()

    async def _take_again(self) -> None:
        await self._register()
        await self.thread.run_at_home(self._take)

    # --- in the main loop ----------------------------------------------------------------

    def _note_home(self) -> None:
        self._home_ran_at = time.monotonic()

    async def _lose(self) -> None:
        self._lost = True
        self._term.set_end(-math.inf)
        await self._on_lost()
        self.id = new_id("exe", self._clock())

    async def _take(self) -> None:
        self._lost = False
        self._on_taken()
