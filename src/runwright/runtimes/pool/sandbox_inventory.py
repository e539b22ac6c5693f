"""All sandboxes of a pool: booting them, keeping a stock of pre-booted ones, and when each expires."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from runwright.core.clock import Clock
from runwright.core.entrypoint import check_entrypoint
from runwright.core.lease_term import LeaseTerm
from runwright.egress import Egress
from runwright.runtimes.host import Host
from runwright.runtimes.interpreters import PREBOOTED_MEMORY_MB
from runwright.runtimes.launcher import Launcher
from runwright.runtimes.model import WorkerCode
from runwright.runtimes.pool.sandbox import Sandbox
from runwright.runtimes.pool.sandbox_owner import SandboxOwner
from runwright.runtimes.pool.sandbox_process import SandboxState
from runwright.runtimes.pool.settings import PoolSettings, PoolStats
from runwright.runtimes.wasm_modules import ModuleCache
from runwright.sandbox.cpu_affinity import CpuAffinity, CpuShare

WASM: Final = "wasm"
_REFILL_SECONDS: Final = 0.02
_RETRY_SECONDS: Final = 5.0
_LEASE_SECONDS: Final = 0.5


class SandboxInventory:
    """Boots sandboxes, keeps some of each runtime pre-booted, and knows which have expired."""

    def __init__(
        self,
        *,
        settings: PoolSettings,
        host: Host,
        clock: Clock,
        owner: SandboxOwner[Sandbox],
        is_newcomer: Callable[[str], bool],
        term: LeaseTerm,
        egress: Egress | None = None,
    ) -> None:
        self._settings = settings
        self._host = host
        self._clock = clock
        self._owner = owner
        self._is_newcomer = is_newcomer
        self._egress = egress
        self._term = term
        self._loop: asyncio.AbstractEventLoop | None = None
        self._launcher: Launcher | None = None
        self._prebooted: dict[str, list[Sandbox]] = {}
        self._modules: ModuleCache | None = None
        self._last_use: dict[str, float] = {}
        self._refill_timer: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()
        self._booting: set[Sandbox] = set()
        self.cpus = CpuAffinity(settings.spared_processors, os.sched_getaffinity(0))
        self.sandboxes: set[Sandbox] = set()
        self.booted = 0
        self.boot_failures: dict[str, str] = {}
        self.discarded: Counter[str] = Counter()
        """Number of discarded sandboxes, by reason."""
        self._boots: Counter[str] = Counter()
        self._boot_seconds: dict[str, float] = {}
        self._starts: Counter[tuple[str, str]] = Counter()
        self._fresh: dict[Sandbox, str] = {}
        """The sandboxes that have had no job yet, and whether they booted for their code."""

    def open(self) -> None:
        """Begin to boot sandboxes."""
        self._loop = asyncio.get_running_loop()
        self._launcher = Launcher(host=self._host, loop=self._loop, term=self._term, egress=self._egress)
        self._launcher.open()
        self._modules = self._open_modules()
        self._refill_soon(_REFILL_SECONDS)

    def _open_modules(self) -> ModuleCache | None:
        folder, wasm = self._settings.module_folder, self._host.interpreters.get(WASM)
        if folder is None or wasm is None:
            return None
        stamp = f"{wasm.version} {wasm.arguments}"
        return ModuleCache(folder, limit_bytes=self._settings.module_limit_bytes, stamp=stamp)

    def update_cpu_shares(self, now: float) -> None:
        """Take CPUs from long jobs while other tenants need them, and return them afterwards."""
        for sandbox in self.sandboxes:
            if sandbox.code is not None and sandbox.in_flight:
                self.cpus.record_runtime(sandbox.code.tenant_id, sandbox.running_for(now), now)
                self.cpus.record_start(sandbox.code.tenant_id, now)
        self.cpus.expire(now)
        if self._launcher is not None:
            self._launcher.set_new_share(self.cpus.boot_share())
        for sandbox in self.sandboxes:
            if sandbox.code is not None:
                self.set_cpu_share(sandbox, self.cpus.share_of(sandbox.code.tenant_id))

    def set_cpu_share(self, sandbox: Sandbox, share: CpuShare) -> None:
        """Change a sandbox's share of the CPUs, soon, unless it has that share already."""
        process = sandbox.process
        if process.cpu_share != share and process.harness_pid and self._launcher is not None:
            self._launcher.set_share(process, share)

    def job_starts(self, sandbox: Sandbox, tenant_id: str) -> None:
        """Record that a tenant is active, and give the sandbox the tenant's share of the CPUs."""
        self._starts[sandbox.runtime.partition("@")[0], self._fresh.pop(sandbox, "warm")] += 1
        if self._loop is not None:
            self.cpus.record_start(tenant_id, self._loop.time())
        self.set_cpu_share(sandbox, self.cpus.share_of(tenant_id))

    def stop_refilling(self) -> None:
        """Pre-boot no more sandboxes."""
        if self._refill_timer is not None:
            self._refill_timer.cancel()
        self._refill_timer = self._loop = None

    def close(self) -> None:
        """Free all resources; every sandbox must be gone."""
        if self._modules is not None:
            self._modules.close()
        if self._launcher is not None:
            self._launcher.close()
            self._launcher = None

    def problem_of(self, code: WorkerCode) -> str | None:
        """Return why this host cannot run this code; None if it can."""
        info = self._host.runtimes.get(code.runtime)
        if info is None or not info.ready or code.runtime not in self._host.interpreters:
            reason = info.reason if info is not None and info.reason else "this host does not offer it"
            return f"The runtime {code.runtime} is not available: {reason}"
        if self._name(code) not in self._host.interpreters:
            has = ", ".join(one.runtime_version for one in info.versions) or "none to choose"
            return f"Version {code.runtime_version} of {code.runtime} is not available: this host has {has}"
        return check_entrypoint(code.entrypoint)

    def _name(self, code: WorkerCode) -> str:
        return self._host.canonical_name(code.interpreter)

    def take(self, code: WorkerCode) -> Sandbox | None:
        """Return a sandbox that is bound to this code from now on: a pre-booted or a new one.

        None if as many boot as may at once, or if the host cannot start one now; `boot_failures` has the
        reason then.
        """
        sandbox = self.take_prebooted(code)
        most = self._settings.boot_limit * (2 if self._is_newcomer(code.tenant_id) else 1)
        if sandbox is None and len(self._booting) < most:
            sandbox = self._boot(self._name(code), self._memory_mb(code), code)
            if not code.folders:
                self.note_use(code.interpreter)
            if sandbox is not None:
                self._booting.add(sandbox)
                self._bind(sandbox, code)
                self._fresh[sandbox] = "cold"
        return sandbox

    def take_prebooted(self, code: WorkerCode) -> Sandbox | None:
        """Return a pre-booted sandbox that is bound to this code from now on, if one fits.

        The last one of a runtime is kept for a tenant that holds no slot.
        """
        prebooted = self._prebooted.get(self._name(code), [])
        kept = 0 if self._is_newcomer(code.tenant_id) else 1
        if len(prebooted) <= kept or code.folders or self._memory_mb(code) != PREBOOTED_MEMORY_MB:
            return None
        sandbox = prebooted.pop()
        self.note_use(code.interpreter)
        self._bind(sandbox, code)
        self._fresh[sandbox] = "prebooted"
        return sandbox

    def _memory_mb(self, code: WorkerCode) -> int:
        heap_flag = self._host.interpreters[self._name(code)].heap_flag
        return code.memory_mb if heap_flag else PREBOOTED_MEMORY_MB

    def note_use(self, interpreter: str) -> None:
        """Record that a worker of this interpreter, without folders, has a job or soon may have one."""
        if self._loop is not None:
            self._last_use[self._host.canonical_name(interpreter)] = self._loop.time()
        self._refill_soon(_REFILL_SECONDS)

    def _bind(self, sandbox: Sandbox, code: WorkerCode) -> None:
        module = self._modules.open(code) if self._modules and code.runtime == WASM else None
        sandbox.bind(code, self._host.interpreters[self._name(code)].overhead_mb, module)

    def ready(self, sandbox: Sandbox) -> None:
        """Record that a sandbox has booted."""
        self.boot_failures.pop(sandbox.runtime, None)
        self._booting.discard(sandbox)
        if self._loop is not None:
            runtime = sandbox.runtime.partition("@")[0]
            self._boots[runtime] += 1
            took = self._loop.time() - sandbox.created
            self._boot_seconds[runtime] = self._boot_seconds.get(runtime, 0.0) + took
        if sandbox.code is None:
            self._prebooted.setdefault(sandbox.runtime, []).append(sandbox)

    def withdraw(self, sandbox: Sandbox) -> None:
        """Remove a sandbox from the pre-booted ones."""
        prebooted = self._prebooted.get(sandbox.runtime, [])
        if sandbox in prebooted:
            prebooted.remove(sandbox)

    def gone(self, sandbox: Sandbox) -> None:
        """Free what a sandbox had of the host, now that its processes are gone."""
        process = sandbox.process
        failed = process.harness_pid == 0 and (not process.tree.killed or sandbox.boot_error != "")
        if failed or sandbox.boot_error:
            reason = sandbox.boot_error or sandbox.stdio.boot_text.strip() or "it died before it was ready"
            self.boot_failures[sandbox.runtime] = reason
        self.withdraw(sandbox)
        self._booting.discard(sandbox)
        self._fresh.pop(sandbox, None)
        self.sandboxes.discard(sandbox)
        if self._launcher is not None:
            self._launcher.release(process)
        self._refill_soon(_RETRY_SECONDS if failed else _REFILL_SECONDS)
        self._gone.set()

    def expired(self, now: float) -> list[tuple[Sandbox, str]]:
        """Return the sandboxes to discard because they are idle too long, too old or too many, and why.

        Busy sandboxes that are too old are marked, to be discarded once they are idle.
        """
        return [*self._expired_idle(now), *((sandbox, "surplus") for sandbox in self._unused())]

    def _idle(self) -> list[Sandbox]:
        return [one for one in self.sandboxes if one.state is SandboxState.IDLE and one.code is not None]

    def surplus(self, busy: int) -> list[Sandbox]:
        """Return the sandboxes to discard because more than `warm_limit` wait for a job of their worker.

        They are the oldest ones of the tenants that have the most. `busy`: how many do not wait.
        """
        most = self._settings.warm_limit + busy
        if len(self.sandboxes) <= most or len(self.sandboxes) - self._prebooted_count() <= most:
            return []
        by_tenant: dict[str, list[Sandbox]] = {}
        for sandbox in sorted(self._idle(), key=lambda one: -one.idle_since):
            assert sandbox.code is not None  # noqa: S101  else it is pre-booted
            by_tenant.setdefault(sandbox.code.tenant_id, []).append(sandbox)
        count = sum(map(len, by_tenant.values())) - self._settings.warm_limit
        return [max(by_tenant.values(), key=len).pop() for _ in range(count)]

    def _prebooted_count(self) -> int:
        return sum(map(len, self._prebooted.values()))

    def _expired_idle(self, now: float) -> Iterator[tuple[Sandbox, str]]:
        s = self._settings
        idle = self._idle()
        surplus = set(self.surplus(busy=0))
        for sandbox in idle:
            left = sandbox.process.limits.leftovers() if sandbox.process.resting else None
            if left is not None:
                yield sandbox, left
            elif sandbox in surplus:
                yield sandbox, "surplus"
            elif now - sandbox.idle_since >= s.idle_seconds:
                yield sandbox, "idle"
            elif now - sandbox.created >= s.max_age_seconds:
                yield sandbox, "old"
        for sandbox in self.sandboxes:
            if sandbox.in_flight and now - sandbox.created >= s.max_age_seconds:
                sandbox.retiring = True

    def _unused(self) -> Iterator[Sandbox]:
        """Yield the pre-booted sandboxes of runtimes that have not been used lately."""
        for runtime, prebooted in self._prebooted.items():
            if not self._target(runtime):
                yield from prebooted

    async def all_gone(self, sandboxes: set[Sandbox]) -> None:
        """Wait until all of these are gone."""
        while sandboxes & self.sandboxes:
            self._gone.clear()
            await self._gone.wait()

    def stats(self, *, running: int, waiting: int) -> PoolStats:
        """Return counts for operators, with those of jobs."""
        return PoolStats(
            sandboxes=self.count(),
            running=running,
            waiting=waiting,
            booted=self.booted,
            boots=dict(self._boots),
            boot_seconds=dict(self._boot_seconds),
            starts=dict(self._starts),
            boot_failures=dict(self.boot_failures),
            discarded=dict(self.discarded),
        )

    def count(self) -> dict[str, dict[str, int]]:
        """Return the number of sandboxes by runtime and state."""
        counts: dict[str, dict[str, int]] = {}
        for sandbox in self.sandboxes:
            prebooted = sandbox.state is SandboxState.IDLE and sandbox.code is None
            state = "blank" if prebooted else sandbox.state.name.lower()
            by_state = counts.setdefault(sandbox.runtime, {})
            by_state[state] = by_state.get(state, 0) + 1
        return counts

    def _boot(self, runtime: str, memory_mb: int, code: WorkerCode | None = None) -> Sandbox | None:
        if self._launcher is None:
            return None
        try:
            sandbox = self._launch(self._launcher, runtime, memory_mb, code)
        except OSError as error:
            self.boot_failures[runtime] = f"it could not be started: {error}"
            return None
        self.booted += 1
        self.sandboxes.add(sandbox)
        return sandbox

    def _launch(self, launcher: Launcher, runtime: str, memory_mb: int, code: WorkerCode | None) -> Sandbox:
        process = launcher.prepare(runtime, memory_mb=memory_mb, code=code)
        sandbox = Sandbox(
            process,
            owner=self._owner,
            loop=asyncio.get_running_loop(),
            clock=self._clock,
            fast_seconds=self._settings.fast_seconds,
        )
        try:
            sandbox.launch(launcher.start, self._settings.boot_seconds)
        except OSError:
            sandbox.close()
            launcher.release(process)
            raise
        return sandbox

    def _target(self, interpreter: str) -> int:
        """Return how many pre-booted sandboxes of an interpreter to keep."""
        settings = self._settings
        runtime, _, line = interpreter.partition("@")
        if (line or runtime in settings.stocked_on_use) and self._loop is not None:
            last_use = self._last_use.get(interpreter)
            if last_use is None or self._loop.time() - last_use > settings.lately_seconds:
                return 0
        return settings.prebooted.get(runtime, 0)

    def _refill_soon(self, seconds: float) -> None:
        if self._refill_timer is None and self._loop is not None:
            self._refill_timer = self._loop.call_later(seconds, self._refill)

    def _refill(self) -> None:
        """Boot one pre-booted sandbox that is missing, then check again."""
        self._refill_timer = None
        if not self._term.held():
            self._refill_soon(_LEASE_SECONDS)  # the guard would kill what boots now
            return
        for interpreter in self._host.interpreters:
            have = sum(s.runtime == interpreter and s.code is None for s in self.sandboxes)
            if have < self._target(interpreter):
                booted = self._boot(interpreter, PREBOOTED_MEMORY_MB)
                self._refill_soon(_REFILL_SECONDS if booted else _RETRY_SECONDS)
                return
