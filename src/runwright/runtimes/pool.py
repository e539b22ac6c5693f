"""The pool: which sandbox runs which assignment, and when one is opened or thrown away.

A key (tenant, worker, version, limits) has a group: its sandboxes and the runs that wait for
one. A run goes, in this order, to an idle sandbox of its group; into the socket of a busy
one, where the group's jobs are measured fast and it has a sandbox per cpu already; to a
pre-booted or new sandbox, where a slot is free; else it waits in its group, from where it
can always be handed back.

Invariants: every assignment gets exactly one outcome; at most `slots` sandboxes are busy
(or dying) at once; a sandbox that is tainted, old, worn out or idle for long is killed, and
its slot is free only when its tree is confirmed gone. Nothing here awaits on the way of a
job: all of it runs in callbacks of the loop.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from runwright.core.clock import Clock
from runwright.core.jobs import ErrorCode
from runwright.runtimes.entrypoint import check_entrypoint
from runwright.runtimes.host import Host
from runwright.runtimes.launcher import Launcher
from runwright.runtimes.model import Assignment, Code, End, OnLine, OnOutcome, OnStarted, Outcome
from runwright.runtimes.run import Run
from runwright.runtimes.sandbox import Sandbox, State, Verdict

_WEIGHT: Final = 0.2
_TICK_SECONDS: Final = 1.0
_REFILL_SECONDS: Final = 0.02


class PoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How many sandboxes, how long they live, how eagerly jobs queue behind each other."""

    slots: int = 8
    prebooted: dict[str, int] = msgspec.field(
        default_factory=lambda: {"python": 1, "nodejs": 1, "shell": 1}
    )
    idle_seconds: float = 300.0
    max_jobs_per_sandbox: int = 100_000
    max_age_seconds: float = 3600.0
    grace_seconds: float = 10.0
    boot_seconds: float = 30.0
    pipeline_depth: int = 64
    pipeline_seconds: float = 0.004
    fast_seconds: float = 0.005
    warm_limit: int = 16
    """Sandboxes at most that wait for another job of their key."""


class Room(msgspec.Struct, frozen=True):
    """What the pool can take now: any job, and further jobs of workers measured fast."""

    free: int
    fast: dict[str, int]


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """Sandboxes by runtime and state, and counts since the start."""

    sandboxes: dict[str, dict[str, int]]
    running: int
    waiting: int
    booted: int
    boot_failures: dict[str, str]
    thrown_away: dict[str, int]


