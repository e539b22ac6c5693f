"""The pool: which sandbox runs which assignment, and when a sandbox is started or discarded.

A key (tenant, worker, version, limits) has a group: its sandboxes and the jobs that wait for one. A job
goes, in this order, to an idle sandbox of its group; into the socket of a busy one, if the group's jobs
are measured fast and it has a sandbox per CPU; to a pre-booted or new sandbox, if a slot is free. Else it
waits in its group, from which it can be handed back at any time.

Invariants: every assignment gets exactly one outcome; at most `slots` sandboxes are busy or dying at once,
and `newcomer_slots` more, each the first of its tenant; a sandbox that is tainted, old, worn out or idle for
too long is killed, and its slot is free only when its process tree is confirmed gone. Nothing on the path of
a job awaits: everything runs in callbacks of the event loop, and callbacks of the executor may call back.
"""

import asyncio
import os
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

from runwright.core.clock import Clock
from runwright.core.job_state import ErrorCode
from runwright.core.lease_term import LeaseTerm
from runwright.egress import Egress
from runwright.runtimes.handler_calls import NO_CALLS, CallReceiver
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
from runwright.runtimes.pool.running_job import KillReason, RunningJob
from runwright.runtimes.pool.sandbox import Sandbox
from runwright.runtimes.pool.sandbox_inventory import SandboxInventory
from runwright.runtimes.pool.sandbox_process import SandboxState
from runwright.runtimes.pool.settings import PoolCapacity, PoolSettings, PoolStats
from runwright.runtimes.pool.slot_table import SlotTable
from runwright.runtimes.pool.text_threads import TextThreads
from runwright.runtimes.pool.worker_group import WorkerGroup
from runwright.sandbox.mounts import folders_exist

__all__ = ["Pool", "PoolCapacity", "PoolSettings", "PoolStats"]

_TICK_SECONDS: Final = 0.25
_EXPIRE_EVERY_TICKS: Final = 4
_CAPACITY_STEP: Final = 16


