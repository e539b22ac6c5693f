"""A method that is written once blocks, or returns a coroutine."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from runwright.client.dual_mode import Async, DualMode, M, Sync, call


class Echo(DualMode[M]):
    """Its argument is called as the parameters of the descriptor could be, too."""

    @call
    async def say(self, *, owner: str, kind: str = "") -> str:
        return owner + kind


def test_a_method_blocks_or_returns_a_coroutine_whatever_its_arguments_are_called() -> None:
    blocking: Echo[Sync] = Echo(cast("Any", SimpleNamespace(blocking=True)))
    assert blocking.say(owner="user:ada", kind="!") == "user:ada!"
    suspending: Echo[Async] = Echo(cast("Any", SimpleNamespace(blocking=False)))
    assert asyncio.run(suspending.say(owner="user:ada")) == "user:ada"
