"""The child's side: what the supervisor asks of it, and what it reports."""

import asyncio
import ctypes
import itertools
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from runwright.config import Settings
from runwright.runtimes.host import Host
from runwright.supervisor.messages import (
    Channel,
    ChildReady,
    DrainForced,
    DrainRequested,
    GroupMetrics,
    GroupMetricsRequested,
    GroupState,
    Snapshot,
    SnapshotRequested,
    ToChild,
    open_channel,
)
from runwright.supervisor.plan import ChildStart, decode_start
from runwright.supervisor.shutdown import Shutdown
from runwright.telemetry.prometheus import Family, MetricRegistry

METRICS_SECONDS: Final = 2.0
_PR_SET_PDEATHSIG: Final = 1
_TO_CHILD: Final = msgspec.msgpack.Decoder(ToChild)


def end_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends, whatever ends it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it has ended before
        sys.exit(1)


class GroupMember:
    """This process as a member of a group."""

    def __init__(self, channel: Channel[ToChild], start: ChildStart) -> None:
        self.host = start.host
        self.state = GroupState()
        self._channel = channel
        self._metrics: MetricRegistry | None = None
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Sequence[Family]]] = {}
        self._reading: asyncio.Task[None] | None = None

    def follow(self, shutdown: Shutdown) -> None:
        """Drain when the supervisor asks for it, or has gone."""
        self._reading = asyncio.create_task(self._read(shutdown))

    def publish(self, metrics: MetricRegistry) -> None:
        """Send these metrics when they are asked for."""
        self._metrics = metrics

    def report_ready(self, url: str | None, host: Host) -> None:
        self._channel.send(ChildReady(url, host))

    async def group_metrics(self) -> Sequence[Family] | None:
        """Return the sum of the metrics of all processes; None where the supervisor does not answer."""
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._channel.send(GroupMetricsRequested(number))
        try:
            return await asyncio.wait_for(waiting, METRICS_SECONDS)
        except TimeoutError:
            return None
        finally:
            del self._waiting[number]

    async def _read(self, shutdown: Shutdown) -> None:
        while (message := await self._channel.receive()) is not None:
            if isinstance(message, DrainRequested):
                shutdown.requested.set()
            elif isinstance(message, DrainForced):
                shutdown.forced.set()
            else:
                self._take(message)
        shutdown.requested.set()

    def _take(self, message: GroupState | SnapshotRequested | GroupMetrics) -> None:
        if isinstance(message, GroupState):
            self.state = message
        elif isinstance(message, SnapshotRequested):
            families = [] if self._metrics is None else list(self._metrics.families())
            self._channel.send(Snapshot(message.number, families))
        elif (waiting := self._waiting.get(message.number)) is not None and not waiting.done():
            waiting.set_result(message.families)


async def join_group(descriptor: int) -> tuple[Settings, GroupMember]:
    """Return the settings from the supervisor, and this process as a member of its group."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003  as the os module has it
    channel = await open_channel(socket.socket(fileno=descriptor), _TO_CHILD)
    encoded = await channel.receive_bytes()
    if encoded is None:
        sys.exit(1)
    start = decode_start(encoded)
    return start.settings, GroupMember(channel, start)
