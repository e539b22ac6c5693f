"""Calls functions in the process beside the event loop: one at a time, tenants taking turns.

The process is started by the first call and ended when there was none for a while. A call that takes too
long, or ends the process, fails; the next one starts another process.
"""

import asyncio
import contextlib
import sys
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final

import msgspec

from runwright.offload.process import LENGTH_BYTES, TOO_LONG

CALL_SECONDS: Final = 30.0
"""Timeout of one call. Functions have limits of their own; this one is for a function whose limit fails."""

IDLE_SECONDS: Final = 30.0
MOST_WAITING: Final = 200
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Calls of one tenant that wait, and their arguments together."""

_END_SECONDS: Final = 1.0
MOST_RESULT_BYTES: Final = 16 * 1024 * 1024
_COMMAND: Final = ("-I", "-m", "runwright.offload.process")


class OffloadError(Exception):
    """The function could not be computed; the message says why, without anything of its argument."""


class OffloadTimeoutError(OffloadError):
    """It took too long."""


class _Call(msgspec.Struct, frozen=True, eq=False):
    message: bytes
    result: asyncio.Future[bytes]


class Offload:
    """The process and its queue; `stop` ends both."""

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._waiting: OrderedDict[str, deque[_Call]] = OrderedDict()
        self._process: asyncio.subprocess.Process | None = None
        self._worker: asyncio.Task[None] | None = None
        self._called = asyncio.Event()

    async def call(self, tenant_id: str, function: str, argument: bytes) -> bytes:
        """Return the result of a function for a tenant.

        OffloadError where it fails, and where too many calls of the tenant wait already.
        """
        waiting = self._waiting.setdefault(tenant_id, deque())
        if waiting and not _has_room(waiting, len(argument)):
            raise OffloadError("too many wait for their turn")
        body = msgspec.msgpack.encode((function, argument))
        message = len(body).to_bytes(LENGTH_BYTES, "big") + body
        call = _Call(message, asyncio.get_running_loop().create_future())
        waiting.append(call)
        self._called.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work(), name="offload")
        return await call.result

    async def stop(self) -> None:
        """End the process; calls that wait fail. Safe twice."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])
        for calls in self._waiting.values():
            for call in calls:
                call.result.cancel()
        self._waiting.clear()

    async def _work(self) -> None:
        """Make the calls that wait, and end with the process when none has come for a while."""
        try:
            while await self._any_waiting():
                call = self._next()
                if not call.result.cancelled():
                    await self._make(call)
        finally:
            await self._end_process()

    async def _any_waiting(self) -> bool:
        self._called.clear()
        if not self._waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._called.wait(), self._idle_seconds)
        return bool(self._waiting)

    def _next(self) -> _Call:
        """Return the next call of the tenant whose turn it is; that tenant is the last one then."""
        tenant_id, calls = self._waiting.popitem(last=False)
        call = calls.popleft()
        if calls:
            self._waiting[tenant_id] = calls
        return call

    async def _make(self, call: _Call) -> None:
        failure: OffloadError | None
        result = b""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                succeeded, result = await self._exchange(call.message)
            failure = None if succeeded else OffloadError(result.decode())
        except (OSError, asyncio.IncompleteReadError, msgspec.MsgspecError) as error:  # TimeoutError is one
            status = await self._end_process()
            too_long = isinstance(error, TimeoutError) or status == -TOO_LONG
            failure = (
                OffloadTimeoutError("it took too long") if too_long else OffloadError("its process ended")
            )
        except asyncio.CancelledError:
            call.result.cancel()
            raise
        if call.result.done():
            return
        if failure is None:
            call.result.set_result(result)
        else:
            call.result.set_exception(failure)

    async def _exchange(self, message: bytes) -> tuple[bool, bytes]:
        process = await self._running()
        assert process.stdin is not None  # noqa: S101  both are pipes
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(message)
        await process.stdin.drain()
        length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
        if length > MOST_RESULT_BYTES:
            raise OSError("the result is too long")
        body = await process.stdout.readexactly(length)
        return msgspec.msgpack.decode(body, type=tuple[bool, bytes])

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *_COMMAND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={},
                start_new_session=True,  # a signal to the terminal's group is the server's to handle
            )
        return self._process

    async def _end_process(self) -> int | None:
        """End the process, if there is one, and return its exit status: that of a kill only if it ran."""
        process, self._process = self._process, None
        if process is None:
            return None
        if not await _has_ended(process):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return await process.wait()


def _has_room(waiting: Sequence[_Call], size: int) -> bool:
    if len(waiting) >= MOST_WAITING:
        return False
    return sum(len(call.message) for call in waiting) + size <= MOST_WAITING_BYTES


async def _has_ended(process: asyncio.subprocess.Process) -> bool:
    """Return whether a process has ended, which is known a moment after its output has."""
    if process.stdout is None or not process.stdout.at_eof():
        return process.returncode is not None
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _END_SECONDS)
    return process.returncode is not None
