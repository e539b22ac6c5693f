"""The builder: installs the dependencies of versions and imports their code, so that they become ready.

    building ──claimed──▶ being built ──▶ ready | failed
        ▲                      │
        └─ lease expired, released ┘

Invariants
- One builder at a time has a build, by a lease; everything it writes is fenced.
- A version ends `ready` with its layer or `failed` with a reason, in one transaction with the log.
- The previous version stays active until then.

Failures
- The installation fails, or the code cannot be imported: final, with a reason for the tenant.
- The host fails (no sandbox, no registry): another try after a pause, by any builder; a build that was
  begun `ATTEMPTS` times fails.
- The database is away: no attempt counts. What was installed is held until it is written or the fence
  refuses it, and after an outage builders leave those whose leases ran out the time to renew them.
- A builder is killed: its lease expires and another builder starts again. A stop releases its builds.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from typing import Final

from runwright.builds.errors import InstallError, ManifestError
from runwright.builds.installer import InstalledLayer, Installer
from runwright.builds.log import BuildLog
from runwright.builds.model import Build
from runwright.builds.store import Builds
from runwright.core.clock import Stopwatch
from runwright.db.batching import retry_transient
from runwright.db.errors import databases_fault, transient
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events.builds import (
    BuildFailed,
    BuildInterrupted,
    BuildLost,
    BuildNotRecorded,
    BuildNotRenewed,
    BuildReady,
)

ATTEMPTS: Final = 3
POLL_SECONDS: Final = 2.0
RENEW_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 5.0
REASON_CHARACTERS: Final = 2000
GRACE_FACTOR: Final = 2
"""After an outage of the database nothing is claimed for this many times the time between renewals."""

GIVEN_UP: Final = "The installation could not be done on this server; its operator can see why."
REFUSE_SECONDS: Final = 30.0
"""A builder whose host cannot install anything fails builds that no other has claimed for this long."""


Check = Callable[[Build, str | None, BuildLog], Awaitable[str | None]]
"""Imports the code of a version with the layer of that key; returns why it cannot serve, if it cannot."""


class Builder:
    """Claims and runs builds: one per executor process, any number of processes."""

    def __init__(  # noqa: PLR0913  one for each side that it works with
        self,
        builds: Builds,
        installer: Installer,
        *,
        runtimes: list[str],
        slots: int,
        emit: Emit,
        refusal: str | None = None,
        check: Check | None = None,
        renew_seconds: float = RENEW_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """`refusal` is why this host cannot install anything; it then leaves builds to others first.

        `check` imports the code of versions that are to be checked.
        """
        self._check = check
        self._refusal = refusal
        self._builds = builds
        self._installer = installer
        self._runtimes = runtimes
        self._slots = slots
        self._emit = emit
        self._renew_seconds = renew_seconds
        self._pause_seconds = pause_seconds
        self._running: dict[asyncio.Task[None], Build] = {}
        self._claim_in_doubt = False
        self._rest_until = -math.inf
        self.loop = PassLoop("builder", self._make_pass, emit=emit)

    async def start(self) -> None:
        """Start claiming builds."""
        self.loop.start()

    async def stop(self) -> None:
        """Kill the running installations and release their builds; safe before `start` and twice."""
        await self.loop.stop()
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _make_pass(self) -> float:
        now = asyncio.get_running_loop().time()
        if now < self._rest_until:
            return self._rest_until - now
        try:
            await self._claim()
        except Exception:
            self._claim_in_doubt = True
            self._rest_until = asyncio.get_running_loop().time() + GRACE_FACTOR * self._renew_seconds
            raise
        return POLL_SECONDS

    async def _claim(self) -> None:
        if self._claim_in_doubt:
            await self._builds.release_lost(list(self._running.values()))
            self._claim_in_doubt = False
        while len(self._running) < self._slots:
            age_seconds = REFUSE_SECONDS if self._refusal else 0.0
            build = await self._builds.claim(self._runtimes, age_seconds=age_seconds)
            if build is None:
                break
            task = asyncio.create_task(self._build(build), name=f"build {build.worker_id}")
            self._running[task] = build
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self.loop.wake()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._emit(BuildNotRecorded(error=error_text(error)))

    async def _build(self, build: Build) -> None:
        """Build until done or the lease is lost."""
        log = BuildLog()
        work = asyncio.create_task(self._work(build, log))
        try:
            while not (await asyncio.wait({work}, timeout=self._renew_seconds))[0]:
                if not await self._renew(build, log):
                    self._emit(BuildLost(worker_id=build.worker_id, version=build.version))
                    return
            await work
        finally:
            work.cancel()
            await asyncio.wait({work})
            if not work.cancelled():
                work.exception()

    async def _install(self, build: Build, log: BuildLog) -> bool:
        """Install and store the layer; return whether anything was installed."""
        if build.attempt > ATTEMPTS:
            raise InstallError(f"The installation was begun {ATTEMPTS} times and never ended.")
        async with self._installer.install(build, log) as installed:
            await self._import(build, installed, log)
            await self._hold(
                lambda: self._builds.finish(build, installed.layer, blob=installed.blob, log=log.text())
            )
        if installed.layer is not None:
            with contextlib.suppress(Exception):  # only an optimization: the first job unpacks it otherwise
                await self._installer.unpack(installed.layer)
        return installed.blob is not None

    async def _import(self, build: Build, installed: InstalledLayer, log: BuildLog) -> None:
        """Import the code with what was installed; InstallError if that fails."""
        if build.import_check is None or self._check is None:
            return
        layer, blob = installed.layer, installed.blob
        if layer is not None and blob is not None:
            await self._hold(lambda: self._builds.store_layer(layer, blob))
        problem = await self._check(build, layer.key if layer else None, log)
        if problem is not None:
            raise InstallError(problem)

    async def _renew(self, build: Build, log: BuildLog) -> bool:
        """Renew the lease; without a database the build continues, and the fence decides at its end."""
        try:
            return await self._builds.renew(build, log=log.text())
        except Exception as error:  # noqa: BLE001  the next renewal may succeed
            self._emit(BuildNotRenewed(error=error_text(error)))
            return True

    async def _work(self, build: Build, log: BuildLog) -> None:
        worker_id, version, attempt = build.worker_id, build.version, build.attempt
        watch = Stopwatch()
        try:
            installed = await self._install(build, log)
            self._emit(BuildReady(watch.seconds(), worker_id, version, attempt, installed=installed))
        except (InstallError, ManifestError) as error:
            self._emit(BuildFailed(watch.seconds(), worker_id, version, attempt))
            reason = _truncated(str(error))
            await self._hold(lambda: self._builds.fail(build, reason=reason, log=log.text()))
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):  # otherwise the lease expires
                await self._builds.release(build, log=log.text(), pause_seconds=0.0, free=True)
            raise
        except Exception as error:  # noqa: BLE001  of this host; another builder may succeed
            self._emit(
                BuildInterrupted(watch.seconds(), worker_id, version, attempt, error=error_text(error))
            )
            await self._end_interrupted(build, log, error)

    async def _end_interrupted(self, build: Build, log: BuildLog, error: Exception) -> None:
        """Release a build, or fail it after its last attempt; errors of the database are no attempts."""
        free = databases_fault(error)
        while True:
            try:
                if free or build.attempt < ATTEMPTS:
                    pause = self._pause_seconds * build.attempt
                    await self._builds.release(build, log=log.text(), pause_seconds=pause, free=free)
                else:
                    await self._builds.fail(build, reason=GIVEN_UP, log=log.text())
            except Exception as again:
                if not transient(again):
                    raise
            else:
                return
            free = True  # the database is away, and may have been the cause
            await asyncio.sleep(self._pause_seconds)

    async def _hold(self, write: Callable[[], Awaitable[object]]) -> None:
        """Write the end of a build, again and again while the database is away."""
        await retry_transient(write, seconds=math.inf, pause_seconds=self._pause_seconds)


def _truncated(reason: str) -> str:
    """Return the reason with a bounded length; it may quote arbitrary output."""
    return reason if len(reason) <= REASON_CHARACTERS else reason[: REASON_CHARACTERS - 1] + "…"
