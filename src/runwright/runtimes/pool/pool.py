"""The pool: which sandbox runs which assignment, and when one is opened or thrown away.

A key (tenant, worker, version, limits) has a group: its sandboxes and the runs that wait for
one. A run goes, in this order, to an idle sandbox of its group; into the socket of a busy
one, where the group's jobs are measured fast and it has a sandbox per cpu already; to a
pre-booted or new sandbox, where a slot is free; else it waits in its group, from where it
can always be handed back.

Invariants: every assignment gets exactly one outcome; at most `slots` sandboxes are busy or
dying at once; a sandbox that is tainted, old, worn out or idle for long is killed, and its
slot is free only when its tree is confirmed gone. Nothing here awaits on the way of a job:
all of it runs in callbacks of the loop, and callbacks of the engine may call back in.
"""

import asyncio
import os
from collections.abc import Callable
from datetime import datetime
from typing import Final

from runwright.core.clock import Clock
from runwright.core.entrypoint import check_entrypoint
from runwright.core.job_state import ErrorCode
from runwright.egress import Egress
from runwright.runtimes.host import Host
from runwright.runtimes.model import (
    Assignment,
    AttemptOutcome,
    OnLine,
    OnOutcome,
    OnStarted,
    OutcomeStatus,
    WorkerCode,
)
from runwright.runtimes.pool.outcomes import KillReason
from runwright.runtimes.pool.running_job import RunningJob
from runwright.runtimes.pool.sandbox import Sandbox, SandboxState
from runwright.runtimes.pool.sandbox_inventory import SandboxInventory
from runwright.runtimes.pool.settings import PoolCapacity, PoolSettings, PoolStats
from runwright.runtimes.pool.worker_group import WorkerGroup
from runwright.sandbox.cpu_affinity import CpuAffinity
from runwright.sandbox.mounts import folders_exist

__all__ = ["Pool", "PoolCapacity", "PoolSettings", "PoolStats"]

_TICK_SECONDS: Final = 0.25
_SWEEP_EVERY: Final = 4
_ROOM_STEP: Final = 16


