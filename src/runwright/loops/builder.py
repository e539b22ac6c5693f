"""The builder: installs the dependencies of versions, so that they become ready.

    building ──claimed──▶ being built ──▶ ready | failed
        ▲                      │
        └─ lease expired, released ┘

Invariants
- One builder at a time has a build, by a lease; everything it writes is fenced.
- A version ends `ready` with its layer or `failed` with a reason, in one transaction with the log.
- The previous version stays active until then.

Failures
- The installation fails: final, with a reason for the tenant.
- The host fails (no sandbox, no registry, no database): another try after a pause, by any builder; a
  build that was begun `ATTEMPTS` times fails.
- A builder is killed: its lease expires and another builder starts again. A stop releases its builds.
"""

import asyncio
import contextlib
from typing import Final

from runwright.builds.errors import InstallError, ManifestError
from runwright.builds.installer import Installer
from runwright.builds.log import BuildLog
from runwright.builds.model import Build
from runwright.builds.store import Builds
from runwright.core.clock import Stopwatch
from runwright.loops.pass_loop import PassLoop
from runwright.telemetry.emit import Emit, error_text
from runwright.telemetry.events import (
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
REFUSE_SECONDS: Final = 30.0
"""A builder whose host cannot install anything fails builds that no other has claimed for this long."""


class Builder:
    """Claims and runs builds: one per executor process, any number of processes."""

    def __init__(
        self,
        builds: Builds,
        installer: Installer,
        *,
        runtimes: list[str],
        slots: int,
        emit: Emit,
        refusal: str | None = None,
        renew_seconds: float = RENEW_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """`refusal` is why this host cannot install anything; it then leaves builds to others first."""
        self._refusal = refusal
        self._builds = builds
        self._installer = installer
        self._runtimes = runtimes
        self._slots = slots
        self._emit = emit
        self._renew_seconds = renew_seconds
        self._pause_seconds = pause_seconds
        self._running: set[asyncio.Task[None]] = set()
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
        while len(self._running) < self._slots:
            age_seconds = REFUSE_SECONDS if self._refusal else 0.0
            build = await self._builds.claim(self._runtimes, age_seconds=age_seconds)
            if build is None:
                break
            task = asyncio.create_task(self._build(build), name=f"build {build.worker_id}")
            self._running.add(task)
            task.add_done_callback(self._ended)
        return POLL_SECONDS

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
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
        if self._refusal is not None:
            raise InstallError(self._refusal)
        if build.attempt > ATTEMPTS:
            raise InstallError(f"The installation was begun {ATTEMPTS} times and never ended.")
        async with self._installer.install(build, log) as installed:
            await self._builds.finish(build, installed.layer, blob=installed.blob, log=log.text())
        if installed.layer is not None:
            with contextlib.suppress(Exception):  # only an optimization: the first job unpacks it otherwise
                await self._installer.unpack(installed.layer)
        return installed.blob is not None

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
            await self._builds.fail(build, reason=_truncated(str(error)), log=log.text())
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):  # otherwise the lease expires
                await self._builds.release(build, log=log.text(), pause_seconds=0.0, free=True)
            raise
        except Exception as error:  # noqa: BLE001  of this host; another builder may succeed
            self._emit(
                BuildInterrupted(watch.seconds(), worker_id, version, attempt, error=error_text(error))
            )
            if build.attempt >= ATTEMPTS:
                reason = "The installation could not be done on this server; its operator can see why."
                await self._builds.fail(build, reason=reason, log=log.text())
            else:
                await self._builds.release(
                    build, log=log.text(), pause_seconds=self._pause_seconds * build.attempt, free=False
                )


def _truncated(reason: str) -> str:
    """Return the reason with a bounded length; it may quote arbitrary output."""
    return reason if len(reason) <= REASON_CHARACTERS else reason[: REASON_CHARACTERS - 1] + "…"
