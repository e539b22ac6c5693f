"""The children of a supervisor as one server: one start, one state, one sum of metrics, one drain."""

import asyncio
import signal
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from runwright.runtimes.host import Host
from runwright.supervisor.child import ChildProcess
from runwright.supervisor.messages import GroupMetrics, GroupState
from runwright.supervisor.metrics import add_up
from runwright.supervisor.plan import ProcessPlan
from runwright.telemetry.emit import Emit

KILL_SECONDS: Final = 5.0


class ProcessGroup:
    """The children; `start` and `stop` are called once."""

    def __init__(self, plans: Sequence[ProcessPlan], emit: Emit) -> None:
        self._children = [
            ChildProcess(
                plan,
                emit,
                known_host=self._known_host,
                on_change=self._announce,
                on_metrics_requested=self._on_metrics_requested,
            )
            for plan in plans
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._replies: set[asyncio.Task[None]] = set()
        self._snapshots = 0

    @property
    def url(self) -> str | None:
        """The URL of the API, if there is one."""
        return next((child.url for child in self._children if child.url is not None), None)

    async def start(self) -> int:
        """Start all; return 0 when they serve, or the exit status of a child that cannot.

        The first one starts alone, so that what is wrong is reported once, and that those which only report
        what this machine offers need not probe it.
        """
        for children in (self._children[:1], self._children[1:]):
            self._tasks += [asyncio.create_task(child.run(), name=child.plan.name) for child in children]
            for started in asyncio.as_completed([child.started for child in children]):
                if status := await started:
                    return status
        return 0

    async def stop(self, forced: asyncio.Event, within_seconds: float) -> bool:
        """Drain all; kill what is left after `within_seconds`. Return whether all ended in order."""
        for child in self._children:
            child.drain()
        forcing = asyncio.create_task(self._force_when(forced))
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=within_seconds)
            if late:
                self.signal(signal.SIGKILL)
                await asyncio.wait(late, timeout=KILL_SECONDS)
        for task in (forcing, *self._replies):
            task.cancel()
        return all(child.status == 0 for child in self._children)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all."""
        for child in self._children:
            child.signal(number)

    async def _force_when(self, forced: asyncio.Event) -> None:
        await forced.wait()
        for child in self._children:
            child.force()

    def _known_host(self) -> Host | None:
        executors = (child for child in self._children if "executor" in child.plan.settings.roles)
        return next((child.host for child in executors if child.host is not None), None)

    def _announce(self) -> None:
        """Let all know how the group is."""
        state = self._state()
        for child in self._children:
            child.send(state)

    def _state(self) -> GroupState:
        looping = [child for child in self._children if child.looping]
        kinds: dict[str, bool] = defaultdict(bool)
        for child in self._children:
            kinds[child.plan.kind] |= not child.looping
        problems = [f"{one.plan.name} ended {one.ends_in_a_row} times in a row" for one in looping]
        return GroupState(serving=all(kinds.values()), problems=problems)

    def _on_metrics_requested(self, child: ChildProcess, number: int) -> None:
        reply = asyncio.create_task(self._send_metrics(child, number))
        self._replies.add(reply)
        reply.add_done_callback(self._replies.discard)

    async def _send_metrics(self, child: ChildProcess, number: int) -> None:
        self._snapshots += 1
        await asyncio.gather(*(one.take_snapshot(self._snapshots) for one in self._children))
        child.send(GroupMetrics(number, add_up(one.families for one in self._children)))
