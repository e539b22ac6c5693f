"""One child process of the supervisor: started, watched, and started again when it ends."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from runwright.runtimes.host import Host
from runwright.supervisor.messages import (
    Channel,
    ChildReady,
    DrainForced,
    DrainRequested,
    FromChild,
    GroupMetricsRequested,
    Snapshot,
    SnapshotRequested,
    ToChild,
    open_channel,
)
from runwright.supervisor.metrics import add_up, counted
from runwright.supervisor.plan import ChildStart, ProcessPlan, encode_start
from runwright.telemetry.emit import Emit
from runwright.telemetry.events.supervisor import ServerProcessEnded, ServerProcessStarted
from runwright.telemetry.prometheus import Family

PAUSES_SECONDS: Final = (0.1, 0.5, 2.0, 5.0, 15.0, 30.0)
"""Before a child is started again, by how often it has ended in a row."""

STEADY_SECONDS: Final = 30.0
"""A child that has served for so long was not ended by its start."""

LOOPING_ENDS: Final = 3
SNAPSHOT_SECONDS: Final = 1.0
CHILD_COMMAND: Final = (sys.executable, "-P", "-m", "runwright.cli.server_process")

_FROM_CHILD: Final = msgspec.msgpack.Decoder(FromChild)


class ChildProcess:
    """A child, whichever process it is at the moment; `run` returns when it has ended for good."""

    def __init__(
        self,
        plan: ProcessPlan,
        emit: Emit,
        *,
        known_host: Callable[[], Host | None],
        on_change: Callable[[], None],
        on_metrics_requested: Callable[["ChildProcess", int], None],
    ) -> None:
        self.plan = plan
        self.url: str | None = None
        self.started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """0 once it has served; the exit status of one that ended before."""
        self.status = 0
        """The exit status of the process that drained; 0 where none was left to drain."""
        self.ends_in_a_row = 0
        self.host: Host | None = None
        """What it has reported of this machine."""
        self._known_host = known_host
        self._emit, self._on_change, self._on_metrics_requested = emit, on_change, on_metrics_requested
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel[FromChild] | None = None
        self._draining = asyncio.Event()
        self._began_at = 0.0
        self._ended_metrics: Sequence[Family] = ()
        self._latest_metrics: Sequence[Family] = ()
        self._snapshots: dict[int, asyncio.Future[None]] = {}

    @property
    def looping(self) -> bool:
        """Whether it keeps ending."""
        return self.ends_in_a_row >= LOOPING_ENDS

    @property
    def families(self) -> list[Family]:
        """The metrics of all its processes so far, as of the latest snapshot."""
        return add_up([self._ended_metrics, self._latest_metrics])

    async def run(self) -> None:
        """Keep it running until it has drained, or has ended before it ever served."""
        loop = asyncio.get_running_loop()
        while not self._draining.is_set():
            self._began_at = loop.time()
            status = await self._live()
            if self._draining.is_set():
                self.status = status
                break
            if not self.started.done():
                self.started.set_result(status or 1)
                return
            pause = PAUSES_SECONDS[min(self.ends_in_a_row, len(PAUSES_SECONDS) - 1)]
            self.ends_in_a_row += 1
            self._emit(ServerProcessEnded(self.plan.name, status, self.ends_in_a_row, pause))
            self._on_change()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), pause)

    def drain(self) -> None:
        self._draining.set()
        self.send(DrainRequested())

    def force(self) -> None:
        self.send(DrainForced())

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def send(self, message: ToChild) -> None:
        if self._channel is not None:
            self._channel.send(message)

    async def take_snapshot(self, number: int) -> None:
        """Ask for its metrics; where it does not answer in time the latest ones stay."""
        if self._channel is None:
            return
        waiting = self._snapshots[number] = asyncio.get_running_loop().create_future()
        self.send(SnapshotRequested(number))
        await asyncio.wait({waiting}, timeout=SNAPSHOT_SECONDS)
        self._snapshots.pop(number, None)

    async def _live(self) -> int:
        """Run one process to its end; return its exit status."""
        ours, theirs = socket.socketpair()
        try:
            arguments = (self.plan.name, str(theirs.fileno()), str(os.getpid()))
            self._process = await asyncio.create_subprocess_exec(
                *CHILD_COMMAND,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for the supervisor
            )
        except OSError:
            ours.close()
            return 1
        finally:
            theirs.close()
        self._channel = await open_channel(ours, _FROM_CHILD)
        self._channel.send_bytes(encode_start(ChildStart(self.plan.settings, self._known_host())))
        if self._draining.is_set():  # meanwhile
            self.send(DrainRequested())
        reading = asyncio.create_task(self._read(self._channel, self._process.pid))
        status = await self._process.wait()
        await self._end(self._channel, reading)
        return status

    async def _end(self, channel: Channel[FromChild], reading: "asyncio.Task[None]") -> None:
        """Let go of a process that has ended; what it has counted stays."""
        await asyncio.wait({reading}, timeout=SNAPSHOT_SECONDS)
        reading.cancel()
        channel.close()
        self._channel = None
        for waiting in self._snapshots.values():
            waiting.cancel()
        self._ended_metrics = add_up([self._ended_metrics, counted(self._latest_metrics)])
        self._latest_metrics = ()

    async def _read(self, channel: Channel[FromChild], pid: int) -> None:
        while (message := await channel.receive()) is not None:
            if isinstance(message, ChildReady):
                self._serves(message, pid)
            elif isinstance(message, Snapshot):
                self._latest_metrics = message.families
                waiting = self._snapshots.pop(message.number, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)
            elif isinstance(message, GroupMetricsRequested):
                self._on_metrics_requested(self, message.number)

    def _serves(self, ready: ChildReady, pid: int) -> None:
        self.url, self.host = ready.url, ready.host
        self._emit(ServerProcessStarted(self.plan.name, pid))
        if not self.started.done():
            self.started.set_result(0)
        asyncio.get_running_loop().call_later(STEADY_SECONDS, self._is_steady, pid)
        self._on_change()

    def _is_steady(self, pid: int) -> None:
        process = self._process
        if self.ends_in_a_row and process is not None and process.pid == pid and process.returncode is None:
            self.ends_in_a_row = 0
            self._on_change()
