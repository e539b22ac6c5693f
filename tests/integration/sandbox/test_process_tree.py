"""A process tree whose start fails leaves nothing behind."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import psutil

from runwright.sandbox.process_tree import Launch, ProcessTree
from runwright.sandbox.resource_limits import WatchedLimits


class _Refusing(WatchedLimits):
    """Limits of a kernel that refuses to move a process that was just started."""

    def adopt(self, pid: int) -> None:
        raise PermissionError(f"{pid} may not be moved")


async def test_what_was_started_is_killed_where_its_limits_cannot_be_set() -> None:
    loop = asyncio.get_running_loop()
    before = set(psutil.Process().children())
    gone = asyncio.Event()
    null = os.open(os.devnull, os.O_RDWR)
    with ThreadPoolExecutor(1) as starter:
        limits = _Refusing(loop, uid=0)
        tree = ProcessTree(loop, starter=starter, limits=limits, set_limits=lambda _: None, on_gone=gone.set)
        launch = Launch(
            argv=["/bin/sleep", "600"], env={}, wrapped=True, stdout=null, stderr=null, socket=null
        )
        tree.start(launch)
        await asyncio.wait_for(gone.wait(), 60)
    os.close(null)
    assert isinstance(tree.error, PermissionError)
    assert set(psutil.Process().children()) == before