class Pool:
    """Runs assignments in sandboxes."""

    def __init__(  # noqa: PLR0913  one for each side that it talks to
        self,
        *,
        settings: PoolSettings,
        host: Host,
        clock: Clock,
        on_started: OnStarted,
        on_line: OnLine,
        on_outcome: OnOutcome,
        on_capacity: Callable[[], None],
        calls: CallReceiver = NO_CALLS,
        egress: Egress | None = None,
        term: LeaseTerm | None = None,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._texts = TextThreads()
        self._on_started, self._on_outcome = on_started, on_outcome
        self._make_job = partial(RunningJob, on_line=on_line, threads=self._texts, calls=calls)
        self._on_capacity = on_capacity
        self._cpu_count = os.cpu_count() or 1
        self._groups: dict[str, WorkerGroup] = {}
        self._waiting_groups: dict[str, WorkerGroup] = {}
        self._jobs: dict[int, tuple[RunningJob, WorkerGroup]] = {}
        self._sandbox_of: dict[int, Sandbox] = {}
        self._slots = SlotTable(settings)
        self._inventory = SandboxInventory(
            settings=settings,
            host=host,
            clock=clock,
            owner=self,
            is_newcomer=self._slots.holds_none,
            term=term or LeaseTerm(),
            egress=egress,
        )
        self._cpus = self._inventory.cpus
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begin to keep pre-booted sandboxes."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._inventory.open()
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick, 0)

    async def stop(self) -> None:
        """Kill all sandboxes and wait until they are gone; jobs that had started end as `executor_lost`."""
        if self._loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._inventory.stop_refilling()
        await self.kill_all()
        self._inventory.close()
        self._texts.close()
        self._loop = None

    async def kill_all(self) -> None:
        """Kill all sandboxes now, report the outcomes, and return when all are gone."""
        self.release_unstarted()
        killed = set(self._inventory.sandboxes)
        for sandbox in killed:
            self._withdraw(sandbox)
            sandbox.kill(KillReason(ErrorCode.EXECUTOR_LOST, "The executor gave the job up"))
        await self._inventory.all_gone(killed)
        await self._texts.drain()

    def _tick(self, count: int) -> None:
        if self._loop is None:
            return
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick, count + 1)
        self._inventory.update_cpu_shares(self._loop.time())
        if count % _EXPIRE_EVERY_TICKS == 0:
            for sandbox, reason in self._inventory.expired(self._loop.time()):
                self._discard(sandbox, reason)
            self._place_waiting()

    def stats(self) -> PoolStats:
        """Return counts for operators."""
        waiting = sum(len(group.waiting) for group in self._groups.values())
        return self._inventory.stats(running=sum(len(s.in_flight) for s in self._slots), waiting=waiting)

    def capacity(self) -> PoolCapacity:
        """Return how many jobs may be assigned now."""
        return self._slots.capacity(self._groups.values(), self._waiting_groups.values())

    def assign(self, assignment: Assignment) -> None:
        """Run an attempt; its outcome follows in a later turn of the loop."""
        job = self._make_job(assignment)
        code = assignment.code
        group = self._groups.get(code.key)
        if group is None:
            problem = self._inventory.problem_of(code)
            group = WorkerGroup(code)
            if problem is not None or self._loop is None:
                self._jobs[job.id] = (job, group)
                self._refuse(job, problem)
                return
            self._groups[code.key] = group
        self._jobs[job.id] = (job, group)
        if group.waiting or not self._place(job, group):
            group.waiting.append(job)
            self._waiting_groups[code.key] = group

    def preload(self, code: WorkerCode) -> None:
        """Load this code into a pre-booted sandbox, for a job that is about to be accepted.

        The code does not run before the job does. Does nothing if a sandbox has it already or none is free.
        """
        if self._loop is None or code.key in self._groups or not self._slots.free_for(code.tenant_id):
            return
        sandbox = None if self._inventory.problem_of(code) else self._inventory.take_prebooted(code)
        if sandbox is None:
            return
        group = self._groups[code.key] = WorkerGroup(code)
        group.members.add(sandbox)
        self._set_idle(sandbox)
        sandbox.load()

    def expect(self, interpreter: str) -> None:
        """Keep sandboxes of this interpreter pre-booted: a worker without folders may soon have a job."""
        self._inventory.note_use(interpreter)

    def cancel(self, assignment_id: int) -> None:
        """Cancel an assignment, wherever it is; its outcome follows."""
        found = self._find(assignment_id)
        if found is None:
            return
        job, sandbox = found
        if sandbox is not None:
            sandbox.cancel(job, self._settings.grace_seconds)
        else:
            self._end(job, job.ended_by_cancel(self._clock()))
        self._place_waiting()

    def kill(self, assignment_id: int) -> None:
        """Stop an assignment at once, because its lease is lost."""
        found = self._find(assignment_id)
        if found is None:
            return
        job, sandbox = found
        if sandbox is None:
            self._end(job, job.unstarted(self._clock()))
        else:
            sandbox.kill(KillReason(ErrorCode.EXECUTOR_LOST, "The executor lost the lease of this job"))
        self._place_waiting()

    def release_unstarted(self) -> None:
        """Hand back every assignment whose user code has not begun."""
        for sandbox in self._slots:
            self._recall(sandbox)
        at = self._clock()
        groups, self._waiting_groups = self._waiting_groups, {}
        for group in groups.values():
            while group.waiting:
                job = group.waiting.popleft()
                self._end(job, job.unstarted(at))
            self._drop_if_empty(group)

    def _find(self, assignment_id: int) -> tuple[RunningJob, Sandbox | None] | None:
        """Return a job and the sandbox that has received it, or None in its place after taking it back."""
        found = self._jobs.get(assignment_id)
        if found is None:
            return None
        job, group = found
        sandbox = self._sandbox_of.get(assignment_id)
        if sandbox is not None:
            self._recall(sandbox)
            sandbox.catch_up()
            if assignment_id not in self._jobs:
                return None
            sandbox = self._sandbox_of.get(assignment_id)
        if sandbox is None and job in group.waiting:
            group.waiting.remove(job)
            self._drop_if_empty(group)
        return job, sandbox

    def _refuse(self, job: RunningJob, problem: str | None) -> None:
        at = self._clock()
        outcome = job.unstarted(at) if problem is None else job.failed(at, ErrorCode.LOAD_ERROR, problem)
        (self._loop or asyncio.get_running_loop()).call_soon(self._end, job, outcome)

    def _end(self, job: RunningJob, outcome: AttemptOutcome) -> None:
        if self._jobs.pop(job.id, None) is not None:
            self._sandbox_of.pop(job.id, None)
            job.finish(outcome, self._on_outcome)

    # Placement

    def _place(self, job: RunningJob, group: WorkerGroup) -> bool:
        """Give the job to a sandbox, if one can take it now."""
        idle = self._take_idle(group)
        if idle is not None:
            self._submit(idle, job)
            return True
        slot_free = self._slots.free_for(group.code.tenant_id)
        depth = group.depth(self._settings)
        if depth and (len(group.members) >= self._cpu_count or not slot_free):
            sandbox = group.least_loaded(job, depth)
            if sandbox is not None:
                self._submit(sandbox, job)
                return True
        if slot_free and not folders_exist(group.code.folders):
            self._refuse(job, None)  # removed meanwhile: the next executor to claim it restores them
            return True
        sandbox = self._inventory.take(group.code) if slot_free else None
        if sandbox is None:
            return False
        group.members.add(sandbox)
        self._submit(sandbox, job)
        return True

    def _take_idle(self, group: WorkerGroup) -> Sandbox | None:
        """Return an idle sandbox with nothing in it but its harness, if there is one and a slot is free."""
        while group.idle and self._slots.free_for(group.code.tenant_id):
            sandbox = group.idle.pop()
            left = sandbox.process.limits.leftovers() if sandbox.process.resting else None
            if left is None:
                return sandbox
            self._discard(sandbox, left)
        return None

    def _submit(self, sandbox: Sandbox, job: RunningJob) -> None:
        self._slots.take(sandbox)
        self._sandbox_of[job.id] = sandbox
        self._inventory.job_starts(sandbox, job.assignment.code.tenant_id)
        sandbox.submit(job)

    def _recall(self, sandbox: Sandbox) -> None:
        """Move the jobs that wait inside a sandbox back to their group."""
        for job in reversed(sandbox.recall()):
            self._sandbox_of.pop(job.id, None)
            group = self._jobs[job.id][1]
            group.waiting.appendleft(job)
            self._waiting_groups[group.code.key] = group
        if not sandbox.in_flight and sandbox.state <= SandboxState.IDLE and sandbox in self._slots:
            self._reuse(sandbox)

    def _place_waiting(self) -> None:
        """Place waiting jobs as far as there is capacity, first of the tenants that hold the fewest slots."""
        for key, group in self._slots.in_turn(self._waiting_groups):
            while group.waiting:
                job = group.waiting.popleft()
                if not self._place(job, group):
                    group.waiting.appendleft(job)
                    break
            if not group.waiting:
                self._waiting_groups.pop(key, None)

    def _group_of(self, sandbox: Sandbox) -> WorkerGroup | None:
        return None if sandbox.code is None else self._groups.get(sandbox.code.key)

    def _drop_if_empty(self, group: WorkerGroup) -> None:
        if not group.members and not group.waiting:
            self._groups.pop(group.code.key, None)
            self._waiting_groups.pop(group.code.key, None)

    def _reuse(self, sandbox: Sandbox) -> None:
        unusable = sandbox.tainted or ("worn out" if sandbox.retiring else None)
        if unusable:
            self._discard(sandbox, unusable)
        else:
            self._set_idle(sandbox)

    def _set_idle(self, sandbox: Sandbox) -> None:
        self._slots.release(sandbox)
        group = self._group_of(sandbox)
        if group is not None and sandbox not in group.idle:
            group.idle.append(sandbox)

    def _discard(self, sandbox: Sandbox, reason: str) -> None:
        self._inventory.discarded[reason] += 1
        self._withdraw(sandbox)
        self._slots.take(sandbox)
        sandbox.kill(None)

    def _withdraw(self, sandbox: Sandbox) -> None:
        """Place no more jobs on a sandbox."""
        self._inventory.withdraw(sandbox)
        if (group := self._group_of(sandbox)) is not None:
            group.members.discard(sandbox)
            if sandbox in group.idle:
                group.idle.remove(sandbox)

    # Callbacks of sandboxes; see `SandboxOwner`

    def sandbox_ready(self, sandbox: Sandbox) -> None:
        """Let the sandbox be used."""
        self._inventory.ready(sandbox)
        if sandbox.code is not None:
            self._inventory.set_cpu_share(sandbox, self._cpus.share_of(sandbox.code.tenant_id))
        self._place_waiting()

    def job_started(self, job: RunningJob, at: datetime) -> None:
        """Report that user code begins."""
        self._on_started(job.assignment, at)
        job.log_event(at, "info", "Worker handler started")

    def job_ended(self, sandbox: Sandbox, job: RunningJob, outcome: AttemptOutcome, micros: int) -> None:
        """Report the outcome and record how long the job took."""
        if self._loop is not None and job.started:
            now = self._loop.time()
            self._cpus.record_runtime(job.assignment.code.tenant_id, now - job.started, now)
        if (found := self._jobs.get(job.id)) is not None:
            group = found[1]
            group.queues = group.queues and not (sandbox.stdio.used or job.asked)
            if outcome.status is OutcomeStatus.COMPLETED:
                group.measure(micros)
        if sandbox.jobs_done >= self._settings.max_jobs_per_sandbox:
            sandbox.retiring = True
        self._end(job, outcome)
        if sandbox.in_flight and not len(sandbox.in_flight) % _CAPACITY_STEP:
            self._on_capacity()  # before its queue runs empty, but not for every job

    def sandbox_idle(self, sandbox: Sandbox) -> None:
        """Reuse the sandbox, or discard it."""
        self._reuse(sandbox)
        if self._waiting_groups:
            self._place_waiting()
        for surplus in self._inventory.surplus(busy=len(self._slots)):
            self._discard(surplus, "surplus")
        self._on_capacity()

    def sandbox_unusable(self, sandbox: Sandbox, reason: str) -> None:
        """Discard the sandbox, unless that has begun."""
        if sandbox.state is SandboxState.IDLE:
            self._discard(sandbox, reason)

    def sandbox_blocked(self, sandbox: Sandbox) -> None:
        """Move the jobs that wait in the sandbox to others."""
        if (group := self._group_of(sandbox)) is not None and sandbox.tainted is None:
            group.slow_down(self._settings)
        self._recall(sandbox)
        self._place_waiting()

    def sandbox_gone(self, sandbox: Sandbox) -> None:
        """Free the slot."""
        self._withdraw(sandbox)
        self._slots.release(sandbox)
        if (group := self._group_of(sandbox)) is not None:
            self._drop_if_empty(group)
        self._inventory.gone(sandbox)
        self._place_waiting()
        self._on_capacity()
