"""All sandboxes of a pool, and those among them that wait, booted, for the code of a worker."""

import asyncio
from typing import Final

from runwright.core.clock import Clock
from runwright.egress import Egress
from runwright.runtimes.host import Host
from runwright.runtimes.interpreters import BLANK_MEMORY_MB
from runwright.runtimes.launcher import Launcher
from runwright.runtimes.model import WorkerCode
from runwright.runtimes.pool.sandbox import Sandbox, SandboxOwner, SandboxState
from runwright.runtimes.pool.settings import PoolSettings
from runwright.runtimes.wasm_modules import ModuleCache
from runwright.sandbox.cpu_affinity import CpuShare

WASM: Final = "wasm"
_REFILL_SECONDS: Final = 0.02
_RETRY_SECONDS: Final = 5.0


class SandboxInventory:
    """Boots sandboxes, keeps some of each runtime in stock, and waits for their end."""

    def __init__(
        self,
        *,
        settings: PoolSettings,
        host: Host,
        clock: Clock,
        owner: SandboxOwner,
        egress: Egress | None = None,
    ) -> None:
        self._settings = settings
        self._host = host
        self._clock = clock
        self._owner = owner
        self._egress = egress
        self._loop: asyncio.AbstractEventLoop | None = None
        self._launcher: Launcher | None = None
        self._blank: dict[str, list[Sandbox]] = {}
        self._modules: ModuleCache | None = None
        self._opened_at: dict[str, float] = {}
        self._refill_timer: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()
        self.sandboxes: set[Sandbox] = set()
        self.booted = 0
        self.boot_failures: dict[str, str] = {}

    def open(self) -> None:
        """Begin to stock up."""
        self._loop = asyncio.get_running_loop()
        self._launcher = Launcher(host=self._host, loop=self._loop, egress=self._egress)
        self._launcher.open()
        self._modules = self._open_modules()
        self._refill_soon(_REFILL_SECONDS)

    def _open_modules(self) -> ModuleCache | None:
        folder, wasm = self._settings.module_folder, self._host.interpreters.get(WASM)
        if folder is None or wasm is None:
            return None
        stamp = f"{wasm.version} {wasm.arguments}"
        return ModuleCache(folder, limit_bytes=self._settings.module_limit_bytes, stamp=stamp)

    def share_new(self, share: CpuShare) -> None:
        """Let what is booted from now on take so much of the processors."""
        if self._launcher is not None:
            self._launcher.share_new(share)

    def share(self, sandbox: Sandbox, share: CpuShare) -> None:
        """Let a sandbox take so much of the processors, soon."""
        if sandbox.share != share and sandbox.harness_pid and self._launcher is not None:
            self._launcher.share_out(sandbox, share)

    def stop_refilling(self) -> None:
        """Boot no more on our own account."""
        if self._refill_timer is not None:
            self._refill_timer.cancel()
        self._refill_timer = self._loop = None

    def close(self) -> None:
        """Leave nothing behind; every sandbox is gone by now."""
        if self._modules is not None:
            self._modules.close()
        if self._launcher is not None:
            self._launcher.close()
            self._launcher = None

    def take(self, code: WorkerCode) -> Sandbox | None:
        """Return a sandbox that belongs to this code from now on: out of stock, or a new one.

        None where the host cannot start one now; `boot_failures` says why.
        """
        sandbox = self.take_blank(code)
        if sandbox is None:
            sandbox = self._boot(code.runtime, self._memory_mb(code), code)
            self._note_use(code)
            if sandbox is not None:
                self._bind(sandbox, code)
        return sandbox

    def take_blank(self, code: WorkerCode) -> Sandbox | None:
        """Return a sandbox out of stock that belongs to this code from now on, if one fits."""
        blank = self._blank.get(code.runtime)
        if not blank or code.folders or self._memory_mb(code) != BLANK_MEMORY_MB:
            return None
        sandbox = blank.pop()
        self._note_use(code)
        self._bind(sandbox, code)
        return sandbox

    def _memory_mb(self, code: WorkerCode) -> int:
        heap_flag = self._host.interpreters[code.runtime].heap_flag
        return code.memory_mb if heap_flag else BLANK_MEMORY_MB

    def _note_use(self, code: WorkerCode) -> None:
        if self._loop is not None:
            self._opened_at[code.runtime] = self._loop.time()
        self._refill_soon(_REFILL_SECONDS)

    def _bind(self, sandbox: Sandbox, code: WorkerCode) -> None:
        artefact = self._modules.open(code) if self._modules and code.runtime == WASM else None
        sandbox.bind(code, self._host.interpreters[code.runtime].overhead_mb, artefact)

    def ready(self, sandbox: Sandbox) -> None:
        """Hear that a sandbox has booted."""
        self.boot_failures.pop(sandbox.runtime, None)
        if sandbox.code is None:
            self._blank.setdefault(sandbox.runtime, []).append(sandbox)

    def unstock(self, sandbox: Sandbox) -> None:
        """Do not hand it out any more."""
        blank = self._blank.get(sandbox.runtime, [])
        if sandbox in blank:
            blank.remove(sandbox)

    def gone(self, sandbox: Sandbox) -> None:
        """Hear that nothing of a sandbox is left."""
        failed = sandbox.harness_pid == 0 and (not sandbox.tree.killed or sandbox.boot_error != "")
        if failed or sandbox.boot_error:
            reason = sandbox.boot_error or sandbox.pipes.boot_text.strip() or "it died before it was ready"
            self.boot_failures[sandbox.runtime] = reason
        self.unstock(sandbox)
        self.sandboxes.discard(sandbox)
        if self._launcher is not None:
            self._launcher.release(sandbox)
        self._refill_soon(_RETRY_SECONDS if failed else _REFILL_SECONDS)
        self._gone.set()

    async def all_gone(self, sandboxes: set[Sandbox]) -> None:
        """Wait until none of these is left."""
        while sandboxes & self.sandboxes:
            self._gone.clear()
            await self._gone.wait()

    def count(self) -> dict[str, dict[str, int]]:
        """Return how many there are by runtime and state."""
        counts: dict[str, dict[str, int]] = {}
        for sandbox in self.sandboxes:
            blank = sandbox.state is SandboxState.IDLE and sandbox.code is None
            state = "blank" if blank else sandbox.state.name.lower()
            by_state = counts.setdefault(sandbox.runtime, {})
            by_state[state] = by_state.get(state, 0) + 1
        return counts

    def _boot(self, runtime: str, memory_mb: int, code: WorkerCode | None = None) -> Sandbox | None:
        if self._launcher is None:
            return None
        try:
            sandbox = self._launcher.launch(
                runtime,
                memory_mb=memory_mb,
                code=code,
                owner=self._owner,
                clock=self._clock,
                patience=self._settings.fast_seconds,
                boot_seconds=self._settings.boot_seconds,
            )
        except OSError as error:
            self.boot_failures[runtime] = f"it could not be started: {error}"
            return None
        self.booted += 1
        self.sandboxes.add(sandbox)
        return sandbox

    def surplus(self) -> list[Sandbox]:
        """Return what is in stock of runtimes that nobody has asked for lately."""
        return [s for runtime, blank in self._blank.items() if not self._wanted(runtime) for s in blank]

    def _wanted(self, runtime: str) -> int:
        settings = self._settings
        if runtime in settings.stocked_on_use and self._loop is not None:
            opened_at = self._opened_at.get(runtime)
            if opened_at is None or self._loop.time() - opened_at > settings.lately_seconds:
                return 0
        return settings.prebooted.get(runtime, 0)

    def _refill_soon(self, seconds: float) -> None:
        if self._refill_timer is None and self._loop is not None:
            self._refill_timer = self._loop.call_later(seconds, self._refill)

    def _refill(self) -> None:
        """Boot one sandbox that the stock lacks, then look again."""
        self._refill_timer = None
        for runtime in self._settings.prebooted:
            have = sum(s.runtime == runtime and s.code is None for s in self.sandboxes)
            if runtime in self._host.interpreters and have < self._wanted(runtime):
                booted = self._boot(runtime, BLANK_MEMORY_MB)
                self._refill_soon(_REFILL_SECONDS if booted else _RETRY_SECONDS)
                return
