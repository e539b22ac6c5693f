"""A worker that takes too much ends with the code that says of what, at either level; its neighbour goes on."""

import pytest

from runwright.cli.escape import EscapeTestError, at_level
from runwright.runtimes.host import Host
from runwright.runtimes.model import OutcomeStatus
from tests.integration.conftest import MakeStage

HANDLER = "import os, time\ndef handler(input, env):\n    "
SLOWLY = "time.sleep(0.01)"
MISUSE = {
    "memory": (f"a = []\n    while True: a.append(bytearray(10**6)); {SLOWLY}", "out_of_memory", "64 MiB"),
    "memory that is shared": (
        f"import mmap\n    a = []\n    while True: a.append(mmap.mmap(-1, 2**20)); a[-1].write(b'x' * 2**20); {SLOWLY}",
        "out_of_memory",
        "64 MiB",
    ),
    "files in memory": (
        (
            f"for n in range(300):\n        folder = ('/tmp', '/work', '/dev/shm')[n // 60 % 3]\n"
            f"        open(f'{{folder}}/{{n}}', 'wb').write(b'x' * 2**20); {SLOWLY}"
        ),
        "out_of_memory",
        "64 MiB",
    ),
    "processes": (
        "while True:\n        if os.fork() == 0: time.sleep(60)",
        "handler_error",
        "Resource temporarily unavailable|more than 128 processes and threads",
    ),
    "disk": (
        "f = open('/tmp/x', 'wb')\n    while True: f.write(b'x' * 2**20)",
        "handler_error",
        "File too large|No space left on device",
    ),
    "open files": ("a = [open('/dev/null') for n in range(3000)]", "handler_error", "Too many open files"),
    "cpu": ("while True: pass", "timeout", "did not end within"),
}
ROOMY = {"disk", "processes"}
"""What must not run out of memory first."""


@pytest.fixture(params=["standard", "strict"])
def level(request: pytest.FixtureRequest, host: Host) -> Host:
    """This host at one level."""
    try:
        return at_level(host, request.param)
    except EscapeTestError as error:
        pytest.skip(error.message)


@pytest.mark.parametrize("what", MISUSE)
async def test_taking_too_much_of_something_ends_with_its_code(
    make_stage: MakeStage, level: Host, what: str
) -> None:
    body, code, says = MISUSE[what]
    stage = await make_stage(level)
    neighbour = stage.assign(HANDLER + "time.sleep(1); return 'unharmed'", worker="neighbour")
    greedy = await stage.run(
        HANDLER + body, memory_mb=1024 if what in ROOMY else 64, seconds=1.5 if what == "cpu" else 20
    )
    assert (greedy.outcome.status, greedy.outcome.error_code) == (OutcomeStatus.FAILED, code), greedy.outcome
    assert any(one in greedy.outcome.error_message for one in says.split("|")), greedy.outcome.error_message
    await stage.finish(neighbour)
    assert neighbour.output == "unharmed"
