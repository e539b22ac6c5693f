"""An executor's lease: the promise that its jobs are its own until a known instant.

States: registered -> held (renewed at every heartbeat) -> lost -> registered under a new id.

The end of the lease is reckoned by this process's own clock, from before the question was sent:
so it is over here before it is over in the database, and what runs is killed before the reaper
may hand it on. A renewal that fails is no loss yet; the lease runs on until its end.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from runwright.core.clock import Clock
from runwright.core.ids import new_id
from runwright.db.pool import Database
from runwright.jobs.store.rescue import (
    ExecutorRecord,
    expire_lease,
    register_executor,
    remove_executor,
    renew_lease,
)
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events import ExecutorNotRemoved, LeaseNotRenewed


class LeaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor says of itself, and the times of its lease."""

    host: str
    pid: int
    slots: int
    isolation: str
    runtimes: list[str]
    vault_keys: list[str] | None = None
    lease_seconds: float
    heartbeat_seconds: float


class Lease:
    """One executor's lease; `id` changes when it is lost and taken anew."""

    def __init__(
        self,
        db: Database,
        *,
        settings: LeaseSettings,
        clock: Clock,
        emit: Emit,
        draining: Callable[[], bool],
        on_lost: Callable[[], Awaitable[None]],
        on_taken: Callable[[], None],
    ) -> None:
        """`on_lost` is awaited while `held` is false and leaves nothing running; `on_taken` follows it."""
        self._db = db
        self._settings = settings
        self._clock = clock
        self._emit = emit
        self._draining = draining
        self._on_lost = on_lost
        self._on_taken = on_taken
        self._ends = 0.0
        self.held = True
        self.id = new_id("exe", clock())
        self.heartbeat = PassLoop("heartbeat", self._beat, emit=emit)

    async def start(self) -> None:
        """Register and begin to renew."""
        await self._register()
        self.heartbeat.start()

    async def stop(self) -> None:
        """Stop renewing; the lease itself goes on until `leave` or its end."""
        await self.heartbeat.stop()

    async def leave(self) -> None:
        """Give the lease up at once."""
        try:
            await expire_lease(self._db, executor_id=self.id)
            await remove_executor(self._db, executor_id=self.id)
        except Exception as error:  # noqa: BLE001  the lease runs out by itself
            self._emit(ExecutorNotRemoved(error=error_text(error)))

    async def _register(self) -> None:
        s = self._settings
        record = ExecutorRecord(
            id=self.id,
            host=s.host,
            pid=s.pid,
            slots=s.slots,
            isolation=s.isolation,
            runtimes=s.runtimes,
            vault_keys=s.vault_keys,
        )
        asked_at = asyncio.get_running_loop().time()
        await register_executor(self._db, record, lease_seconds=s.lease_seconds)
        self._ends = asked_at + s.lease_seconds

    async def _beat(self) -> float:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        renewed = True
        try:
            async with asyncio.timeout_at(max(self._ends, asked_at + 0.1)):
                renewed = await renew_lease(
                    self._db,
                    executor_id=self.id,
                    lease_seconds=self._settings.lease_seconds,
                    draining=self._draining(),
                )
            if renewed:
                self._ends = asked_at + self._settings.lease_seconds
        except Exception as error:  # noqa: BLE001  whatever it is, the lease runs on until it is over
            self._emit(LeaseNotRenewed(error=error_text(error)))
        if not renewed or loop.time() >= self._ends:
            await self._start_over()
        left = self._ends - loop.time()
        return min(self._settings.heartbeat_seconds, max(left / 3, 0.05))

    async def _start_over(self) -> None:
        self.held = False
        await self._on_lost()
        self.id = new_id("exe", self._clock())
        await self._register()
        self.held = True
        self._on_taken()
