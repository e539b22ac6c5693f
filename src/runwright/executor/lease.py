"""An executor's lease: until when its jobs are guaranteed to be its own.

States: registered -> held (renewed at every heartbeat) -> lost -> registered under a new id.

The end of the lease is computed by this process's own clock, from before the renewal was sent:
so it is over here before it is over in the database, and running jobs are killed before the reaper
may requeue them. A renewal that fails does not lose the lease, which continues until its end. `LeaseTerm`
has the same end for those that must obey it while this process hangs: the guard of its sandboxes and the
thread of their network.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

import msgspec

from runwright.core.clock import Clock
from runwright.core.ids import new_id
from runwright.core.lease_term import LeaseTerm
from runwright.db.pool import Database
from runwright.jobs.store.executors import (
    ExecutorRecord,
    expire_lease,
    register_executor,
    remove_executor,
    renew_lease,
)
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events import ExecutorNotRemoved, LeaseNotRenewed


class ExecutorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How an executor registers, the times of its lease, and the limits of its work."""

    host: str
    pid: int
    slots: int
    isolation: str
    runtimes: list[str]
    vault_keys: list[str] | None = None
    lease_seconds: float
    heartbeat_seconds: float
    drain_seconds: float
    """How long a stop waits for running jobs."""
    tenant_running: int | None = None
    """How many jobs at once a tenant runs that has no such quota of its own."""


class Lease:
    """The lease of one executor; `id` changes when it is lost and a new one is taken."""

    def __init__(
        self,
        db: Database,
        *,
        settings: ExecutorSettings,
        clock: Clock,
        emit: Emit,
        draining: Callable[[], bool],
        on_lost: Callable[[], Awaitable[None]],
        on_taken: Callable[[], None],
        term: LeaseTerm,
    ) -> None:
        """`on_lost` is awaited while `held` is false and stops what runs, then `on_taken` is called."""
        self._db = db
        self._settings = settings
        self._clock = clock
        self._emit = emit
        self._draining = draining
        self._on_lost = on_lost
        self._on_taken = on_taken
        self._term = term
        self._ends = 0.0
        self.held = True
        self.id = new_id("exe", clock())
        self.heartbeat = PassLoop("heartbeat", self._beat, emit=emit)

    async def start(self) -> None:
        """Register and start to renew."""
        await self._register()
        self.heartbeat.start()

    async def stop(self) -> None:
        """Stop renewing; the lease itself continues until `leave` or its end."""
        await self.heartbeat.stop()

    async def leave(self) -> None:
        """Give up the lease at once."""
        try:
            await expire_lease(self._db, executor_id=self.id)
            await remove_executor(self._db, executor_id=self.id)
        except Exception as error:  # noqa: BLE001  the lease expires
            self._emit(ExecutorNotRemoved(error=error_text(error)))

    async def _register(self) -> None:
        s = self._settings
        values = {name: getattr(s, name) for name in ExecutorRecord.__struct_fields__ if name != "id"}
        record = ExecutorRecord(id=self.id, **values)
        sent_at = asyncio.get_running_loop().time()
        await register_executor(self._db, record, lease_seconds=s.lease_seconds)
        self._set_end(sent_at + s.lease_seconds)

    async def _beat(self) -> float:
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        renewed = True
        try:
            async with asyncio.timeout_at(max(self._ends, sent_at + 0.1)):
                renewed = await renew_lease(
                    self._db,
                    executor_id=self.id,
                    lease_seconds=self._settings.lease_seconds,
                    draining=self._draining(),
                )
            if renewed:
                self._set_end(sent_at + self._settings.lease_seconds)
        except Exception as error:  # noqa: BLE001  whatever the cause, the lease continues until its end
            self._emit(LeaseNotRenewed(error=error_text(error)))
        if not renewed or loop.time() >= self._ends:
            await self._start_over()
        left = self._ends - loop.time()
        return min(self._settings.heartbeat_seconds, max(left / 3, 0.05))

    def _set_end(self, ends: float) -> None:
        self._ends = ends
        self._term.set_end(ends)

    async def _start_over(self) -> None:
        self.held = False
        self._term.set_end(-math.inf)
        await self._on_lost()
        self.id = new_id("exe", self._clock())
        await self._register()
        self.held = True
        self._on_taken()