class Pool:
    """Runs assignments in sandboxes."""

    def __init__(
        self,
        *,
        settings: PoolSettings,
        host: Host,
        clock: Clock,
        on_started: OnStarted,
        on_line: OnLine,
        on_outcome: OnOutcome,
        on_capacity: Callable[[], None],
        egress: Egress | None = None,
    ) -> None:
        self._settings = settings
        self._host = host
        self._clock = clock
        self._on_started = on_started
        self._on_line = on_line
        self._on_outcome = on_outcome
        self._on_capacity = on_capacity
        self._width = os.cpu_count() or 1
        self._groups: dict[str, WorkerGroup] = {}
        self._starved: dict[str, WorkerGroup] = {}
        self._runs: dict[int, tuple[RunningJob, WorkerGroup]] = {}
        self._where: dict[int, Sandbox] = {}
        self._busy: set[Sandbox] = set()
        self._fleet = SandboxInventory(settings=settings, host=host, clock=clock, owner=self, egress=egress)
        self._processors = CpuAffinity(settings.spared_processors, os.sched_getaffinity(0))
        self._thrown_away: dict[str, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tick: asyncio.TimerHandle | None = None

    # Life

    async def start(self) -> None:
        """Begin to keep pre-booted sandboxes."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._fleet.open()
        self._tick = self._loop.call_later(_TICK_SECONDS, self._look, 0)

    async def stop(self) -> None:
        """Kill every tree and wait until all are gone; what had begun ends as `executor_lost`."""
        if self._loop is None:
            return
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        self._fleet.stop_refilling()
        await self.kill_all()
        self._fleet.close()
        self._loop = None

    async def kill_all(self) -> None:
        """Kill every tree now, report the outcomes, return when all are gone."""
        self.release_unstarted()
        doomed = set(self._fleet.sandboxes)
        for sandbox in doomed:
            self._hide(sandbox)
            sandbox.doom(KillReason(ErrorCode.EXECUTOR_LOST, "The executor gave the job up"))
        await self._fleet.all_gone(doomed)

    # Jobs

    def capacity(self) -> PoolCapacity:
        """Return what may be assigned now."""
        free = self._settings.slots - len(self._busy)
        fast: dict[str, int] = {}
        for group in self._groups.values():
            free -= len(group.waiting)
            spare = group.spare(self._settings)
            if spare:
                worker = group.code.worker_id
                fast[worker] = fast.get(worker, 0) + spare
        return PoolCapacity(max(0, free), fast)

    def assign(self, a: Assignment) -> None:
        """Run an attempt; its outcome follows in a later turn of the loop."""
        run = RunningJob(a, self._on_line)
        key = a.code.key
        group = self._groups.get(key)
        if group is None:
            problem = self._problem(a.code)
            group = WorkerGroup(a.code)
            if problem is not None or self._loop is None:
                self._runs[a.token] = (run, group)
                self._refuse(run, problem)
                return
            self._groups[key] = group
        self._runs[a.token] = (run, group)
        if group.waiting or not self._place(run, group):
            group.waiting.append(run)
            self._starved[key] = group

    def open_ahead(self, code: WorkerCode) -> None:
        """Give a pre-booted sandbox this code, for a job that is only about to be accepted.

        None of it runs before the job does. Nothing happens where one has it already or none is free.
        """
        if self._loop is None or code.key in self._groups or len(self._busy) >= self._settings.slots:
            return
        sandbox = None if self._problem(code) else self._fleet.take_blank(code)
        if sandbox is None:
            return
        group = self._groups[code.key] = WorkerGroup(code)
        group.members.add(sandbox)
        self._rest(sandbox)
        sandbox.load()

    def cancel(self, token: int) -> None:
        """Cancel an assignment, wherever it is; its outcome follows."""
        found = self._find(token)
        if found is None:
            return
        run, sandbox = found
        if sandbox is None:
            self._end(run, run.ended_by_cancel(self._clock()))
        else:
            sandbox.cancel(run, self._settings.grace_seconds)
        self._serve_starved()

    def kill(self, token: int) -> None:
        """Give an assignment up at once, for its lease is lost."""
        found = self._find(token)
        if found is None:
            return
        run, sandbox = found
        if sandbox is None:
            self._end(run, run.unstarted(self._clock()))
        else:
            sandbox.doom(KillReason(ErrorCode.EXECUTOR_LOST, "The executor lost the lease of this job"))
        self._serve_starved()

    def release_unstarted(self) -> None:
        """Hand back every assignment whose user code has not begun."""
        for sandbox in list(self._busy):
            self._take_back(sandbox)
        at = self._clock()
        starved, self._starved = self._starved, {}
        for group in starved.values():
            while group.waiting:
                run = group.waiting.popleft()
                self._end(run, run.unstarted(at))
            self._drop_if_empty(group)

    def stats(self) -> PoolStats:
        """Return counts for operators."""
        return PoolStats(
            sandboxes=self._fleet.count(),
            running=sum(len(s.inflight) for s in self._busy),
            waiting=sum(len(g.waiting) for g in self._groups.values()),
            booted=self._fleet.booted,
            boot_failures=dict(self._fleet.boot_failures),
            thrown_away=dict(self._thrown_away),
        )

    def _find(self, token: int) -> tuple[RunningJob, Sandbox | None] | None:
        """Return a run and the sandbox that has taken it, or None in its place after taking it back."""
        found = self._runs.get(token)
        if found is None:
            return None
        run, group = found
        sandbox = self._where.get(token)
        if sandbox is not None:
            self._take_back(sandbox)
            sandbox.catch_up()
            if token not in self._runs:
                return None
            sandbox = self._where.get(token)
        if sandbox is None and run in group.waiting:
            group.waiting.remove(run)
            self._drop_if_empty(group)
        return run, sandbox

    def _problem(self, code: WorkerCode) -> str | None:
        info = self._host.runtimes.get(code.runtime)
        if info is None or not info.ready or code.runtime not in self._host.interpreters:
            reason = info.reason if info is not None and info.reason else "this host does not offer it"
            return f"The runtime {code.runtime} is not available: {reason}"
        return check_entrypoint(code.entrypoint)

    def _refuse(self, run: RunningJob, problem: str | None) -> None:
        at = self._clock()
        outcome = run.unstarted(at) if problem is None else run.failed(at, ErrorCode.LOAD_ERROR, problem)
        loop = self._loop or asyncio.get_running_loop()
        loop.call_soon(self._end, run, outcome)

    # Placement

    def _place(self, run: RunningJob, group: WorkerGroup) -> bool:
        """Give the run to a sandbox, if one can take it now."""
        open_more = len(self._busy) < self._settings.slots
        if open_more and group.idle:
            self._submit(group.idle.pop(), run)
            return True
        depth = group.depth(self._settings)
        if depth and (len(group.members) >= self._width or not open_more):
            sandbox = group.least_loaded(run, depth)
            if sandbox is not None:
                self._submit(sandbox, run)
                return True
        if open_more and not folders_exist(group.code.folders):
            self._refuse(run, None)  # removed meanwhile: whoever claims it again makes them ready again
            return True
        sandbox = self._fleet.take(group.code) if open_more else None
        if sandbox is None:
            return False
        group.members.add(sandbox)
        self._submit(sandbox, run)
        return True

    def _submit(self, sandbox: Sandbox, run: RunningJob) -> None:
        self._busy.add(sandbox)
        self._where[run.token] = sandbox
        tenant_id = run.assignment.code.tenant_id
        if self._loop is not None:
            self._processors.begin(tenant_id, self._loop.time())
        self._fleet.share(sandbox, self._processors.of(tenant_id))
        sandbox.submit(run)

    def _share_processors(self, now: float) -> None:
        """Let long jobs leave room for others, and take it back when those have gone."""
        processors = self._processors
        for sandbox in self._busy:
            if sandbox.code is not None:
                processors.ran(sandbox.code.tenant_id, sandbox.running_for(now), now)
                if sandbox.inflight:
                    processors.begin(sandbox.code.tenant_id, now)
        processors.look(now)
        self._fleet.share_new(processors.of_new())
        for sandbox in self._fleet.sandboxes:
            if sandbox.code is not None:
                self._fleet.share(sandbox, processors.of(sandbox.code.tenant_id))

    def _take_back(self, sandbox: Sandbox) -> None:
        """Move the runs that wait inside a sandbox back to their group."""
        for run in reversed(sandbox.recall()):
            self._where.pop(run.token, None)
            group = self._runs[run.token][1]
            group.waiting.appendleft(run)
            self._starved[group.code.key] = group
        if (
            not sandbox.inflight
            and sandbox in self._busy
            and sandbox.state in {SandboxState.IDLE, SandboxState.BOOTING}
        ):
            self._rest(sandbox)

    def _serve_starved(self) -> None:
        """Place runs that wait, oldest group first, as far as there is room."""
        for key, group in list(self._starved.items()):
            while group.waiting:
                run = group.waiting.popleft()
                if not self._place(run, group):
                    group.waiting.appendleft(run)
                    break
            if not group.waiting:
                self._starved.pop(key, None)

    # What sandboxes say

    def sandbox_ready(self, sandbox: Sandbox) -> None:
        """Boot is over."""
        self._fleet.ready(sandbox)
        if sandbox.code is not None:
            self._fleet.share(sandbox, self._processors.of(sandbox.code.tenant_id))

    def run_began(self, run: RunningJob, at: datetime) -> None:
        """User code begins."""
        self._on_started(run.assignment, at)
        run.say(at, "info", "Worker handler started")

    def run_ended(self, sandbox: Sandbox, run: RunningJob, outcome: AttemptOutcome, micros: int) -> None:
        """A run is over."""
        found = self._runs.get(run.token)
        if self._loop is not None and run.began:
            now = self._loop.time()
            self._processors.ran(run.assignment.code.tenant_id, now - run.began, now)
        if found is not None:
            group = found[1]
            group.raw = group.raw or sandbox.pipes.used
            if outcome.status is OutcomeStatus.COMPLETED:
                group.measure(micros)
        if sandbox.jobs_done >= self._settings.max_jobs_per_sandbox:
            sandbox.retiring = True
        self._end(run, outcome)
        if sandbox.inflight and not len(sandbox.inflight) % _ROOM_STEP:
            self._on_capacity()  # before its queue runs dry, but not for every job

    def sandbox_idle(self, sandbox: Sandbox) -> None:
        """Nothing is in flight any more."""
        if sandbox.tainted is not None or sandbox.retiring:
            self._throw_away(sandbox, sandbox.tainted or "worn out")
        elif sandbox.confinement.leftovers():
            self._throw_away(sandbox, "leftover processes")
        else:
            self._rest(sandbox)
        if self._starved:
            self._serve_starved()
        self._on_capacity()

    def sandbox_slow(self, sandbox: Sandbox) -> None:
        """Give the runs that wait behind it to others."""
        group = self._group_of(sandbox)
        if group is not None and sandbox.tainted is None:
            group.slow_down(self._settings)
        self._take_back(sandbox)
        self._serve_starved()

    def sandbox_gone(self, sandbox: Sandbox) -> None:
        """The tree is confirmed gone and all outcomes are reported."""
        self._hide(sandbox)
        self._busy.discard(sandbox)
        group = self._group_of(sandbox)
        if group is not None:
            self._drop_if_empty(group)
        self._fleet.gone(sandbox)
        self._serve_starved()
        self._on_capacity()

    def _end(self, run: RunningJob, outcome: AttemptOutcome) -> None:
        if self._runs.pop(run.token, None) is not None:
            self._where.pop(run.token, None)
            self._on_outcome(run.assignment, outcome)

    # Lifetimes

    def _group_of(self, sandbox: Sandbox) -> WorkerGroup | None:
        return None if sandbox.code is None else self._groups.get(sandbox.code.key)

    def _drop_if_empty(self, group: WorkerGroup) -> None:
        if not group.members and not group.waiting:
            self._groups.pop(group.code.key, None)
            self._starved.pop(group.code.key, None)

    def _rest(self, sandbox: Sandbox) -> None:
        self._busy.discard(sandbox)
        group = self._group_of(sandbox)
        if group is not None and sandbox not in group.idle:
            group.idle.append(sandbox)

    def _throw_away(self, sandbox: Sandbox, reason: str) -> None:
        self._thrown_away[reason] = self._thrown_away.get(reason, 0) + 1
        self._hide(sandbox)
        self._busy.add(sandbox)
        sandbox.doom(None)

    def _hide(self, sandbox: Sandbox) -> None:
        """Let nothing be placed on it any more."""
        self._fleet.unstock(sandbox)
        group = self._group_of(sandbox)
        if group is not None:
            group.members.discard(sandbox)
            if sandbox in group.idle:
                group.idle.remove(sandbox)

    def _look(self, turn: int) -> None:
        if self._loop is None:
            return
        self._tick = self._loop.call_later(_TICK_SECONDS, self._look, turn + 1)
        now = self._loop.time()
        self._share_processors(now)
        if turn % _SWEEP_EVERY == 0:
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Throw away what is idle for long, too old, or too many; once a second."""
        s = self._settings
        idle = sorted((x for g in self._groups.values() for x in g.idle), key=lambda x: x.idle_since)
        for place, sandbox in enumerate(idle):
            if place < len(idle) - s.warm_limit:
                self._throw_away(sandbox, "surplus")
            elif now - sandbox.idle_since >= s.idle_seconds:
                self._throw_away(sandbox, "idle")
            elif now - sandbox.born >= s.max_age_seconds:
                self._throw_away(sandbox, "old")
        for sandbox in self._fleet.surplus():
            self._throw_away(sandbox, "surplus")
        self._serve_starved()
        for sandbox in self._busy:
            sandbox.retiring = sandbox.retiring or now - sandbox.born >= s.max_age_seconds
