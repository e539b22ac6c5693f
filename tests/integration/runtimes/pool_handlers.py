"""Handlers for the tests of the pool, and looks at the processes of its sandboxes."""

from runwright.sandbox.resource_limits import start_time
from tests.integration.conftest import Stage

QUICK = "def handler(input, env):\n    return input\n"
SLEEP = "import time\ndef handler(input, env):\n    print('on')\n    time.sleep(input.get('s', 0))\n    return 'slept'\n"
STUBBORN = """
import signal, time
def handler(input, env):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print('on')
    while True: time.sleep(1000)
"""
POLITE = """
import signal, sys
def handler(input, env):
    def stop(*_):
        print('cleaning')
        raise InterruptedError
    signal.signal(signal.SIGTERM, stop)
    print('on')
    try:
        signal.pause()
    except InterruptedError:
        return 'whatever it returns'
"""


async def warm(stage: Stage, source: str = QUICK, count: int = 5) -> None:
    """Let the pool measure that this worker is fast."""
    for _ in range(count):
        await stage.run(source)


def pids_of(stage: Stage) -> set[int]:
    """The harness processes that are there."""
    return {s.process.harness_pid for s in stage.pool._inventory.sandboxes}  # noqa: SLF001  nobody else knows them


def gone(pid: int) -> bool:
    """Whether a process runs no more; what is left of it may wait for its parent."""
    return start_time(pid) is None