class Group:
    """The sandboxes of one key and the runs that wait for one."""

    __slots__ = ("code", "idle", "members", "raw", "seconds", "waiting")

    def __init__(self, code: Code) -> None:
        self.code = code
        self.members: set[Sandbox] = set()
        self.idle: list[Sandbox] = []
        self.waiting: deque[Run] = deque()
        self.seconds: float | None = None
        self.raw = False

    def depth(self, settings: PoolSettings) -> int:
        """Return how many runs may wait behind a running one."""
        seconds = self.seconds
        if seconds is None or seconds >= settings.fast_seconds or self.raw:
            return 0
        return min(settings.pipeline_depth, int(settings.pipeline_seconds / max(seconds, 1e-6)))


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
        on_room: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._host = host
        self._clock = clock
        self._on_started = on_started
        self._on_line = on_line
        self._on_outcome = on_outcome
        self._on_room = on_room
        self._width = os.cpu_count() or 1
        self._groups: dict[str, Group] = {}
        self._starved: dict[str, Group] = {}
        self._runs: dict[int, tuple[Run, Group]] = {}
        self._where: dict[int, Sandbox] = {}
        self._sandboxes: set[Sandbox] = set()
        self._blank: dict[str, list[Sandbox]] = {}
        self._busy: set[Sandbox] = set()
        self._booted = 0
        self._boot_failures: dict[str, str] = {}
        self._thrown_away: dict[str, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._launcher: Launcher | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._refill_timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event | None = None

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Begin to keep pre-booted sandboxes."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._launcher = Launcher(host=self._host, loop=self._loop)
        self._launcher.open()
        self._empty = asyncio.Event()
        self._refill_soon()
        self._tick = self._loop.call_later(_TICK_SECONDS, self._sweep)

    async def stop(self) -> None:
        """Kill every tree and wait until all are gone; what ran ends as `executor_lost`."""
        if self._loop is None or self._launcher is None:
            return
        self._stop_timers()
        await self.kill_all()
        self._launcher.close()
        self._loop = self._launcher = None
        self._groups.clear()

    async def kill_all(self) -> None:
        """Kill every tree now, report the outcomes, return when all are gone."""
        self.release_unstarted()
        for sandbox in list(self._sandboxes):
            sandbox.doom(Verdict(ErrorCode.EXECUTOR_LOST, "The executor gave the job up"))
        while self._sandboxes and self._empty is not None:
            self._empty.clear()
            await self._empty.wait()

    def _stop_timers(self) -> None:
        for timer in (self._tick, self._refill_timer):
            if timer is not None:
                timer.cancel()
        self._tick = self._refill_timer = None

    # ------------------------------------------------------------------ jobs

    def room(self) -> Room:
        """Return what may be assigned now."""
        free = self._settings.slots - len(self._busy)
        fast: dict[str, int] = {}
        for group in self._groups.values():
            free -= len(group.waiting)
            depth = group.depth(self._settings)
            if depth:
                spare = sum(depth + 1 - len(s.inflight) for s in group.members if s.may_queue)
                worker = group.code.worker_id
                fast[worker] = fast.get(worker, 0) + max(0, spare - len(group.waiting))
        return Room(max(0, free), fast)

    def assign(self, a: Assignment) -> None:
        """Run an attempt; its outcome follows in a later turn of the loop."""
        run = Run(a, self._on_line)
        group = self._groups.get(a.code.key)
        if group is None:
            problem = self._problem(a.code)
            if problem is not None:
                self._refuse(run, problem)
                return
            group = self._groups[a.code.key] = Group(a.code)
        self._runs[a.token] = (run, group)
        if group.waiting or not self._place(run, group):
            group.waiting.append(run)
            self._starved[a.code.key] = group

    def cancel(self, token: int) -> None:
        """Cancel an assignment, wherever it is; its outcome follows."""
        run, group = self._runs.get(token, (None, None))
        if run is None or group is None:
            return
        sandbox = self._where.get(token)
        if sandbox is None:
            group.waiting.remove(run)
            self._end(run, run.ended_by_cancel(self._clock()))
            return
        if run.began_at is None:
            self._take_back(sandbox)
            if token not in self._where:
                self._unqueue(run, group)
                return
        sandbox.cancel(run, self._settings.grace_seconds)

    def _unqueue(self, run: Run, group: Group) -> None:
        group.waiting.remove(run)
        self._end(run, run.ended_by_cancel(self._clock()))
        self._serve_starved()

    def kill(self, token: int) -> None:
        """Give an assignment up at once: the lease is lost."""
        sandbox = self._where.get(token)
        found = self._runs.get(token)
        if found is None:
            return
        run, group = found
        if sandbox is None:
            group.waiting.remove(run)
            self._end(run, run.unstarted(self._clock()))
            return
        if run.began_at is None:
            self._take_back(sandbox)
            if token not in self._where:
                group.waiting.remove(run)
                self._end(run, run.unstarted(self._clock()))
                self._serve_starved()
                return
        sandbox.doom(Verdict(ErrorCode.EXECUTOR_LOST, "The executor lost the lease of this job"))

    def release_unstarted(self) -> None:
        """Hand back every assignment whose user code has not begun."""
        for sandbox in list(self._busy):
            self._take_back(sandbox)
        at = self._clock()
        for group in list(self._starved.values()):
            while group.waiting:
                run = group.waiting.popleft()
                self._end(run, run.unstarted(at))
        self._starved.clear()

    def stats(self) -> PoolStats:
        """Return counts for operators."""
        sandboxes: dict[str, dict[str, int]] = {}
        for sandbox in self._sandboxes:
            state = sandbox.state.name.lower()
            if sandbox.state is State.IDLE and sandbox.code is None:
                state = "blank"
            by_state = sandboxes.setdefault(sandbox.runtime, {})
            by_state[state] = by_state.get(state, 0) + 1
        return PoolStats(
            sandboxes=sandboxes,
            running=sum(len(s.inflight) for s in self._busy),
            waiting=sum(len(g.waiting) for g in self._groups.values()),
            booted=self._booted,
            boot_failures=dict(self._boot_failures),
            thrown_away=dict(self._thrown_away),
        )

    def _problem(self, code: Code) -> str | None:
        info = self._host.runtimes.get(code.runtime)
        if info is None or not info.ready or code.runtime not in self._host.interpreters:
            reason = info.reason if info is not None and info.reason else "this host does not offer it"
            return f"The runtime {code.runtime} is not available: {reason}"
        return check_entrypoint(code.entrypoint)

    def _refuse(self, run: Run, problem: str) -> None:
        if self._loop is not None:
            outcome = run.failed(self._clock(), ErrorCode.LOAD_ERROR, problem)
            self._loop.call_soon(self._on_outcome, run.assignment, outcome)

    # ------------------------------------------------------------- placement

    def _place(self, run: Run, group: Group) -> bool:
        """Give the run to a sandbox, if one can take it now."""
        if group.idle:
            self._submit(group.idle.pop(), run)
            return True
        depth = group.depth(self._settings)
        if depth and len(group.members) >= self._width and self._enqueue(run, group, depth):
            return True
        if len(self._busy) < self._settings.slots:
            self._open(run, group)
            return True
        return depth > 0 and self._enqueue(run, group, depth)

    def _enqueue(self, run: Run, group: Group, depth: int) -> bool:
        """Let the run wait in the socket of the group's least loaded sandbox."""
        best, least = None, depth + 1
        for sandbox in group.members:
            load = len(sandbox.inflight)
            if load < least and sandbox.may_queue and sandbox.tainted is None:
                best, least = sandbox, load
        if best is None or len(run.assignment.input) > _SMALL_BYTES:
            return False
        self._submit(best, run)
        return True

    def _submit(self, sandbox: Sandbox, run: Run) -> None:
        self._busy.add(sandbox)
        self._where[run.token] = sandbox
        sandbox.submit(run)

    def _open(self, run: Run, group: Group) -> None:
        runtime = group.code.runtime
        blank = self._blank.get(runtime)
        sandbox = blank.pop() if blank else self._boot(runtime)
        self._refill_soon()
        sandbox.bind(group.code)
        group.members.add(sandbox)
        self._submit(sandbox, run)

    def _take_back(self, sandbox: Sandbox) -> None:
        """Move the runs that wait inside a sandbox back to their group."""
        recalled = sandbox.recall()
        if not recalled:
            return
        for run in reversed(recalled):
            self._where.pop(run.token, None)
            group = self._runs[run.token][1]
            group.waiting.appendleft(run)
            self._starved[group.code.key] = group
        if not sandbox.inflight and sandbox.state in {State.IDLE, State.BOOTING}:
            self._rest(sandbox)

    def _serve_starved(self) -> None:
        """Place runs that wait, oldest group first, as far as there is room."""
        for key, group in list(self._starved.items()):
            while group.waiting:
                if not self._place(group.waiting[0], group):
                    break
                group.waiting.popleft()
            else:
                del self._starved[key]

    # ---------------------------------------------------- what sandboxes say

    def sandbox_ready(self, sandbox: Sandbox) -> None:
        """Boot is over."""
        self._boot_failures.pop(sandbox.runtime, None)
        if sandbox.code is None:
            self._blank.setdefault(sandbox.runtime, []).append(sandbox)

    def run_began(self, run: Run, at: datetime) -> None:
        """User code begins."""
        self._on_started(run.assignment, at)
        run.say(at, "info", "Worker handler started")

    def run_ended(self, sandbox: Sandbox, run: Run, outcome: Outcome, micros: int) -> None:
        """A run is over."""
        found = self._runs.get(run.token)
        if found is not None and outcome.end is End.COMPLETED:
            group = found[1]
            took = micros / 1e6
            seconds = group.seconds
            group.seconds = took if seconds is None else seconds + _WEIGHT * (took - seconds)
        self._end(run, outcome)

    def sandbox_idle(self, sandbox: Sandbox) -> None:
        """Nothing is in flight any more."""
        s = self._settings
        if sandbox.tainted is not None or sandbox.jobs_done >= s.max_jobs_per_sandbox:
            self._throw_away(sandbox, sandbox.tainted or "worn out")
        else:
            self._rest(sandbox)
        if self._starved:
            self._serve_starved()
        self._on_room()

    def sandbox_slow(self, sandbox: Sandbox) -> None:
        """Jobs wait behind one that is not fast: give them to others."""
        group = self._group_of(sandbox)
        if group is not None and group.seconds is not None and sandbox.tainted is None:
            group.seconds = self._settings.fast_seconds
        self._take_back(sandbox)
        self._serve_starved()

    def sandbox_gone(self, sandbox: Sandbox) -> None:
        """The tree is confirmed gone and all outcomes are reported."""
        if sandbox.code is None and not sandbox.jobs_done and sandbox.tainted is None:
            self._boot_failures[sandbox.runtime] = sandbox.boot_error or "it died before its first job"
        self._forget(sandbox)
        if self._launcher is not None:
            self._launcher.release(sandbox)
        if self._starved:
            self._serve_starved()
        if self._tick is not None:
            self._refill_soon()
        if not self._sandboxes and self._empty is not None:
            self._empty.set()
        self._on_room()

    def _end(self, run: Run, outcome: Outcome) -> None:
        if self._runs.pop(run.token, None) is not None:
            self._where.pop(run.token, None)
            self._on_outcome(run.assignment, outcome)

    # ------------------------------------------------------------- lifetimes

    def _group_of(self, sandbox: Sandbox) -> Group | None:
        return None if sandbox.code is None else self._groups.get(sandbox.code.key)

    def _rest(self, sandbox: Sandbox) -> None:
        self._busy.discard(sandbox)
        group = self._group_of(sandbox)
        if group is not None:
            group.raw = group.raw or sandbox.raw_output
            if sandbox not in group.idle:
                group.idle.append(sandbox)

    def _throw_away(self, sandbox: Sandbox, reason: str) -> None:
        sandbox.tainted = sandbox.tainted or reason
        self._thrown_away[sandbox.tainted] = self._thrown_away.get(sandbox.tainted, 0) + 1
        self._hide(sandbox)
        self._busy.add(sandbox)
        sandbox.doom(None)

    def _hide(self, sandbox: Sandbox) -> None:
        """Let nothing be placed on it any more."""
        blank = self._blank.get(sandbox.runtime, [])
        if sandbox in blank:
            blank.remove(sandbox)
        group = self._group_of(sandbox)
        if group is not None:
            group.members.discard(sandbox)
            if sandbox in group.idle:
                group.idle.remove(sandbox)

    def _forget(self, sandbox: Sandbox) -> None:
        self._hide(sandbox)
        self._busy.discard(sandbox)
        self._sandboxes.discard(sandbox)
        group = self._group_of(sandbox)
        if group is not None and not group.members and not group.waiting:
            del self._groups[group.code.key]

    def _boot(self, runtime: str) -> Sandbox:
        if self._launcher is None:
            message = "the pool is not started"
            raise RuntimeError(message)
        sandbox = self._launcher.launch(
            runtime, owner=self, clock=self._clock, settings_patience=self._settings.fast_seconds,
            boot_seconds=self._settings.boot_seconds,
        )
        self._booted += 1
        self._sandboxes.add(sandbox)
        return sandbox

    def _refill_soon(self) -> None:
        if self._refill_timer is None and self._loop is not None:
            self._refill_timer = self._loop.call_later(_REFILL_SECONDS, self._refill)

    def _refill(self) -> None:
        """Boot one sandbox that is missing from the pre-booted ones, then look again."""
        self._refill_timer = None
        for runtime, wanted in self._settings.prebooted.items():
            if runtime not in self._host.interpreters or runtime in self._boot_failures:
                continue
            have = sum(s.runtime == runtime and s.code is None for s in self._sandboxes)
            if have < wanted:
                self._boot(runtime)
                self._refill_soon()
                return

    def _sweep(self) -> None:
        """Throw away what is idle for long, too old, or too many; once a second."""
        if self._loop is None:
            return
        self._tick = self._loop.call_later(_TICK_SECONDS, self._sweep)
        now = self._loop.time()
        s = self._settings
        idle = sorted((x for g in self._groups.values() for x in g.idle), key=lambda x: x.idle_since)
        surplus = len(idle) - s.warm_limit
        for place, sandbox in enumerate(idle):
            if place < surplus:
                self._throw_away(sandbox, "surplus")
            elif now - sandbox.idle_since >= s.idle_seconds:
                self._throw_away(sandbox, "idle")
            elif now - sandbox.born >= s.max_age_seconds:
                self._throw_away(sandbox, "old")


_SMALL_BYTES: Final = 32 * 1024
