"""Work on the texts of jobs, in threads, so that no text of a tenant holds up the event loop.

Small texts are worked on at once, up to a bound in each turn of the loop. Others take turns in two threads,
one for texts of up to `CHUNK_BYTES` and one for larger ones; in each, tenants take turns. What one job
writes is handled in order. Work calls `rest` every few milliseconds, which lets the event loop run.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeVar

from runwright.runtimes.protocol import CHUNK_BYTES
from runwright.secrets.escape_decoding import Rest, do_not_rest

T = TypeVar("T")

_SMALL_BYTES: Final = 1024
_TURN_BYTES: Final = 4096
"""How much text is worked on in one turn of the event loop."""
_TURN_LINES: Final = 1_000
"""How many lines are stored in one turn, of texts with more than one."""

_LARGE_BYTES: Final = 2 * CHUNK_BYTES
_REST_SECONDS: Final = 0.0002
_DRAIN_SECONDS: Final = 5.0


class _Step(NamedTuple):
    """Work for a thread, what takes its result in the loop, and the result if the work fails."""

    size: int
    work: Callable[[Rest], Any]
    then: Callable[[Any], None]
    otherwise: Any


class _TextThread:
    """One thread, in which tenants take turns."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: dict[str, deque[Callable[[], None]]] = {}
        self._busy = False

    def add(self, tenant_id: str, start: Callable[[], None]) -> None:
        """Call `start` when it is this tenant's turn; it runs its work with `run`."""
        self._waiting.setdefault(tenant_id, deque()).append(start)
        self._start_next()

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run the work of what was just started."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        done.add_done_callback(self._free)
        return done

    def close(self) -> None:
        """End the thread after its current work."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _free(self, _: asyncio.Future[Any]) -> None:
        self._busy = False
        self._start_next()

    def _start_next(self) -> None:
        if self._busy or not self._waiting:
            return
        self._busy = True
        tenant_id = next(iter(self._waiting))
        starts = self._waiting.pop(tenant_id)
        start = starts.popleft()
        if starts:
            self._waiting[tenant_id] = starts  # behind the others
        start()


class TextThreads:
    """The threads of one pool."""

    def __init__(self) -> None:
        self._threads: tuple[_TextThread, _TextThread] | None = None
        self._turn_bytes = self._turn_lines = 0
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def queue(self, tenant_id: str) -> "TextQueue":
        """Return the queue of one job."""
        return TextQueue(self, tenant_id)

    def fits_now(self, size: int) -> bool:
        """Return whether a text may be worked on in this turn of the loop, and count it."""
        if not size:
            return True
        if size > _SMALL_BYTES or self._turn_bytes + size > _TURN_BYTES:
            return False
        if not self._turn_bytes:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._turn_bytes += size
        return True

    def lines_fit_now(self, lines: int) -> bool:
        """Return whether so many lines may be stored in this turn of the loop, and count them."""
        if self._turn_lines + lines > _TURN_LINES:
            return False
        if not self._turn_lines:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._turn_lines += lines
        return True

    def thread_for(self, size: int) -> _TextThread:
        """Return the thread for texts of that size."""
        if self._threads is None:
            self._threads = (_TextThread("runwright-texts"), _TextThread("runwright-large-texts"))
        return self._threads[size > _LARGE_BYTES]

    def began(self) -> None:
        """Count a queue that has work."""
        self._active += 1
        self._idle.clear()

    def ended(self) -> None:
        """Count it no longer."""
        self._active -= 1
        if not self._active:
            self._idle.set()

    async def drain(self) -> None:
        """Wait until all work is done, for `_DRAIN_SECONDS` at most."""
        try:
            await asyncio.wait_for(self._idle.wait(), _DRAIN_SECONDS)
        except TimeoutError:
            return

    def close(self) -> None:
        """End the threads; work that is waiting is not done."""
        for thread in self._threads or ():
            thread.close()
        self._threads = None

    def _next_turn(self) -> None:
        self._turn_bytes = self._turn_lines = 0


class TextQueue:
    """What one job writes, in order."""

    def __init__(self, threads: TextThreads, tenant_id: str) -> None:
        self._threads = threads
        self._tenant_id = tenant_id
        self._steps: deque[_Step] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is waiting or being worked on."""
        return not self._steps

    def takes_lines_now(self, lines: int) -> bool:
        """Return whether so many lines may be stored at once; several take from what a turn may store."""
        return not self._steps and (lines == 1 or self._threads.lines_fit_now(lines))

    def add(self, size: int, work: Callable[[Rest], T], then: Callable[[T], None], *, otherwise: T) -> None:
        """Call `then` in the loop with the result of `work`, or with `otherwise` if that fails.

        `size` is that of the text. Small work is done at once, if nothing is waiting.
        """
        step = _Step(size, work, then, otherwise)
        if self._steps:
            self._steps.append(step)
        elif self._threads.fits_now(size):
            then(_result(step, do_not_rest))
        else:
            self._steps.append(step)
            self._threads.began()
            self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        thread = self._threads.thread_for(self._steps[0].size)
        thread.add(self._tenant_id, lambda: self._start(thread))

    def _start(self, thread: _TextThread) -> None:
        step = self._steps[0]
        thread.run(lambda: _result(step, _rest)).add_done_callback(self._done)

    def _done(self, done: asyncio.Future[Any]) -> None:
        step = self._steps[0]
        step.then(step.otherwise if done.cancelled() else done.result())
        self._steps.popleft()
        if self._steps:
            self._wait_for_turn()
        else:
            self._threads.ended()


def _result(step: _Step, rest: Rest) -> Any:  # noqa: ANN401  of any work
    try:
        return step.work(rest)
    except Exception:  # noqa: BLE001  whatever failed: nothing of the text is shown
        return step.otherwise


def _rest() -> None:
    time.sleep(_REST_SECONDS)
